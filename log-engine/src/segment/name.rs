//! Names of files and directories, exactly as Kafka forms them. Nothing here touches a disk.

use crate::types::{Offset, TopicPartition};

/// What a file beside a segment holds.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FileType {
    /// Record batches.
    Log,
    /// Offset to position.
    OffsetIndex,
    /// Timestamp to offset.
    TimeIndex,
    /// Aborted transactions.
    TxnIndex,
    /// Producer state.
    ProducerSnapshot,
}

impl FileType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::ProducerSnapshot];

    /// The ending, with its dot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::ProducerSnapshot => ".snapshot",
        }
    }
}

/// What a second ending says about a file's state.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FileState {
    /// No second ending: the file serves.
    Live,
    /// `.deleted`: waits for its removal.
    Deleted,
    /// `.cleaned`: the cleaner had not finished it.
    Cleaned,
    /// `.swap`: finished by the cleaner, about to take the place of its sources.
    Swap,
    /// `.tmp`: was being written to take the place of the file without it.
    Unfinished,
}

/// Ending of a file that waits for its removal.
pub(crate) const DELETED: &str = ".deleted";
/// Ending of a file that the cleaner has not finished.
pub(crate) const CLEANED: &str = ".cleaned";
/// Ending of a file about to replace others.
pub(crate) const SWAP: &str = ".swap";

/// Ending of a file that is written to take the place of another one.
pub(crate) const UNFINISHED: &str = ".tmp";

impl FileState {
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Deleted => DELETED,
            Self::Cleaned => CLEANED,
            Self::Swap => SWAP,
            Self::Unfinished => UNFINISHED,
        }
    }
}

const STATES: [(&str, FileState); 4] = [
    (DELETED, FileState::Deleted),
    (CLEANED, FileState::Cleaned),
    (SWAP, FileState::Swap),
    (UNFINISHED, FileState::Unfinished),
];

/// A file name inside a partition's directory, taken apart.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FileName {
    /// The number in the name.
    pub offset: Offset,
    /// What the file holds.
    pub file_type: FileType,
    /// Its state.
    pub state: FileState,
}

/// The name of the file of `file_type` for `offset`: `00000000000000000042.log`.
pub fn file_name(offset: Offset, file_type: FileType) -> String {
    format!("{:020}{}", offset.get(), file_type.suffix())
}

/// Takes a file name apart; `None` for files that are none of a log's.
pub fn parse_file_name(name: &str) -> Option<FileName> {
    let (rest, state) = STATES
        .into_iter()
        .find_map(|(suffix, state)| name.strip_suffix(suffix).map(|rest| (rest, state)))
        .unwrap_or((name, FileState::Live));
    let (digits, file_type) =
        FileType::ALL.into_iter().find_map(|t| rest.strip_suffix(t.suffix()).map(|digits| (digits, t)))?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(FileName { offset: Offset::new(digits.parse().ok()?), file_type, state })
}

/// How the name of a deleted partition's directory ends.
pub(crate) const DELETED_DIRECTORY: &str = "-delete";

/// How the name of a stray partition's directory ends.
pub(crate) const STRAY_DIRECTORY: &str = "-stray";

/// How the name of a directory ends that a partition is being moved to.
pub(crate) const FUTURE_DIRECTORY: &str = "-future";

/// What a directory inside a data directory is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DirectoryName {
    /// A partition.
    Partition(TopicPartition),
    /// A deleted partition, `topic-0.<32 hex digits>-delete`.
    Deleted(TopicPartition),
    /// A partition being moved here from another data directory, `...-future`.
    Future(TopicPartition),
    /// A partition that the metadata no longer assigns to this broker, `...-stray`.
    Stray(TopicPartition),
}

/// Takes the name of a directory apart; `None` for directories that are no partition's.
pub fn parse_directory_name(name: &str) -> Option<DirectoryName> {
    for (suffix, make) in [
        (DELETED_DIRECTORY, DirectoryName::Deleted as fn(TopicPartition) -> DirectoryName),
        (FUTURE_DIRECTORY, DirectoryName::Future),
        (STRAY_DIRECTORY, DirectoryName::Stray),
    ] {
        if let Some(rest) = name.strip_suffix(suffix)
            && let Some((partition, id)) = rest.rsplit_once('.')
            && id.len() == 32
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return parse_partition(partition).map(make);
        }
    }
    parse_partition(name).map(DirectoryName::Partition)
}

