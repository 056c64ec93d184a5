//! Kafka's messages read by their schemas and shown as Kafka's JSON converters show them.
//!
//! The dump tool meets every internal record in every version and only ever prints it. So it walks the bytes by the schemas
//! in the notation that the codec is generated from, instead of linking the typed records.
//!
//! What the converters do: fields in the order of the schema, names in camelCase; a field that this version does not have
//! is left out, and so is a tagged field that holds its default; ids as text, bytes in base64, no spaces.

use std::fmt::Write as _;

use thiserror::Error;

use super::text::{push_double, push_int, push_json_string};

/// Nesting of structs in a schema; the deepest of Kafka's has four.
const DEPTH_MAX: usize = 16;

/// All messages of one schema file.
pub(super) struct Schemas {
    messages: Vec<Message>,
}

/// One message: its versions and fields.
pub(super) struct Message {
    /// As Kafka calls it.
    pub(super) name: String,
    /// The number that stands for it in front of a record.
    pub(super) key: Option<i16>,
    /// The versions there are.
    pub(super) versions: Versions,
    flexible: Versions,
    structs: Vec<(String, Vec<Field>)>,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    kind: String,
    versions: Versions,
    nullable: Versions,
    tag: Option<u32>,
    tagged: Versions,
    default: Option<String>,
    fields: Vec<Field>,
}

/// A range of versions; none where `first` lies above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    first: i16,
    last: i16,
}

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum DecodeError {
    /// The bytes end inside a field.
    #[error("the bytes end inside {0}")]
    Ended(String),
    /// A length that no field of this type has.
    #[error("non-nullable field {0} was serialized as null")]
    Null(String),
    /// A number that runs on.
    #[error("Varint is too long, the most significant bit in the 5th byte is set")]
    Varint,
    /// Structs nested deeper than any schema does.
    #[error("the fields are nested too deep")]
    TooDeep,
    /// A type that the notation does not have.
    #[error("the schema names the type {0}, which is unknown")]
    UnknownType(String),
}

impl Versions {
    const NONE: Self = Self { first: 0, last: -1 };

    fn parse(text: &str) -> Self {
        let number = |text: &str| text.parse().unwrap_or(i16::MAX);
        if text == "none" {
            Self::NONE
        } else if let Some(first) = text.strip_suffix('+') {
            Self { first: number(first), last: i16::MAX }
        } else if let Some((first, last)) = text.split_once('-') {
            Self { first: number(first), last: number(last) }
        } else {
            Self { first: number(text), last: number(text) }
        }
    }

    /// Whether the version lies in the range.
    pub(super) fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

impl Schemas {
    /// Reads a schema file.
    pub(super) fn parse(text: &str) -> Self {
        let lines: Vec<Line<'_>> = text.lines().filter_map(Line::of).collect();
        let mut rest = lines.as_slice();
        let mut messages = Vec::new();
        while let Some((head, after)) = rest.split_first() {
            let body = after.iter().take_while(|line| line.depth > 0).count();
            let (body, next) = after.split_at(body);
            messages.extend(Message::of(head, body));
            rest = next;
        }
        Self { messages }
    }

    /// The message of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.name == name)
    }

    /// The message that this number in front of a record stands for.
    pub(super) fn keyed(&self, key: i16) -> Option<&Message> {
        self.messages.iter().find(|message| message.key == Some(key))
    }
}

struct Line<'t> {
    depth: usize,
    words: Vec<&'t str>,
}

impl<'t> Line<'t> {
    fn of(line: &'t str) -> Option<Self> {
        let text = line.trim_start();
        let is_content = !text.is_empty() && !text.starts_with('#');
        is_content
            .then(|| Self { depth: (line.len() - text.len()) / 2, words: text.split_whitespace().collect() })
    }

    fn word(&self, index: usize) -> &'t str {
        self.words.get(index).copied().unwrap_or_default()
    }

    fn after(&self, word: &str) -> Option<&'t str> {
        let at = self.words.iter().skip(3).position(|found| *found == word)?;
        Some(self.word(at + 4))
    }
}

