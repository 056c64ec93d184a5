//! From schema files to Rust code. Part of the build script, not of the library.

mod condition;
mod decode;
mod encode;
mod json;
mod message;
mod model;
mod names;
mod notation;
mod registry;
mod value;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use model::Message;

/// One schema file, read.
pub(crate) struct SchemaFile {
    /// Its name without folder and extension.
    pub(crate) name: String,
    messages: Vec<Message>,
}

/// A schema that cannot be expanded, and why.
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(place: &Path, reason: impl fmt::Display) -> Self {
        Self(format!("{}: {reason}", place.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names of the API schemas that are expanded: one a line, `#` begins a comment.
pub(crate) fn read_expanded_list(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|cause| Failure::new(path, cause))?;
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Reads one schema file. Messages without a valid version are only there to keep their key taken.
pub(crate) fn read_schema(path: &Path) -> Result<SchemaFile, Failure> {
    let text = fs::read_to_string(path).map_err(|cause| Failure::new(path, cause))?;
    let mut messages = notation::parse(&text).map_err(|reason| Failure::new(path, reason))?;
    messages.retain(|message| !message.versions.is_none());
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(SchemaFile { name, messages })
}

/// All request and response messages, and the enums over them.
pub(crate) fn expand_apis(files: &[SchemaFile]) -> Result<String, Failure> {
    let mut code = expand_messages(files)?;
    let messages: Vec<&Message> = files.iter().flat_map(|file| &file.messages).collect();
    code += &registry::api_enums(&messages);
    Ok(code)
}

/// All internal records, and the enum over the records of the metadata log.
pub(crate) fn expand_records(files: &[SchemaFile]) -> Result<String, Failure> {
    let mut code = expand_messages(files)?;
    for file in files.iter().filter(|file| file.name == "metadata") {
        code += &registry::metadata_enum(&file.messages);
    }
    Ok(code)
}

/// The request and response headers.
pub(crate) fn expand_headers(file: &SchemaFile) -> Result<String, Failure> {
    expand_messages(std::slice::from_ref(file))
}

fn expand_messages(files: &[SchemaFile]) -> Result<String, Failure> {
    let mut code = String::new();
    for file in files {
        for message in &file.messages {
            let expanded = message::expand(message);
            code += &expanded.map_err(|reason| Failure(format!("{}: {reason}", message.name)))?;
        }
    }
    Ok(code)
}
