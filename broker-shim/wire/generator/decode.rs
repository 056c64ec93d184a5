//! The `decode` method of a struct.

use super::condition::Condition;
use super::model::{Field, Kind, Message, Struct, Type};
use super::{names, value};

pub(super) fn method(message: &Message, found: &Struct) -> Result<String, String> {
    let reader = if message.borrows(&found.name) { "Reader<'a>" } else { "Reader<'_>" };
    let mut code = String::new();
    if found.name == message.name {
        code += "        check_decoded_version::<Self>(v)?;\n";
    }
    for field in &found.fields {
        code += &format!("        {};\n", binding(message, field)?);
    }
    if message.is_ever_flexible() {
        code += &tagged_fields(message, found);
    }
    let mut fields: Vec<String> = found.fields.iter().map(|field| names::field(&field.name)).collect();
    if message.is_ever_flexible() {
        fields.push("unknown_tagged_fields".to_owned());
    }
    let version = version_parameter(&code);
    Ok(format!(
        "    /// Reads what stands next.\n    \
             pub fn decode(r: &mut {reader}, {version}: i16) -> Result<Self, DecodeError> {{\n{code}        \
             Ok(Self {{ {} }})\n    }}\n",
        fields.join(", ")
    ))
}

/// Tagged fields begin with their default, all others are read at once.
fn binding(message: &Message, field: &Field) -> Result<String, String> {
    let name = names::field(&field.name);
    let default = value::default_expression(field)?;
    if field.tag.is_some() {
        return Ok(format!("let mut {name} = {default}"));
    }
    let present = Condition::of(field.versions, message.versions);
    Ok(format!("let {name} = {}", present.choose(&format!("{}?", read_field(message, field)), &default)))
}

fn tagged_fields(message: &Message, found: &Struct) -> String {
    let mut arms = String::new();
    for field in &found.fields {
        let Some((tag, versions)) = field.tag else { continue };
        let guard = match Condition::of(versions, message.versions.intersect(message.flexible)) {
            Condition::Always => String::new(),
            condition => format!(" if {}", condition.expression()),
        };
        let (name, read) = (names::field(&field.name), read_field(message, field));
        arms += &format!("                {tag}{guard} => {name} = r.within(size, |r| {read})?,\n");
        if !guard.is_empty() {
            arms += &format!(
                "                {tag} => return Err(DecodeError::TagNotInVersion {{ tag, version: v }}),\n"
            );
        }
    }
    let read = if arms.is_empty() {
        "r.unknown_tagged_fields()?;\n".to_owned()
    } else {
        format!(
            "{{\n            let count = r.uvarint()?;\n            \
             for _ in 0..count {{\n                let (tag, size) = r.tag()?;\n                \
             match tag {{\n{arms}                \
             _ => unknown_tagged_fields.read(r, tag, size)?,\n                }}\n            }}\n        }}\n"
        )
    };
    match Condition::of(message.flexible, message.versions) {
        Condition::When(condition) if arms.is_empty() => format!(
            "        let unknown_tagged_fields = if {condition} {{ r.unknown_tagged_fields()? }} else {{ \
             UnknownTaggedFields::default() }};\n"
        ),
        _ if arms.is_empty() => format!("        let unknown_tagged_fields = {read}"),
        condition => format!(
            "        let mut unknown_tagged_fields = UnknownTaggedFields::default();\n        if {} {read}",
            condition.expression()
        )
        .replace("if true {", "{"),
    }
}

/// An expression of type `Result` that reads the field, null or not.
fn read_field(message: &Message, field: &Field) -> String {
    let flexible = flexible_condition(message, field);
    let value = read_value(message, field, &field.kind, &flexible);
    if !field.is_option() {
        return value;
    }
    let within = field.versions.intersect(message.versions);
    let nullable = match &field.kind {
        Type::String => format!("r.nullable_string({flexible})"),
        Type::Bytes => format!("r.nullable_bytes({flexible})"),
        Type::Records if message.kind == Kind::Response => {
            format!("r.nullable_records({flexible}).map(|records| records.map(Into::into))")
        }
        Type::Records => format!("r.nullable_records({flexible})"),
        Type::Array(element) => {
            let element_size_min = element_size_min(message, field, element);
            let read = read_value(message, field, element, &flexible);
            format!("r.nullable_array({flexible}, {element_size_min}, |r| {read})")
        }
        _ if field.tag.is_some() => format!("r.nullable_tagged_struct(|r| {value})"),
        _ => format!("r.nullable_struct(|r| {value})"),
    };
    match Condition::of(field.nullable, within) {
        Condition::When(condition) => {
            format!("(if {condition} {{ {nullable} }} else {{ {value}.map(Some) }})")
        }
        condition => condition.choose(&nullable, &format!("{value}.map(Some)")),
    }
}

/// An expression of type `Result` that reads a value that must not be null.
fn read_value(message: &Message, field: &Field, kind: &Type, flexible: &str) -> String {
    let name = &field.name;
    match kind {
        Type::Bool => "r.bool()".to_owned(),
        Type::Int8 => "r.i8()".to_owned(),
        Type::Int16 => "r.i16()".to_owned(),
        Type::Uint16 => "r.u16()".to_owned(),
        Type::Int32 => "r.i32()".to_owned(),
        Type::Uint32 => "r.u32()".to_owned(),
        Type::Int64 => "r.i64()".to_owned(),
        Type::Float64 => "r.f64()".to_owned(),
        Type::Uuid => "r.uuid()".to_owned(),
        Type::String => format!("r.string({flexible}, {name:?})"),
        Type::Bytes => format!("r.bytes({flexible}, {name:?})"),
        Type::Records if message.kind == Kind::Response => {
            format!("r.records({flexible}, {name:?}).map(Into::into)")
        }
        Type::Records => format!("r.records({flexible}, {name:?})"),
        Type::Struct(name) => format!("{name}::decode(r, v)"),
        Type::Array(element) => {
            let element_size_min = element_size_min(message, field, element);
            let read = read_value(message, field, element, flexible);
            format!("r.array({flexible}, {element_size_min}, {name:?}, |r| {read})")
        }
    }
}

fn element_size_min(message: &Message, field: &Field, element: &Type) -> usize {
    message.encoded_size_min(element, field.versions.intersect(message.versions))
}

/// When strings and arrays of the field are compact.
pub(super) fn flexible_condition(message: &Message, field: &Field) -> String {
    let flexible = field.flexible.unwrap_or(message.flexible);
    Condition::of(flexible, field.versions.intersect(message.versions)).expression().to_owned()
}

/// The name of the version among the parameters of a method. It is one that no field has, since fields become
/// variables too.
pub(super) fn version_parameter(body: &str) -> &'static str {
    let mut words = body.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    if words.any(|word| word == "v") { "v" } else { "_v" }
}
