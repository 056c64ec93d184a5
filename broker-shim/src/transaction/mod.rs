//! Transactions: who may write under a transactional id, which partitions its transaction has, and how it ends; in
//! `__transaction_state` as Kafka keeps it.
//!
//! ```text
//!   Empty --add partitions--> Ongoing --EndTxn--> PrepareCommit --markers in all partitions--> CompleteCommit
//!     ^                          '-EndTxn, timeout, a new producer-> PrepareAbort --markers--> CompleteAbort
//!     '---- InitProducerId (a new epoch) ----------------------------------------------------------'
//! ```
//! What is decided is in [`decide`], as functions; the runtime in [`crate::coordinator`] writes it and answers. A decision
//! to end a transaction is final once it is written: [`chores`] writes the markers, also those that a start finds undone.

mod chores;
mod config;
mod decide;
mod markers;
mod record;
mod shard;
mod state;
#[cfg(test)]
mod tests;
mod verify;

use std::{collections::BTreeMap, sync::Arc};

use log_engine::{Clock, Engine, batch::control::TxnOutcome};
use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};
use wire::ErrorCode;

pub(crate) use config::TRANSACTION_TOPIC;
pub(crate) use markers::Marker;
pub(crate) use state::{Partitions, Producer, TransactionMetadata, TransactionState, TransactionVersion};
pub(crate) use verify::{SupportedOperation, begin as begin_verification};

use crate::{
    config::Config,
    coordinator::{Coordinator, Decision, InternalTopic, Moment},
    group::Groups,
    metadata::MetadataHandle,
    partition::Partition,
    producer_ids::ProducerIds,
    replicas::Replicas,
};
use config::TransactionConfig;
use decide::{Circumstances, Decided, Init, Step};
use shard::{Chore, TransactionShard};

/// Whether partitions demand that a transaction is verified before it begins in them.
pub(crate) const VERIFICATION_KEY: &str = "transaction.partition.verification.enable";

/// The feature whose level says how transactions are run.
const FEATURE: &str = "transaction.version";

/// The transaction coordinator of this broker.
pub(crate) struct Transactions {
    inner: Arc<Inner>,
    chores: JoinHandle<()>,
}

struct Inner {
    topic: Arc<InternalTopic>,
    coordinator: Arc<Coordinator<TransactionShard>>,
    metadata: MetadataHandle,
    replicas: Arc<Replicas>,
    engine: Arc<Engine>,
    producer_ids: Arc<ProducerIds>,
    groups: Groups,
    config: TransactionConfig,
}

/// What the coordinator works with.
pub(crate) struct Surroundings {
    pub(crate) metadata: MetadataHandle,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) producer_ids: Arc<ProducerIds>,
    pub(crate) groups: Groups,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
}

/// What a client asks with InitProducerId.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitRequest {
    pub(crate) timeout_ms: i32,
    /// Who it takes itself for; nothing where it has just begun.
    pub(crate) expected: Option<Producer>,
}

impl Transactions {
    /// Starts to load what is led here.
    pub(crate) fn start(config: &Config, surroundings: Surroundings) -> Self {
        let Surroundings { metadata, replicas, engine, producer_ids, groups, clock, runtime } = surroundings;
        let (orders, chores) = unbounded_channel();
        let topic = Arc::new(InternalTopic::new(
            config::topic_settings(config),
            metadata.clone(),
            Arc::clone(&replicas),
        ));
        let config = TransactionConfig::of(config);
        let expiration_ms = config.id_expiration_ms;
        let make = move |number| TransactionShard::new(number, expiration_ms, orders.clone());
        let coordinator = Coordinator::new(Arc::clone(&topic), clock, runtime.clone(), make);
        let inner =
            Arc::new(Inner { topic, coordinator, metadata, replicas, engine, producer_ids, groups, config });
        let chores = runtime.spawn(run_chores(Arc::clone(&inner), chores));
        inner.coordinator.load();
        Self { inner, chores }
    }

    /// Lets go of all who wait. Transactions that are under way go on with the next start.
    pub(crate) fn stop(&self) {
        self.inner.coordinator.stop();
        self.chores.abort();
    }

    /// Makes the topic of transactional ids where it does not exist.
    ///
    /// # Errors
    /// With what a client is to be told.
    pub(crate) async fn ensure_topic(&self) -> Result<(), ErrorCode> {
        self.inner.topic.ensure().await
    }

    /// The id and epoch that a producer goes on with.
    ///
    /// # Errors
    /// Where it may not, or not yet.
    pub(crate) async fn init_producer_id(
        &self,
        id: &str,
        request: InitRequest,
    ) -> Result<Producer, ErrorCode> {
        if request.timeout_ms <= 0 || i64::from(request.timeout_ms) > self.inner.config.max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let init = Init { timeout_ms: request.timeout_ms, expected: request.expected };
        self.inner
            .step(id, |known, circumstances| decide::init_producer_id(known, &init, circumstances))
            .await?
    }