impl Message {
    fn of(head: &Line<'_>, body: &[Line<'_>]) -> Option<Self> {
        let value = |word: &str| {
            let at = head.words.iter().position(|found| *found == word)?;
            head.words.get(at + 1).copied()
        };
        let (structs, fields): (Vec<_>, Vec<_>) =
            children(body, 1).partition(|(line, _)| line.word(0) == "struct");
        Some(Self {
            name: head.word(1).to_owned(),
            key: value("key").and_then(|key| key.parse().ok()),
            versions: Versions::parse(value("versions")?),
            flexible: value("flexible").map_or(Versions::NONE, Versions::parse),
            structs: structs
                .iter()
                .map(|(line, body)| (line.word(1).to_owned(), fields_of(body, 2)))
                .collect(),
            fields: fields.iter().map(|(line, body)| Field::of(line, body)).collect(),
        })
    }

    /// Appends the message that `bytes` hold in this version, and returns what follows it.
    pub(super) fn push_json<'b>(
        &self,
        out: &mut Vec<u8>,
        bytes: &'b [u8],
        version: i16,
    ) -> Result<&'b [u8], DecodeError> {
        let mut walk =
            Walk { message: self, version, is_flexible: self.flexible.contains(version), rest: bytes };
        walk.struct_fields(out, &self.fields, 0)?;
        Ok(walk.rest)
    }

    /// The name that Kafka's constant for this record has: `REGISTER_BROKER_RECORD`.
    pub(super) fn constant_name(&self) -> String {
        let mut constant = String::new();
        for letter in self.name.chars() {
            if letter.is_ascii_uppercase() && !constant.is_empty() {
                constant.push('_');
            }
            constant.push(letter.to_ascii_uppercase());
        }
        constant
    }
}

/// The lines of one depth, each with the deeper lines below it.
fn children<'l, 't>(
    body: &'l [Line<'t>],
    depth: usize,
) -> impl Iterator<Item = (&'l Line<'t>, &'l [Line<'t>])> {
    body.iter().enumerate().filter(move |(_, line)| line.depth == depth).map(move |(index, line)| {
        let below = &body[index + 1..];
        let count = below.iter().take_while(|line| line.depth > depth).count();
        (line, &below[..count])
    })
}

fn fields_of(body: &[Line<'_>], depth: usize) -> Vec<Field> {
    children(body, depth).map(|(line, below)| Field::of(line, below)).collect()
}

impl Field {
    fn of(line: &Line<'_>, below: &[Line<'_>]) -> Self {
        let versions = |word| line.after(word).map_or(Versions::NONE, Versions::parse);
        let mut name = line.word(0).to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        Self {
            name,
            kind: line.word(1).to_owned(),
            versions: Versions::parse(line.word(2)),
            nullable: versions("null"),
            tag: line.after("tag").and_then(|tag| tag.parse().ok()),
            tagged: versions("tagged"),
            default: line.after("default").map(str::to_owned),
            fields: fields_of(below, line.depth + 1),
        }
    }

    /// The JSON of the value that the field has when nothing is written.
    fn default_json(&self) -> String {
        let default = self.default.as_deref();
        match (self.kind.as_str(), default) {
            (_, Some("null")) => "null".to_owned(),
            ("string", _) => format!("\"{}\"", default.unwrap_or_default().trim_matches('"')),
            ("bytes", _) => "\"\"".to_owned(),
            ("uuid", _) => "\"AAAAAAAAAAAAAAAAAAAAAA\"".to_owned(),
            ("bool", _) => default.unwrap_or("false").to_owned(),
            ("float64", _) => default.unwrap_or("0.0").to_owned(),
            (kind, _) if kind.starts_with("[]") => "[]".to_owned(),
            (_, Some(number)) => match number.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).unwrap_or_default().to_string(),
                None => number.to_owned(),
            },
            _ => "0".to_owned(),
        }
    }
}

struct Walk<'m, 'b> {
    message: &'m Message,
    version: i16,
    is_flexible: bool,
    rest: &'b [u8],
}

