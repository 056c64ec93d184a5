//! Tagged fields that a schema does not know (KIP-482). Like Kafka we keep them and write them again.

use std::borrow::Cow;

use super::Reader;
use crate::message::DecodeError;

/// A tagged field as it stands in the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTaggedField<'a> {
    /// The tag.
    pub tag: u32,
    /// The bytes of its value.
    pub value: Cow<'a, [u8]>,
}

/// The unknown tagged fields of one struct, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownTaggedFields<'a>(Vec<RawTaggedField<'a>>);

impl<'a> UnknownTaggedFields<'a> {
    /// The fields.
    pub fn as_slice(&self) -> &[RawTaggedField<'a>] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a field. Tags must rise for Kafka to accept what is written.
    pub fn push(&mut self, field: RawTaggedField<'a>) {
        self.0.push(field);
    }

    /// Reads the value of a tagged field that the schema does not know.
    pub(crate) fn read(&mut self, r: &mut Reader<'a>, tag: u32, size: usize) -> Result<(), DecodeError> {
        self.0.push(r.raw_tagged_field(tag, size)?);
        Ok(())
    }
}

impl<'a> Reader<'a> {
    /// The tagged fields of a struct whose schema has none.
    #[inline]
    pub(crate) fn unknown_tagged_fields(&mut self) -> Result<UnknownTaggedFields<'a>, DecodeError> {
        let mut fields = UnknownTaggedFields::default();
        // Nearly every struct ends here, with the single byte that says that there is none.
        for _ in 0..self.uvarint()? {
            let (tag, size) = self.tag()?;
            fields.read(self, tag, size)?;
        }
        Ok(fields)
    }
}
