//! Reads the notation of `schemas/README.md`.

use std::fmt;

use super::model::{Field, Kind, Message, Struct, Type, Versions};

const INDENT: usize = 2;

/// What is wrong, in which line.
pub(super) struct NotationError {
    line: usize,
    reason: String,
}

impl fmt::Display for NotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

struct Line<'t> {
    number: usize,
    depth: usize,
    words: Vec<&'t str>,
}

impl Line<'_> {
    fn error(&self, reason: impl Into<String>) -> NotationError {
        NotationError { line: self.number, reason: reason.into() }
    }

    fn word(&self, index: usize) -> Result<&str, NotationError> {
        self.words.get(index).copied().ok_or_else(|| self.error("the line ends too early"))
    }
}

/// Reads all messages of one file.
pub(super) fn parse(text: &str) -> Result<Vec<Message>, NotationError> {
    let lines: Vec<Line<'_>> = text.lines().enumerate().filter_map(read_line).collect();
    let mut messages = Vec::new();
    let mut rest = &lines[..];
    while let Some((head, after)) = rest.split_first() {
        let body_end = after.iter().position(|line| line.depth == 0).unwrap_or(after.len());
        let (body, following) = after.split_at(body_end);
        messages.push(read_message(head, body)?);
        rest = following;
    }
    Ok(messages)
}

fn read_line((index, text): (usize, &str)) -> Option<Line<'_>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let indent = text.len() - text.trim_start().len();
    (!words.is_empty()).then_some(Line { number: index + 1, depth: indent / INDENT, words })
}

fn read_message(head: &Line<'_>, body: &[Line<'_>]) -> Result<Message, NotationError> {
    let kind = match head.word(0)? {
        "request" => Kind::Request,
        "response" => Kind::Response,
        _ => Kind::Other,
    };
    let name = head.word(1)?.to_owned();
    let mut message = Message {
        kind,
        name,
        key: None,
        versions: Versions::NONE,
        flexible: Versions::NONE,
        structs: vec![],
    };
    let mut attributes = head.words[2..].iter();
    while let Some(attribute) = attributes.next() {
        let mut value = || attributes.next().copied().ok_or_else(|| head.error("attribute without value"));
        match *attribute {
            "key" => message.key = Some(read_number(head, value()?)?),
            "versions" => message.versions = read_versions(head, value()?)?,
            "flexible" => message.flexible = read_versions(head, value()?)?,
            "on" => drop(value()?),
            "latest-unstable" => {}
            other => return Err(head.error(format!("unknown attribute {other}"))),
        }
    }
    let mut structs = Vec::new();
    let fields = read_fields(body, 1, message.versions, &mut structs)?;
    message.structs.push(Struct { name: message.name.clone(), fields });
    message.structs.append(&mut structs);
    check_structs(head, &message)?;
    Ok(message)
}

/// Reads the fields at `depth`; structs that open there are added to `structs`.
fn read_fields(
    lines: &[Line<'_>],
    depth: usize,
    within: Versions,
    structs: &mut Vec<Struct>,
) -> Result<Vec<Field>, NotationError> {
    let mut fields = Vec::new();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        if line.depth != depth {
            return Err(line.error("indented too deep"));
        }
        let inner_end = after.iter().position(|line| line.depth <= depth).unwrap_or(after.len());
        let (inner, following) = after.split_at(inner_end);
        rest = following;
        if line.word(0)? == "struct" {
            let fields = read_fields(inner, depth + 1, within, structs)?;
            structs.push(Struct { name: line.word(1)?.to_owned(), fields });
            continue;
        }
        let field = read_field(line, within)?;
        if !inner.is_empty() {
            let name = struct_name(&field.kind).ok_or_else(|| line.error("only structs have fields"))?;
            let place = structs.len();
            let inner_fields = read_fields(inner, depth + 1, field.versions, structs)?;
            structs.insert(place, Struct { name: name.to_owned(), fields: inner_fields });
        }
        fields.push(field);
    }
    Ok(fields)
}

fn read_field(line: &Line<'_>, within: Versions) -> Result<Field, NotationError> {
    let mut field = Field {
        name: line.word(0)?.to_owned(),
        kind: read_type(line.word(1)?),
        versions: read_versions(line, line.word(2)?)?.intersect(within),
        nullable: Versions::NONE,
        tag: None,
        flexible: None,
        default: None,
        ignorable: false,
    };
    let (mut tag, mut tagged) = (None, Versions::NONE);
    let mut attributes = line.words[3..].iter();
    while let Some(attribute) = attributes.next() {
        let mut value = || attributes.next().copied().ok_or_else(|| line.error("attribute without value"));
        match *attribute {
            "null" => field.nullable = read_versions(line, value()?)?.intersect(within),
            "tag" => tag = Some(read_number(line, value()?)?),
            "tagged" => tagged = read_versions(line, value()?)?.intersect(within),
            "flexible" => field.flexible = Some(read_versions(line, value()?)?),
            "default" => field.default = Some(value()?.trim_matches('"').to_owned()),
            "entity" => drop(value()?),
            "ignorable" => field.ignorable = true,
            "map-key" | "zero-copy" => {}
            other => return Err(line.error(format!("unknown attribute {other}"))),
        }
    }
    field.tag = tag.map(|tag| (tag, tagged));
    Ok(field)
}

fn read_type(text: &str) -> Type {
    if let Some(element) = text.strip_prefix("[]") {
        return Type::Array(Box::new(read_type(element)));
    }
    match text {
        "bool" => Type::Bool,
        "int8" => Type::Int8,
        "int16" => Type::Int16,
        "uint16" => Type::Uint16,
        "int32" => Type::Int32,
        "uint32" => Type::Uint32,
        "int64" => Type::Int64,
        "float64" => Type::Float64,
        "uuid" => Type::Uuid,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        name => Type::Struct(name.to_owned()),
    }
}

fn struct_name(kind: &Type) -> Option<&str> {
    match kind {
        Type::Struct(name) => Some(name),
        Type::Array(element) => struct_name(element),
        _ => None,
    }
}

fn read_versions(line: &Line<'_>, text: &str) -> Result<Versions, NotationError> {
    Versions::parse(text).ok_or_else(|| line.error(format!("{text} is no range of versions")))
}

fn read_number<N: std::str::FromStr>(line: &Line<'_>, text: &str) -> Result<N, NotationError> {
    text.parse().map_err(|_| line.error(format!("{text} is no number")))
}

/// Every struct that a field names is defined in the message.
fn check_structs(head: &Line<'_>, message: &Message) -> Result<(), NotationError> {
    let fields = message.structs.iter().flat_map(|found| &found.fields);
    for name in fields.filter_map(|field| struct_name(&field.kind)) {
        if !message.structs.iter().any(|found| found.name == name) {
            return Err(head.error(format!("struct {name} is not defined")));
        }
    }
    Ok(())
}
