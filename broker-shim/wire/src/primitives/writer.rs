//! Writes values as Kafka lays them out.

use super::{RawTaggedField, ResponseRecords, UnknownTaggedFields, Uuid};
use crate::message::EncodeError;

/// Bytes that grow at the end, and the slots in them for record bytes that lie elsewhere.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    slots: Vec<RecordsSlot>,
}

/// Record bytes that belong between two bytes of a message.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct RecordsSlot {
    /// How many bytes of the message come before.
    pub at: usize,
    /// The sender's own number for the records.
    pub slot: usize,
    /// How many bytes they have.
    pub len: usize,
}

/// A written message: its own bytes, and where record bytes belong between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes without those of the slots.
    pub bytes: Vec<u8>,
    /// The slots, in the order of their places, also those of no length.
    pub slots: Vec<RecordsSlot>,
}

/// What is sent next.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Piece<'e> {
    /// These bytes.
    Bytes(&'e [u8]),
    /// The records that the sender knows by this number.
    Records {
        /// The sender's own number.
        slot: usize,
        /// How many bytes they have.
        len: usize,
    },
}

impl Encoded {
    /// The message from begin to end, without pieces of no length.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let begins = std::iter::once(0).chain(self.slots.iter().map(|slot| slot.at));
        let ends = self.slots.iter().map(|slot| slot.at).chain(std::iter::once(self.bytes.len()));
        let bytes = begins.zip(ends).map(|(begin, end)| Piece::Bytes(&self.bytes[begin..end]));
        let records = self.slots.iter().map(|slot| Some(Piece::Records { slot: slot.slot, len: slot.len }));
        let interleaved = bytes.zip(records.chain(std::iter::once(None)));
        interleaved
            .flat_map(|(bytes, records)| [Some(bytes), records])
            .flatten()
            .filter(|piece| !matches!(piece, Piece::Bytes([]) | Piece::Records { len: 0, .. }))
    }

    /// How many bytes the whole message has, records included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.slots.iter().map(|slot| slot.len).sum::<usize>()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing written yet; the buffer's memory is used again.
    pub fn reuse(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { bytes: buffer, slots: Vec::new() }
    }

    /// How many bytes the message has by now, records elsewhere included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.slots.iter().map(|slot| slot.len).sum::<usize>()
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written.
    pub fn finish(self) -> Encoded {
        Encoded { bytes: self.bytes, slots: self.slots }
    }

    /// What was written, of a message whose records are all in memory.
    pub fn into_bytes(self) -> Vec<u8> {
        debug_assert!(self.slots.is_empty(), "records elsewhere would be lost");
        self.bytes
    }

    /// Writes the four bytes at `at` again.
    pub(crate) fn patch_i32(&mut self, at: usize, value: i32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte, 0 or 1.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// One byte.
    #[inline]
    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes.
    #[inline]
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes without sign.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes.
    #[inline]
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes without sign.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// A floating point number in eight bytes.
    #[inline]
    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self, value: Uuid) {
        self.raw(&value.0);
    }

    /// A number without sign, seven bits a byte, lowest first.
    #[inline]
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A count that is never null.
    pub fn count(&mut self, count: usize) -> Result<(), EncodeError> {
        let count = u32::try_from(count).map_err(|_| EncodeError::TooLong { length: count })?;
        self.uvarint(count);
        Ok(())
    }

    #[inline]
    fn length(&mut self, flexible: bool, length: usize) -> Result<(), EncodeError> {
        let value = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        if flexible {
            // Compact lengths are one higher, so that zero is left to stand for null.
            self.uvarint(value.unsigned_abs() + 1);
        } else {
            self.i32(value);
        }
        Ok(())
    }

    /// A string. Kafka allows 32767 bytes, also where the length could say more.
    #[inline]
    pub fn string(&mut self, flexible: bool, value: &str) -> Result<(), EncodeError> {
        let length = value.len();
        let short = i16::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        if flexible {
            self.uvarint(u32::from(short.unsigned_abs()) + 1);
        } else {
            self.i16(short);
        }
        self.raw(value.as_bytes());
        Ok(())
    }

    /// A string that is null.
    pub fn null_string(&mut self, flexible: bool) {
        if flexible { self.uvarint(0) } else { self.i16(-1) }
    }

    /// Bytes, records or an array that is null.
    pub fn null_sequence(&mut self, flexible: bool) {
        if flexible { self.uvarint(0) } else { self.i32(-1) }
    }

    /// Bytes with their length.
    #[inline]
    pub fn bytes(&mut self, flexible: bool, value: &[u8]) -> Result<(), EncodeError> {
        self.length(flexible, value.len())?;
        self.raw(value);
        Ok(())
    }

    /// Record bytes with their length, or their length and a slot for them.
    pub fn response_records(
        &mut self,
        flexible: bool,
        records: &ResponseRecords<'_>,
    ) -> Result<(), EncodeError> {
        match *records {
            ResponseRecords::Inline(bytes) => self.bytes(flexible, bytes),
            ResponseRecords::Elsewhere { slot, len } => {
                self.length(flexible, len)?;
                self.slots.push(RecordsSlot { at: self.bytes.len(), slot, len });
                Ok(())
            }
        }
    }

    /// An array, each element written by `write`.
    #[inline]
    pub fn array<T>(
        &mut self,
        flexible: bool,
        elements: &[T],
        mut write: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.length(flexible, elements.len())?;
        elements.iter().try_for_each(|element| write(self, element))
    }

    /// A tagged field: tag, size, value. The size is known only after the value, which then moves behind it.
    pub fn tagged(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.uvarint(tag);
        let begin = self.bytes.len();
        write(self)?;
        let end = self.bytes.len();
        self.count(end - begin)?;
        let size_len = self.bytes.len() - end;
        self.bytes[begin..].rotate_right(size_len);
        Ok(())
    }

    /// All tagged fields of a struct whose schema has none.
    #[inline]
    pub fn unknown_tagged_fields(&mut self, fields: &UnknownTaggedFields<'_>) -> Result<(), EncodeError> {
        if fields.is_empty() {
            self.uvarint(0);
            return Ok(());
        }
        self.count(fields.as_slice().len())?;
        self.tagged_fields(fields.as_slice())
    }

    /// Tagged fields as they came.
    pub fn tagged_fields(&mut self, fields: &[RawTaggedField<'_>]) -> Result<(), EncodeError> {
        for field in fields {
            self.uvarint(field.tag);
            self.count(field.value.len())?;
            self.raw(&field.value);
        }
        Ok(())
    }

    /// The leading fields with a tag below `tag`; returns those that are left.
    pub fn tagged_fields_below<'f, 'v>(
        &mut self,
        tag: u32,
        fields: &'f [RawTaggedField<'v>],
    ) -> Result<&'f [RawTaggedField<'v>], EncodeError> {
        let below = fields.iter().take_while(|field| field.tag < tag).count();
        let (below, left) = fields.split_at(below);
        self.tagged_fields(below)?;
        Ok(left)
    }
}
