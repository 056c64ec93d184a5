//! What has to be done, from what is wrong. Reads, decides, and changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use indicatif::ProgressBar;
use log_engine::{
    LogConfig, Offset, Rule as EngineRule, TopicPartition,
    checkpoint::{
        CLEANER_FILE, LEADER_EPOCH_FILE, LOG_START_FILE, OffsetsByPartition, RECOVERY_POINT_FILE,
        REPLICATION_FILE, format_offsets, parse_epochs, parse_offsets,
    },
    epoch::EpochCache,
    inspect::{FileType, parse_file_name},
    log_dir::{
        CLEAN_SHUTDOWN_FILE, CLUSTER_METADATA_TOPIC, META_PROPERTIES_FILE, PARTITION_METADATA_FILE,
        format_partition_metadata,
    },
};

use super::survey::{Survey, SurveyedSegment, survey};
use crate::offline::{
    OfflineError,
    layout::{PartitionDir, Target},
    metadata::ClusterFacts,
    refused,
    verify::{
        damage::{Damage, Findings, Rule, Told},
        verify,
    },
};

/// One change.
#[derive(Debug)]
pub(super) enum Step {
    /// The next start must not believe the files as they are.
    RemoveCleanMark { path: PathBuf },
    /// What cannot be used goes out of the way, and is kept.
    SetAside { path: PathBuf, reason: String },
    /// A `.log` is written without what is damaged; the original is kept aside.
    TakeOut(SurveyedSegment),
    /// What follows from the batches is written.
    Derive(Derive),
    /// All records of a log become durable.
    Flush { dir: PathBuf, logs: Vec<PathBuf> },
    /// A small file is written.
    Write { path: PathBuf, content: String, reason: String },
}

/// Files of one log that are written from its batches.
#[derive(Debug)]
pub(super) struct Derive {
    pub(super) dir: PathBuf,
    pub(super) index_interval_bytes: u32,
    /// All segments, in order.
    pub(super) logs: Vec<(Offset, PathBuf)>,
    /// Snapshots of producers at the beginning of a segment that hold what the batches may not.
    pub(super) snapshots: BTreeMap<Offset, PathBuf>,
    pub(super) files: BTreeSet<PathBuf>,
}

/// Something that stays as it is.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) path: PathBuf,
    pub(super) problem: String,
    /// Whether it keeps a broker from serving what is there.
    pub(super) needs_somebody: bool,
}

/// Changes in the order in which they are to be made.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) left: Vec<Left>,
}

/// The first damage of each file: an adversary's file has as many as it likes.
#[derive(Default)]
struct FirstOfEach(BTreeMap<PathBuf, Damage>);

impl Told for FirstOfEach {
    fn damage(&mut self, damage: Damage) -> io::Result<()> {
        match self.0.get(&damage.file) {
            // A gap is told where there is nothing worse.
            Some(first) if is_gap(&damage.rule) || !is_gap(&first.rule) => {}
            _ => drop(self.0.insert(damage.file.clone(), damage)),
        }
        Ok(())
    }
}

// Offsets that are missing; nothing brings them back.
fn is_gap(rule: &Rule) -> bool {
    match rule {
        Rule::Engine(EngineRule::OffsetGap { .. }) => true,
        Rule::Engine(EngineRule::SegmentOrder { base, expected }) => base > expected,
        _ => false,
    }
}

impl Plan {
    pub(super) fn make(target: &Target, progress: ProgressBar) -> Result<Self, OfflineError> {
        let mut found = FirstOfEach::default();
        let mut findings = Findings::new(&mut found, progress.clone());
        let ends = verify(target, false, &mut findings)?;
        let data_dir = target.data_dir();
        let facts = data_dir.as_deref().map(ClusterFacts::read).transpose()?.flatten();
        let mut planning = Planning {
            damages: found.0,
            facts,
            ends,
            surveyed: BTreeMap::new(),
            plan: Self::default(),
            has_doubt: false,
        };
        for dir in target.partitions() {
            planning.partition(dir, &progress)?;
        }
        if let Some(data_dir) = data_dir {
            planning.data_dir(&data_dir)?;
        }
        Ok(planning.plan)
    }
}

