//! One partition: its segments in order, with all that stands beside them.

use std::{fs, io, path::Path};

use log_engine::{
    Offset, Rule as EngineRule,
    checkpoint::{LEADER_EPOCH_FILE, parse_epochs},
    epoch::{EpochCache, EpochEntry},
    inspect::{BatchAt, FileType, Found, SegmentFile},
    log_dir::{CLUSTER_METADATA_TOPIC, PARTITION_METADATA_FILE, parse_partition_metadata},
    producer::snapshot,
};

use super::{
    Text,
    damage::{Damage, Findings, Rule},
    indexes::{self, IndexChecks, OffsetIndexCheck, TimeIndexCheck, TxnIndexCheck},
    read_text,
};
use crate::offline::{
    OfflineError,
    layout::PartitionDir,
    metadata::{ClusterFacts, snapshots},
    refused,
};

/// Checks a partition; answers where its log ends.
pub(super) fn verify(
    dir: &PartitionDir,
    may_have_gaps: bool,
    facts: Option<&ClusterFacts>,
    findings: &mut Findings<'_>,
) -> Result<Offset, OfflineError> {
    findings.counts.partitions += 1;
    for path in &dir.no_files {
        findings.damage(path, 0, Rule::NotAFile)?;
    }
    let epochs = read_epochs(dir, findings)?;
    read_identity(dir, facts, findings)?;
    let first = dir.offsets(FileType::Log).next().unwrap_or(Offset::ZERO);
    let mut walk = PartitionWalk {
        dir,
        may_have_gaps,
        findings,
        epochs,
        epoch_told: None,
        previous: None,
        expected: None,
        end: first,
    };
    for base in dir.offsets(FileType::Log) {
        walk.segment(base)?;
    }
    let end = walk.end;
    orphans(dir, findings)?;
    producer_snapshots(dir, end, findings)?;
    metadata_snapshots(dir, findings)?;
    Ok(end)
}

struct PartitionWalk<'a, 'w> {
    dir: &'a PartitionDir,
    may_have_gaps: bool,
    findings: &'a mut Findings<'w>,
    epochs: Option<EpochCache>,
    // Told once for a run of batches.
    epoch_told: Option<(i32, Option<i32>)>,
    previous: Option<BatchAt>,
    // Where the next batch begins if nothing is missing; unknown behind damage.
    expected: Option<Offset>,
    end: Offset,
}

impl PartitionWalk<'_, '_> {
    fn segment(&mut self, base: Offset) -> Result<(), OfflineError> {
        let path = self.dir.file(FileType::Log, base);
        self.findings.counts.segments += 1;
        self.check_base(base, &path)?;
        self.expected = Some(base);
        self.end = self.end.max(base);
        let file = SegmentFile::open(&path, base).map_err(refused(&path))?;
        let mut indexes = self.indexes(base)?;
        let mut batches = file.batches(self.previous);
        while let Some(found) = batches.next_found().map_err(refused(&path))? {
            match found {
                Found::Batch(batch) => {
                    self.check_gap(&batch.at, &path)?;
                    self.check_epoch(&batch.at)?;
                    indexes.see(&batch, self.findings)?;
                    self.previous = Some(batch.at);
                    self.expected = Some(batch.at.last_offset.next());
                    self.end = self.end.max(batch.at.last_offset.next());
                    self.findings.counts.batches += 1;
                    self.findings.read_bytes(batch.at.size);
                }
                Found::Damage { corruption, resumes_at } => {
                    let position = corruption.position;
                    let lost = resumes_at.unwrap_or(file.size_bytes()) - position;
                    let lost = (lost > 0).then_some(lost);
                    let damage = Damage { lost, ..Damage::new(&path, position, corruption.rule) };
                    self.findings.tell(damage)?;
                    self.findings.read_bytes(lost.unwrap_or(0));
                    self.expected = None;
                    indexes.give_up();
                }
            }
        }
        Ok(indexes.finish(self.findings)?)
    }

    fn check_base(&mut self, base: Offset, path: &Path) -> io::Result<()> {
        match self.expected {
            Some(expected) if base < expected || (base > expected && !self.may_have_gaps) => {
                self.findings.damage(path, 0, EngineRule::SegmentOrder { base, expected })
            }
            _ => Ok(()),
        }
    }

    fn check_gap(&mut self, batch: &BatchAt, path: &Path) -> io::Result<()> {
        match self.expected {
            // The old formats say only where a batch ends.
            Some(expected) if batch.base_offset > expected && !self.may_have_gaps && batch.magic >= 2 => {
                let rule = EngineRule::OffsetGap { base: batch.base_offset, expected };
                self.findings.damage(path, batch.position, rule)
            }
            _ => Ok(()),
        }
    }

    fn check_epoch(&mut self, batch: &BatchAt) -> io::Result<()> {
        let Some(epochs) = &self.epochs else { return Ok(()) };
        let oldest = epochs.entries().first().map(|entry| entry.start_offset);
        // What lies before the oldest entry was deleted from the log, if not yet from the disk.
        if batch.leader_epoch.get() < 0 || oldest.is_some_and(|oldest| batch.last_offset < oldest) {
            return Ok(());
        }
        let file = epochs.epoch_at(batch.last_offset).map(|epoch| epoch.get());
        if file == Some(batch.leader_epoch.get()) {
            return Ok(());
        }
        let told = Some((batch.leader_epoch.get(), file));
        if self.epoch_told == told {
            return Ok(());
        }
        self.epoch_told = told;
        let rule = Rule::Epoch { log: batch.leader_epoch, offset: batch.base_offset, file };
        self.findings.damage(&self.dir.path.join(LEADER_EPOCH_FILE), 0, rule)
    }

