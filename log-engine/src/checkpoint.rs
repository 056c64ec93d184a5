//! The small text files beside the data: offset checkpoints (one per data directory) and the leader
//! epoch checkpoint (one per partition). All share one form, Kafka's `CheckpointFile` of version 0:
//!
//! ```text
//! 0                      version
//! 2                      number of entries
//! orders 0 4711          one entry a line
//! orders 1 15
//! ```
//!
//! They are replaced as a whole (write beside, sync, rename, sync the directory), so a crash leaves the
//! old or the new file. Nothing here decides what the numbers mean.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::epoch::EpochEntry;
use crate::error::{Corruption, Rule};
use crate::io::{Disk, OpenMode};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// File with the offsets up to which each log is known to be on disk.
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// File with the log start offsets that are past the first segment's base offset.
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";
/// File with the high watermarks.
pub const REPLICATION_FILE: &str = "replication-offset-checkpoint";
/// File with the offsets up to which the cleaner has cleaned.
pub const CLEANER_FILE: &str = "cleaner-offset-checkpoint";
/// File, in each partition's directory, with the first offset of each leader epoch.
pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// The offset checkpoints of a data directory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Checkpoint {
    RecoveryPoints,
    LogStarts,
    HighWatermarks,
}

impl Checkpoint {
    pub(crate) const ALL: [Self; 3] = [Self::RecoveryPoints, Self::LogStarts, Self::HighWatermarks];

    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::RecoveryPoints => RECOVERY_POINT_FILE,
            Self::LogStarts => LOG_START_FILE,
            Self::HighWatermarks => REPLICATION_FILE,
        }
    }
}

const VERSION: &str = "0";

/// Offsets by partition, as one checkpoint file holds them.
pub type OffsetsByPartition = BTreeMap<TopicPartition, Offset>;

/// Parses an offset checkpoint (`topic partition offset` a line).
pub fn parse_offsets(path: &Path, text: &str) -> Result<OffsetsByPartition, Corruption> {
    let entries = parse(path, text, |line| {
        // A topic name holds no space, so the last two words are the numbers.
        let mut words = line.rsplitn(3, ' ');
        let offset: i64 = words.next()?.parse().ok()?;
        let partition: i32 = words.next()?.parse().ok()?;
        let topic = words.next().filter(|topic| !topic.is_empty())?;
        Some((TopicPartition::new(topic, partition), Offset::new(offset)))
    })?;
    Ok(entries.into_iter().collect())
}

/// The text of an offset checkpoint.
pub fn format_offsets(offsets: &OffsetsByPartition) -> String {
    format(offsets.iter().map(|(tp, offset)| format!("{} {} {}", tp.topic, tp.partition, offset.get())))
}

/// Parses a leader epoch checkpoint (`epoch start_offset` a line).
pub fn parse_epochs(path: &Path, text: &str) -> Result<Vec<EpochEntry>, Corruption> {
    parse(path, text, |line| {
        let (epoch, start) = line.split_once(' ')?;
        Some(EpochEntry {
            epoch: LeaderEpoch::new(epoch.parse().ok()?),
            start_offset: Offset::new(start.parse().ok()?),
        })
    })
}

/// The text of a leader epoch checkpoint.
pub fn format_epochs(entries: &[EpochEntry]) -> String {
    format(entries.iter().map(|entry| format!("{} {}", entry.epoch.get(), entry.start_offset.get())))
}

/// Reads an offset checkpoint. An absent or empty file (what a power loss can leave) holds no offsets.
pub(crate) fn read_offsets(
    disk: &Arc<dyn Disk>,
    path: &Path,
) -> Result<OffsetsByPartition, ReadCheckpointError> {
    match read_text(disk, path)? {
        Some(text) => Ok(parse_offsets(path, &text)?),
        None => Ok(OffsetsByPartition::new()),
    }
}

