//! Records of `__consumer_offsets` and `__transaction_state`: type and key, version and value, as JSON.
//!
//! The sentences for what cannot be read are those of Kafka's `DumpLogSegments.CoordinatorRecordMessageParser` and
//! `CoordinatorRecordSerde`.

use wire::{
    json::ToJson,
    message::{Decode, DecodeError},
    primitives::Reader,
    records::*,
};

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CoordinatorLog {
    /// Of `__consumer_offsets`.
    Groups,
    /// Of `__transaction_state`.
    Transactions,
}

/// What stands for a key and for a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CoordinatorText {
    pub(super) key: String,
    /// Nothing where the key says what is wrong.
    pub(super) payload: Option<String>,
}

/// What is printed for a tombstone.
const DELETED: &str = "<DELETE>";

/// Why a record is not shown.
enum Unreadable {
    UnknownType(i16),
    Because(String),
}

impl CoordinatorLog {
    /// The texts of a record, or the sentence that stands for its key.
    pub(super) fn text(self, key: &[u8], value: Option<&[u8]>, offset: i64) -> CoordinatorText {
        match self.read(key, value) {
            Ok((key, payload)) => CoordinatorText { key, payload: Some(payload) },
            Err(Unreadable::UnknownType(kind)) => {
                let key = format!("Unknown record type {kind} at offset {offset}, skipping.");
                CoordinatorText { key, payload: None }
            }
            Err(Unreadable::Because(reason)) => {
                let key = format!("Error at offset {offset}, skipping. {reason}");
                CoordinatorText { key, payload: None }
            }
        }
    }

    fn read<'b>(self, key: &'b [u8], value: Option<&'b [u8]>) -> Result<(String, String), Unreadable> {
        let mut reader = Reader::new(key);
        let kind = version_of(&mut reader, "key")?;
        match self {
            Self::Groups => group_record(kind, &mut reader, value),
            Self::Transactions if kind == 0 => {
                record::<TransactionLogKey<'_>, TransactionLogValue<'_>>(kind, &mut reader, value)
            }
            Self::Transactions => Err(Unreadable::UnknownType(kind)),
        }
    }
}

/// Gives each type of a record its key and its value.
macro_rules! records {
    ($kind:ident, $key:ident, $value:ident, $($number:literal => $k:ident $v:ident,)*) => {
        match $kind {
            $($number => record::<$k<'_>, $v<'_>>($kind, $key, $value),)*
            other => Err(Unreadable::UnknownType(other)),
        }
    };
}

fn group_record<'b>(
    kind: i16,
    key: &mut Reader<'b>,
    value: Option<&'b [u8]>,
) -> Result<(String, String), Unreadable> {
    let (key_text, value_text) = records!(kind, key, value,
        0 => LegacyOffsetCommitKey LegacyOffsetCommitValue,
        1 => OffsetCommitKey OffsetCommitValue,
        2 => GroupMetadataKey GroupMetadataValue,
        3 => ConsumerGroupMetadataKey ConsumerGroupMetadataValue,
        4 => ConsumerGroupPartitionMetadataKey ConsumerGroupPartitionMetadataValue,
        5 => ConsumerGroupMemberMetadataKey ConsumerGroupMemberMetadataValue,
        6 => ConsumerGroupTargetAssignmentMetadataKey ConsumerGroupTargetAssignmentMetadataValue,
        7 => ConsumerGroupTargetAssignmentMemberKey ConsumerGroupTargetAssignmentMemberValue,
        8 => ConsumerGroupCurrentMemberAssignmentKey ConsumerGroupCurrentMemberAssignmentValue,
        10 => ShareGroupMemberMetadataKey ShareGroupMemberMetadataValue,
        11 => ShareGroupMetadataKey ShareGroupMetadataValue,
        12 => ShareGroupTargetAssignmentMetadataKey ShareGroupTargetAssignmentMetadataValue,
        13 => ShareGroupTargetAssignmentMemberKey ShareGroupTargetAssignmentMemberValue,
        14 => ShareGroupCurrentMemberAssignmentKey ShareGroupCurrentMemberAssignmentValue,
        15 => ShareGroupStatePartitionMetadataKey ShareGroupStatePartitionMetadataValue,
        16 => ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue,
        17 => StreamsGroupMetadataKey StreamsGroupMetadataValue,
        19 => StreamsGroupMemberMetadataKey StreamsGroupMemberMetadataValue,
        20 => StreamsGroupTargetAssignmentMetadataKey StreamsGroupTargetAssignmentMetadataValue,
        21 => StreamsGroupTargetAssignmentMemberKey StreamsGroupTargetAssignmentMemberValue,
        22 => StreamsGroupCurrentMemberAssignmentKey StreamsGroupCurrentMemberAssignmentValue,
        23 => StreamsGroupTopologyKey StreamsGroupTopologyValue,
    )?;
    match value.filter(|_| kind == GROUP_METADATA) {
        Some(value) => Ok((key_text, unfolded(value, value_text)?)),
        None => Ok((key_text, value_text)),
    }
}

