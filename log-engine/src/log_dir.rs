//! One data directory: its lock, its identity (`meta.properties`), the marker of a clean stop, and the identity of
//! each partition in it (`partition.metadata`). The texts are Kafka's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::read_small_file;
use crate::error::{Corruption, OpenError, Rule};
use crate::io::{Disk, FileLock, atomic_replace};
use crate::types::{Offset, TimestampMs, TopicId};

/// Held locked while an engine, or a Kafka broker, works in the directory.
pub const LOCK_FILE: &str = ".lock";
/// Says which cluster, node and directory this is.
pub const META_PROPERTIES_FILE: &str = "meta.properties";
/// Exists only after a clean stop.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// Says which topic a partition's directory belongs to.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// In a partition's directory: it is the complete copy of a log that was moved here, and what still lies in the old place
/// may go. Ours; gone once the old place is.
pub(crate) const RELOCATED_FILE: &str = ".klamm-relocated";

/// In a partition's directory: a cut has begun, and what it took away may still be on the disk. Ours.
pub(crate) const CUTTING_FILE: &str = ".klamm-cutting";

/// The metadata log: it lies among the partitions, but keeps its own recovery point (its snapshots), so the checkpoint
/// files do not list it.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Content of `meta.properties`, version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`.
    pub cluster_id: String,
    /// `node.id`.
    pub node_id: i32,
    /// `directory.id`; directories formatted before KIP-858 have none.
    pub directory_id: Option<TopicId>,
}

impl MetaProperties {
    /// The file's text. `now` shows in the comment, as Java's Properties writes it.
    pub fn format(&self, now: TimestampMs) -> String {
        let mut text = format!("#\n#{}\nnode.id={}\n", java_date(now), self.node_id);
        if let Some(id) = self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        text.push_str(&format!("version=1\ncluster.id={}\n", self.cluster_id));
        text
    }

    /// Parses the file's text; unknown keys are ignored, as Kafka ignores them.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Corruption> {
        let value = |key: &str| {
            let line = |line: &str| {
                let (name, value) = line.split_once(['=', ':'])?;
                (name.trim() == key).then(|| value.trim().to_owned())
            };
            text.lines().filter(|text| !text.trim_start().starts_with(['#', '!'])).find_map(line)
        };
        let wrong = |problem: &str| Corruption {
            file: path.to_owned(),
            position: 0,
            rule: Rule::Content { what: META_PROPERTIES_FILE, problem: problem.to_owned() },
        };
        if value("version").as_deref() != Some("1") {
            return Err(wrong("version is not 1"));
        }
        let node_id = value("node.id").and_then(|id| id.parse().ok());
        let directory_id = match value("directory.id").map(|id| id.parse()) {
            Some(Err(_)) => return Err(wrong("directory.id is malformed")),
            Some(Ok(id)) => Some(id),
            None => None,
        };
        Ok(Self {
            cluster_id: value("cluster.id").ok_or_else(|| wrong("cluster.id is missing"))?,
            node_id: node_id.ok_or_else(|| wrong("node.id is missing or malformed"))?,
            directory_id,
        })
    }
}

/// Gives a directory its identity, creating it where it is missing. Does not replace an identity.
pub fn format(disk: &Arc<dyn Disk>, dir: &Path, meta: &MetaProperties, now: TimestampMs) -> io::Result<()> {
    let path = dir.join(META_PROPERTIES_FILE);
    disk.create_dir_all(dir)?;
    match disk.metadata(&path) {
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    atomic_replace(&**disk, &path, meta.format(now).as_bytes())?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk.sync_dir(parent),
        _ => Ok(()),
    }
}

/// The identity of a directory, `None` if it has none yet.
pub fn read_meta_properties(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Option<MetaProperties>, OpenError> {
    let path = dir.join(META_PROPERTIES_FILE);
    match read_small_file(disk, &path).map_err(OpenError::io(&path))? {
        None => Ok(None),
        Some(bytes) => Ok(Some(MetaProperties::parse(&path, &String::from_utf8_lossy(&bytes))?)),
    }
}

/// How the last stop of a directory's user went.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Everything was flushed and every checkpoint written. The broker epoch is the one in the marker.
    Clean {
        /// Epoch of the broker that stopped; -1 where the marker does not say.
        broker_epoch: i64,
    },
    /// Anything may be missing behind the recovery points.
    Unclean,
}

/// A directory in use by this process.
#[derive(Debug)]
pub(crate) struct LogDir {
    pub(crate) path: PathBuf,
    pub(crate) meta: MetaProperties,
    pub(crate) shutdown: Shutdown,
    _lock: FileLock,
}

impl LogDir {
    /// Locks the directory, reads who it is, and takes the marker of a clean stop away: should this process die, the
    /// next start is an unclean one.
    pub(crate) fn open(disk: &Arc<dyn Disk>, path: &Path) -> Result<Self, OpenError> {
        let lock_path = path.join(LOCK_FILE);
        if let Err(error) = disk.metadata(path)
            && error.kind() == io::ErrorKind::NotFound
        {
            return Err(OpenError::NotFormatted { dir: path.to_owned() });
        }
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse { dir: path.to_owned() },
            _ => OpenError::Io { path: lock_path, error },
        })?;
        let meta = read_meta_properties(disk, path)?
            .ok_or_else(|| OpenError::NotFormatted { dir: path.to_owned() })?;
        let shutdown = take_clean_shutdown(disk, path)?;
        Ok(Self { path: path.to_owned(), meta, shutdown, _lock: lock })
    }

    /// Leaves the marker of a clean stop; only after everything else is durable.
    pub(crate) fn mark_clean(&self, disk: &Arc<dyn Disk>, broker_epoch: i64) -> io::Result<()> {
        let text = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        atomic_replace(&**disk, &self.path.join(CLEAN_SHUTDOWN_FILE), text.as_bytes())
    }
}

