//! Text as Java prints it: numbers, strings from bytes, and the buffered standard output.
//!
//! A dump of one segment is millions of short lines, so nothing here goes through `core::fmt`: a field is digits copied
//! into one large buffer. Failures of the sink are kept and told once, as a closed pipe must not end in half a line of
//! error per field.

use std::io::{self, Write};

/// Bytes gathered before they go to the sink.
const FLUSH_AT: usize = 128 * 1024;

/// Where lines go. Every method appends; `end_line` is the only place that writes to the sink.
pub(super) struct Text<'w> {
    buffer: Vec<u8>,
    sink: &'w mut dyn Write,
    failure: Option<io::Error>,
}

impl<'w> Text<'w> {
    /// Lines for `sink`.
    pub(super) fn new(sink: &'w mut dyn Write) -> Self {
        Self { buffer: Vec::with_capacity(FLUSH_AT + 16 * 1024), sink, failure: None }
    }

    /// Appends text as it is.
    #[inline]
    pub(super) fn str(&mut self, text: &str) -> &mut Self {
        self.buffer.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a number in decimal.
    #[inline]
    pub(super) fn int(&mut self, number: impl Into<i64>) -> &mut Self {
        push_int(&mut self.buffer, number.into());
        self
    }

    /// Appends `true` or `false`.
    #[inline]
    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.str(if value { "true" } else { "false" })
    }

    /// Appends bytes as Java's `new String(bytes, UTF_8)` would print them.
    #[inline]
    pub(super) fn java_string(&mut self, bytes: &[u8]) -> &mut Self {
        push_java_string(&mut self.buffer, bytes);
        self.flush_if_full();
        self
    }

    /// Appends what `write` puts into the buffer.
    pub(super) fn with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        write(&mut self.buffer);
        self
    }

    /// Ends the line.
    #[inline]
    pub(super) fn end_line(&mut self) {
        self.buffer.push(b'\n');
        self.flush_if_full();
    }

    #[inline]
    fn flush_if_full(&mut self) {
        if self.buffer.len() >= FLUSH_AT {
            self.flush();
        }
    }

    /// Hands everything gathered to the sink.
    pub(super) fn flush(&mut self) {
        if self.failure.is_none()
            && let Err(error) = self.sink.write_all(&self.buffer).and_then(|()| self.sink.flush())
        {
            self.failure = Some(error);
        }
        self.buffer.clear();
    }

    /// Whether the sink refused bytes; nothing more needs to be read then.
    pub(super) fn is_closed(&self) -> bool {
        self.failure.is_some()
    }

    /// Flushes and says whether every line arrived.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush();
        self.failure.map_or(Ok(()), Err)
    }
}

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends a number in decimal, as `Long.toString` does.
#[inline]
pub(super) fn push_int(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = number.unsigned_abs();
    while rest >= 100 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if rest >= 10 {
        let pair = rest as usize * 2;
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        start -= 1;
        digits[start] = b'0' + rest as u8;
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends bytes decoded as Java decodes UTF-8: every malformed sequence becomes U+FFFD. Java and Rust cut malformed input
/// at the same places but for one: an encoded surrogate (ED A0..BF xx), whole or cut short, is one replacement in Java.
pub(super) fn push_java_string(out: &mut Vec<u8>, mut bytes: &[u8]) {
    loop {
        let Err(malformed) = std::str::from_utf8(bytes) else {
            return out.extend_from_slice(bytes);
        };
        let (whole, rest) = bytes.split_at(malformed.valid_up_to());
        out.extend_from_slice(whole);
        out.extend_from_slice("\u{FFFD}".as_bytes());
        let skipped = match rest {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            [0xED, 0xA0..=0xBF, ..] => 2,
            _ => malformed.error_len().unwrap_or(rest.len()),
        };
        bytes = &rest[skipped..];
    }
}

/// Appends a JSON string as Jackson writes it: quotation mark, backslash and control characters escaped, the rest as it is.
pub(super) fn push_json_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\') {
        let (plain, escaped) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = &escaped[1..];
        match escaped[0] {
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control @ 0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
            sign => out.extend_from_slice(&[b'\\', sign]),
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Java's `String.hashCode`, which decides the order in which a `HashMap` of file names is printed.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// The order in which a Java `HashMap` with these keys, put in this order, is walked.
pub(super) fn java_map_order(keys: &[String]) -> Vec<usize> {
    let mut buckets = 16_usize;
    while keys.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&index| {
        let hash = java_hash(&keys[index]);
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_number_has_the_digits_of_its_display() {
        let mut number = 1_i64;
        for _ in 0..64 {
            for near in [number.wrapping_sub(1), number, number.wrapping_add(1), number.wrapping_neg()] {
                assert_eq!(text_of(|out| push_int(out, near)), near.to_string());
            }
            number = number.wrapping_mul(7);
        }
        for number in [0, 9, 10, 99, 100, i64::MIN, i64::MAX] {
            assert_eq!(text_of(|out| push_int(out, number)), number.to_string());
        }
    }

    /// Expected counts of replacements were printed by Java 17.
    #[test]
    fn malformed_utf8_is_replaced_where_java_replaces_it() {
        let cases: [(&[u8], &str); 10] = [
            (b"plain", "plain"),
            (b"\xFF\xFEx", "\u{FFFD}\u{FFFD}x"),
            (b"\xED\xA0\x80x", "\u{FFFD}x"),
            (b"\xED\xA0x", "\u{FFFD}x"),
            (b"\xED\xA0\xFF", "\u{FFFD}\u{FFFD}"),
            (b"\xE6\x97", "\u{FFFD}"),
            (b"\xF0\x9F\x9A", "\u{FFFD}"),
            (b"\xF4\x90\x80\x80", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"),
            (b"\xC0\x80", "\u{FFFD}\u{FFFD}"),
            (b"\xE0\x80\x80", "\u{FFFD}\u{FFFD}\u{FFFD}"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text_of(|out| push_java_string(out, bytes)), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn json_strings_escape_what_jackson_escapes() {
        assert_eq!(
            text_of(|out| push_json_string(out, "a\"b\\c\n\u{1}\u{7f}\u{e4}/")),
            "\"a\\\"b\\\\c\\n\\u0001\u{7f}\u{e4}/\""
        );
    }
}
