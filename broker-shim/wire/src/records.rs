//! Records that Kafka keeps in its own logs and files, expanded from `schemas/records/`: the metadata log,
//! control records of raft and transactions, coordinator topics, producer snapshots, quorum state.

use std::borrow::Cow;

#[cfg(feature = "json")]
use crate::json::{JsonText, ToJson};
use crate::message::*;
use crate::primitives::{Reader, UnknownTaggedFields, Uuid, Writer};

include!(concat!(env!("OUT_DIR"), "/records.rs"));

/// The only version that the frame of a metadata record has (Kafka's `AbstractApiMessageSerde`).
const METADATA_FRAME_VERSION: u32 = 1;

impl<'a> MetadataRecord<'a> {
    /// Reads the value of a metadata record: frame version, record type, record version, record.
    pub fn decode(r: &mut Reader<'a>) -> Result<(Self, i16), DecodeError> {
        let frame_version = r.uvarint()?;
        if frame_version != METADATA_FRAME_VERSION {
            return Err(DecodeError::UnknownRecordFrame { version: frame_version });
        }
        let key = r.uvarint()?;
        let version = i16::try_from(r.uvarint()?).unwrap_or(i16::MAX);
        Ok((Self::decode_body(r, key, version)?, version))
    }

    /// Writes the value of a metadata record, frame included.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.uvarint(METADATA_FRAME_VERSION);
        w.uvarint(self.key());
        w.uvarint(u32::from(version.unsigned_abs()));
        self.encode_body(w, version)
    }

    /// [`encode`](Self::encode) into bytes of its own.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        let mut w = Writer::new();
        self.encode(&mut w, version)?;
        Ok(w.into_bytes())
    }
}

/// Reads a value that begins with its version in two bytes, as coordinators and control records have it.
pub fn decode_versioned<'a, R: Decode<'a>>(r: &mut Reader<'a>) -> Result<(R, i16), DecodeError> {
    let version = r.i16()?;
    Ok((R::decode(r, version)?, version))
}

/// Writes a value with its version in two bytes before it.
pub fn encode_versioned(record: &impl Encode, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    w.i16(version);
    record.encode(&mut w, version)?;
    Ok(w.into_bytes())
}