    /// Adds partitions to the transaction, which begins with the first.
    ///
    /// # Errors
    /// Where it cannot be.
    pub(crate) async fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        added: &Partitions,
        client: TransactionVersion,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let add = |known: Option<&_>, circumstances: &Circumstances| {
            decide::add_partitions(known, producer, added, client, circumstances.now_ms)
        };
        self.inner.step(id, add).await
    }

    /// Whether partitions belong to the open transaction; of each, why not.
    pub(crate) fn verify_partitions<'p>(
        &self,
        id: &str,
        producer: Producer,
        partitions: impl Iterator<Item = (&'p str, i32)>,
    ) -> Vec<Result<(), ErrorCode>> {
        let (coordinator, partitions) = (&self.inner.coordinator, partitions.collect::<Vec<_>>());
        if id.is_empty() {
            return partitions.iter().map(|_| Err(ErrorCode::InvalidRequest)).collect();
        }
        let verified = coordinator.read(coordinator.shard_of(id), |shard, _| {
            let known = shard.get(id);
            let verify =
                |(topic, number): &(&str, i32)| decide::verify_partition(known, producer, topic, *number);
            partitions.iter().map(verify).collect()
        });
        verified.unwrap_or_else(|error| partitions.iter().map(|_| Err(error)).collect())
    }

    /// Ends the transaction. Answers the id and epoch that the producer goes on with, where its version has that.
    ///
    /// # Errors
    /// Where it cannot be ended, or not so.
    pub(crate) async fn end(
        &self,
        id: &str,
        producer: Producer,
        outcome: TxnOutcome,
        client: TransactionVersion,
    ) -> Result<Producer, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let end = |known: Option<&_>, circumstances: &Circumstances| {
            decide::end_txn(known, producer, outcome, client, circumstances)
        };
        self.inner.step(id, end).await
    }

    /// Writes the marker that ends a transaction to one partition, as a coordinator asks for it, or an administrator.
    ///
    /// # Errors
    /// Where the partition is not led here, or refuses it.
    pub(crate) async fn write_marker(
        &self,
        topic: &str,
        number: i32,
        marker: &Marker,
    ) -> Result<(), ErrorCode> {
        markers::write(&self.inner, topic, number, marker).await
    }

    /// What is known of a transactional id.
    ///
    /// # Errors
    /// Where nothing is known, or not here.
    pub(crate) fn describe(&self, id: &str) -> Result<TransactionMetadata, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let coordinator = &self.inner.coordinator;
        let known = coordinator.read(coordinator.shard_of(id), |shard, _| shard.get(id).cloned())?;
        known.ok_or(ErrorCode::TransactionalIdNotFound)
    }

    /// Every transactional id of which `wanted` is true, by name; `wanted` also learns what time it is.
    ///
    /// # Errors
    /// Where not all that is led here is loaded.
    pub(crate) fn list<R>(
        &self,
        wanted: impl Fn(&str, &TransactionMetadata, Moment) -> Option<R>,
    ) -> Result<Vec<R>, ErrorCode> {
        let coordinator = &self.inner.coordinator;
        let mut found = BTreeMap::new();
        for number in coordinator.shards() {
            let listed = coordinator.read(number, |shard, now| {
                for (id, metadata) in shard.all() {
                    if let Some(answer) = wanted(id, metadata, now) {
                        found.insert(Arc::clone(id), answer);
                    }
                }
            });
            // A partition that is not led here has its ids elsewhere.
            if listed == Err(ErrorCode::CoordinatorLoadInProgress) {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
        }
        Ok(found.into_values().collect())
    }
}

async fn run_chores(inner: Arc<Inner>, mut orders: UnboundedReceiver<Chore>) {
    while let Some(chore) = orders.recv().await {
        // Apart, so that a partition that stands still holds up no other transaction.
        tokio::spawn(chores::run(Arc::clone(&inner), chore));
    }
}

impl Inner {
    /// The finalized `transaction.version`.
    fn finalized(&self) -> TransactionVersion {
        let image = self.metadata.image();
        let level = image.features().find(|(name, _)| *name == FEATURE).map_or(0, |(_, level)| level);
        TransactionVersion::from_level(level)
    }

    fn partition(&self, topic: &str, number: i32) -> Result<Arc<Partition>, ErrorCode> {
        self.replicas.led(&self.metadata.image(), topic, number)
    }

    /// Decides an event of a transactional id, and writes what comes of it.
    async fn step<R: Send>(
        &self,
        id: &str,
        decide: impl Fn(Option<&TransactionMetadata>, &Circumstances) -> Decided<R>,
    ) -> Result<R, ErrorCode> {
        let (shard, finalized) = (self.coordinator.shard_of(id), self.finalized());
        let mut spare_id = None;
        loop {
            let step = self.coordinator.write(shard, |state, now| {
                let circumstances = Circumstances { now_ms: now.wall.get(), spare_id, finalized };
                Ok(match decide(state.get(id), &circumstances)? {
                    Step::NeedsProducerId => Decision::answer(None),
                    Step::Answer(answer) => Decision::answer(Some(answer)),
                    Step::Write(next, answer) => state.write(id, &next, finalized, Some(answer))?,
                })
            });
            match step.await? {
                Some(answer) => return Ok(answer),
                None => spare_id = Some(self.producer_ids.next().await?),
            }
        }
    }
}
