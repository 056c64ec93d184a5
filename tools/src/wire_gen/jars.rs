//! The message definitions inside a directory of jars.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where Kafka's build puts message definitions inside its jars.
const DEFINITION_FOLDERS: [&str; 3] = ["common/message/", "common/metadata/", "message/"];

/// One message definition as it lies in a jar.
#[derive(Debug)]
pub(super) struct Source {
    /// Name of the jar without version and extension: `kafka-clients`.
    pub(super) jar: String,
    /// Path inside the jar.
    pub(super) path: String,
    /// The JSON text, with comment lines.
    pub(super) text: String,
}

/// A jar that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {cause}")]
pub struct JarError {
    path: PathBuf,
    cause: io::Error,
}

/// Reads every definition of every Kafka jar in `directory`.
pub(super) fn read_sources(directory: &Path) -> Result<Vec<Source>, JarError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |cause| JarError { path, cause }
    };
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(at(directory))? {
        let path = entry.map_err(at(directory))?.path();
        if let Some(jar) = kafka_jar_name(&path) {
            read_jar(&path, &jar, &mut sources).map_err(at(&path))?;
        }
    }
    Ok(sources)
}

/// `kafka-clients` for `.../kafka-clients-4.3.0.jar`; nothing for the jars of other projects.
fn kafka_jar_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jar")?;
    let (artifact, version) = name.rsplit_once('-')?;
    let is_kafka = artifact.starts_with("kafka") && version.starts_with(|c: char| c.is_ascii_digit());
    is_kafka.then(|| artifact.to_owned())
}

fn read_jar(path: &Path, jar: &str, sources: &mut Vec<Source>) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(path)?)?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let name = file.name()?.into_owned();
        let (folder, _) = name.split_at(name.rfind('/').map_or(0, |slash| slash + 1));
        if DEFINITION_FOLDERS.contains(&folder) && name.ends_with(".json") {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            sources.push(Source { jar: jar.to_owned(), path: name, text });
        }
    }
    Ok(())
}
