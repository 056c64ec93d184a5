//! What KRaft itself keeps in the log: who leads in which epoch, which voters there are, where a snapshot begins and
//! ends. All of it stands in control records, between the metadata records.

use std::{borrow::Cow, sync::Arc};

use log_engine::{
    batch::{BuildError, control::ControlRecordType, control::kraft_control_batch},
    types::{LeaderEpoch, Offset, TimestampMs},
};
use wire::{
    DecodeError, EncodeError,
    message::{Decode, Encode},
    primitives::{Reader, Uuid, Writer},
    records::{
        KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
        leader_change_message, voters_record,
    },
};

use super::{ids::DirectoryId, record::Endpoint};

/// The one version that each control record has so far.
const RECORD_VERSION: i16 = 0;

/// A control record of the metadata log.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ControlRecord {
    /// A leader begins its epoch.
    LeaderChange { leader_id: i32, voters: Vec<i32> },
    /// Level of `kraft.version`: from 1 on the voters stand in the log.
    KRaftVersion(i16),
    /// The voters.
    Voters(Vec<Voter>),
    /// First record of a snapshot.
    SnapshotHeader { last_contained_log_timestamp: TimestampMs },
    /// Last record of a snapshot.
    SnapshotFooter,
    /// Something newer.
    Unknown(i16),
}

/// A voter of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Voter {
    /// Its node id.
    pub(super) id: i32,
    /// The directory that holds its metadata log.
    pub(super) directory_id: DirectoryId,
    /// Where it listens: listener name, host, port.
    pub(super) endpoints: Vec<(Arc<str>, Arc<str>, u16)>,
    /// Levels of `kraft.version` that it can work with.
    pub(super) kraft_versions: (i16, i16),
}

/// What the control records of a log add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Quorum {
    /// Level of `kraft.version`; 0 has its voters in the configuration.
    pub(super) kraft_version: i16,
    /// The voters, where the log names them.
    pub(super) voters: Vec<Voter>,
}

impl Quorum {
    pub(super) fn fold(&mut self, record: &ControlRecord) {
        match record {
            ControlRecord::KRaftVersion(level) => self.kraft_version = *level,
            ControlRecord::Voters(voters) => self.voters.clone_from(voters),
            _ => {}
        }
    }

    /// Gives the only voter these endpoints; whether that changes anything. No endpoints change nothing.
    pub(super) fn listen_at(&mut self, endpoints: &[Endpoint]) -> bool {
        let [voter] = &mut *self.voters else { return false };
        let wanted: Vec<_> = endpoints.iter().map(|e| (e.name.clone(), e.host.clone(), e.port)).collect();
        let changes = !wanted.is_empty() && voter.endpoints != wanted;
        if changes {
            voter.endpoints = wanted;
        }
        changes
    }

    /// The records that carry it into a snapshot, or into the log at the first leadership.
    pub(super) fn records(&self) -> Vec<ControlRecord> {
        if self.kraft_version == 0 {
            return Vec::new();
        }
        vec![ControlRecord::KRaftVersion(self.kraft_version), ControlRecord::Voters(self.voters.clone())]
    }
}

/// Reads a control record.
pub(super) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<ControlRecord, DecodeError> {
    let kind = ControlRecordType::of_key(key).map_err(|_| DecodeError::UnexpectedNull { field: "Key" })?;
    let value = value.ok_or(DecodeError::UnexpectedNull { field: "Value" })?;
    Ok(match kind {
        ControlRecordType::LeaderChange => {
            let change: LeaderChangeMessage<'_> = decode_value(value)?;
            let voters = change.voters.iter().map(|voter| voter.voter_id).collect();
            ControlRecord::LeaderChange { leader_id: change.leader_id, voters }
        }
        ControlRecordType::KRaftVersion => {
            let level: KRaftVersionRecord<'_> = decode_value(value)?;
            ControlRecord::KRaftVersion(level.k_raft_version)
        }
        ControlRecordType::KRaftVoters => {
            let voters: VotersRecord<'_> = decode_value(value)?;
            ControlRecord::Voters(voters.voters.into_iter().map(voter).collect())
        }
        ControlRecordType::SnapshotHeader => {
            let header: SnapshotHeaderRecord<'_> = decode_value(value)?;
            let time = TimestampMs::new(header.last_contained_log_timestamp);
            ControlRecord::SnapshotHeader { last_contained_log_timestamp: time }
        }
        ControlRecordType::SnapshotFooter => ControlRecord::SnapshotFooter,
        other => ControlRecord::Unknown(other.id()),
    })
}

