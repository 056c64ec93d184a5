//! `diff`: whether two partition directories hold the same batches, wherever their segments begin.
//!
//! A batch's header holds the checksum of all behind it, which the walk verifies: equal headers are equal batches.

use std::{io::Write, path::PathBuf};

use log_engine::{
    Offset,
    batch::HEADER_LEN,
    inspect::{BatchAt, BatchWalk, FileType, Found, SegmentFile},
};

use super::{
    OfflineError, Outcome,
    layout::{PartitionDir, Target},
    refused,
};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// Directory of a partition.
    left: PathBuf,
    /// Directory of another one.
    right: PathBuf,
}

/// A log's batches, segment by segment.
struct Side {
    dir: PartitionDir,
    segments: Vec<(PathBuf, SegmentFile)>,
}

#[derive(Default)]
struct Totals {
    batches: u64,
    bytes: u64,
    first: Option<Offset>,
    end: Option<Offset>,
}

/// A batch of one side: its place and its header, or all of a short one of an old format.
struct Taken {
    path: PathBuf,
    at: BatchAt,
    header: Vec<u8>,
}

impl Diff {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, OfflineError> {
        let (left, right) = (Side::open(&self.left)?, Side::open(&self.right)?);
        let (mut left_batches, mut right_batches) = (left.batches(), right.batches());
        let mut differs = false;
        loop {
            let pair = (left_batches.next_batch()?, right_batches.next_batch()?);
            if let (None, None) = pair {
                break;
            }
            if !differs && !is_same(&pair) {
                differs = true;
                writeln!(out, "first difference:")?;
                writeln!(out, "  left:  {}", describe(pair.0.as_ref()))?;
                writeln!(out, "  right: {}", describe(pair.1.as_ref()))?;
            }
        }
        for (name, side, totals) in
            [("left: ", &left, &left_batches.totals), ("right:", &right, &right_batches.totals)]
        {
            let offset =
                |offset: Option<Offset>| offset.map_or("none".to_owned(), |offset| offset.to_string());
            let (path, segments) = (side.dir.path.display(), side.segments.len());
            writeln!(
                out,
                "{name} {path}: segments: {segments}, batches: {}, bytes: {}, first offset: {}, end offset: {}",
                totals.batches,
                totals.bytes,
                offset(totals.first),
                offset(totals.end)
            )?;
        }
        writeln!(out, "{}", if differs { "the logs differ" } else { "the logs hold the same batches" })?;
        Ok(if differs { Outcome::Differs } else { Outcome::InOrder })
    }
}

fn is_same(pair: &(Option<Taken>, Option<Taken>)) -> bool {
    matches!(pair, (Some(left), Some(right)) if left.header == right.header && left.at.size == right.at.size)
}

fn describe(batch: Option<&Taken>) -> String {
    batch.map_or("the log ends here".to_owned(), |batch| {
        let Taken { path, at, .. } = batch;
        format!(
            "{}: at byte {}: offsets {} to {}, {} bytes, leader epoch {}, largest timestamp {}",
            path.display(),
            at.position,
            at.base_offset,
            at.last_offset,
            at.size,
            at.leader_epoch,
            at.max_timestamp
        )
    })
}

impl Side {
    fn open(path: &std::path::Path) -> Result<Self, OfflineError> {
        let dir = Target::read_partition(path)?;
        let open = |base| {
            let path = dir.file(FileType::Log, base);
            let file = SegmentFile::open(&path, base).map_err(refused(&path))?;
            Ok((path, file))
        };
        let segments = dir.offsets(FileType::Log).map(open).collect::<Result<_, OfflineError>>()?;
        Ok(Self { dir, segments })
    }

    fn batches(&self) -> SideBatches<'_> {
        SideBatches { segments: self.segments.iter(), walk: None, totals: Totals::default() }
    }
}

struct SideBatches<'a> {
    segments: std::slice::Iter<'a, (PathBuf, SegmentFile)>,
    walk: Option<(&'a PathBuf, BatchWalk<'a>)>,
    totals: Totals,
}

impl SideBatches<'_> {
    fn next_batch(&mut self) -> Result<Option<Taken>, OfflineError> {
        loop {
            let Some((path, walk)) = &mut self.walk else {
                let Some((path, file)) = self.segments.next() else { return Ok(None) };
                self.walk = Some((path, file.batches(None)));
                continue;
            };
            match walk.next_found().map_err(refused(path))? {
                None => self.walk = None,
                // What is damaged is told apart by `verify`; here the whole batches are compared.
                Some(Found::Damage { .. }) => {}
                Some(Found::Batch(batch)) => {
                    let at = batch.at;
                    self.totals.batches += 1;
                    self.totals.bytes += at.size;
                    self.totals.first.get_or_insert(at.base_offset);
                    self.totals.end = Some(at.last_offset.next());
                    let header = batch.bytes[..batch.bytes.len().min(HEADER_LEN)].to_vec();
                    return Ok(Some(Taken { path: path.clone(), at, header }));
                }
            }
        }
    }
}
