//! Variable-length integers: seven bits a byte, least significant first, signs folded in by zigzag.

/// A number that runs on past the bytes its type can fill, or past the end of the bytes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VarintError {
    /// The bytes end inside the number.
    Truncated,
    /// The number goes on after its 5th (int) or 10th (long) byte.
    TooLong,
}

/// Takes a 32-bit number off the front of `bytes`. Like Kafka, bits beyond the 32nd are dropped.
#[inline]
pub(super) fn read_i32(bytes: &mut &[u8]) -> Result<i32, VarintError> {
    match read_short_form(bytes) {
        Some(raw) => Ok(unzigzag_i32(raw)),
        None => read_long_form(bytes, 5).map(|raw| unzigzag_i32(raw as u32)),
    }
}

/// Takes a 64-bit number off the front of `bytes`.
#[inline]
pub(super) fn read_i64(bytes: &mut &[u8]) -> Result<i64, VarintError> {
    match read_short_form(bytes) {
        Some(raw) => Ok(unzigzag_i64(u64::from(raw))),
        None => read_long_form(bytes, 10).map(unzigzag_i64),
    }
}

/// A number of one or two bytes, as nearly all numbers of a record are.
#[inline(always)]
fn read_short_form(bytes: &mut &[u8]) -> Option<u32> {
    match *bytes {
        [first, rest @ ..] if *first < 0x80 => {
            *bytes = rest;
            Some(u32::from(*first))
        }
        [first, second, rest @ ..] if *second < 0x80 => {
            *bytes = rest;
            Some(u32::from(*first & 0x7f) | u32::from(*second) << 7)
        }
        _ => None,
    }
}

#[cold]
fn read_long_form(bytes: &mut &[u8], len_max: usize) -> Result<u64, VarintError> {
    let mut raw = 0u64;
    for i in 0..len_max {
        let Some((byte, rest)) = bytes.split_first() else { return Err(VarintError::Truncated) };
        *bytes = rest;
        raw |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(raw);
        }
    }
    Err(VarintError::TooLong)
}

/// Appends a 32-bit number.
pub(super) fn write_i32(out: &mut Vec<u8>, value: i32) {
    write_raw(out, u64::from(zigzag_i32(value)));
}

/// Appends a 64-bit number.
pub(super) fn write_i64(out: &mut Vec<u8>, value: i64) {
    write_raw(out, zigzag_i64(value));
}

/// Bytes that `write_i32` writes.
pub(super) fn len_i32(value: i32) -> usize {
    len_raw(u64::from(zigzag_i32(value)))
}

/// Bytes that `write_i64` writes.
pub(super) fn len_i64(value: i64) -> usize {
    len_raw(zigzag_i64(value))
}

fn write_raw(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

const fn len_raw(raw: u64) -> usize {
    (70 - (raw | 1).leading_zeros() as usize) / 7
}

const fn zigzag_i32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

const fn unzigzag_i32(raw: u32) -> i32 {
    ((raw >> 1) as i32) ^ -((raw & 1) as i32)
}

const fn zigzag_i64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag_i64(raw: u64) -> i64 {
    ((raw >> 1) as i64) ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_lie_as_kafka_writes_them() {
        // org.apache.kafka.common.utils.ByteUtils.writeVarint / writeVarlong.
        let ints: [(i32, &[u8]); 8] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in ints {
            let mut out = Vec::new();
            write_i32(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(len_i32(value), bytes.len());
            assert_eq!(read_i32(&mut &*out).unwrap(), value);
        }
        let mut out = Vec::new();
        write_i64(&mut out, i64::MIN);
        assert_eq!(out, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(len_i64(i64::MIN), 10);
    }

    #[test]
    fn a_number_that_does_not_end_in_time_is_refused() {
        assert_eq!(read_i32(&mut &[0x80u8, 0x80, 0x80, 0x80, 0x80, 0][..]), Err(VarintError::TooLong));
        assert_eq!(read_i64(&mut &[0x80u8; 10][..]), Err(VarintError::TooLong));
        for len in 0..5 {
            assert_eq!(read_i32(&mut &vec![0x80u8; len][..]), Err(VarintError::Truncated), "{len}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(int: i32, long: i64) {
            let mut out = Vec::new();
            write_i32(&mut out, int);
            write_i64(&mut out, long);
            prop_assert_eq!(out.len(), len_i32(int) + len_i64(long));
            let mut rest = &*out;
            prop_assert_eq!(read_i32(&mut rest), Ok(int));
            prop_assert_eq!(read_i64(&mut rest), Ok(long));
            prop_assert!(rest.is_empty());
        }
    }
}
