//! Reads values out of bytes that a stranger sent.
//!
//! Every length is checked against the bytes that are there, every count against what the rest can hold, and
//! all memory that decoding takes is charged to a budget before it is taken.

use std::borrow::Cow;

use super::{RawTaggedField, RecordsRef, Uuid};
use crate::message::DecodeError;

/// What decoding may allocate without regard to the size of the frame.
const BUDGET_BASE_BYTES: usize = 64 * 1024;

/// What decoding may allocate per byte of the frame. A struct in memory is larger than in the frame; the
/// messages that clients really send stay below 8.
const BUDGET_PER_BYTE: usize = 16;

/// What decoding may allocate at most. The largest frames carry records, which are not copied; lists of topics and
/// partitions stay far below.
const BUDGET_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A position in a frame, and the budget of what is read from it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted from the begin of the frame.
    end: usize,
    budget: usize,
}

impl<'a> Reader<'a> {
    /// Reads `frame` from its begin, with a budget in proportion to its size.
    pub fn new(frame: &'a [u8]) -> Self {
        let budget = frame.len().saturating_mul(BUDGET_PER_BYTE).saturating_add(BUDGET_BASE_BYTES);
        Self::with_budget(frame, budget.min(BUDGET_MAX_BYTES))
    }

    /// Reads `frame` from its begin; decoding may allocate `budget` bytes.
    pub fn with_budget(frame: &'a [u8], budget: usize) -> Self {
        Self { rest: frame, end: frame.len(), budget }
    }

    /// How many bytes of the frame lie before what is read next.
    pub fn position(&self) -> usize {
        self.end - self.rest.len()
    }

    /// The bytes that are not read yet.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// What decoding may still allocate.
    pub fn budget(&self) -> usize {
        self.budget
    }

    #[cold]
    fn unexpected_end(&self, wanted: usize) -> DecodeError {
        DecodeError::UnexpectedEnd { at: self.end, needed: wanted.saturating_sub(self.rest.len()) }
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or_else(|| self.unexpected_end(N))?;
        self.rest = rest;
        Ok(*value)
    }

    #[inline]
    fn slice(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (value, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.unexpected_end(length))?;
        self.rest = rest;
        Ok(value)
    }

