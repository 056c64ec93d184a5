//! Batches that may open a transaction in their partition: the transaction coordinator is asked first (KIP-890). Where the
//! transaction is open there already, and that is all batches but the first, nobody is asked.

use std::sync::Arc;

use log_engine::{
    AppendError,
    batch::BatchView,
    producer::{Verification, VerificationRequest},
};
use wire::{ErrorCode, messages::ProduceRequest};

use super::{Failure, PartitionPlan, Plan};
use crate::{
    broker::Broker,
    error_map,
    partition::Partition,
    request_context::RequestContext,
    transaction::{Producer, SupportedOperation, begin_verification},
};

/// The part of a plan that belongs to a transaction.
pub(super) struct Opening {
    transactional_id: String,
    operation: SupportedOperation,
    batches: Vec<Batch>,
}

struct Batch {
    /// Which topic of the plan, and which partition of it.
    at: (usize, usize),
    request: VerificationRequest,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not known whether somebody has to be asked; finding out may wait for the disk.
    Unknown,
    /// The coordinator has to be asked.
    Asks,
    Settled,
}

/// What of the request belongs to a transaction and may have to be verified.
pub(super) fn opening(
    broker: &Broker,
    context: &RequestContext,
    request: &ProduceRequest<'_>,
    plan: &Plan,
) -> Option<Opening> {
    let transactional_id = request.transactional_id.as_deref()?;
    let operation = SupportedOperation::of_produce(context.version);
    if operation != SupportedOperation::AddPartition && !broker.engine.transaction_verification() {
        return None;
    }
    let mut batches = Vec::new();
    for (topic_at, (topic, planned)) in request.topic_data.iter().zip(&plan.topics).enumerate() {
        for (partition_at, (data, planned)) in
            topic.partition_data.iter().zip(&planned.partitions).enumerate()
        {
            let Some(Ok(batch)) = data.records.map(|records| BatchView::read(records.bytes)) else {
                continue;
            };
            if planned.target.is_err() || !batch.is_transactional() {
                continue;
            }
            let request = VerificationRequest {
                producer_id: batch.producer_id(),
                producer_epoch: batch.producer_epoch(),
                base_sequence: batch.base_sequence(),
                protocol: operation.version().protocol(),
            };
            batches.push(Batch { at: (topic_at, partition_at), request, stage: Stage::Unknown });
        }
    }
    let transactional_id = transactional_id.to_owned();
    (!batches.is_empty()).then_some(Opening { transactional_id, operation, batches })
}

fn planned(plan: &mut Plan, (topic, partition): (usize, usize)) -> Option<&mut PartitionPlan> {
    plan.topics.get_mut(topic)?.partitions.get_mut(partition)
}

impl Opening {
    /// Finds out who has to be asked for, as far as that can be told at once.
    pub(super) fn begin(&mut self, plan: &mut Plan) -> &Self {
        let producer = self.producer();
        for batch in &mut self.batches {
            let Some(planned) = planned(plan, batch.at) else { continue };
            if batch.producer() != producer {
                // Kafka's `InvalidPidMappingException`: a transaction has one producer.
                planned.target = Err(ErrorCode::InvalidProducerIdMapping.into());
                batch.stage = Stage::Settled;
            } else if let Ok(partition) = planned.target.clone() {
                match partition.try_begin_verification(&batch.request) {
                    Ok(None) => {}
                    Ok(Some(verification)) => batch.take(planned, Ok(verification)),
                    Err(error) => batch.take(planned, Err(error)),
                }
            }
        }
        self
    }

    /// Whether somebody has to be asked.
    pub(super) fn is_pending(&self) -> bool {
        self.batches.iter().any(|batch| batch.stage != Stage::Settled)
    }

    fn producer(&self) -> Producer {
        self.batches.first().map_or(Producer::NONE, Batch::producer)
    }

    /// Asks the coordinator: what may not be appended has a failure for its target afterwards, the rest a guard.
    pub(super) async fn settle(mut self, broker: &Broker, plan: &mut Plan) {
        for batch in &mut self.batches {
            let Some(planned) = planned(plan, batch.at) else { continue };
            if let (Stage::Unknown, Ok(partition)) = (batch.stage, planned.target.clone()) {
                let verification = begin_verification(partition, batch.request).await;
                batch.take(planned, verification);
            }
        }
        let asking: Vec<(usize, usize)> =
            self.batches.iter().filter(|batch| batch.stage == Stage::Asks).map(|batch| batch.at).collect();
        let partitions: Vec<Arc<Partition>> =
            asking.iter().filter_map(|at| planned(plan, *at)?.target.clone().ok()).collect();
        let named: Vec<(&str, i32)> =
            partitions.iter().map(|partition| (&**partition.topic(), partition.number())).collect();
        if named.is_empty() {
            return;
        }
        let transactions = &broker.transactions;
        let answers =
            transactions.add_or_verify(&self.transactional_id, self.producer(), &named, self.operation).await;
        for (at, answer) in asking.into_iter().zip(answers) {
            if let (Some(planned), Err(code)) = (planned(plan, at), answer) {
                planned.target = Err(failure(code, self.operation));
            }
        }
    }
}

impl Batch {
    fn producer(&self) -> Producer {
        Producer { id: self.request.producer_id, epoch: self.request.producer_epoch }
    }

    fn take(&mut self, planned: &mut PartitionPlan, verification: Result<Verification, AppendError>) {
        self.stage = Stage::Settled;
        match verification {
            Ok(Verification::Ongoing) => {}
            Ok(Verification::Needed(guard)) => {
                planned.guard = Some(guard);
                self.stage = Stage::Asks;
            }
            Err(error) => planned.target = Err(error_map::append(&error).into()),
        }
    }
}

/// What the client is told (Kafka's `ReplicaManager.handleProduceAppend`): older ones do not try again after what a
/// coordinator answers, but do after `NOT_ENOUGH_REPLICAS`.
fn failure(code: ErrorCode, operation: SupportedOperation) -> Failure {
    match code {
        ErrorCode::InvalidTxnState => Failure {
            message: Some("Partition was not added to the transaction".to_owned()),
            ..Failure::from(code)
        },
        ErrorCode::ConcurrentTransactions if operation == SupportedOperation::AddPartition => code.into(),
        ErrorCode::ConcurrentTransactions
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => Failure {
            message: Some(format!(
                "Unable to verify the partition has been added to the transaction. Underlying error: {}",
                code.name()
            )),
            ..Failure::from(ErrorCode::NotEnoughReplicas)
        },
        other => other.into(),
    }
}