impl<'m, 'b> Walk<'m, 'b> {
    fn struct_fields(
        &mut self,
        out: &mut Vec<u8>,
        fields: &'m [Field],
        depth: usize,
    ) -> Result<(), DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut shown: Vec<Option<Vec<u8>>> = Vec::with_capacity(fields.len());
        for field in fields {
            let is_plain = field.versions.contains(self.version) && !self.is_tagged(field);
            let mut json = Vec::new();
            if is_plain {
                self.value(&mut json, field, depth)?;
            }
            shown.push(is_plain.then_some(json));
        }
        if self.is_flexible {
            self.tagged_fields(&mut shown, fields, depth)?;
        }
        out.push(b'{');
        let mut separator = "";
        for (field, json) in fields.iter().zip(shown) {
            if let Some(json) = json {
                out.extend_from_slice(separator.as_bytes());
                push_json_string(out, &field.name);
                out.push(b':');
                out.extend_from_slice(&json);
                separator = ",";
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn is_tagged(&self, field: &Field) -> bool {
        field.tag.is_some() && field.tagged.contains(self.version)
    }

    fn tagged_fields(
        &mut self,
        shown: &mut [Option<Vec<u8>>],
        fields: &'m [Field],
        depth: usize,
    ) -> Result<(), DecodeError> {
        let count = self.unsigned_varint()?;
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            let body = self.take(size as usize, "a tagged field")?;
            let is_field = |field: &Field| {
                field.tag == Some(tag) && field.versions.contains(self.version) && self.is_tagged(field)
            };
            if let Some(index) = fields.iter().position(is_field) {
                let after = std::mem::replace(&mut self.rest, body);
                let mut json = Vec::new();
                self.value(&mut json, &fields[index], depth)?;
                self.rest = after;
                shown[index] = (json != fields[index].default_json().as_bytes()).then_some(json);
            }
        }
        Ok(())
    }

    fn value(&mut self, out: &mut Vec<u8>, field: &'m Field, depth: usize) -> Result<(), DecodeError> {
        let is_nullable = field.nullable.contains(self.version);
        if let Some(element) = field.kind.strip_prefix("[]") {
            return self.array(out, field, element, is_nullable, depth);
        }
        match field.kind.as_str() {
            "string" => match self.string_length(field)? {
                Some(length) => {
                    let text = self.take(length, &field.name)?;
                    push_json_string(out, &String::from_utf8_lossy(text));
                }
                None if is_nullable => out.extend_from_slice(b"null"),
                None => return Err(DecodeError::Null(field.name.clone())),
            },
            "bytes" | "records" => match self.bytes_length(field)? {
                Some(length) => push_base64(out, self.take(length, &field.name)?),
                None if is_nullable => out.extend_from_slice(b"null"),
                None => return Err(DecodeError::Null(field.name.clone())),
            },
            kind if is_struct(kind) && is_nullable => {
                if self.take(1, &field.name)?[0] as i8 >= 0 {
                    self.scalar(out, field, kind, depth)?;
                } else {
                    out.extend_from_slice(b"null");
                }
            }
            kind => self.scalar(out, field, kind, depth)?,
        }
        Ok(())
    }

    fn array(
        &mut self,
        out: &mut Vec<u8>,
        field: &'m Field,
        element: &'m str,
        is_nullable: bool,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let Some(length) = self.bytes_length(field)? else {
            if is_nullable {
                out.extend_from_slice(b"null");
                return Ok(());
            }
            return Err(DecodeError::Null(field.name.clone()));
        };
        // Every element takes at least a byte, so this bounds the loop by the bytes there are.
        if length > self.rest.len() {
            return Err(DecodeError::Ended(field.name.clone()));
        }
        out.push(b'[');
        for index in 0..length {
            if index > 0 {
                out.push(b',');
            }
            match element {
                "string" => {
                    let length =
                        self.string_length(field)?.ok_or_else(|| DecodeError::Null(field.name.clone()))?;
                    let text = self.take(length, &field.name)?;
                    push_json_string(out, &String::from_utf8_lossy(text));
                }
                _ => self.scalar(out, field, element, depth)?,
            }
        }
        out.push(b']');
        Ok(())
    }

    fn scalar(
        &mut self,
        out: &mut Vec<u8>,
        field: &'m Field,
        kind: &str,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let name = &field.name;
        match kind {
            "bool" => out.extend_from_slice(if self.take(1, name)?[0] == 0 { b"false" } else { b"true" }),
            "int8" => push_int(out, i8::from_be_bytes(self.chunk(name)?).into()),
            "int16" => push_int(out, i16::from_be_bytes(self.chunk(name)?).into()),
            "uint16" => push_int(out, u16::from_be_bytes(self.chunk(name)?).into()),
            "int32" => push_int(out, i32::from_be_bytes(self.chunk(name)?).into()),
            "uint32" => push_int(out, u32::from_be_bytes(self.chunk(name)?).into()),
            "int64" => push_int(out, i64::from_be_bytes(self.chunk(name)?)),
            "float64" => push_double(out, f64::from_be_bytes(self.chunk(name)?)),
            "uuid" => push_uuid(out, self.chunk(name)?),
            _ => {
                let message = self.message;
                let shared =
                    message.structs.iter().find(|(shared, _)| shared == kind).map(|(_, fields)| fields);
                let fields = if field.fields.is_empty() { shared } else { Some(&field.fields) };
                let fields = fields.ok_or_else(|| DecodeError::UnknownType(kind.to_owned()))?;
                self.struct_fields(out, fields, depth + 1)?;
            }
        }
        Ok(())
    }

    fn string_length(&mut self, field: &Field) -> Result<Option<usize>, DecodeError> {
        if self.is_flexible {
            return Ok((self.unsigned_varint()? as usize).checked_sub(1));
        }
        let length = i16::from_be_bytes(self.chunk(&field.name)?);
        Ok(usize::try_from(length).ok())
    }

    fn bytes_length(&mut self, field: &Field) -> Result<Option<usize>, DecodeError> {
        if self.is_flexible {
            return Ok((self.unsigned_varint()? as usize).checked_sub(1));
        }
        let length = i32::from_be_bytes(self.chunk(&field.name)?);
        Ok(usize::try_from(length).ok())
    }

    fn take(&mut self, length: usize, what: &str) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| DecodeError::Ended(what.to_owned()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self, what: &str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.rest.split_first_chunk().ok_or_else(|| DecodeError::Ended(what.to_owned()))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        take_unsigned_varint(&mut self.rest)
    }
}

/// Takes an unsigned varint off the front.
pub(super) fn take_unsigned_varint(bytes: &mut &[u8]) -> Result<u32, DecodeError> {
    let mut number = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first().ok_or_else(|| DecodeError::Ended("a varint".to_owned()))?;
        *bytes = rest;
        number |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DecodeError::Varint)
}