    /// A byte that is 0 for false; Kafka takes any other as true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// One byte.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// Two bytes.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// Two bytes without sign.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// Four bytes.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// Four bytes without sign.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// A floating point number in eight bytes.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid)
    }

    /// A number without sign, seven bits a byte, lowest first. Bits above the 32nd are dropped, as Kafka does.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        if let Some((byte @ ..0x80, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(u32::from(*byte));
        }
        self.long_uvarint()
    }

    /// A number of more than one byte, or none at all.
    fn long_uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::EndlessVarint { at: self.position() })
    }

    /// A length before bytes or elements; `None` stands for null.
    #[inline]
    fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            let length = self.uvarint()?;
            return Ok((length as usize).checked_sub(1));
        }
        let length = self.i32()?;
        self.not_negative(length)
    }

    #[inline]
    fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.length(true);
        }
        let length = self.i16()?;
        self.not_negative(i32::from(length))
    }

    #[inline]
    fn not_negative(&self, length: i32) -> Result<Option<usize>, DecodeError> {
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::NegativeLength { at: self.position(), length }),
        }
    }

    /// A string that must not be null.
    #[inline]
    pub fn string(&mut self, flexible: bool, field: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        self.nullable_string(flexible)?.ok_or(DecodeError::UnexpectedNull { field })
    }

    /// A string or null. Bytes that are not UTF-8 become replacement characters, as in Java.
    #[inline]
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let Some(length) = self.string_length(flexible)? else { return Ok(None) };
        let bytes = self.slice(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => self.replaced_string(bytes).map(Some),
        }
    }

    #[cold]
    fn replaced_string(&mut self, bytes: &[u8]) -> Result<Cow<'a, str>, DecodeError> {
        self.charge(bytes.len().saturating_mul(char::REPLACEMENT_CHARACTER.len_utf8()))?;
        Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned()))
    }

    /// Bytes that must not be null.
    #[inline]
    pub fn bytes(&mut self, flexible: bool, field: &'static str) -> Result<Cow<'a, [u8]>, DecodeError> {
        self.nullable_bytes(flexible)?.ok_or(DecodeError::UnexpectedNull { field })
    }

    /// Bytes or null.
    #[inline]
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
        let Some(length) = self.length(flexible)? else { return Ok(None) };
        self.slice(length).map(|bytes| Some(Cow::Borrowed(bytes)))
    }

    /// Record bytes that must not be null.
    #[inline]
    pub fn records(&mut self, flexible: bool, field: &'static str) -> Result<RecordsRef<'a>, DecodeError> {
        self.nullable_records(flexible)?.ok_or(DecodeError::UnexpectedNull { field })
    }

    /// Record bytes or null.
    #[inline]
    pub fn nullable_records(&mut self, flexible: bool) -> Result<Option<RecordsRef<'a>>, DecodeError> {
        let Some(length) = self.length(flexible)? else { return Ok(None) };
        let position = self.position();
        Ok(Some(RecordsRef { bytes: self.slice(length)?, position }))
    }

    /// An array that must not be null, each element read by `read` from at least `element_size_min` bytes.
    #[inline]
    pub fn array<T>(
        &mut self,
        flexible: bool,
        element_size_min: usize,
        field: &'static str,
        read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let elements = self.nullable_array(flexible, element_size_min, read)?;
        elements.ok_or(DecodeError::UnexpectedNull { field })
    }

    /// An array or null, each element read by `read` from at least `element_size_min` bytes.
    #[inline]
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        element_size_min: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(flexible)? else { return Ok(None) };
        let possible = self.rest.len() / element_size_min.max(1);
        if count > possible {
            return Err(DecodeError::CountTooLarge { at: self.position(), count, possible });
        }
        self.charge(count.saturating_mul(size_of::<T>()))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(read(self)?);
        }
        Ok(Some(elements))
    }

    /// A struct or null: one byte says which, and is negative for null.
    #[inline]
    pub fn nullable_struct<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 { Ok(None) } else { read(self).map(Some) }
    }

    /// A struct or null in a tagged field, where Kafka writes a variable-length 0 for null.
    #[inline]
    pub fn nullable_tagged_struct<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.uvarint()? == 0 { Ok(None) } else { read(self).map(Some) }
    }

    /// Takes from the budget what is about to be allocated.
    #[inline]
    pub(super) fn charge(&mut self, needed: usize) -> Result<(), DecodeError> {
        match self.budget.checked_sub(needed) {
            Some(left) => self.budget = left,
            None => return Err(self.over_budget(needed)),
        }
        Ok(())
    }

    #[cold]
    fn over_budget(&self, needed: usize) -> DecodeError {
        DecodeError::OverBudget { at: self.position(), needed, left: self.budget }
    }

    /// Tag and size of the next tagged field.
    #[inline]
    pub fn tag(&mut self) -> Result<(u32, usize), DecodeError> {
        Ok((self.uvarint()?, self.uvarint()? as usize))
    }

    /// The value of a tagged field: `read` must take exactly `size` bytes and cannot see those behind.
    pub fn within<T>(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let end = self.position().saturating_add(size);
        let bytes = self.slice(size)?;
        let mut inner = Self { rest: bytes, end, budget: self.budget };
        let value = read(&mut inner)?;
        self.budget = inner.budget;
        if inner.rest.is_empty() {
            Ok(value)
        } else {
            Err(DecodeError::TaggedFieldSize { at: inner.position() })
        }
    }

    /// The value of a tagged field that the schema does not know.
    pub(super) fn raw_tagged_field(
        &mut self,
        tag: u32,
        size: usize,
    ) -> Result<RawTaggedField<'a>, DecodeError> {
        self.charge(size_of::<RawTaggedField<'a>>())?;
        Ok(RawTaggedField { tag, value: Cow::Borrowed(self.slice(size)?) })
    }
}
