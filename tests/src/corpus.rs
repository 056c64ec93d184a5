//! `tests/corpus`: files written by Apache Kafka, and what its dump tool prints of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::binaries::workspace;
use crate::process::run;

/// One line of `dumps/MANIFEST.tsv`.
#[derive(Debug)]
pub struct Dump {
    /// Arguments for the dump tool, paths relative to the corpus.
    pub arguments: Vec<String>,
    /// What Kafka's tool prints on its standard output.
    pub stdout: Vec<u8>,
    /// Kafka's exit code.
    pub exit_code: i32,
}

/// Where the corpus lies.
pub fn directory() -> PathBuf {
    workspace().join("tests/corpus")
}

/// A copy of the corpus to change at will, with the killed data directory unpacked.
pub fn copy() -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory can be made");
    for name in ["formatted", "stopped", "legacy", "damaged"] {
        copy_directory(&directory().join(name), &copy.path().join(name));
    }
    run(
        Command::new("tar").arg("-xzf").arg(directory().join("killed.tar.gz")).arg("-C").arg(copy.path()),
        b"",
    );
    copy
}

/// Every dump that Kafka's tool made of the corpus.
pub fn dumps() -> Vec<Dump> {
    let dumps = directory().join("dumps");
    let manifest = fs::read_to_string(dumps.join("MANIFEST.tsv")).expect("the manifest is in the tree");
    manifest.lines().map(|line| parse(&dumps, line)).collect()
}

fn parse(dumps: &Path, line: &str) -> Dump {
    let [name, code, arguments] =
        line.split('\t').collect::<Vec<_>>().try_into().expect("a manifest line has three columns");
    Dump {
        arguments: arguments.split(' ').map(str::to_owned).collect(),
        stdout: fs::read(dumps.join(name)).expect("the manifest names files of the tree"),
        exit_code: code.parse().expect("the second column is an exit code"),
    }
}

/// Copies a directory with all below it.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory can be listed") {
        let entry = entry.expect("a directory can be listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}
