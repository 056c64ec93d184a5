//! Defaults of fields: as an expression, and as a test whether a field still has it.

use super::model::{Field, Type};

/// What the field holds in versions that do not have it.
pub(super) fn default_expression(field: &Field) -> Result<String, String> {
    if field.defaults_to_null() {
        return Ok("None".to_owned());
    }
    let value = match &field.kind {
        Type::String => format!("Cow::Borrowed({:?})", literal(field)),
        Type::Bytes => "Cow::Borrowed(&[])".to_owned(),
        Type::Records => "Default::default()".to_owned(),
        Type::Uuid => "Uuid::ZERO".to_owned(),
        Type::Array(_) => "Vec::new()".to_owned(),
        Type::Struct(name) => format!("{name}::default()"),
        _ => scalar(field)?,
    };
    Ok(if field.is_option() { format!("Some({value})") } else { value })
}

/// Whether Rust's own default of the type is the field's.
pub(super) fn is_default_of_type(field: &Field) -> Result<bool, String> {
    Ok(match &field.kind {
        _ if field.is_option() => field.defaults_to_null(),
        Type::String => literal(field).is_empty(),
        Type::Bytes | Type::Records | Type::Uuid | Type::Array(_) | Type::Struct(_) => true,
        _ => ["0", "0.0", "false"].contains(&scalar(field)?.as_str()),
    })
}

/// A condition: the field of `self` holds something else than its default.
pub(super) fn differs_from_default(field: &Field, name: &str) -> Result<String, String> {
    let is_sequence = matches!(field.kind, Type::String | Type::Bytes | Type::Array(_) | Type::Records);
    Ok(match &field.kind {
        _ if field.defaults_to_null() => format!("self.{name}.is_some()"),
        _ if field.is_option() && is_sequence && literal(field).is_empty() => {
            format!("self.{name}.as_ref().is_none_or(|value| !value.is_empty())")
        }
        _ if field.is_option() => format!("self.{name} != {}", default_expression(field)?),
        Type::String if !literal(field).is_empty() => format!("self.{name} != {:?}", literal(field)),
        _ if is_sequence => format!("!self.{name}.is_empty()"),
        Type::Bool if scalar(field)? == "true" => format!("!self.{name}"),
        Type::Bool => format!("self.{name}"),
        _ => format!("self.{name} != {}", default_expression(field)?),
    })
}

fn literal(field: &Field) -> &str {
    field.default.as_deref().unwrap_or_default()
}

/// Numbers and booleans; the schema may leave the default out or write it in hexadecimal.
fn scalar(field: &Field) -> Result<String, String> {
    let text = literal(field);
    let value = match (&field.kind, text) {
        (Type::Bool, "") => Some("false".to_owned()),
        (Type::Bool, _) => text.parse::<bool>().ok().map(|value| value.to_string()),
        (Type::Float64, "") => Some("0.0".to_owned()),
        (Type::Float64, _) => text.parse::<f64>().ok().map(|value| format!("{value:?}")),
        (_, "") => Some("0".to_owned()),
        (_, _) => parse_integer(text).map(|value| value.to_string()),
    };
    value.ok_or_else(|| format!("{text} is no default of {}", field.name))
}

fn parse_integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
