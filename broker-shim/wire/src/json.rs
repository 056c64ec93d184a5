//! Internal records as text, letter for letter what Kafka's JSON converters and Jackson print.

use std::fmt::Write;

/// An internal record that can be shown as JSON.
pub trait ToJson {
    /// Writes the record as `version` has it. Fields that the version lacks are left out.
    fn write_json(&self, out: &mut JsonText, version: i16);

    /// [`write_json`](Self::write_json) into a text of its own.
    fn to_json(&self, version: i16) -> String {
        let mut out = JsonText::new();
        self.write_json(&mut out, version);
        out.into_string()
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// JSON that grows at the end. Commas are set where they belong.
#[derive(Debug, Default)]
pub struct JsonText(String);

impl JsonText {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Opens an object or an array.
    pub fn begin(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    /// Closes an object or an array.
    pub fn end(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    /// The name of the member of an object that follows.
    pub fn name(&mut self, name: &str) {
        self.element();
        self.string(name);
        self.0.push(':');
    }

    /// Another element of an array follows.
    pub fn element(&mut self) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }

    /// `null`.
    pub fn null(&mut self) {
        self.0.push_str("null");
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.0.push_str(if value { "true" } else { "false" });
    }

    /// A number without fraction.
    pub fn integer(&mut self, value: impl Into<i64>) {
        self.written(format_args!("{}", value.into()));
    }

    /// A number as Java prints it: with at least one digit of fraction, and from ten millions on with exponent.
    pub fn float(&mut self, value: f64) {
        let magnitude = value.abs();
        if !value.is_finite() {
            let name = if value.is_nan() { "NaN" } else { "Infinity" };
            let sign = if value < 0.0 { "-" } else { "" };
            return self.string(&format!("{sign}{name}"));
        }
        if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
            return self.written(format_args!("{value:?}"));
        }
        let text = format!("{value:E}");
        let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
        let fraction = if digits.contains('.') { "" } else { ".0" };
        self.written(format_args!("{digits}{fraction}E{exponent}"));
    }

    /// A string in quotes.
    pub fn string(&mut self, value: &str) {
        self.0.push('"');
        for letter in value.chars() {
            match letter {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                '\u{8}' => self.0.push_str("\\b"),
                '\u{c}' => self.0.push_str("\\f"),
                control if control < ' ' => self.written(format_args!("\\u{:04X}", u32::from(control))),
                letter => self.0.push(letter),
            }
        }
        self.0.push('"');
    }

    /// Bytes as base64 in quotes.
    pub fn base64(&mut self, bytes: &[u8]) {
        self.0.push('"');
        for chunk in bytes.chunks(3) {
            let mut group = [0; 3];
            group[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            for at in 0..4 {
                let letter = BASE64[(bits >> (18 - 6 * at)) as usize & 0x3f];
                self.0.push(if at <= chunk.len() { char::from(letter) } else { '=' });
            }
        }
        self.0.push('"');
    }

    fn written(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        let mut out = JsonText::new();
        out.float(value);
        out.into_string()
    }

    /// Texts printed by Java 17.
    #[test]
    fn floats_look_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-0.125, "-0.125"),
            (1048576.0, "1048576.0"),
            (9999999.0, "9999999.0"),
            (10000000.0, "1.0E7"),
            (123456789.5, "1.234567895E8"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1e300, "1.0E300"),
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn strings_are_escaped_as_jackson_does() {
        let mut out = JsonText::new();
        out.string("a\"b\\c\n\u{1}\u{1f}\u{e4}/\u{7f}");
        assert_eq!(out.into_string(), "\"a\\\"b\\\\c\\n\\u0001\\u001F\u{e4}/\u{7f}\"");
    }
}
