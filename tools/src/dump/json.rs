//! One JSON object per line, written as it is filled.

use super::text::{push_int, push_json_string};

/// An object that is being written.
pub(super) struct Line<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Line<'o> {
    /// Begins an object that says what it is.
    pub(super) fn begin(out: &'o mut Vec<u8>, kind: &str) -> Self {
        out.extend_from_slice(b"{\"type\":");
        push_json_string(out, kind);
        Self { out }
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.push(b',');
        push_json_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A text.
    pub(super) fn str(mut self, name: &str, text: &str) -> Self {
        push_json_string(self.name(name), text);
        self
    }

    /// A number.
    pub(super) fn int(mut self, name: &str, number: impl Into<i64>) -> Self {
        push_int(self.name(name), number.into());
        self
    }

    /// A number, or null where there is none.
    pub(super) fn int_or_null(mut self, name: &str, number: Option<i64>) -> Self {
        match number {
            Some(number) => push_int(self.name(name), number),
            None => self.name(name).extend_from_slice(b"null"),
        }
        self
    }

    /// True or false.
    pub(super) fn bool(mut self, name: &str, value: bool) -> Self {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// Whatever `write` appends, which must be JSON.
    pub(super) fn value(mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        write(self.name(name));
        self
    }

    /// Closes the object.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends an array, one element per item.
pub(super) fn push_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}