    fn indexes(&mut self, base: Offset) -> Result<IndexChecks, OfflineError> {
        let (dir, gaps) = (self.dir, self.may_have_gaps);
        for file_type in [FileType::OffsetIndex, FileType::TimeIndex] {
            if !dir.has(file_type, base) {
                self.findings.damage(&dir.file(file_type, base), 0, Rule::Missing)?;
            }
        }
        let at = |file_type| dir.has(file_type, base).then(|| dir.file(file_type, base));
        let findings = &mut *self.findings;
        let mut checks = IndexChecks { offsets: None, times: None, transactions: None };
        if let Some(path) = at(FileType::OffsetIndex) {
            let opened = indexes::open(path.clone(), base, findings).map_err(refused(&path))?;
            checks.offsets = Some(OffsetIndexCheck::new(opened));
        }
        if let Some(path) = at(FileType::TimeIndex) {
            let opened = indexes::open(path.clone(), base, findings).map_err(refused(&path))?;
            checks.times = Some(TimeIndexCheck::new(opened));
        }
        if let Some(path) = at(FileType::TxnIndex) {
            let opened = indexes::open(path.clone(), base, findings).map_err(refused(&path))?;
            checks.transactions = Some(TxnIndexCheck::new(opened, gaps));
        }
        Ok(checks)
    }
}

fn orphans(dir: &PartitionDir, findings: &mut Findings<'_>) -> io::Result<()> {
    for file_type in [FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex] {
        for base in dir.offsets(file_type).filter(|base| !dir.has(FileType::Log, *base)) {
            findings.damage(&dir.file(file_type, base), 0, Rule::NoSegment)?;
        }
    }
    Ok(())
}

fn producer_snapshots(
    dir: &PartitionDir,
    end: Offset,
    findings: &mut Findings<'_>,
) -> Result<(), OfflineError> {
    for offset in dir.offsets(FileType::ProducerSnapshot) {
        let path = dir.file(FileType::ProducerSnapshot, offset);
        let bytes = fs::read(&path).map_err(refused(&path))?;
        if let Err(error) = snapshot::decode(&bytes) {
            findings.damage(&path, 0, error)?;
        }
        if offset > end {
            let partition = dir.path.display().to_string();
            findings.damage(&path, 0, Rule::BehindEnd { partition, offset, end })?;
        }
    }
    Ok(())
}

fn read_epochs(dir: &PartitionDir, findings: &mut Findings<'_>) -> Result<Option<EpochCache>, OfflineError> {
    let path = dir.path.join(LEADER_EPOCH_FILE);
    let text = match read_text(&path)? {
        Text::Content(text) if !text.is_empty() => text,
        // Absent or empty, it is made anew from the batches.
        Text::Content(_) | Text::Missing | Text::NoFile => return Ok(None),
    };
    let entries = match parse_epochs(&path, &text) {
        Ok(entries) => entries,
        Err(corruption) => {
            findings.corruption(corruption)?;
            return Ok(None);
        }
    };
    let cache = EpochCache::from_entries(entries.iter().copied());
    if cache.entries() != entries {
        // The first entry that does not follow the one before it.
        let contradicts =
            |pair: &[EpochEntry]| EpochCache::from_entries(pair.iter().copied()).entries() != pair;
        let entry = entries.windows(2).position(contradicts).map_or(0, |before| before + 1);
        let rule = EngineRule::CheckpointLine { line: entry + 3 };
        findings.damage(&path, 0, rule)?;
        return Ok(None);
    }
    Ok(Some(cache))
}

fn read_identity(
    dir: &PartitionDir,
    facts: Option<&ClusterFacts>,
    findings: &mut Findings<'_>,
) -> Result<(), OfflineError> {
    let path = dir.path.join(PARTITION_METADATA_FILE);
    let Text::Content(text) = read_text(&path)? else { return Ok(()) };
    let found = match parse_partition_metadata(&path, &text) {
        Ok(found) => found,
        Err(corruption) => return Ok(findings.corruption(corruption)?),
    };
    // An id that no topic has may be that of a topic that is deleted by now: the directory is still on its way out.
    if let (Some(facts), Some(partition)) = (facts, &dir.partition)
        && let (Some(expected), Some(owner)) = (facts.topic_id(&partition.topic), facts.topic_of(found))
        && owner != &*partition.topic
    {
        findings.damage(&path, 0, Rule::OtherTopic { found, owner: owner.to_owned(), expected })?;
    }
    Ok(())
}

fn metadata_snapshots(dir: &PartitionDir, findings: &mut Findings<'_>) -> Result<(), OfflineError> {
    if dir.partition.as_ref().is_none_or(|partition| &*partition.topic != CLUSTER_METADATA_TOPIC) {
        return Ok(());
    }
    for (_, path) in snapshots(&dir.path)? {
        // Offsets inside count from 0.
        let file = SegmentFile::open(&path, Offset::ZERO).map_err(refused(&path))?;
        let mut batches = file.batches(None);
        while let Some(found) = batches.next_found().map_err(refused(&path))? {
            if let Found::Damage { corruption, .. } = found {
                findings.corruption(corruption)?;
            }
        }
    }
    Ok(())
}