fn is_struct(kind: &str) -> bool {
    kind.starts_with(|letter: char| letter.is_ascii_uppercase())
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn push_digits(out: &mut Vec<u8>, bytes: &[u8], alphabet: &[u8; 64]) {
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            out.push(alphabet[(bits >> (18 - 6 * digit)) as usize & 63]);
        }
    }
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    push_digits(out, bytes, STANDARD);
    out.extend_from_slice(&b"=="[..(3 - bytes.len() % 3) % 3]);
    out.push(b'"');
}

fn push_uuid(out: &mut Vec<u8>, id: [u8; 16]) {
    out.push(b'"');
    push_digits(out, &id, URL_SAFE);
    out.push(b'"');
}

/// The JSON of a metadata record as Kafka's tool prints it, or the sentence it prints where it cannot read one.
pub(super) fn push_metadata_record(out: &mut Vec<u8>, schemas: &Schemas, value: Option<&[u8]>, offset: i64) {
    let start = out.len();
    if let Err(reason) = try_metadata_record(out, schemas, value) {
        out.truncate(start);
        out.extend_from_slice(b"Error at ");
        push_int(out, offset);
        out.extend_from_slice(b", skipping. ");
        out.extend_from_slice(reason.as_bytes());
    }
}

fn try_metadata_record(out: &mut Vec<u8>, schemas: &Schemas, value: Option<&[u8]>) -> Result<(), String> {
    let mut rest = value.ok_or("the record has no value")?;
    let frame_version = varint_or(&mut rest, "frame version")?;
    match frame_version {
        1 => {}
        0 => return Err("Could not deserialize metadata record with frame version 0. Note that upgrades from the preview \
                         release of KRaft in 2.8 to newer versions are not supported."
            .to_owned()),
        other => {
            return Err(format!(
                "Could not deserialize metadata record due to unknown frame version {other}(only frame version 1 is supported)"
            ));
        }
    }
    let key = varint_or(&mut rest, "type")?;
    let version = varint_or(&mut rest, "version")?;
    let (key, version) = (i16::try_from(key).unwrap_or(-1), i16::try_from(version).unwrap_or(-1));
    let message = schemas.keyed(key).ok_or_else(|| format!("Unknown metadata id {key}"))?;
    if !message.versions.contains(version) {
        return Err(format!("Can't read version {version} of {}", message.name));
    }
    let mut head = String::new();
    let _ = write!(head, "{{\"type\":\"{}\",\"version\":{version},\"data\":", message.constant_name());
    out.extend_from_slice(head.as_bytes());
    let after = message.push_json(out, rest, version).map_err(|error| error.to_string())?;
    if !after.is_empty() {
        return Err(format!("Found {} byte(s) of garbage after {}", after.len(), message.name));
    }
    out.push(b'}');
    Ok(())
}

fn varint_or(rest: &mut &[u8], what: &str) -> Result<u32, String> {
    take_unsigned_varint(rest).map_err(|_| format!("Error while reading {what}"))
}
