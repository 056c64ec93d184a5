//! Records of `__consumer_offsets`: between Kafka's bytes and what they say.
//!
//! A key begins with its version, which is also its type. Types of groups that are not served here are told apart from
//! those that nobody knows, so that a directory that Kafka wrote can be loaded.

use wire::{
    message::{Decode, Encode, EncodeError},
    primitives::{Reader, Writer},
    records::{
        GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, decode_versioned,
        encode_versioned,
    },
};

use crate::coordinator::{LogRecord, Record, ReplayError};

/// Types of keys (Kafka's `CoordinatorRecordType`).
const LEGACY_OFFSET_COMMIT: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;

/// The version without an expiry of its own, and the one with it.
const OFFSET_COMMIT_VALUE: i16 = 4;
const EXPIRING_OFFSET_COMMIT_VALUE: i16 = 1;
const GROUP_METADATA_VALUE: i16 = 3;

/// A record, understood.
#[derive(Debug)]
pub(super) enum GroupRecord<'a> {
    Offset(OffsetCommitKey<'a>, Option<OffsetCommitValue<'a>>),
    Group(GroupMetadataKey<'a>, Option<GroupMetadataValue<'a>>),
}

impl<'a> GroupRecord<'a> {
    pub(super) fn decode(record: &LogRecord<'a>) -> Result<Self, ReplayError> {
        let mut key = Reader::new(record.key.ok_or(ReplayError::NoKey)?);
        let kind = key.i16()?;
        Ok(match kind {
            // Both types have the same key.
            LEGACY_OFFSET_COMMIT | OFFSET_COMMIT => {
                Self::Offset(OffsetCommitKey::decode(&mut key, 0)?, value(record)?)
            }
            GROUP_METADATA => Self::Group(GroupMetadataKey::decode(&mut key, 0)?, value(record)?),
            other => return Err(ReplayError::UnknownType(other)),
        })
    }
}

fn value<'a, V: Decode<'a>>(record: &LogRecord<'a>) -> Result<Option<V>, ReplayError> {
    let Some(bytes) = record.value else { return Ok(None) };
    let (value, _) = decode_versioned(&mut Reader::new(bytes))?;
    Ok(Some(value))
}

/// Why a record cannot be written: its texts are longer than the format has room for.
#[derive(Debug, thiserror::Error)]
#[error("a record of the group {group} cannot be written: {error}")]
pub(super) struct Unwritable {
    group: String,
    error: EncodeError,
}

/// A committed offset, or its tombstone.
pub(super) fn offset_commit(
    group: &str,
    topic: &str,
    partition: i32,
    value: Option<&OffsetCommitValue<'_>>,
) -> Result<Record, Unwritable> {
    let key = OffsetCommitKey { group: group.into(), topic: topic.into(), partition };
    let version = |value: &OffsetCommitValue<'_>| {
        if value.expire_timestamp >= 0 { EXPIRING_OFFSET_COMMIT_VALUE } else { OFFSET_COMMIT_VALUE }
    };
    record(group, OFFSET_COMMIT, &key, value.map(|value| (value, version(value))))
}

/// A classic group, or its tombstone.
pub(super) fn group_metadata(
    group: &str,
    value: Option<&GroupMetadataValue<'_>>,
) -> Result<Record, Unwritable> {
    let key = GroupMetadataKey { group: group.into() };
    record(group, GROUP_METADATA, &key, value.map(|value| (value, GROUP_METADATA_VALUE)))
}

fn record(
    group: &str,
    kind: i16,
    key: &impl Encode,
    value: Option<(&impl Encode, i16)>,
) -> Result<Record, Unwritable> {
    let encoded = || {
        let mut writer = Writer::new();
        writer.i16(kind);
        // Keys have one version, 0; what stands before them is their type.
        key.encode(&mut writer, 0)?;
        let value = value.map(|(value, version)| encode_versioned(value, version)).transpose()?;
        Ok(Record { key: writer.into_bytes(), value })
    };
    encoded().map_err(|error| Unwritable { group: group.to_owned(), error })
}
