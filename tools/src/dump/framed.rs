//! Records in the frame that the metadata topics share: frame version, type, version, record.
//!
//! Kafka's tool prints what is wrong with such a record in its place among the others, so the sentences here are those of
//! Kafka's `AbstractApiMessageSerde`.

use wire::{message::DecodeError, primitives::Reader, records::MetadataRecord};

const FRAME_VERSION: i16 = 1;

/// What stands in front of a record.
pub(super) struct Frame {
    pub(super) key: i16,
    pub(super) version: i16,
}

impl Frame {
    /// Reads the frame and leaves the reader at the record.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        match take_short(reader, "frame version")? {
            FRAME_VERSION => {}
            0 => {
                return Err("Could not deserialize metadata record with frame version 0. Note that upgrades from the \
                            preview release of KRaft in 2.8 to newer versions are not supported."
                    .to_owned());
            }
            other => {
                return Err(format!(
                    "Could not deserialize metadata record due to unknown frame version {other}(only frame version 1 is \
                     supported)"
                ));
            }
        }
        Ok(Self { key: take_short(reader, "type")?, version: take_short(reader, "version")? })
    }

    /// No record has this type.
    pub(super) fn unknown(&self) -> String {
        format!(
            "org.apache.kafka.common.errors.UnsupportedVersionException: Unknown metadata id {}",
            self.key
        )
    }

    /// The record of this type cannot be read.
    pub(super) fn unreadable(&self) -> String {
        format!("Failed to deserialize record with type {}", self.key)
    }

    /// Nothing may follow the record.
    pub(super) fn check_end(&self, reader: &Reader<'_>) -> Result<(), String> {
        match reader.remaining().len() {
            0 => Ok(()),
            left => Err(format!("Found {left} byte(s) of garbage after {}", self.key)),
        }
    }
}

fn take_short(reader: &mut Reader<'_>, what: &str) -> Result<i16, String> {
    // Java holds the unsigned number in a signed int: past 2^31 it is negative, and so not too large.
    let number = reader.uvarint().map_err(|_| format!("Error while reading {what}"))? as i32;
    if number > i32::from(i16::MAX) {
        Err(format!("Value for {what} was too large."))
    } else {
        Ok(number as i16)
    }
}

/// The JSON of a record of the cluster metadata log.
pub(super) fn metadata_json(value: Option<&[u8]>) -> Result<String, String> {
    let value = value.unwrap_or_default();
    let mut reader = Reader::new(value);
    let frame = Frame::read(&mut reader)?;
    let mut reader = Reader::new(value);
    let (record, version) = MetadataRecord::decode(&mut reader).map_err(|error| match error {
        DecodeError::UnknownRecord { .. } => frame.unknown(),
        _ => frame.unreadable(),
    })?;
    frame.check_end(&reader)?;
    Ok(format!(
        "{{\"type\":\"{}\",\"version\":{version},\"data\":{}}}",
        record.type_name(),
        record.to_json(version)
    ))
}