/// Reads a leader epoch checkpoint; `None` when the file is absent or empty.
pub(crate) fn read_epochs(
    disk: &Arc<dyn Disk>,
    path: &Path,
) -> Result<Option<Vec<EpochEntry>>, ReadCheckpointError> {
    match read_text(disk, path)? {
        Some(text) => Ok(Some(parse_epochs(path, &text)?)),
        None => Ok(None),
    }
}

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadCheckpointError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Corrupt(#[from] Corruption),
}

/// The bytes of a small file, `None` if there is no such file.
pub(crate) fn read_small_file(disk: &Arc<dyn Disk>, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

fn read_text(disk: &Arc<dyn Disk>, path: &Path) -> Result<Option<String>, ReadCheckpointError> {
    match read_small_file(disk, path)? {
        None => Ok(None),
        Some(bytes) if bytes.is_empty() => Ok(None),
        Some(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(malformed(path, 1).into()),
        },
    }
}

fn parse<T>(path: &Path, text: &str, entry: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Corruption> {
    let mut lines = text.lines();
    if lines.next() != Some(VERSION) {
        return Err(malformed(path, 1));
    }
    let expected: usize =
        lines.next().and_then(|line| line.parse().ok()).ok_or_else(|| malformed(path, 2))?;
    let mut entries = Vec::new();
    for (index, line) in lines.enumerate() {
        entries.push(entry(line).ok_or_else(|| malformed(path, index + 3))?);
    }
    if entries.len() != expected {
        return Err(malformed(path, 2));
    }
    Ok(entries)
}

fn format(entries: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        text.push_str(&entry);
        text.push('\n');
    }
    text
}

fn malformed(path: &Path, line: usize) -> Corruption {
    Corruption { file: path.to_owned(), position: 0, rule: Rule::CheckpointLine { line } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KAFKA_OFFSETS: &str = "0\n3\n__consumer_offsets 0 5\ncodec-zstd 0 105\nrolled 0 200\n";
    const KAFKA_EPOCHS: &str = "0\n2\n0 0\n4 105\n";

    #[test]
    fn offsets_written_by_kafka_are_read_and_written_the_same() {
        let offsets = parse_offsets(Path::new("x"), KAFKA_OFFSETS).expect("parses");
        assert_eq!(offsets[&TopicPartition::new("codec-zstd", 0)], Offset::new(105));
        assert_eq!(format_offsets(&offsets), KAFKA_OFFSETS);
    }

    #[test]
    fn epochs_written_by_kafka_are_read_and_written_the_same() {
        let epochs = parse_epochs(Path::new("x"), KAFKA_EPOCHS).expect("parses");
        assert_eq!(epochs[1].epoch, LeaderEpoch::new(4));
        assert_eq!(epochs[1].start_offset, Offset::new(105));
        assert_eq!(format_epochs(&epochs), KAFKA_EPOCHS);
    }

    #[test]
    fn every_cut_of_a_checkpoint_is_refused_or_is_the_whole_without_its_last_line_break() {
        for end in 0..KAFKA_OFFSETS.len() - 1 {
            let Ok(offsets) = parse_offsets(Path::new("x"), &KAFKA_OFFSETS[..end]) else { continue };
            // A number cut short is still a number: Kafka cannot tell either, the rename protects it.
            assert_eq!(offsets.len(), 3, "cut at {end}");
        }
    }

    #[test]
    fn wrong_versions_counts_and_words_name_their_line() {
        for (text, line) in [
            ("1\n0\n", 1),
            ("0\nx\n", 2),
            ("0\n2\na 0 1\n", 2),
            ("0\n1\na 0\n", 3),
            ("0\n1\n 0 1\n", 3),
            ("0\n1\na 0 99999999999999999999\n", 3),
        ] {
            let error = parse_offsets(Path::new("x"), text).expect_err(text);
            assert_eq!(error.rule, Rule::CheckpointLine { line }, "{text:?}");
        }
    }
}
