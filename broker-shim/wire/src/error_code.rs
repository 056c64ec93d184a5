//! Kafka's error numbers.

use std::fmt;

/// The one list: number, our name, Kafka's name, and whether Kafka's clients try again.
macro_rules! error_codes {
    ($($code:literal $name:ident = $kafka:ident $retry:ident,)*) => {
        /// What a response says went wrong.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("Kafka's `", stringify!($kafka), "`, ", stringify!($retry), ".")]
                $name = $code,
            )*
        }

        impl ErrorCode {
            /// All of them, by rising number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The error with this number.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($kafka),)*
                }
            }

            /// Whether a client may send the same request again and hope.
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$name => error_codes!(@ $retry),)*
                }
            }
        }
    };
    (@ retriable) => { true };
    (@ final) => { false };
}

error_codes! {
    -1 UnknownServerError = UNKNOWN_SERVER_ERROR final,
    0 None = NONE final,
    1 OffsetOutOfRange = OFFSET_OUT_OF_RANGE final,
    2 CorruptMessage = CORRUPT_MESSAGE retriable,
    3 UnknownTopicOrPartition = UNKNOWN_TOPIC_OR_PARTITION retriable,
    4 InvalidFetchSize = INVALID_FETCH_SIZE final,
    5 LeaderNotAvailable = LEADER_NOT_AVAILABLE retriable,
    6 NotLeaderOrFollower = NOT_LEADER_OR_FOLLOWER retriable,
    7 RequestTimedOut = REQUEST_TIMED_OUT retriable,
    8 BrokerNotAvailable = BROKER_NOT_AVAILABLE final,
    9 ReplicaNotAvailable = REPLICA_NOT_AVAILABLE retriable,
    10 MessageTooLarge = MESSAGE_TOO_LARGE final,
    11 StaleControllerEpoch = STALE_CONTROLLER_EPOCH final,
    12 OffsetMetadataTooLarge = OFFSET_METADATA_TOO_LARGE final,
    13 NetworkException = NETWORK_EXCEPTION retriable,
    14 CoordinatorLoadInProgress = COORDINATOR_LOAD_IN_PROGRESS retriable,
    15 CoordinatorNotAvailable = COORDINATOR_NOT_AVAILABLE retriable,
    16 NotCoordinator = NOT_COORDINATOR retriable,
    17 InvalidTopicException = INVALID_TOPIC_EXCEPTION final,
    18 RecordListTooLarge = RECORD_LIST_TOO_LARGE final,
    19 NotEnoughReplicas = NOT_ENOUGH_REPLICAS retriable,
    20 NotEnoughReplicasAfterAppend = NOT_ENOUGH_REPLICAS_AFTER_APPEND retriable,
    21 InvalidRequiredAcks = INVALID_REQUIRED_ACKS final,
    22 IllegalGeneration = ILLEGAL_GENERATION final,
    23 InconsistentGroupProtocol = INCONSISTENT_GROUP_PROTOCOL final,
    24 InvalidGroupId = INVALID_GROUP_ID final,
    25 UnknownMemberId = UNKNOWN_MEMBER_ID final,
    26 InvalidSessionTimeout = INVALID_SESSION_TIMEOUT final,
    27 RebalanceInProgress = REBALANCE_IN_PROGRESS final,
    28 InvalidCommitOffsetSize = INVALID_COMMIT_OFFSET_SIZE final,
    29 TopicAuthorizationFailed = TOPIC_AUTHORIZATION_FAILED final,
    30 GroupAuthorizationFailed = GROUP_AUTHORIZATION_FAILED final,
    31 ClusterAuthorizationFailed = CLUSTER_AUTHORIZATION_FAILED final,
    32 InvalidTimestamp = INVALID_TIMESTAMP final,
    33 UnsupportedSaslMechanism = UNSUPPORTED_SASL_MECHANISM final,
    34 IllegalSaslState = ILLEGAL_SASL_STATE final,
    35 UnsupportedVersion = UNSUPPORTED_VERSION final,
    36 TopicAlreadyExists = TOPIC_ALREADY_EXISTS final,
    37 InvalidPartitions = INVALID_PARTITIONS final,
    38 InvalidReplicationFactor = INVALID_REPLICATION_FACTOR final,
    39 InvalidReplicaAssignment = INVALID_REPLICA_ASSIGNMENT final,
    40 InvalidConfig = INVALID_CONFIG final,
    41 NotController = NOT_CONTROLLER retriable,
    42 InvalidRequest = INVALID_REQUEST final,
    43 UnsupportedForMessageFormat = UNSUPPORTED_FOR_MESSAGE_FORMAT final,
    44 PolicyViolation = POLICY_VIOLATION final,
    45 OutOfOrderSequenceNumber = OUT_OF_ORDER_SEQUENCE_NUMBER final,
    46 DuplicateSequenceNumber = DUPLICATE_SEQUENCE_NUMBER final,
    47 InvalidProducerEpoch = INVALID_PRODUCER_EPOCH final,
    48 InvalidTxnState = INVALID_TXN_STATE final,
    49 InvalidProducerIdMapping = INVALID_PRODUCER_ID_MAPPING final,
    50 InvalidTransactionTimeout = INVALID_TRANSACTION_TIMEOUT final,
    51 ConcurrentTransactions = CONCURRENT_TRANSACTIONS retriable,
    52 TransactionCoordinatorFenced = TRANSACTION_COORDINATOR_FENCED final,
    53 TransactionalIdAuthorizationFailed = TRANSACTIONAL_ID_AUTHORIZATION_FAILED final,
    54 SecurityDisabled = SECURITY_DISABLED final,
    55 OperationNotAttempted = OPERATION_NOT_ATTEMPTED final,
    56 KafkaStorageError = KAFKA_STORAGE_ERROR retriable,
    57 LogDirNotFound = LOG_DIR_NOT_FOUND final,
    58 SaslAuthenticationFailed = SASL_AUTHENTICATION_FAILED final,
    59 UnknownProducerId = UNKNOWN_PRODUCER_ID final,
    60 ReassignmentInProgress = REASSIGNMENT_IN_PROGRESS final,
    61 DelegationTokenAuthDisabled = DELEGATION_TOKEN_AUTH_DISABLED final,
    62 DelegationTokenNotFound = DELEGATION_TOKEN_NOT_FOUND final,
    63 DelegationTokenOwnerMismatch = DELEGATION_TOKEN_OWNER_MISMATCH final,
    64 DelegationTokenRequestNotAllowed = DELEGATION_TOKEN_REQUEST_NOT_ALLOWED final,
    65 DelegationTokenAuthorizationFailed = DELEGATION_TOKEN_AUTHORIZATION_FAILED final,
    66 DelegationTokenExpired = DELEGATION_TOKEN_EXPIRED final,
    67 InvalidPrincipalType = INVALID_PRINCIPAL_TYPE final,
    68 NonEmptyGroup = NON_EMPTY_GROUP final,
    69 GroupIdNotFound = GROUP_ID_NOT_FOUND final,
    70 FetchSessionIdNotFound = FETCH_SESSION_ID_NOT_FOUND retriable,
    71 InvalidFetchSessionEpoch = INVALID_FETCH_SESSION_EPOCH retriable,
    72 ListenerNotFound = LISTENER_NOT_FOUND retriable,
    73 TopicDeletionDisabled = TOPIC_DELETION_DISABLED final,
    74 FencedLeaderEpoch = FENCED_LEADER_EPOCH retriable,
    75 UnknownLeaderEpoch = UNKNOWN_LEADER_EPOCH retriable,
    76 UnsupportedCompressionType = UNSUPPORTED_COMPRESSION_TYPE final,
    77 StaleBrokerEpoch = STALE_BROKER_EPOCH final,
    78 OffsetNotAvailable = OFFSET_NOT_AVAILABLE retriable,
    79 MemberIdRequired = MEMBER_ID_REQUIRED final,
    80 PreferredLeaderNotAvailable = PREFERRED_LEADER_NOT_AVAILABLE retriable,
    81 GroupMaxSizeReached = GROUP_MAX_SIZE_REACHED final,
    82 FencedInstanceId = FENCED_INSTANCE_ID final,
    83 EligibleLeadersNotAvailable = ELIGIBLE_LEADERS_NOT_AVAILABLE retriable,
    84 ElectionNotNeeded = ELECTION_NOT_NEEDED retriable,
    85 NoReassignmentInProgress = NO_REASSIGNMENT_IN_PROGRESS final,
    86 GroupSubscribedToTopic = GROUP_SUBSCRIBED_TO_TOPIC final,
    87 InvalidRecord = INVALID_RECORD final,
    88 UnstableOffsetCommit = UNSTABLE_OFFSET_COMMIT retriable,
    89 ThrottlingQuotaExceeded = THROTTLING_QUOTA_EXCEEDED retriable,
    90 ProducerFenced = PRODUCER_FENCED final,
    91 ResourceNotFound = RESOURCE_NOT_FOUND final,
    92 DuplicateResource = DUPLICATE_RESOURCE final,
    93 UnacceptableCredential = UNACCEPTABLE_CREDENTIAL final,
    94 InconsistentVoterSet = INCONSISTENT_VOTER_SET final,
    95 InvalidUpdateVersion = INVALID_UPDATE_VERSION final,
    96 FeatureUpdateFailed = FEATURE_UPDATE_FAILED final,
    97 PrincipalDeserializationFailure = PRINCIPAL_DESERIALIZATION_FAILURE final,
    98 SnapshotNotFound = SNAPSHOT_NOT_FOUND final,
    99 PositionOutOfRange = POSITION_OUT_OF_RANGE final,
    100 UnknownTopicId = UNKNOWN_TOPIC_ID retriable,
    101 DuplicateBrokerRegistration = DUPLICATE_BROKER_REGISTRATION final,
    102 BrokerIdNotRegistered = BROKER_ID_NOT_REGISTERED final,
    103 InconsistentTopicId = INCONSISTENT_TOPIC_ID retriable,
    104 InconsistentClusterId = INCONSISTENT_CLUSTER_ID final,
    105 TransactionalIdNotFound = TRANSACTIONAL_ID_NOT_FOUND final,
    106 FetchSessionTopicIdError = FETCH_SESSION_TOPIC_ID_ERROR retriable,
    107 IneligibleReplica = INELIGIBLE_REPLICA final,
    108 NewLeaderElected = NEW_LEADER_ELECTED final,
    109 OffsetMovedToTieredStorage = OFFSET_MOVED_TO_TIERED_STORAGE final,
    110 FencedMemberEpoch = FENCED_MEMBER_EPOCH final,
    111 UnreleasedInstanceId = UNRELEASED_INSTANCE_ID final,
    112 UnsupportedAssignor = UNSUPPORTED_ASSIGNOR final,
    113 StaleMemberEpoch = STALE_MEMBER_EPOCH final,
    114 MismatchedEndpointType = MISMATCHED_ENDPOINT_TYPE final,
    115 UnsupportedEndpointType = UNSUPPORTED_ENDPOINT_TYPE final,
    116 UnknownControllerId = UNKNOWN_CONTROLLER_ID final,
    117 UnknownSubscriptionId = UNKNOWN_SUBSCRIPTION_ID final,
    118 TelemetryTooLarge = TELEMETRY_TOO_LARGE final,
    119 InvalidRegistration = INVALID_REGISTRATION final,
    120 TransactionAbortable = TRANSACTION_ABORTABLE final,
    121 InvalidRecordState = INVALID_RECORD_STATE final,
    122 ShareSessionNotFound = SHARE_SESSION_NOT_FOUND retriable,
    123 InvalidShareSessionEpoch = INVALID_SHARE_SESSION_EPOCH retriable,
    124 FencedStateEpoch = FENCED_STATE_EPOCH final,
    125 InvalidVoterKey = INVALID_VOTER_KEY final,
    126 DuplicateVoter = DUPLICATE_VOTER final,
    127 VoterNotFound = VOTER_NOT_FOUND final,
    128 InvalidRegularExpression = INVALID_REGULAR_EXPRESSION final,
    129 RebootstrapRequired = REBOOTSTRAP_REQUIRED final,
    130 StreamsInvalidTopology = STREAMS_INVALID_TOPOLOGY final,
    131 StreamsInvalidTopologyEpoch = STREAMS_INVALID_TOPOLOGY_EPOCH final,
    132 StreamsTopologyFenced = STREAMS_TOPOLOGY_FENCED final,
    133 ShareSessionLimitReached = SHARE_SESSION_LIMIT_REACHED retriable,
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this says that nothing went wrong.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> Self {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gap_and_lead_back_to_their_error() {
        for (code, error) in (-1..).zip(ErrorCode::ALL) {
            assert_eq!(error.code(), code, "{error}");
            assert_eq!(ErrorCode::from_code(code), Some(*error));
        }
        assert_eq!(ErrorCode::from_code(ErrorCode::ALL.len() as i16 - 1), None);
    }
}
