//! The `.properties` text format of Java: what `server.properties` is written in.
//!
//! Knows nothing of keys and their meaning; yields the pairs in the order of the file.

use std::iter::Peekable;
use std::str::{Chars, Lines};

/// A text that is not a properties file: a `\u` escape without its four hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct PropertiesError {
    /// The line, counted from one, on which the entry starts.
    pub line: usize,
}

/// Parses a properties text into its key and value pairs, in order, later duplicates included.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, PropertiesError> {
    let mut lines = text.lines();
    let mut number = 0;
    let mut pairs = Vec::new();
    while let Some(line) = lines.next() {
        number += 1;
        let start = number;
        let line = trim_start(line);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let logical = join_continuations(line, &mut lines, &mut number);
        let pair = split_entry(&logical).ok_or(PropertiesError { line: start })?;
        pairs.push(pair);
    }
    Ok(pairs)
}

/// Java counts only these three as white space here.
fn trim_start(line: &str) -> &str {
    line.trim_start_matches([' ', '\t', '\x0c'])
}

/// An odd number of backslashes at the end of a line continues the entry on the next one, whose leading space is dropped.
fn join_continuations(first: &str, rest: &mut Lines<'_>, number: &mut usize) -> String {
    let mut logical = first.to_owned();
    while ends_in_odd_backslashes(&logical) {
        logical.pop();
        let Some(next) = rest.next() else { break };
        *number += 1;
        logical.push_str(trim_start(next));
    }
    logical
}

fn ends_in_odd_backslashes(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split_entry(entry: &str) -> Option<(String, String)> {
    let mut chars = entry.chars().peekable();
    let key = read_key(&mut chars)?;
    skip_separator(&mut chars);
    let mut value = String::new();
    while let Some(next) = chars.next() {
        value.push(if next == '\\' { unescape(&mut chars)? } else { next });
    }
    Some((key, value))
}

fn read_key(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut key = String::new();
    while let Some(next) = chars.next_if(|c| !matches!(c, ' ' | '\t' | '\x0c' | '=' | ':')) {
        key.push(if next == '\\' { unescape(chars)? } else { next });
    }
    Some(key)
}

/// White space, at most one `=` or `:`, white space.
fn skip_separator(chars: &mut Peekable<Chars<'_>>) {
    let space = |c: &char| matches!(c, ' ' | '\t' | '\x0c');
    while chars.next_if(space).is_some() {}
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        while chars.next_if(space).is_some() {}
    }
}

/// What follows a backslash. A backslash before any other character stands for that character.
fn unescape(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next() {
        Some('t') => Some('\t'),
        Some('n') => Some('\n'),
        Some('r') => Some('\r'),
        Some('f') => Some('\x0c'),
        Some('u') => unicode_escape(chars),
        Some(other) => Some(other),
        None => Some('\\'),
    }
}

/// `\uXXXX` is a UTF-16 unit; a pair of surrogates makes one character, a lone one the replacement character.
fn unicode_escape(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let first = hex_unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut ahead = chars.clone();
    if ahead.next() == Some('\\') && ahead.next() == Some('u') {
        let second = hex_unit(&mut ahead)?;
        if (0xdc00..0xe000).contains(&second) {
            *chars = ahead;
            return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        }
    }
    Some(char::REPLACEMENT_CHARACTER)
}

fn hex_unit(chars: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + chars.next()?.to_digit(16)?;
    }
    Some(unit)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, String) {
        let pairs = parse(text).unwrap();
        assert_eq!(pairs.len(), 1, "{text:?} gave {pairs:?}");
        pairs.into_iter().next().unwrap()
    }

    /// Every row was checked with `java.util.Properties`.
    #[test]
    fn entries_are_split_and_unescaped_as_java_does() {
        let rows = [
            ("a=b", "a", "b"),
            ("  a = b ", "a", "b "),
            ("a:b", "a", "b"),
            ("a b", "a", "b"),
            ("a\t: b", "a", "b"),
            ("a = = b", "a", "= b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("=b", "", "b"),
            (r"a\=b=c", "a=b", "c"),
            (r"a\ b=c", "a b", "c"),
            (r"a=C:\\dir\\x", "a", r"C:\dir\x"),
            (r"a=\q", "a", "q"),
            (r"a=1\t2\n3", "a", "1\t2\n3"),
            ("a=b\\\n   c", "a", "bc"),
            ("a=b\\\\", "a", "b\\"),
            ("a=b\\\r\n  c\r\n", "a", "bc"),
            (r"a=\u00e9", "a", "\u{e9}"),
            (r"a=\ud83d\ude00", "a", "\u{1f600}"),
            ("a=b # no comment", "a", "b # no comment"),
            ("a=b\\", "a", "b"),
        ];
        for (text, key, value) in rows {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_no_entries() {
        assert_eq!(parse("# a=b\n\n   ! c=d\n\t\n").unwrap(), []);
    }

    #[test]
    fn a_comment_line_is_never_continued() {
        assert_eq!(parse("# a \\\nb=c\n").unwrap(), [("b".to_owned(), "c".to_owned())]);
    }

    #[test]
    fn a_broken_unicode_escape_names_its_line() {
        assert_eq!(parse("a=b\nc=\\u12x4\n"), Err(PropertiesError { line: 2 }));
    }
}
