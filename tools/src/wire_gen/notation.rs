//! Writes a definition in the notation of `broker-shim/wire/schemas/README.md`.

use super::definition::{Definition, Field};

const INDENT: &str = "  ";

/// One message: its head line, the structs its fields share, its fields.
pub(super) fn write(definition: &Definition) -> String {
    let mut out = head_line(definition);
    for shared in &definition.common_structs {
        out += &format!("{INDENT}struct {} {}\n", shared.name, shared.versions);
        write_fields(&mut out, &shared.fields, 2);
    }
    write_fields(&mut out, &definition.fields, 1);
    out
}

fn head_line(definition: &Definition) -> String {
    let mut line = format!("{} {}", definition.kind, definition.name);
    if let Some(key) = definition.api_key {
        line += &format!(" key {key}");
    }
    line += &format!(" versions {}", definition.valid_versions);
    if let Some(flexible) = &definition.flexible_versions {
        line += &format!(" flexible {flexible}");
    }
    if definition.latest_version_unstable {
        line += " latest-unstable";
    }
    for listener in &definition.listeners {
        line += &format!(" on {listener}");
    }
    line + "\n"
}

fn write_fields(out: &mut String, fields: &[Field], depth: usize) {
    for field in fields {
        *out += &INDENT.repeat(depth);
        *out += &field_line(field);
        write_fields(out, &field.fields, depth + 1);
    }
}

fn field_line(field: &Field) -> String {
    let mut line = format!("{} {} {}", field.name, field.kind, field.versions());
    let mut attribute = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            let value = if value.is_empty() { "\"\"" } else { value };
            line += &format!(" {name} {value}");
        }
    };
    attribute("null", field.nullable_versions.as_ref());
    attribute("tag", field.tag.map(|tag| tag.to_string()).as_ref());
    attribute("tagged", field.tagged_versions.as_ref());
    attribute("flexible", field.flexible_versions.as_ref());
    attribute("default", field.default.as_ref());
    attribute("entity", field.entity_type.as_ref());
    for (name, is_set) in
        [("ignorable", field.ignorable), ("map-key", field.map_key), ("zero-copy", field.zero_copy)]
    {
        if is_set {
            line += &format!(" {name}");
        }
    }
    line + "\n"
}