/// Longest topic name: 249 characters, so that every name derived from it is one a file system takes.
const TOPIC_NAME_MAX: usize = 249;

/// Whether a topic may be called so: `[a-zA-Z0-9._-]{1,249}`, but not `.` or `..`.
pub fn is_legal_topic_name(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= TOPIC_NAME_MAX
        && topic != "."
        && topic != ".."
        && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn parse_partition(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let partition: i32 = partition.bytes().all(|b| b.is_ascii_digit()).then(|| partition.parse().ok())??;
    is_legal_topic_name(topic).then(|| TopicPartition::new(topic, partition))
}

/// The directory a partition is renamed to, with what it is at its end, [`DELETED_DIRECTORY`] for instance. `id` makes it
/// unique; 32 hexadecimal digits. Long topic names are shortened so that the name stays within 255 characters, as Kafka
/// does.
pub(crate) fn moved_directory_name(partition: &TopicPartition, id: u128, suffix: &str) -> String {
    let suffix = format!("-{}.{id:032x}{suffix}", partition.partition);
    let kept = partition.topic.len().min(255 - suffix.len());
    format!("{}{suffix}", &partition.topic[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_kafkas_and_are_read_back() {
        let offset = Offset::new(98);
        for (file_type, name) in FileType::ALL.into_iter().zip([
            "00000000000000000098.log",
            "00000000000000000098.index",
            "00000000000000000098.timeindex",
            "00000000000000000098.txnindex",
            "00000000000000000098.snapshot",
        ]) {
            assert_eq!(file_name(offset, file_type), name);
            for (suffix, state) in [
                ("", FileState::Live),
                (DELETED, FileState::Deleted),
                (SWAP, FileState::Swap),
                (CLEANED, FileState::Cleaned),
                (UNFINISHED, FileState::Unfinished),
            ] {
                let parsed = parse_file_name(&format!("{name}{suffix}"));
                assert_eq!(parsed, Some(FileName { offset, file_type, state }));
            }
        }
    }

    #[test]
    fn files_that_are_none_of_a_logs_are_left_alone() {
        for name in [
            "leader-epoch-checkpoint",
            "partition.metadata",
            "quorum-state",
            "00000000000000000071-0000000001.checkpoint",
            "98.log",
            "0000000000000000009x.log",
            "+0000000000000000098.log",
            "99999999999999999999.log",
            "00000000000000000098.log.bak",
            "",
        ] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn directories_are_told_apart_as_kafka_does() {
        let orders = || TopicPartition::new("or-ders.x", 12);
        let id = "271c91ae05d04a1b8099c66852339c0e";
        assert_eq!(parse_directory_name("or-ders.x-12"), Some(DirectoryName::Partition(orders())));
        assert_eq!(
            parse_directory_name(&format!("or-ders.x-12.{id}-delete")),
            Some(DirectoryName::Deleted(orders()))
        );
        assert_eq!(
            parse_directory_name(&format!("or-ders.x-12.{id}-future")),
            Some(DirectoryName::Future(orders()))
        );
        assert_eq!(
            parse_directory_name(&format!("or-ders.x-12.{id}-stray")),
            Some(DirectoryName::Stray(orders()))
        );
        for name in
            ["lost+found", "orders", "orders-", "orders-x", "-1", "..-0", "a b-0", "orders-99999999999"]
        {
            assert_eq!(parse_directory_name(name), None, "{name}");
        }
        assert_eq!(
            parse_directory_name("orders-0-delete"),
            None,
            "a name that ends so without an id is no partition"
        );
    }

    #[test]
    fn the_name_of_a_deleted_partition_is_read_back_and_fits_a_file_system() {
        let partition = TopicPartition::new("orders", 3);
        let name = moved_directory_name(&partition, 0x271c_91ae, DELETED_DIRECTORY);
        assert_eq!(name, "orders-3.000000000000000000000000271c91ae-delete");
        assert_eq!(parse_directory_name(&name), Some(DirectoryName::Deleted(partition)));
        let long = TopicPartition::new("t".repeat(249), 3);
        assert_eq!(moved_directory_name(&long, 1, DELETED_DIRECTORY).len(), 255);
    }
}
