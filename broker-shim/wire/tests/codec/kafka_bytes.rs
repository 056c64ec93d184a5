//! Bytes that Kafka's own classes wrote, for every message and version: ours are the same.
//!
//! `golden/messages.txt` holds per message and version what the class makes of its defaults, of values in every
//! field, and of few values with nulls and unknown tags; `golden/README.md` says how it is made.

use wire::header::{RequestHeader, ResponseHeader};
use wire::json::ToJson;
use wire::message::{DecodeError, EncodeError, Message, Versions};
use wire::messages::*;
use wire::primitives::{Reader, Writer};
use wire::records::*;

use crate::samples::{Kind, Sample, samples};

/// Gives `$body` the type with this name as `M`.
macro_rules! with_message {
    ($name:expr, $M:ident => $body:expr, $($message:ident)*) => {
        match $name {
            $(stringify!($message) => { use $message as $M; $body })*
            other => panic!("{other} is missing in the list of messages"),
        }
    };
}

macro_rules! with_api_message {
    ($name:expr, $M:ident => $body:expr) => {
        with_message!($name, $M => $body,
            AddOffsetsToTxnRequest AddOffsetsToTxnResponse AddPartitionsToTxnRequest
            AddPartitionsToTxnResponse AlterClientQuotasRequest AlterClientQuotasResponse
            AlterConfigsRequest AlterConfigsResponse AlterPartitionReassignmentsRequest
            AlterPartitionReassignmentsResponse AlterReplicaLogDirsRequest
            AlterReplicaLogDirsResponse AlterUserScramCredentialsRequest
            AlterUserScramCredentialsResponse ApiVersionsRequest ApiVersionsResponse
            CreateAclsRequest CreateAclsResponse CreateDelegationTokenRequest
            CreateDelegationTokenResponse CreatePartitionsRequest CreatePartitionsResponse
            CreateTopicsRequest CreateTopicsResponse DeleteAclsRequest DeleteAclsResponse
            DeleteGroupsRequest DeleteGroupsResponse DeleteRecordsRequest DeleteRecordsResponse
            DeleteTopicsRequest DeleteTopicsResponse DescribeAclsRequest DescribeAclsResponse
            DescribeClientQuotasRequest DescribeClientQuotasResponse DescribeClusterRequest
            DescribeClusterResponse DescribeConfigsRequest DescribeConfigsResponse
            DescribeDelegationTokenRequest DescribeDelegationTokenResponse
            DescribeGroupsRequest DescribeGroupsResponse DescribeLogDirsRequest
            DescribeLogDirsResponse DescribeProducersRequest DescribeProducersResponse
            DescribeQuorumRequest DescribeQuorumResponse DescribeTopicPartitionsRequest
            DescribeTopicPartitionsResponse DescribeTransactionsRequest
            DescribeTransactionsResponse DescribeUserScramCredentialsRequest
            DescribeUserScramCredentialsResponse ElectLeadersRequest ElectLeadersResponse
            EndTxnRequest EndTxnResponse ExpireDelegationTokenRequest
            ExpireDelegationTokenResponse FetchRequest FetchResponse FindCoordinatorRequest
            FindCoordinatorResponse HeartbeatRequest HeartbeatResponse
            IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
            InitProducerIdRequest InitProducerIdResponse JoinGroupRequest JoinGroupResponse
            LeaveGroupRequest LeaveGroupResponse ListConfigResourcesRequest
            ListConfigResourcesResponse ListGroupsRequest ListGroupsResponse ListOffsetsRequest
            ListOffsetsResponse ListPartitionReassignmentsRequest
            ListPartitionReassignmentsResponse ListTransactionsRequest ListTransactionsResponse
            MetadataRequest MetadataResponse OffsetCommitRequest OffsetCommitResponse
            OffsetDeleteRequest OffsetDeleteResponse OffsetFetchRequest OffsetFetchResponse
            OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse ProduceRequest
            ProduceResponse RenewDelegationTokenRequest RenewDelegationTokenResponse
            SyncGroupRequest SyncGroupResponse TxnOffsetCommitRequest TxnOffsetCommitResponse
            UnregisterBrokerRequest UnregisterBrokerResponse UpdateFeaturesRequest
            UpdateFeaturesResponse WriteTxnMarkersRequest WriteTxnMarkersResponse
        )
    };
}