struct Planning {
    damages: BTreeMap<PathBuf, Damage>,
    facts: Option<ClusterFacts>,
    // Where logs end now.
    ends: BTreeMap<TopicPartition, Offset>,
    // Logs that lose bytes, and where they end then.
    surveyed: BTreeMap<TopicPartition, Offset>,
    plan: Plan,
    // Whether the next start has to look at logs as after a crash.
    has_doubt: bool,
}

impl Planning {
    fn set_aside(&mut self, path: &Path, reason: impl fmt::Display) {
        if path.symlink_metadata().is_ok() && !self.goes_aside(path) {
            self.plan.steps.push(Step::SetAside { path: path.to_owned(), reason: reason.to_string() });
        }
    }

    fn goes_aside(&self, path: &Path) -> bool {
        self.plan.steps.iter().any(|step| matches!(step, Step::SetAside { path: aside, .. } if aside == path))
    }

    fn leave(&mut self, path: &Path, needs_somebody: bool, problem: impl fmt::Display) {
        self.plan.left.push(Left { path: path.to_owned(), problem: problem.to_string(), needs_somebody });
    }

    fn partition(&mut self, dir: &PartitionDir, progress: &ProgressBar) -> Result<(), OfflineError> {
        for path in &dir.no_files {
            self.set_aside(path, Rule::NotAFile);
        }
        self.orphans(dir);
        self.producer_snapshots(dir);
        self.identity(dir);
        let mut derived = BTreeSet::new();
        let mut contradicts_epochs = self.damages.contains_key(&dir.path.join(LEADER_EPOCH_FILE));
        if self.needs_survey(dir) {
            let epochs = read_epochs(dir);
            let survey = survey(dir, epochs.as_ref(), progress)?;
            if epochs.is_some() {
                contradicts_epochs = survey.contradicts_epochs;
            }
            self.segments(dir, survey, &mut derived);
        }
        for base in dir.offsets(FileType::Log) {
            self.indexes(dir, base, &mut derived);
        }
        if contradicts_epochs {
            let path = dir.path.join(LEADER_EPOCH_FILE);
            self.set_aside(&path, "it does not say what the batches say");
            derived.insert(path);
        }
        if !derived.is_empty() {
            self.plan.steps.push(Step::Derive(self.derive(dir, derived)));
        }
        self.gaps(dir);
        Ok(())
    }

    fn needs_survey(&self, dir: &PartitionDir) -> bool {
        let is_damaged = |path: &Path| self.damages.get(path).is_some_and(|damage| !is_gap(&damage.rule));
        dir.offsets(FileType::Log).any(|base| is_damaged(&dir.file(FileType::Log, base)))
            || is_damaged(&dir.path.join(LEADER_EPOCH_FILE))
    }

    fn segments(&mut self, dir: &PartitionDir, survey: Survey, derived: &mut BTreeSet<PathBuf>) {
        if survey.segments.iter().all(SurveyedSegment::is_whole) {
            return;
        }
        if dir.partition.as_ref().is_some_and(|partition| &*partition.topic == CLUSTER_METADATA_TOPIC)
            && let Some(segment) = cuts_metadata(&survey)
        {
            let reason = segment.reason.as_deref().unwrap_or("it is damaged");
            let problem = format!(
                "{reason}; what follows would say something else without it: bring this directory back from a copy"
            );
            return self.leave(&segment.path, true, problem);
        }
        self.has_doubt = true;
        if let Some(partition) = &dir.partition {
            self.surveyed.insert(partition.clone(), survey.end);
        }
        for segment in survey.segments.into_iter().filter(|segment| !segment.is_whole()) {
            let reason = segment.reason.clone().unwrap_or_default();
            // Their positions are those of the log as it was. Missing, they are made again by whoever comes first.
            for file_type in [FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex] {
                self.set_aside(&dir.file(file_type, segment.base), "its segment is written anew");
            }
            if segment.kept.is_empty() {
                self.set_aside(&segment.path, format!("nothing in it can be used: {reason}"));
                continue;
            }
            for file_type in [FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex] {
                derived.insert(dir.file(file_type, segment.base));
            }
            self.plan.steps.push(Step::TakeOut(segment));
        }
    }

