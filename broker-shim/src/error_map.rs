//! The engine's and the controller's errors in Kafka's numbers. The only place that knows both.

use log_engine::{
    AppendError, ReadError, TruncateError,
    batch::{HeaderError, Violation, ViolationClass},
    commit::CommitError,
    producer::Refusal as ProducerRefusal,
};
use wire::ErrorCode;

use crate::metadata::{ChangeError, ops::Refusal};

/// A refused or failed append.
pub(crate) fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Invalid(violation) => violation_code(violation),
        AppendError::Producer(refusal) => producer(refusal),
        AppendError::OutOfOrder { .. } => ErrorCode::UnknownServerError,
        AppendError::Commit(error) => commit(error),
        AppendError::Io { .. } => ErrorCode::KafkaStorageError,
        AppendError::Closed => ErrorCode::NotLeaderOrFollower,
        _ => ErrorCode::UnknownServerError,
    }
}

fn producer(refusal: &ProducerRefusal) -> ErrorCode {
    match refusal {
        ProducerRefusal::InvalidProducerEpoch { .. } | ProducerRefusal::MarkerEpoch { .. } => {
            ErrorCode::InvalidProducerEpoch
        }
        ProducerRefusal::SequenceOfNewEpoch { .. }
        | ProducerRefusal::OutOfOrderSequence { .. }
        | ProducerRefusal::SequenceWithoutState { .. }
        | ProducerRefusal::SequenceAboveUnverified { .. } => ErrorCode::OutOfOrderSequenceNumber,
        ProducerRefusal::NotTransactional { .. } | ProducerRefusal::NotVerified => ErrorCode::InvalidTxnState,
        ProducerRefusal::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
    }
}

fn commit(error: &CommitError) -> ErrorCode {
    match error {
        CommitError::NoSpace { .. } | CommitError::AfterFailure { .. } | CommitError::Offline(_) => {
            ErrorCode::KafkaStorageError
        }
    }
}

fn violation_code(violation: &Violation) -> ErrorCode {
    match violation.class() {
        ViolationClass::CorruptMessage => ErrorCode::CorruptMessage,
        ViolationClass::InvalidRecord => ErrorCode::InvalidRecord,
        ViolationClass::InvalidTimestamp => ErrorCode::InvalidTimestamp,
        ViolationClass::MessageTooLarge => ErrorCode::MessageTooLarge,
        ViolationClass::RecordListTooLarge => ErrorCode::RecordListTooLarge,
        ViolationClass::UnknownServerError => ErrorCode::UnknownServerError,
    }
}

/// What a client of a coordinator is told where the coordinator's own records were not written (Kafka's
/// `CoordinatorOperationExceptionHelper`).
pub(crate) fn coordinator(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError | ErrorCode::NotController => {
            ErrorCode::NotCoordinator
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        other => other,
    }
}

/// What the client is told beside the code. Kafka says something only where single records were refused, and of a magic
/// that no Kafka ever wrote.
pub(crate) fn violation_text(violation: &Violation) -> Option<String> {
    match violation {
        Violation::InvalidTimestamp { .. } => {
            Some("One or more records have been rejected due to invalid timestamp".to_owned())
        }
        Violation::InvalidRecords { problems } => Some(format!(
            "One or more records have been rejected due to {} record errors in total",
            problems.len()
        )),
        Violation::Header(HeaderError::Magic { magic, .. }) => {
            Some(format!("Invalid magic found in record: {magic}"))
        }
        _ => None,
    }
}

/// Whether Kafka refuses before it looks at the log, so that its answer does not know where the log starts.
pub(crate) fn is_refused_unseen(error: &AppendError) -> bool {
    match error {
        AppendError::Invalid(violation) => matches!(
            **violation,
            Violation::NoBatch
                | Violation::MoreThanOneBatch
                | Violation::OldMagic { .. }
                | Violation::Header(_)
                | Violation::Crc { .. }
                | Violation::TooLarge { .. }
                | Violation::LargerThanSegment { .. }
        ),
        AppendError::Producer(_) => false,
        _ => true,
    }
}

/// A failed read.
pub(crate) fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt(_) => ErrorCode::CorruptMessage,
        ReadError::Offline(_) | ReadError::Io(_) => ErrorCode::KafkaStorageError,
        _ => ErrorCode::UnknownServerError,
    }
}

/// A log that was not cut.
pub(crate) fn truncate(error: &TruncateError) -> ErrorCode {
    match error {
        TruncateError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        TruncateError::Closed => ErrorCode::NotLeaderOrFollower,
        TruncateError::Read(error) => read(error),
        TruncateError::Io(_) => ErrorCode::KafkaStorageError,
        _ => ErrorCode::UnknownServerError,
    }
}

/// A change of the metadata that did not happen.
pub(crate) fn change(error: &ChangeError) -> ErrorCode {
    match error {
        ChangeError::Stopped => ErrorCode::NotController,
        ChangeError::Log(_) => ErrorCode::KafkaStorageError,
        ChangeError::TooManyRecords => ErrorCode::PolicyViolation,
        ChangeError::Encode(_) | ChangeError::Fold(_) => ErrorCode::UnknownServerError,
    }
}

/// What the controller part refuses.
pub(crate) fn refusal(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::InvalidTopic(_) => ErrorCode::InvalidTopicException,
        Refusal::TopicExists(_) => ErrorCode::TopicAlreadyExists,
        Refusal::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
        Refusal::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
        Refusal::InvalidReplicaAssignment(_) => ErrorCode::InvalidReplicaAssignment,
        Refusal::InvalidConfig(_) => ErrorCode::InvalidConfig,
        Refusal::InvalidRequest(_) => ErrorCode::InvalidRequest,
        Refusal::PolicyViolation(_) => ErrorCode::PolicyViolation,
        Refusal::UnknownTopic | Refusal::UnknownTopicResource(_) | Refusal::UnknownPartition(_) => {
            ErrorCode::UnknownTopicOrPartition
        }
        Refusal::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
        Refusal::NoPreferredLeader => ErrorCode::PreferredLeaderNotAvailable,
        Refusal::NoEligibleLeader => ErrorCode::EligibleLeadersNotAvailable,
        Refusal::NoReassignment => ErrorCode::NoReassignmentInProgress,
        Refusal::ThrottlingQuotaExceeded => ErrorCode::ThrottlingQuotaExceeded,
        Refusal::UnknownTopicId(_) => ErrorCode::UnknownTopicId,
        Refusal::TooManyPartitions | Refusal::ProducerIdsExhausted => ErrorCode::UnknownServerError,
    }
}

/// Kafka's own sentence for codes that are answered without a better one.
pub(crate) fn default_text(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::None => "",
        ErrorCode::UnknownTopicOrPartition => "This server does not host this topic-partition.",
        ErrorCode::UnknownTopicId => "This server does not host this topic ID.",
        ErrorCode::TopicAuthorizationFailed => "Topic authorization failed.",
        ErrorCode::ClusterAuthorizationFailed => "Cluster authorization failed.",
        ErrorCode::GroupAuthorizationFailed => "Group authorization failed.",
        ErrorCode::TransactionalIdAuthorizationFailed => "Transactional Id authorization failed.",
        ErrorCode::CoordinatorNotAvailable => "The coordinator is not available.",
        ErrorCode::TopicDeletionDisabled => "Topic deletion is disabled.",
        ErrorCode::InvalidRequest => {
            "This most likely occurs because of a request being malformed by the client library or the message was \
             sent to an incompatible broker. See the broker logs for more details."
        }
        ErrorCode::KafkaStorageError => "Disk error when trying to access log file on the disk.",
        other => other.name(),
    }
}
