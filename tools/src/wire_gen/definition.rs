//! Kafka's JSON form of a message definition, read strictly: an attribute that we do not know is an error,
//! since it could change the bytes.

use serde::{Deserialize, Deserializer};

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) api_key: Option<i16>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) listeners: Vec<String>,
    pub(super) name: String,
    pub(super) valid_versions: String,
    #[serde(default)]
    pub(super) latest_version_unstable: bool,
    pub(super) flexible_versions: Option<String>,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
    #[serde(default)]
    pub(super) common_structs: Vec<Struct>,
}

/// One field of a message or of a struct in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    versions: Option<String>,
    pub(super) nullable_versions: Option<String>,
    pub(super) tagged_versions: Option<String>,
    pub(super) flexible_versions: Option<String>,
    pub(super) tag: Option<u32>,
    #[serde(default, deserialize_with = "default_as_text")]
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) ignorable: bool,
    #[serde(default)]
    pub(super) map_key: bool,
    #[serde(default)]
    pub(super) zero_copy: bool,
    pub(super) entity_type: Option<String>,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
    #[serde(rename = "about")]
    _about: Option<String>,
}

/// A struct that several fields of one message share.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) versions: String,
    pub(super) fields: Vec<Field>,
    #[serde(rename = "about")]
    _about: Option<String>,
}

/// What a definition can be refused for.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// Not JSON, or not the JSON of a message.
    #[error("not a message definition: {0}")]
    NotAMessage(#[from] serde_json::Error),
    /// A field without versions.
    #[error("field {0} has neither versions nor tagged versions")]
    NoVersions(String),
}

impl Definition {
    /// Reads one JSON text. Kafka's files hold whole-line comments, which JSON knows nothing of.
    pub(super) fn parse(text: &str) -> Result<Self, DefinitionError> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let json: String = lines.flat_map(|line| [line, "\n"]).collect();
        let definition: Self = serde_json::from_str(&json)?;
        definition.check_versions()?;
        Ok(definition)
    }

    fn check_versions(&self) -> Result<(), DefinitionError> {
        let structs = self.common_structs.iter().map(|shared| &shared.fields);
        structs.chain([&self.fields]).try_for_each(|fields| check_versions(fields))
    }
}

fn check_versions(fields: &[Field]) -> Result<(), DefinitionError> {
    for field in fields {
        if field.versions.is_none() && field.tagged_versions.is_none() {
            return Err(DefinitionError::NoVersions(field.name.clone()));
        }
        check_versions(&field.fields)?;
    }
    Ok(())
}

impl Field {
    /// The versions that have this field. Those of the tag stand in where they alone are given
    /// (Kafka's `FieldSpec` does the same).
    pub(super) fn versions(&self) -> &str {
        let versions = self.versions.as_deref().or(self.tagged_versions.as_deref());
        versions.expect("checked when the definition was parsed")
    }
}

/// Defaults are written as strings, numbers or booleans; a JSON null is no default at all.
fn default_as_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(from)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}