    fn indexes(&mut self, dir: &PartitionDir, base: Offset, derived: &mut BTreeSet<PathBuf>) {
        let log = dir.file(FileType::Log, base);
        if self.goes_aside(&log) {
            return;
        }
        for file_type in [FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex] {
            let path = dir.file(file_type, base);
            let Some(damage) = self.damages.get(&path).filter(|_| !derived.contains(&path)) else { continue };
            let reason = damage.rule.to_string();
            self.set_aside(&path, reason);
            derived.insert(path);
        }
    }

    fn derive(&self, dir: &PartitionDir, files: BTreeSet<PathBuf>) -> Derive {
        let is_surveyed =
            dir.partition.as_ref().is_some_and(|partition| self.surveyed.contains_key(partition));
        let bases: Vec<Offset> = dir
            .offsets(FileType::Log)
            .filter(|base| !self.goes_aside(&dir.file(FileType::Log, *base)))
            .collect();
        let snapshots = dir
            .offsets(FileType::ProducerSnapshot)
            .map(|offset| (offset, dir.file(FileType::ProducerSnapshot, offset)))
            .filter(|(offset, path)| !is_surveyed && bases.contains(offset) && !self.goes_aside(path))
            .collect();
        Derive {
            dir: dir.path.clone(),
            index_interval_bytes: self.index_interval_bytes(dir),
            logs: bases.iter().map(|base| (*base, dir.file(FileType::Log, *base))).collect(),
            snapshots,
            files,
        }
    }

    fn index_interval_bytes(&self, dir: &PartitionDir) -> u32 {
        let mut config = LogConfig::default();
        if let (Some(facts), Some(partition)) = (&self.facts, &dir.partition) {
            for (key, value, _) in facts.configs(&partition.topic, None) {
                // Topics have keys that do not concern their logs.
                let _ = config.set(&key, &value);
            }
        }
        config.index_interval_bytes
    }

    fn orphans(&mut self, dir: &PartitionDir) {
        for file_type in [FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex] {
            for base in dir.offsets(file_type).filter(|base| !dir.has(FileType::Log, *base)) {
                self.set_aside(&dir.file(file_type, base), Rule::NoSegment);
            }
        }
    }

    fn producer_snapshots(&mut self, dir: &PartitionDir) {
        for offset in dir.offsets(FileType::ProducerSnapshot) {
            let path = dir.file(FileType::ProducerSnapshot, offset);
            if let Some(damage) = self.damages.get(&path) {
                let reason = damage.rule.to_string();
                self.set_aside(&path, reason);
                // After a clean stop Kafka does not look for producers in the batches.
                self.has_doubt = true;
            }
        }
    }

    fn identity(&mut self, dir: &PartitionDir) {
        let path = dir.path.join(PARTITION_METADATA_FILE);
        let damage = self.damages.get(&path).map(|damage| damage.rule.to_string());
        let known =
            dir.partition.as_ref().zip(self.facts.as_ref()).and_then(|(tp, facts)| facts.topic_id(&tp.topic));
        if damage.is_none() && (path.exists() || known.is_none()) {
            return;
        }
        self.set_aside(&path, damage.as_deref().unwrap_or_default());
        match known {
            Some(id) => self.plan.steps.push(Step::Write {
                path,
                content: format_partition_metadata(id),
                reason: "the topic's id is in the metadata log".to_owned(),
            }),
            None => self.leave(
                &path,
                true,
                "the topic's id is not known here; Kafka takes a log without one for a stray and renames its directory",
            ),
        }
    }

