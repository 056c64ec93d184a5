//! Before a batch opens a transaction in a partition: does the partition belong to it (KIP-890)? Clients of the newer
//! protocol have it added by asking; those of the older one must have added it.

use std::sync::Arc;

use log_engine::{
    AppendError,
    producer::{Verification, VerificationGuard, VerificationRequest},
    types::Sequence,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};
use wire::ErrorCode;

use super::{Partitions, Producer, TransactionVersion, Transactions};
use crate::{error_map, group::OFFSETS_TOPIC, partition::Partition};

/// What a client's version of a request lets it do and understand (Kafka's `TransactionSupportedOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupportedOperation {
    /// Has added its partitions, and knows no error that asks it to abort.
    Default,
    /// Has added its partitions.
    GenericError,
    /// Adds partitions by writing to them.
    AddPartition,
}

/// First version of Produce that knows `TRANSACTION_ABORTABLE`; the next one adds partitions.
const PRODUCE_GENERIC_ERROR: i16 = 11;

/// The same of TxnOffsetCommit.
const OFFSET_COMMIT_GENERIC_ERROR: i16 = 4;

impl SupportedOperation {
    pub(crate) fn of_produce(version: i16) -> Self {
        Self::from_version(version, PRODUCE_GENERIC_ERROR)
    }

    pub(crate) fn of_txn_offset_commit(version: i16) -> Self {
        Self::from_version(version, OFFSET_COMMIT_GENERIC_ERROR)
    }

    fn from_version(version: i16, generic_error: i16) -> Self {
        match version.cmp(&generic_error) {
            std::cmp::Ordering::Less => Self::Default,
            std::cmp::Ordering::Equal => Self::GenericError,
            std::cmp::Ordering::Greater => Self::AddPartition,
        }
    }

    /// The protocol of the client's transactions.
    pub(crate) fn version(self) -> TransactionVersion {
        match self {
            Self::AddPartition => TransactionVersion::V2,
            Self::Default | Self::GenericError => TransactionVersion::V0,
        }
    }

    /// The coordinator's answer in the words that the client understands (Kafka's `AddPartitionsToTxnManager`).
    fn translate(self, error: ErrorCode) -> ErrorCode {
        match error {
            // Older clients take the first one for the end of all things.
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::TransactionAbortable if self == Self::Default => ErrorCode::InvalidTxnState,
            other => other,
        }
    }
}

impl Transactions {
    /// Adds the partitions or verifies that they were added, as the client's version has it; of each, why not.
    pub(crate) async fn add_or_verify(
        &self,
        id: &str,
        producer: Producer,
        partitions: &[(&str, i32)],
        operation: SupportedOperation,
    ) -> Vec<Result<(), ErrorCode>> {
        let results = match operation {
            SupportedOperation::AddPartition => {
                let added = self.add_once_possible(id, producer, partitions).await;
                partitions.iter().map(|_| added).collect()
            }
            SupportedOperation::Default | SupportedOperation::GenericError => {
                self.verify_partitions(id, producer, partitions.iter().copied())
            }
        };
        let translated = |result: Result<(), ErrorCode>| result.map_err(|error| operation.translate(error));
        results.into_iter().map(translated).collect()
    }

    /// The same for offsets that a group commits in the transaction: the guard to write them with, if one is needed.
    ///
    /// # Errors
    /// Where they may not be written.
    pub(crate) async fn admit_offsets(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
        operation: SupportedOperation,
    ) -> Result<Option<VerificationGuard>, ErrorCode> {
        if operation != SupportedOperation::AddPartition && !self.inner.engine.transaction_verification() {
            return Ok(None);
        }
        let number = self.inner.groups.partition_of(group);
        let partition = self.inner.partition(OFFSETS_TOPIC, number).map_err(|_| ErrorCode::NotCoordinator)?;
        let request = VerificationRequest {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: Sequence::NONE,
            protocol: operation.version().protocol(),
        };
        match begin(partition, request).await.map_err(|error| error_map::append(&error))? {
            Verification::Ongoing => Ok(None),
            Verification::Needed(guard) => {
                let results = self.add_or_verify(id, producer, &[(OFFSETS_TOPIC, number)], operation).await;
                results.into_iter().collect::<Result<(), ErrorCode>>().map(|()| Some(guard))
            }
        }
    }

    /// A client that has ended a transaction begins the next at once, while markers of the former are still on their way:
    /// it is not sent away for the short time that they take.
    async fn add_once_possible(
        &self,
        id: &str,
        producer: Producer,
        partitions: &[(&str, i32)],
    ) -> Result<(), ErrorCode> {
        let mut added = Partitions::new();
        for (topic, number) in partitions {
            added.entry((*topic).into()).or_default().insert(*number);
        }
        let config = &self.inner.config;
        let until = Instant::now() + config.add_partitions_backoff_max;
        // Markers are written within a millisecond most often; Kafka's brokers ask each other over the network.
        let mut pause = config.add_partitions_backoff / 16;
        loop {
            match self.add_partitions(id, producer, &added, TransactionVersion::V2).await {
                Err(ErrorCode::ConcurrentTransactions) if Instant::now() < until => sleep(pause).await,
                result => return result,
            }
            pause = config.add_partitions_backoff.min(pause * 2);
        }
    }
}

/// Begins a verification, on another thread where that may wait for the disk.
pub(crate) async fn begin(
    partition: Arc<Partition>,
    request: VerificationRequest,
) -> Result<Verification, AppendError> {
    match partition.try_begin_verification(&request)? {
        Some(verification) => Ok(verification),
        None => spawn_blocking(move || partition.begin_verification(&request))
            .await
            .unwrap_or(Err(AppendError::Closed)),
    }
}