fn take_clean_shutdown(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Shutdown, OpenError> {
    let path = dir.join(CLEAN_SHUTDOWN_FILE);
    let Some(bytes) = read_small_file(disk, &path).map_err(OpenError::io(&path))? else {
        return Ok(Shutdown::Unclean);
    };
    disk.remove_file(&path).map_err(OpenError::io(&path))?;
    disk.sync_dir(dir).map_err(OpenError::io(dir))?;
    Ok(Shutdown::Clean { broker_epoch: broker_epoch(&String::from_utf8_lossy(&bytes)) })
}

// Older brokers leave the file empty.
fn broker_epoch(text: &str) -> i64 {
    const UNKNOWN: i64 = -1;
    let Some((_, rest)) = text.split_once("\"brokerEpoch\"") else { return UNKNOWN };
    let number: String =
        rest.trim_start_matches([':', ' ']).chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    number.parse().unwrap_or(UNKNOWN)
}

/// Where the newest snapshot of a metadata log ends, 0 where it has none. A snapshot (`%020d-%010d.checkpoint`) is
/// written of what is durable only, so it is this log's recovery point.
pub(crate) fn newest_metadata_snapshot(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<Offset> {
    const DIGITS: usize = 20;
    let end = |name: &str| {
        let (offset, _) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        offset.parse().ok().filter(|_| offset.len() == DIGITS).map(Offset::new)
    };
    let entries = disk.list(dir)?;
    Ok(entries.iter().filter_map(|entry| end(entry.name()?)).max().unwrap_or(Offset::ZERO))
}

/// The text of `partition.metadata`.
pub fn format_partition_metadata(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// Parses `partition.metadata`.
pub fn parse_partition_metadata(path: &Path, text: &str) -> Result<TopicId, Corruption> {
    let malformed =
        |line| Corruption { file: path.to_owned(), position: 0, rule: Rule::CheckpointLine { line } };
    let mut lines = text.lines();
    if lines.next() != Some("version: 0") {
        return Err(malformed(1));
    }
    let id = lines.next().and_then(|line| line.strip_prefix("topic_id: "));
    id.and_then(|id| id.trim().parse().ok()).ok_or_else(|| malformed(2))
}

// `Sat Nov 21 10:44:38 UTC 2026`: java.util.Date in UTC. Only a comment, but there in every file Kafka writes.
fn java_date(now: TimestampMs) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = now.get().div_euclid(1000);
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month - 1],
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    )
}

// Counts in eras of 400 years that begin on the first of March, so that leap days come last.
fn civil_from_days(days: i64) -> (i64, usize, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KAFKA_META: &str = "#\n#Sat Nov 21 10:44:38 UTC 2026\nnode.id=1\ndirectory.id=GLUwh-yGT86yI-at6md3pA\n\
                              version=1\ncluster.id=klammCorpusAAAAAAAAAAA\n";

    #[test]
    fn meta_properties_of_kafka_are_read_and_written_the_same() {
        let meta = MetaProperties::parse(Path::new("x"), KAFKA_META).expect("parses");
        assert_eq!(meta.node_id, 1);
        assert_eq!(meta.cluster_id, "klammCorpusAAAAAAAAAAA");
        assert_eq!(meta.directory_id.map(|id| id.to_string()).as_deref(), Some("GLUwh-yGT86yI-at6md3pA"));
        assert_eq!(meta.format(TimestampMs::new(1_795_257_878_000)), KAFKA_META);
    }

    #[test]
    fn a_date_is_the_one_java_prints() {
        for (ms, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_709_251_199_999, "Thu Feb 29 23:59:59 UTC 2024"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(java_date(TimestampMs::new(ms)), text);
        }
    }

    #[test]
    fn meta_properties_without_what_matters_are_refused_by_name() {
        for (text, problem) in [
            ("cluster.id=a\nnode.id=1\n", "version is not 1"),
            ("version=1\nnode.id=1\n", "cluster.id is missing"),
            ("version=1\ncluster.id=a\n", "node.id is missing or malformed"),
            ("version=1\ncluster.id=a\nnode.id=x\n", "node.id is missing or malformed"),
            ("version=1\ncluster.id=a\nnode.id=1\ndirectory.id=x\n", "directory.id is malformed"),
        ] {
            let error = MetaProperties::parse(Path::new("x"), text).expect_err(text);
            assert!(
                matches!(error.rule, Rule::Content { problem: ref p, .. } if p == problem),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn partition_metadata_has_no_line_break_at_its_end_as_kafka_writes_it() {
        let text = "version: 0\ntopic_id: zoxu-eL8TzSWqd_wyViODA";
        let id = parse_partition_metadata(Path::new("x"), text).expect("parses");
        assert_eq!(format_partition_metadata(id), text);
        assert!(
            parse_partition_metadata(Path::new("x"), "version: 1\ntopic_id: zoxu-eL8TzSWqd_wyViODA").is_err()
        );
        assert!(parse_partition_metadata(Path::new("x"), "version: 0\n").is_err());
    }

    #[test]
    fn the_broker_epoch_is_read_from_the_marker_where_it_says_one() {
        for (text, epoch) in
            [("{\"version\":0,\"brokerEpoch\":183}", 183), ("", -1), ("{}", -1), ("{\"brokerEpoch\": 7}", 7)]
        {
            assert_eq!(broker_epoch(text), epoch, "{text:?}");
        }
    }
}