macro_rules! with_record {
    ($name:expr, $M:ident => $body:expr) => {
        with_message!($name, $M => $body,
            ConsumerProtocolAssignment ConsumerProtocolSubscription ControlRecordTypeSchema
            DefaultPrincipalData EndTxnMarker KRaftVersionRecord LeaderChangeMessage
            SnapshotFooterRecord SnapshotHeaderRecord VotersRecord LegacyOffsetCommitKey
            LegacyOffsetCommitValue OffsetCommitKey OffsetCommitValue GroupMetadataKey
            GroupMetadataValue ConsumerGroupMetadataKey ConsumerGroupMetadataValue
            ConsumerGroupPartitionMetadataKey ConsumerGroupPartitionMetadataValue
            ConsumerGroupMemberMetadataKey ConsumerGroupMemberMetadataValue
            ConsumerGroupTargetAssignmentMetadataKey ConsumerGroupTargetAssignmentMetadataValue
            ConsumerGroupTargetAssignmentMemberKey ConsumerGroupTargetAssignmentMemberValue
            ConsumerGroupCurrentMemberAssignmentKey ConsumerGroupCurrentMemberAssignmentValue
            ShareGroupMemberMetadataKey ShareGroupMemberMetadataValue ShareGroupMetadataKey
            ShareGroupMetadataValue ShareGroupTargetAssignmentMetadataKey
            ShareGroupTargetAssignmentMetadataValue ShareGroupTargetAssignmentMemberKey
            ShareGroupTargetAssignmentMemberValue ShareGroupCurrentMemberAssignmentKey
            ShareGroupCurrentMemberAssignmentValue ShareGroupStatePartitionMetadataKey
            ShareGroupStatePartitionMetadataValue ConsumerGroupRegularExpressionKey
            ConsumerGroupRegularExpressionValue StreamsGroupMetadataKey StreamsGroupMetadataValue
            StreamsGroupMemberMetadataKey StreamsGroupMemberMetadataValue
            StreamsGroupTargetAssignmentMetadataKey StreamsGroupTargetAssignmentMetadataValue
            StreamsGroupTargetAssignmentMemberKey StreamsGroupTargetAssignmentMemberValue
            StreamsGroupCurrentMemberAssignmentKey StreamsGroupCurrentMemberAssignmentValue
            StreamsGroupTopologyKey StreamsGroupTopologyValue RegisterBrokerRecord
            UnregisterBrokerRecord TopicRecord PartitionRecord ConfigRecord PartitionChangeRecord
            FenceBrokerRecord UnfenceBrokerRecord RemoveTopicRecord DelegationTokenRecord
            UserScramCredentialRecord FeatureLevelRecord ClientQuotaRecord ProducerIdsRecord
            BrokerRegistrationChangeRecord AccessControlEntryRecord RemoveAccessControlEntryRecord
            NoOpRecord ZkMigrationStateRecord RemoveUserScramCredentialRecord BeginTransactionRecord
            EndTransactionRecord AbortTransactionRecord RemoveDelegationTokenRecord
            RegisterControllerRecord ClearElrRecord QuorumStateData ShareSnapshotKey
            ShareSnapshotValue ShareUpdateKey ShareUpdateValue ProducerSnapshot
            RemoteLogSegmentMetadataRecord RemoteLogSegmentMetadataUpdateRecord
            RemotePartitionDeleteMetadataRecord RemoteLogSegmentMetadataSnapshotRecord
            TransactionLogKey TransactionLogValue RequestHeader ResponseHeader
        )
    };
}

macro_rules! with_sample_type {
    ($sample:expr, $M:ident => $body:expr) => {
        if $sample.json.is_empty() {
            with_api_message!($sample.name.as_str(), $M => $body)
        } else {
            with_record!($sample.name.as_str(), $M => $body)
        }
    };
}

/// What we write after reading, or of the defaults.
fn written_again(sample: &Sample) -> Result<Vec<u8>, String> {
    let mut r = Reader::new(&sample.bytes);
    let mut w = Writer::new();
    with_sample_type!(sample, M => {
        let value = match sample.kind {
            Kind::Default => M::default(),
            Kind::Full | Kind::Sparse => M::decode(&mut r, sample.version).map_err(|e: DecodeError| e.to_string())?,
        };
        value.encode(&mut w, sample.version).map_err(|e: EncodeError| e.to_string())?;
        if sample.kind == Kind::Full && !r.remaining().is_empty() {
            return Err(format!("{} bytes are left over", r.remaining().len()));
        }
    });
    Ok(w.into_bytes())
}

fn versions_of(sample: &Sample) -> Versions {
    fn of<M: Message>(_: M) -> Versions {
        M::VERSIONS
    }
    with_sample_type!(sample, M => of(M::default()))
}

#[test]
fn every_message_of_kafka_is_written_again_byte_for_byte() {
    let samples = samples();
    for sample in samples.iter().filter(|sample| sample.kind != Kind::Default) {
        assert_eq!(written_again(sample).as_ref(), Ok(&sample.bytes), "{sample}");
    }
}

#[test]
fn records_look_in_json_as_kafka_shows_them() {
    for sample in samples().iter().filter(|sample| !sample.json.is_empty()) {
        let mut r = Reader::new(&sample.bytes);
        let json = with_record!(sample.name.as_str(), M => {
            M::decode(&mut r, sample.version).expect("tested above").to_json(sample.version)
        });
        assert_eq!(json, sample.json, "{sample}");
    }
}

#[test]
fn defaults_are_kafkas() {
    for sample in samples().iter().filter(|sample| sample.kind == Kind::Default) {
        assert_eq!(written_again(sample).as_ref(), Ok(&sample.bytes), "{sample}");
    }
}

#[test]
fn every_version_has_samples_and_no_other_is_taken() {
    let samples = samples();
    for sample in &samples {
        let versions = versions_of(sample);
        for version in versions.iter() {
            let has = samples.iter().any(|other| other.name == sample.name && other.version == version);
            assert!(has, "{} has no sample of version {version}", sample.name);
        }
        for version in [versions.first - 1, versions.last + 1] {
            let beyond = Sample { version, ..sample.clone() };
            assert!(written_again(&beyond).is_err_and(|error| error.contains("has no version")), "{beyond}");
        }
    }
}

/// A frame that ends anywhere too early is an error, never a shorter message.
#[test]
fn a_message_cut_off_anywhere_is_an_error() {
    for sample in samples().iter().filter(|sample| sample.kind == Kind::Full) {
        for len in 0..sample.bytes.len() {
            let cut = Sample { bytes: sample.bytes[..len].to_vec(), ..sample.clone() };
            assert!(written_again(&cut).is_err(), "{sample} cut to {len} bytes");
        }
    }
}