    fn gaps(&mut self, dir: &PartitionDir) {
        for base in dir.offsets(FileType::Log) {
            let path = dir.file(FileType::Log, base);
            if let Some(gap) = self.damages.get(&path).filter(|damage| is_gap(&damage.rule)) {
                let problem = format!("at byte {}: {}; readers go on behind it", gap.position, gap.rule);
                self.leave(&path, false, problem);
            }
        }
        let snapshots: Vec<(PathBuf, String)> = self
            .damages
            .iter()
            .filter(|(path, _)| {
                path.starts_with(&dir.path) && path.extension().is_some_and(|is| is == "checkpoint")
            })
            .map(|(path, damage)| (path.clone(), damage.rule.to_string()))
            .collect();
        for (path, rule) in snapshots {
            self.leave(&path, true, format!("{rule}; bring it back from a copy, or from another controller"));
        }
    }

    fn data_dir(&mut self, dir: &Path) -> Result<(), OfflineError> {
        let path = dir.join(META_PROPERTIES_FILE);
        if let Some(damage) = self.damages.get(&path) {
            let problem = format!(
                "{}; write it with version=1, cluster.id, node.id and directory.id as the other directories of this node have them",
                damage.rule
            );
            self.leave(&path, true, problem);
        }
        self.recovery_points(dir)?;
        for name in [LOG_START_FILE, REPLICATION_FILE, CLEANER_FILE] {
            self.offsets(&dir.join(name), name == REPLICATION_FILE)?;
        }
        let mark = dir.join(CLEAN_SHUTDOWN_FILE);
        if self.has_doubt && mark.exists() {
            self.plan.steps.insert(0, Step::RemoveCleanMark { path: mark });
        }
        Ok(())
    }

    // Offsets behind the end are cut to it, or forgotten.
    fn offsets(&mut self, path: &Path, cut: bool) -> Result<(), OfflineError> {
        let Some(mut offsets) = self.readable_offsets(path)? else { return Ok(()) };
        let before = offsets.clone();
        for (partition, end) in self.new_ends() {
            match offsets.get_mut(&partition) {
                Some(offset) if *offset > end && cut => *offset = end,
                Some(offset) if *offset > end => drop(offsets.remove(&partition)),
                _ => {}
            }
        }
        if offsets != before {
            self.rewrite(path, &offsets, "it reaches behind the end of a log");
        }
        Ok(())
    }

    // What was looked at and lost something is durable as it is now, up to its end: no later start is to take the hole for
    // the end.
    fn recovery_points(&mut self, dir: &Path) -> Result<(), OfflineError> {
        let path = dir.join(RECOVERY_POINT_FILE);
        let readable = self.readable_offsets(&path)?;
        let had_one = readable.is_some();
        let mut offsets = readable.unwrap_or_default();
        let before = offsets.clone();
        for (partition, end) in self.new_ends() {
            if self.surveyed.contains_key(&partition) && &*partition.topic != CLUSTER_METADATA_TOPIC {
                let path = dir.join(partition.to_string());
                let log = PartitionDir::read(&path)?;
                let logs = log.offsets(FileType::Log).map(|base| log.file(FileType::Log, base)).collect();
                self.plan.steps.push(Step::Flush { dir: path, logs });
                offsets.insert(partition, end);
            } else if let Some(offset) = offsets.get_mut(&partition).filter(|offset| **offset > end) {
                *offset = end;
            }
        }
        if offsets != before {
            let reason = if had_one { "logs end elsewhere" } else { "what was repaired is durable" };
            self.rewrite(&path, &offsets, reason);
        }
        Ok(())
    }

