//! Derives the message schemas that package `wire` is built from out of Apache Kafka's jars.
//!
//! Kafka's jars carry one JSON file per message. What counts in them are facts: names, types, versions,
//! defaults, tags. They are written down here in a compact notation of our own, whose rules stand in
//! `broker-shim/wire/schemas/README.md`. Descriptions are left behind.

mod definition;
mod jars;
mod layout;
mod notation;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use definition::Definition;
pub use definition::DefinitionError;
pub use jars::JarError;

/// What stops the schemas from being derived.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// A jar could not be read.
    #[error(transparent)]
    Jar(#[from] JarError),
    /// A message definition is not what we understand.
    #[error("{source_file} in {jar}: {reason}")]
    Definition {
        /// The jar that holds it.
        jar: String,
        /// Its path inside the jar.
        source_file: String,
        /// What is wrong.
        reason: DefinitionError,
    },
    /// No jar of the directory holds a message definition.
    #[error("{0} holds no jar with message definitions; it should hold those of Apache Kafka's broker")]
    NothingFound(PathBuf),
}

/// All schema files that follow from the jars in `jar_directory`: path below `schemas/` -> text.
pub fn derive(jar_directory: &Path) -> Result<BTreeMap<String, String>, DeriveError> {
    let sources = jars::read_sources(jar_directory)?;
    if sources.is_empty() {
        return Err(DeriveError::NothingFound(jar_directory.to_path_buf()));
    }
    let mut files: BTreeMap<String, Vec<Definition>> = BTreeMap::new();
    for source in sources {
        let definition = Definition::parse(&source.text).map_err(|reason| DeriveError::Definition {
            jar: source.jar.clone(),
            source_file: source.path.clone(),
            reason,
        })?;
        files.entry(layout::schema_file(&source.jar, &definition)).or_default().push(definition);
    }
    Ok(files.into_iter().map(|(name, definitions)| (name, write_file(definitions))).collect())
}

/// The files whose text in `schemas` is not the derived one: changed, missing, or not derived any more.
pub fn differences(derived: &BTreeMap<String, String>, schemas: &Path) -> io::Result<Vec<String>> {
    let present = schema_files(schemas)?;
    let mut names: Vec<String> =
        present.iter().filter(|name| !derived.contains_key(*name)).cloned().collect();
    for (name, text) in derived {
        if !present.contains(name) || std::fs::read_to_string(schemas.join(name))? != *text {
            names.push(name.clone());
        }
    }
    names.sort();
    Ok(names)
}

fn schema_files(schemas: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["", "api/", "records/"] {
        let path = schemas.join(folder);
        if !path.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".schema") {
                names.push(format!("{folder}{name}"));
            }
        }
    }
    Ok(names)
}

fn write_file(mut definitions: Vec<Definition>) -> String {
    definitions.sort_by_key(layout::order_in_file);
    let messages: Vec<String> = definitions.iter().map(notation::write).collect();
    messages.join("\n")
}
