//! What has to be done, from what is wrong. Reads, decides, and changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use indicatif::ProgressBar;
use log_engine::{
    LogConfig, Offset, Rule as EngineRule, TopicPartition,
    checkpoint::{LEADER_EPOCH_FILE, parse_epochs},
    epoch::EpochCache,
    inspect::FileType,
    log_dir::{CLUSTER_METADATA_TOPIC, PARTITION_METADATA_FILE, format_partition_metadata},
};

use super::{
    step::{Derive, Left, Step},
    survey::{Survey, SurveyedSegment, survey},
};
use crate::offline::{
    OfflineError,
    layout::{PartitionDir, Target},
    metadata::ClusterFacts,
    verify::{
        damage::{Damage, Findings, Rule, Told},
        verify,
    },
};

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

pub(super) struct Planning {
    pub(super) damages: BTreeMap<PathBuf, Damage>,
    facts: Option<ClusterFacts>,
    // Where logs end now.
    pub(super) ends: BTreeMap<TopicPartition, Offset>,
    // Logs that lose bytes, and where they end then.
    pub(super) surveyed: BTreeMap<TopicPartition, Offset>,
    pub(super) plan: Plan,
    // Whether the next start has to look at logs as after a crash.
    pub(super) has_doubt: bool,
}

impl Planning {
    pub(super) fn set_aside(&mut self, path: &Path, reason: impl fmt::Display) {
        if path.symlink_metadata().is_ok() && !self.goes_aside(path) {
            self.plan.steps.push(Step::SetAside { path: path.to_owned(), reason: reason.to_string() });
        }
    }

    fn goes_aside(&self, path: &Path) -> bool {
        self.plan.steps.iter().any(|step| matches!(step, Step::SetAside { path: aside, .. } if aside == path))
    }

    pub(super) fn leave(&mut self, path: &Path, needs_somebody: bool, problem: impl fmt::Display) {
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
