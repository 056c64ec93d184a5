//! Control records: transaction markers, and what a KRaft log says about itself.

use wire::{
    json::ToJson,
    message::{Decode, DecodeError},
    primitives::Reader,
    records::{
        KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
    },
};

use super::text::{push_int, push_json_string};

/// A control record, read as far as Kafka's tool shows it.
pub(super) enum ControlRecord {
    /// The end of a transaction.
    EndTransaction { name: &'static str, coordinator_epoch: i32 },
    /// A message of KRaft's, in JSON.
    Raft { title: &'static str, json: String },
    /// A type that this Kafka does not know.
    Unknown(i16),
}

impl ControlRecord {
    /// Reads a control record, or says what it lacks.
    pub(super) fn read(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, &'static str> {
        let [version_high, _, kind @ ..] =
            key.and_then(|key| key.first_chunk::<4>()).ok_or("its key has fewer than 4 bytes")?;
        if *version_high >= 0x80 {
            return Err("the version of its key is negative");
        }
        let kind = i16::from_be_bytes(*kind);
        match kind {
            0 | 1 => Self::end_transaction(kind, value),
            2 => Self::raft::<LeaderChangeMessage<'_>>("LeaderChange: ", value),
            3 => Self::raft::<SnapshotHeaderRecord<'_>>("SnapshotHeader ", value),
            4 => Self::raft::<SnapshotFooterRecord<'_>>("SnapshotFooter ", value),
            5 => Self::raft::<KRaftVersionRecord<'_>>("KRaftVersion ", value),
            6 => Self::raft::<VotersRecord<'_>>("KRaftVoters ", value),
            _ => Ok(Self::Unknown(kind)),
        }
    }

    fn end_transaction(kind: i16, value: Option<&[u8]>) -> Result<Self, &'static str> {
        let [version_high, _, epoch @ ..] =
            value.and_then(|value| value.first_chunk::<6>()).ok_or("its value has fewer than 6 bytes")?;
        if *version_high >= 0x80 {
            return Err("the version of its value is negative");
        }
        let name = if kind == 0 { "ABORT" } else { "COMMIT" };
        Ok(Self::EndTransaction { name, coordinator_epoch: i32::from_be_bytes(*epoch) })
    }

    /// Kafka reads all of them as version 0, whatever version they name.
    fn raft<'v, M: Decode<'v> + ToJson>(
        title: &'static str,
        value: Option<&'v [u8]>,
    ) -> Result<Self, &'static str> {
        let value = value.ok_or("it has no value")?;
        let message = M::decode(&mut Reader::new(value), 0)
            .map_err(|_: DecodeError| "its value does not follow the schema of its type")?;
        Ok(Self::Raft { title, json: message.to_json(0) })
    }

    /// Appends what Kafka's tool prints.
    pub(super) fn push_text(&self, out: &mut Vec<u8>) {
        out.push(b' ');
        match self {
            Self::EndTransaction { name, coordinator_epoch } => {
                out.extend_from_slice(b"endTxnMarker: ");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b" coordinatorEpoch: ");
                push_int(out, (*coordinator_epoch).into());
            }
            Self::Raft { title, json } => {
                out.extend_from_slice(title.as_bytes());
                out.extend_from_slice(json.as_bytes());
            }
            Self::Unknown(kind) => {
                out.extend_from_slice(b"controlType: UNKNOWN(");
                push_int(out, (*kind).into());
                out.push(b')');
            }
        }
    }

    /// Appends a JSON object.
    pub(super) fn push_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::EndTransaction { name, coordinator_epoch } => {
                out.extend_from_slice(b"{\"endTxnMarker\":");
                push_json_string(out, name);
                out.extend_from_slice(b",\"coordinatorEpoch\":");
                push_int(out, (*coordinator_epoch).into());
            }
            Self::Raft { title, json } => {
                out.push(b'{');
                push_json_string(out, title.trim_end_matches([':', ' ']));
                out.push(b':');
                out.extend_from_slice(json.as_bytes());
            }
            Self::Unknown(kind) => {
                out.extend_from_slice(b"{\"controlType\":");
                push_int(out, (*kind).into());
            }
        }
        out.push(b'}');
    }
}
