//! The `write_json` method of a struct of an internal record.

use super::condition::Condition;
use super::decode::version_parameter;
use super::model::{Field, Message, Struct, Type};
use super::{names, value};

pub(super) fn method(message: &Message, found: &Struct) -> Result<String, String> {
    let mut fields = String::new();
    for field in &found.fields {
        fields += &write_field(message, field)?;
    }
    let version = version_parameter(&fields);
    Ok(format!(
        "    #[cfg(feature = \"json\")]\n    \
         /// Writes this value as Kafka's JSON converters do.\n    \
         pub fn write_json(&self, out: &mut JsonText, {version}: i16) {{\n        \
         out.begin('{{');\n{fields}        out.end('}}');\n    }}\n"
    ))
}

/// Fields that the version lacks are left out, and so are tagged fields that hold their default.
fn write_field(message: &Message, field: &Field) -> Result<String, String> {
    let name = names::field(&field.name);
    let mut conditions = Vec::new();
    match Condition::of(field.versions, message.versions) {
        Condition::Never => return Ok(String::new()),
        Condition::Always => {}
        Condition::When(present) => conditions.push(present),
    }
    if field.tag.is_some() {
        conditions.push(value::differs_from_default(field, &name)?);
    }
    let key = names::json(&field.name);
    let write = if field.is_option() {
        let value = write_value(&field.kind, "value", false);
        format!("match &self.{name} {{ Some(value) => {{ {value} }} None => out.null() }}")
    } else {
        write_value(&field.kind, &format!("self.{name}"), true)
    };
    let write = format!("out.name({key:?}); {write}");
    Ok(if conditions.is_empty() {
        format!("        {write}\n")
    } else {
        format!("        if {} {{ {write} }}\n", conditions.join(" && "))
    })
}

/// A statement that writes the value at `place`: a field itself, or a reference to a value.
fn write_value(kind: &Type, place: &str, is_field: bool) -> String {
    let copied = if is_field { place.to_owned() } else { format!("*{place}") };
    let borrowed = if is_field { format!("&{place}") } else { place.to_owned() };
    match kind {
        Type::Bool => format!("out.bool({copied});"),
        Type::Float64 => format!("out.float({copied});"),
        Type::Uuid => format!("out.string(&{place}.to_string());"),
        Type::String => format!("out.string({borrowed});"),
        Type::Bytes => format!("out.base64({borrowed});"),
        Type::Records => format!("out.base64({place}.bytes);"),
        Type::Struct(_) => format!("{place}.write_json(out, v);"),
        Type::Array(element) => {
            let write = write_value(element, "item", false);
            format!("out.begin('['); for item in {borrowed} {{ out.element(); {write} }} out.end(']');")
        }
        _ => format!("out.integer({copied});"),
    }
}