fn record<'b, K, V>(
    kind: i16,
    key: &mut Reader<'b>,
    value: Option<&'b [u8]>,
) -> Result<(String, String), Unreadable>
where
    K: Decode<'b> + ToJson,
    V: Decode<'b> + ToJson,
{
    // Keys have one version; the number in front of them is their type.
    let key = message::<K>(key, 0, "key")?;
    let key = format!("{{\"type\":\"{kind}\",\"data\":{}}}", key.to_json(0));
    let Some(value) = value else { return Ok((key, DELETED.to_owned())) };
    let mut reader = Reader::new(value);
    let version = version_of(&mut reader, "value")?;
    let value = message::<V>(&mut reader, version, "value")?;
    Ok((key, format!("{{\"version\":\"{version}\",\"data\":{}}}", value.to_json(version))))
}

fn version_of(reader: &mut Reader<'_>, part: &str) -> Result<i16, Unreadable> {
    let unreadable =
        |_: DecodeError| Unreadable::Because(format!("Could not read version from {part}'s buffer."));
    reader.i16().map_err(unreadable)
}

fn message<'b, M: Decode<'b>>(reader: &mut Reader<'b>, version: i16, part: &str) -> Result<M, Unreadable> {
    M::decode(reader, version).map_err(|error| {
        let reason = match error {
            DecodeError::UnsupportedVersion { message, version } => {
                format!("Can't read version {version} of {message}")
            }
            other => other.to_string(),
        };
        Unreadable::Because(format!(
            "Could not read record with version {version} from {part}'s buffer due to: {reason}."
        ))
    })
}

const GROUP_METADATA: i16 = 2;
/// The protocol type of groups whose members' bytes are understood.
const CONSUMER: &str = "consumer";

/// In groups of consumers Kafka shows what the bytes of the members say.
fn unfolded(value: &[u8], text: String) -> Result<String, Unreadable> {
    let mut reader = Reader::new(value);
    let version = version_of(&mut reader, "value")?;
    let group = message::<GroupMetadataValue<'_>>(&mut reader, version, "value")?;
    if group.protocol_type != CONSUMER {
        return Ok(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), &text[..]);
    for member in &group.members {
        let subscription = protocol::<ConsumerProtocolSubscription<'_>>(&member.subscription)?;
        let assignment = protocol::<ConsumerProtocolAssignment<'_>>(&member.assignment)?;
        rest = replace_text(&mut out, rest, "\"subscription\":", &subscription);
        rest = replace_text(&mut out, rest, "\"assignment\":", &assignment);
    }
    out.push_str(rest);
    Ok(out)
}

fn protocol<'b, M: Decode<'b> + ToJson>(bytes: &'b [u8]) -> Result<String, Unreadable> {
    let mut reader = Reader::new(bytes);
    // Java's buffer says nothing about where it ended.
    let ended = |_: DecodeError| Unreadable::Because("null".to_owned());
    let version = reader.i16().map_err(ended)?;
    let message = M::decode(&mut reader, version).map_err(|error| {
        Unreadable::Because(match error {
            DecodeError::UnsupportedVersion { message, version } => {
                format!("Can't read version {version} of {message}")
            }
            _ => "null".to_owned(),
        })
    })?;
    Ok(message.to_json(version))
}

/// Copies up to the next member of this name, whose value is a text, and puts another value in the text's place. The name
/// with its quotation marks is found nowhere else: inside a text they are escaped.
fn replace_text<'t>(out: &mut String, text: &'t str, name: &str, by: &str) -> &'t str {
    let Some(at) = text.find(name) else { return text };
    let (before, after) = text.split_at(at + name.len());
    out.push_str(before);
    out.push_str(by);
    // A text of base64, in its quotation marks.
    after.splitn(3, '"').nth(2).unwrap_or_default()
}