/// The first field of each value is its version.
fn decode_value<'a, R: Decode<'a>>(value: &'a [u8]) -> Result<R, DecodeError> {
    let version = Reader::new(value).i16()?;
    R::decode(&mut Reader::new(value), version)
}

fn encode_value(record: &impl Encode) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    record.encode(&mut writer, RECORD_VERSION)?;
    Ok(writer.into_bytes())
}

/// Why a batch could not be made of records.
#[derive(Debug, thiserror::Error)]
pub enum EncodeBatchError {
    /// A record cannot be written in its version.
    #[error("a record cannot be encoded: {0}")]
    Record(#[from] EncodeError),
    /// The records do not fit into a batch.
    #[error("the records do not make a batch: {0}")]
    Batch(#[from] BuildError),
}

/// One control batch.
pub(super) fn control_batch(
    records: &[ControlRecord],
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: TimestampMs,
) -> Result<Vec<u8>, EncodeBatchError> {
    let values: Vec<_> = records.iter().map(encode).collect::<Result<_, _>>()?;
    let pairs: Vec<_> = values.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
    Ok(kraft_control_batch(&pairs, base_offset, epoch, now)?)
}

/// The value of a control record.
fn encode(record: &ControlRecord) -> Result<(ControlRecordType, Vec<u8>), EncodeError> {
    Ok(match record {
        ControlRecord::LeaderChange { leader_id, voters } => {
            let voter = |id: &i32| leader_change_message::Voter { voter_id: *id, ..Default::default() };
            let change = LeaderChangeMessage {
                version: RECORD_VERSION,
                leader_id: *leader_id,
                voters: voters.iter().map(voter).collect(),
                // One voter grants its vote to itself.
                granting_voters: voters.iter().filter(|id| *id == leader_id).map(voter).collect(),
                ..Default::default()
            };
            (ControlRecordType::LeaderChange, encode_value(&change)?)
        }
        ControlRecord::KRaftVersion(level) => {
            let record =
                KRaftVersionRecord { version: RECORD_VERSION, k_raft_version: *level, ..Default::default() };
            (ControlRecordType::KRaftVersion, encode_value(&record)?)
        }
        ControlRecord::Voters(voters) => {
            let record = VotersRecord {
                version: RECORD_VERSION,
                voters: voters.iter().map(wire_voter).collect(),
                ..Default::default()
            };
            (ControlRecordType::KRaftVoters, encode_value(&record)?)
        }
        ControlRecord::SnapshotHeader { last_contained_log_timestamp } => {
            let record = SnapshotHeaderRecord {
                version: RECORD_VERSION,
                last_contained_log_timestamp: last_contained_log_timestamp.get(),
                ..Default::default()
            };
            (ControlRecordType::SnapshotHeader, encode_value(&record)?)
        }
        ControlRecord::SnapshotFooter => {
            let record = SnapshotFooterRecord { version: RECORD_VERSION, ..Default::default() };
            (ControlRecordType::SnapshotFooter, encode_value(&record)?)
        }
        ControlRecord::Unknown(_) => return Err(EncodeError::Null { field: "Value" }),
    })
}

fn voter(voter: voters_record::Voter<'_>) -> Voter {
    let endpoint = |e: voters_record::Endpoint<'_>| (Arc::from(&*e.name), Arc::from(&*e.host), e.port);
    Voter {
        id: voter.voter_id,
        directory_id: DirectoryId::new(voter.voter_directory_id.0),
        endpoints: voter.endpoints.into_iter().map(endpoint).collect(),
        kraft_versions: (
            voter.k_raft_version_feature.min_supported_version,
            voter.k_raft_version_feature.max_supported_version,
        ),
    }
}

fn wire_voter(voter: &Voter) -> voters_record::Voter<'_> {
    let endpoints = voter.endpoints.iter().map(|(name, host, port)| voters_record::Endpoint {
        name: Cow::Borrowed(name),
        host: Cow::Borrowed(host),
        port: *port,
        ..Default::default()
    });
    voters_record::Voter {
        voter_id: voter.id,
        voter_directory_id: Uuid(voter.directory_id.get()),
        endpoints: endpoints.collect(),
        k_raft_version_feature: voters_record::KRaftVersionFeature {
            min_supported_version: voter.kraft_versions.0,
            max_supported_version: voter.kraft_versions.1,
            ..Default::default()
        },
        ..Default::default()
    }
}