    fn new_ends(&self) -> BTreeMap<TopicPartition, Offset> {
        let mut ends = self.ends.clone();
        ends.extend(self.surveyed.clone());
        ends
    }

    // `None` where there is no such file, or none that can be read: that one goes aside.
    fn readable_offsets(&mut self, path: &Path) -> Result<Option<OffsetsByPartition>, OfflineError> {
        if path.is_dir() {
            self.set_aside(path, Rule::NotAFile);
            return Ok(None);
        }
        let bytes = match fs::read(path) {
            Ok(bytes) if bytes.is_empty() => return Ok(None),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(path)(error)),
        };
        match parse_offsets(path, &String::from_utf8_lossy(&bytes)) {
            Ok(offsets) => Ok(Some(offsets)),
            Err(corruption) => {
                self.set_aside(path, corruption.rule);
                Ok(None)
            }
        }
    }

    fn rewrite(&mut self, path: &Path, offsets: &OffsetsByPartition, reason: &str) {
        self.set_aside(path, reason);
        let content = format_offsets(offsets);
        self.plan.steps.push(Step::Write { path: path.to_owned(), content, reason: reason.to_owned() });
    }
}

// Of a metadata log only a torn end may go.
fn cuts_metadata(survey: &Survey) -> Option<&SurveyedSegment> {
    let last = survey.segments.len().saturating_sub(1);
    let damaged = survey.segments.iter().enumerate().find(|(_, segment)| !segment.is_whole())?;
    let is_torn_end = damaged.0 == last && !damaged.1.kept.is_empty() && !damaged.1.goes_on_behind_damage();
    (!is_torn_end).then_some(damaged.1)
}

fn read_epochs(dir: &PartitionDir) -> Option<EpochCache> {
    let path = dir.path.join(LEADER_EPOCH_FILE);
    let entries = parse_epochs(&path, &fs::read_to_string(&path).ok()?).ok()?;
    let cache = EpochCache::from_entries(entries.iter().copied());
    (cache.entries() == entries && !entries.is_empty()).then_some(cache)
}

impl Step {
    /// The kind of change, in one word or two.
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::RemoveCleanMark { .. } => "remove",
            Self::SetAside { .. } => "set aside",
            Self::TakeOut(_) => "take out",
            Self::Derive(_) => "derive",
            Self::Flush { .. } => "flush",
            Self::Write { .. } => "write",
        }
    }

    /// What is changed.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::RemoveCleanMark { path } | Self::SetAside { path, .. } | Self::Write { path, .. } => path,
            Self::TakeOut(segment) => &segment.path,
            Self::Derive(derive) => &derive.dir,
            Self::Flush { dir, .. } => dir,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::RemoveCleanMark { .. } => {
                write!(f, "remove {path}: the next start has to look at the logs")
            }
            Self::SetAside { reason, .. } => write!(f, "set aside {path}: {reason}"),
            Self::TakeOut(segment) => {
                let kept: u64 = segment.kept.iter().map(|range| range.end - range.start).sum();
                let (lost, reason) = (segment.size - kept, segment.reason.as_deref().unwrap_or_default());
                write!(
                    f,
                    "take {lost} of {} bytes out of {path}, keeping the whole aside: {reason}",
                    segment.size
                )
            }
            Self::Derive(derive) => {
                let names: Vec<_> = derive
                    .files
                    .iter()
                    .filter_map(|file| file.file_name()?.to_str())
                    .filter(|name| !is_rare(name))
                    .collect();
                write!(f, "write from the batches of {path}: {}", names.join(", "))
            }
            Self::Flush { .. } => write!(f, "flush the segments of {path}"),
            Self::Write { reason, .. } => write!(f, "write {path}: {reason}"),
        }
    }
}

// Exists only where a transaction was aborted.
fn is_rare(name: &str) -> bool {
    parse_file_name(name).is_some_and(|name| name.file_type == FileType::TxnIndex)
}
