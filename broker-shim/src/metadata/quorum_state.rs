//! `quorum-state`: the leader epoch that this node knows, as Kafka's `FileQuorumStateStore` writes it.
//!
//! Version 0 belongs to `kraft.version` 0 and names the voters; version 1 belongs to `kraft.version` 1, where the voters
//! stand in the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log_engine::{
    io::{Disk, FileKind, OpenMode, atomic_replace, move_aside},
    types::LeaderEpoch,
};
use serde::{Deserialize, Serialize};

use super::ids::DirectoryId;

/// Name of the file in the directory of the metadata log.
pub(super) const FILE: &str = "quorum-state";

/// No node.
const NONE: i32 = -1;

/// Longest file that is read; a real one has some hundred bytes.
const LEN_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuorumState {
    /// Who leads in the epoch; -1 where it is not known.
    pub(super) leader_id: i32,
    pub(super) leader_epoch: LeaderEpoch,
    /// For whom this node voted in the epoch; -1 for nobody.
    pub(super) voted_id: i32,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QuorumStateError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no quorum state.
    #[error("{}: not a quorum state: {error}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// It is of a newer Kafka.
    #[error("{}: quorum state of version {version}, which this build does not know", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i16,
    },
}

// Fields in the order in which Kafka writes them; those without a value are not in the version.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voted_directory_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied_offset: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current_voters: Option<Vec<JsonVoter>>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonVoter {
    voter_id: i32,
}

impl QuorumState {
    /// This node leads.
    pub(super) fn led_by(leader_id: i32, leader_epoch: LeaderEpoch) -> Self {
        // Kafka forgets its vote once it leads.
        Self { leader_id, leader_epoch, voted_id: NONE }
    }

    /// The file's text for a level of `kraft.version`.
    pub(super) fn to_text(self, kraft_version: i16, voters: &[i32]) -> Result<String, serde_json::Error> {
        let old = kraft_version == 0;
        serde_json::to_string(&Json {
            cluster_id: old.then(String::new),
            leader_id: self.leader_id,
            leader_epoch: self.leader_epoch.get(),
            voted_id: self.voted_id,
            voted_directory_id: (!old).then(|| DirectoryId::MIGRATING.to_string()),
            applied_offset: old.then_some(0),
            current_voters: old.then(|| voters.iter().map(|id| JsonVoter { voter_id: *id }).collect()),
            data_version: i16::from(!old),
        })
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, QuorumStateError> {
        let json: Json = serde_json::from_slice(bytes)
            .map_err(|error| QuorumStateError::Malformed { path: path.to_owned(), error })?;
        if !(0..=1).contains(&json.data_version) {
            return Err(QuorumStateError::Version { path: path.to_owned(), version: json.data_version });
        }
        Ok(Self {
            leader_id: json.leader_id,
            leader_epoch: LeaderEpoch::new(json.leader_epoch),
            voted_id: json.voted_id,
        })
    }

    /// Reads the file of a metadata log directory; `None` before the first leadership. One that is damaged is moved aside.
    pub(super) fn read(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Option<Self>, QuorumStateError> {
        let path = dir.join(FILE);
        let problem = match read_file(disk, &path, LEN_MAX) {
            Ok(bytes) => match Self::parse(&path, &bytes) {
                Err(QuorumStateError::Malformed { error, .. }) => error.to_string(),
                parsed => return parsed.map(Some),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if disk.metadata(&path).is_ok_and(|found| found.kind == FileKind::Directory) => {
                error.to_string()
            }
            Err(error) => return Err(QuorumStateError::Io { path, error }),
        };
        // An only voter has nobody to break a promise to: the log tells which epochs there were. (Kafka does not start.)
        let aside =
            move_aside(&**disk, &path).map_err(|error| QuorumStateError::Io { path: path.clone(), error })?;
        tracing::warn!(
            "{}: not a quorum state: {problem}; it is now {}, and the epoch is taken from the log",
            path.display(),
            aside.display()
        );
        Ok(None)
    }

    /// Replaces the file; durable when this returns.
    pub(super) fn write(
        self,
        disk: &Arc<dyn Disk>,
        dir: &Path,
        kraft_version: i16,
        voters: &[i32],
    ) -> Result<(), QuorumStateError> {
        let path = dir.join(FILE);
        let text = self
            .to_text(kraft_version, voters)
            .map_err(|error| QuorumStateError::Malformed { path: path.clone(), error })?;
        atomic_replace(&**disk, &path, text.as_bytes()).map_err(|error| QuorumStateError::Io { path, error })
    }
}

/// Reads a whole file of at most `len_max` bytes.
pub(super) fn read_file(disk: &Arc<dyn Disk>, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if len > len_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{len} bytes, at most {len_max} expected"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    // As Apache Kafka 4.3.0 left them: the first with voters in the configuration, the second with voters in the log.
    const STATIC: &str = r#"{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#;
    const DYNAMIC: &str = r#"{"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;

    #[test]
    fn both_forms_of_kafkas_file_are_read_and_written_the_same() {
        let state = QuorumState::led_by(1, LeaderEpoch::new(2));
        for (kraft_version, text) in [(0, STATIC), (1, DYNAMIC)] {
            assert_eq!(QuorumState::parse(Path::new("x"), text.as_bytes()).unwrap(), state);
            assert_eq!(state.to_text(kraft_version, &[1]).unwrap(), text);
        }
    }

    #[test]
    fn a_newer_version_and_damage_are_refused() {
        let newer = DYNAMIC.replace("\"data_version\":1", "\"data_version\":2");
        let error = QuorumState::parse(Path::new("x"), newer.as_bytes()).unwrap_err();
        assert!(matches!(error, QuorumStateError::Version { version: 2, .. }));
        for len in 0..DYNAMIC.len() {
            assert!(QuorumState::parse(Path::new("x"), &DYNAMIC.as_bytes()[..len]).is_err());
        }
    }
}
