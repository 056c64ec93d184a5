//! The `encode` method of a struct.

use super::condition::Condition;
use super::decode::{flexible_condition, version_parameter};
use super::model::{Field, Kind, Message, Struct, Type};
use super::{names, value};

pub(super) fn method(message: &Message, found: &Struct) -> Result<String, String> {
    let mut code = String::new();
    if found.name == message.name {
        code += "        check_encoded_version::<Self>(v)?;\n";
    }
    for field in &found.fields {
        code += &write_plain_field(message, field)?;
    }
    if message.is_ever_flexible() {
        code += &write_tagged_fields(message, found)?;
    }
    let version = version_parameter(&code);
    Ok(format!(
        "    /// Writes this value in the layout of the version.\n    \
             pub fn encode(&self, w: &mut Writer, {version}: i16) -> Result<(), EncodeError> {{\n{code}        \
             Ok(())\n    }}\n"
    ))
}

/// A field without tag; or, for a tagged one, only the check for versions that cannot carry it.
fn write_plain_field(message: &Message, field: &Field) -> Result<String, String> {
    let name = names::field(&field.name);
    let mut code = String::new();
    if field.tag.is_none() {
        let write = write_field(message, field, &name);
        code += &match Condition::of(field.versions, message.versions) {
            Condition::Always => format!("        {write}\n"),
            Condition::Never => String::new(),
            Condition::When(present) => format!("        if {present} {{ {write} }}\n"),
        };
    }
    if !field.ignorable {
        code += &refuse_where_absent(message, field, &name)?;
    }
    Ok(code)
}

/// A value that the version has no field for must not vanish unseen.
fn refuse_where_absent(message: &Message, field: &Field, name: &str) -> Result<String, String> {
    let differs = value::differs_from_default(field, name)?;
    let condition = match Condition::not_of(field.versions, message.versions) {
        Condition::Never => return Ok(String::new()),
        Condition::Always => differs,
        Condition::When(absent) => format!("{absent} && {differs}"),
    };
    Ok(format!(
        "        if {condition} {{ return Err(EncodeError::FieldNotInVersion {{ field: {:?}, version: v }}); }}\n",
        field.name
    ))
}

/// Known fields are written by rising tag, unknown ones sorted in between.
fn write_tagged_fields(message: &Message, found: &Struct) -> Result<String, String> {
    let mut tagged: Vec<(u32, String, String)> = Vec::new();
    for field in &found.fields {
        let Some((tag, versions)) = field.tag else { continue };
        let name = names::field(&field.name);
        let differs = value::differs_from_default(field, &name)?;
        let condition = match Condition::of(versions, message.versions.intersect(message.flexible)) {
            Condition::Always => differs,
            present => format!("{} && {differs}", present.expression()),
        };
        tagged.push((tag, condition, write_field(message, field, &name)));
    }
    tagged.sort();
    let write = if tagged.is_empty() {
        "w.unknown_tagged_fields(&self.unknown_tagged_fields)?;".to_owned()
    } else {
        write_known_tags(&tagged)
    };
    Ok(match Condition::of(message.flexible, message.versions) {
        Condition::When(condition) => {
            format!("        if {condition} {{\n            {write}\n        }}\n")
        }
        _ => format!("        {write}\n"),
    })
}

fn write_known_tags(tagged: &[(u32, String, String)]) -> String {
    let mut code = String::from("let mut unknown = self.unknown_tagged_fields.as_slice();\n");
    code += "            let mut count = unknown.len();\n";
    for (_, condition, _) in tagged {
        code += &format!("            count += usize::from({condition});\n");
    }
    code += "            w.count(count)?;\n";
    for (tag, condition, write) in tagged {
        code += &format!(
            "            if {condition} {{\n                \
             unknown = w.tagged_fields_below({tag}, unknown)?;\n                \
             w.tagged({tag}, |w| {{ {write} Ok(()) }})?;\n            }}\n"
        );
    }
    code + "            w.tagged_fields(unknown)?;"
}

/// Statements that write the field, null or not.
fn write_field(message: &Message, field: &Field, name: &str) -> String {
    let flexible = flexible_condition(message, field);
    if !field.is_option() {
        return write_value(message, &field.kind, &flexible, &format!("self.{name}"), true);
    }
    let within = field.versions.intersect(message.versions);
    let nullable = Condition::of(field.nullable, within);
    let null = match field.kind {
        Type::String => format!("w.null_string({flexible})"),
        Type::Struct(_) if field.tag.is_some() => "w.uvarint(0)".to_owned(),
        Type::Struct(_) => "w.i8(-1)".to_owned(),
        _ => format!("w.null_sequence({flexible})"),
    };
    let refuse = format!("return Err(EncodeError::Null {{ field: {:?} }})", field.name);
    let marker = if field.tag.is_some() { "w.uvarint(1);" } else { "w.i8(1);" };
    let marker = match (&field.kind, &nullable) {
        (Type::Struct(_), Condition::Always) => marker.to_owned(),
        (Type::Struct(_), Condition::When(condition)) => format!("if {condition} {{ {marker} }}"),
        _ => String::new(),
    };
    let write = write_value(message, &field.kind, &flexible, "value", false);
    format!(
        "match &self.{name} {{ Some(value) => {{ {marker} {write} }} None => {{ {}; }} }}",
        nullable.choose(&null, &refuse)
    )
}

/// A statement that writes the value at `place`: a field itself, or a reference to a value.
fn write_value(message: &Message, kind: &Type, flexible: &str, place: &str, is_field: bool) -> String {
    let copied = if is_field { place.to_owned() } else { format!("*{place}") };
    let borrowed = if is_field { format!("&{place}") } else { place.to_owned() };
    match kind {
        Type::Bool => format!("w.bool({copied});"),
        Type::Int8 => format!("w.i8({copied});"),
        Type::Int16 => format!("w.i16({copied});"),
        Type::Uint16 => format!("w.u16({copied});"),
        Type::Int32 => format!("w.i32({copied});"),
        Type::Uint32 => format!("w.u32({copied});"),
        Type::Int64 => format!("w.i64({copied});"),
        Type::Float64 => format!("w.f64({copied});"),
        Type::Uuid => format!("w.uuid({copied});"),
        Type::String => format!("w.string({flexible}, {borrowed})?;"),
        Type::Bytes => format!("w.bytes({flexible}, {borrowed})?;"),
        Type::Records if message.kind == Kind::Response => {
            format!("w.response_records({flexible}, {borrowed})?;")
        }
        Type::Records => format!("w.bytes({flexible}, {place}.bytes)?;"),
        Type::Struct(_) => format!("{place}.encode(w, v)?;"),
        Type::Array(element) => {
            let write = write_value(message, element, flexible, "item", false);
            format!("w.array({flexible}, {borrowed}, |w, item| {{ {write} Ok(()) }})?;")
        }
    }
}
