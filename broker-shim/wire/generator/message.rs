//! One message: its module with a struct for itself and for each struct inside it.

use super::model::{Field, Kind, Message, Struct, Versions};
use super::{decode, encode, json, names, value};

/// The module of `message`, and its re-export.
pub(super) fn expand(message: &Message) -> Result<String, String> {
    let module = names::module(&message.name);
    let mut code =
        format!("/// [`{0}`] and the structs inside it.\npub mod {module} {{\nuse super::*;\n", message.name);
    for found in &message.structs {
        code += &expand_struct(message, found)?;
    }
    code += &traits(message);
    code += &format!("}}\npub use {module}::{};\n\n", message.name);
    Ok(code)
}

fn expand_struct(message: &Message, found: &Struct) -> Result<String, String> {
    let is_default_derived = all_defaults_are_rusts(found)?;
    let mut code = struct_docs(message, found);
    code += if is_default_derived {
        "#[derive(Debug, Clone, PartialEq, Default)]\n"
    } else {
        "#[derive(Debug, Clone, PartialEq)]\n"
    };
    code += &format!("pub struct {} {{\n", names::struct_type(message, &found.name));
    for field in &found.fields {
        code += &field_declaration(message, field);
    }
    if message.is_ever_flexible() {
        code += "    /// Tagged fields that this version of the schema does not know.\n";
        code += "    pub unknown_tagged_fields: UnknownTaggedFields<'a>,\n";
    }
    code += "}\n";
    if !is_default_derived {
        code += &default_impl(message, found)?;
    }
    code += &codec_impl(message, found)?;
    Ok(code)
}

fn struct_docs(message: &Message, found: &Struct) -> String {
    if found.name == message.name {
        let versions = versions_text(message.versions, Versions { first: 0, last: i16::MAX });
        format!("/// Kafka's `{}`, {versions}.\n", found.name)
    } else {
        format!("/// Kafka's `{}` in [`{}`].\n", found.name, message.name)
    }
}

fn field_declaration(message: &Message, field: &Field) -> String {
    let mut facts = vec![versions_text(field.versions, message.versions)];
    if let Some((tag, _)) = field.tag {
        facts.push(format!("tag {tag}"));
    }
    if field.is_option() && field.nullable.intersect(field.versions) != field.versions {
        facts.push(format!("null possible in {}", versions_text(field.nullable, message.versions)));
    }
    if field.ignorable {
        facts.push("dropped where a version lacks it".to_owned());
    }
    let kind = names::value_type(message, &field.kind);
    let kind = if field.is_option() { format!("Option<{kind}>") } else { kind };
    format!(
        "    /// `{}`: {}.\n    pub {}: {kind},\n",
        field.name,
        facts.join(", "),
        names::field(&field.name)
    )
}

fn versions_text(versions: Versions, within: Versions) -> String {
    let versions = versions.intersect(within);
    match (versions.first > within.first, versions.last < within.last) {
        _ if versions.is_none() => "no version".to_owned(),
        (false, false) => "all versions".to_owned(),
        (true, false) => format!("versions {} and above", versions.first),
        _ if versions.first == versions.last => format!("version {}", versions.first),
        _ => format!("versions {} to {}", versions.first, versions.last),
    }
}

fn all_defaults_are_rusts(found: &Struct) -> Result<bool, String> {
    found.fields.iter().try_fold(true, |all, field| Ok(all && value::is_default_of_type(field)?))
}

fn default_impl(message: &Message, found: &Struct) -> Result<String, String> {
    let name = &found.name;
    let lifetime = if message.borrows(name) { "<'_>" } else { "" };
    let mut code =
        format!("impl Default for {name}{lifetime} {{\n    fn default() -> Self {{\n        Self {{\n");
    for field in &found.fields {
        let value = value::default_expression(field)?;
        code += &format!("            {}: {value},\n", names::field(&field.name));
    }
    if message.is_ever_flexible() {
        code += "            unknown_tagged_fields: UnknownTaggedFields::default(),\n";
    }
    Ok(code + "        }\n    }\n}\n")
}

/// A broker reads requests and writes responses; the other direction belongs to feature `client`.
fn codec_impl(message: &Message, found: &Struct) -> Result<String, String> {
    let client_only = "    #[cfg(feature = \"client\")]\n";
    let gate = |kind| if message.kind == kind { client_only } else { "" };
    let generics = if message.borrows(&found.name) { "<'a>" } else { "" };
    let mut code = format!("impl{generics} {} {{\n", names::struct_type(message, &found.name));
    code += gate(Kind::Response);
    code += &decode::method(message, found)?;
    code += gate(Kind::Request);
    code += &encode::method(message, found)?;
    if message.kind == Kind::Other {
        code += &json::method(message, found)?;
    }
    Ok(code + "}\n")
}

fn traits(message: &Message) -> String {
    let Versions { first, last } = message.versions;
    let flexible = message.versions.intersect(message.flexible);
    let flexible_from =
        if flexible.is_none() { "None".to_owned() } else { format!("Some({})", flexible.first) };
    let (anonymous, named) = (names::anonymous_type(message), names::struct_type(message, &message.name));
    let client_only = "#[cfg(feature = \"client\")]\n";
    let gate = |kind| if message.kind == kind { client_only } else { "" };
    let json = if message.kind == Kind::Other { json_trait(&anonymous) } else { String::new() };
    format!(
        "{json}impl Message for {anonymous} {{\n    \
             const NAME: &'static str = {name:?};\n    \
             const VERSIONS: Versions = Versions::new({first}, {last});\n    \
             const FLEXIBLE_FROM: Option<i16> = {flexible_from};\n}}\n\
         {decode_gate}impl<'a> Decode<'a> for {named} {{\n    \
             fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {{\n        \
             Self::decode(r, version)\n    }}\n}}\n\
         {encode_gate}impl Encode for {anonymous} {{\n    \
             fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{\n        \
             self.encode(w, version)\n    }}\n}}\n",
        name = message.name,
        decode_gate = gate(Kind::Response),
        encode_gate = gate(Kind::Request),
    )
}

fn json_trait(message: &str) -> String {
    format!(
        "#[cfg(feature = \"json\")]\nimpl ToJson for {message} {{\n    \
         fn write_json(&self, out: &mut JsonText, version: i16) {{\n        self.write_json(out, version);\n    }}\n}}\n"
    )
}
