//! The batches of two partitions, side by side.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use log_engine::{
    Offset,
    batch::{BatchHeader, BatchView, DecompressionCap, HEADER_LEN},
    inspect::{BatchAt, BatchWalk, FileType, Found, SegmentFile},
};

use crate::offline::{OfflineError, layout::PartitionDir, refused};

/// Prints the first batches that differ, and what there is on each side; answers whether all are the same.
pub(super) fn compare(
    left: &PartitionDir,
    right: &PartitionDir,
    out: &mut dyn Write,
) -> Result<bool, OfflineError> {
    let (left, right) = (Batches::open(left)?, Batches::open(right)?);
    let (mut left_walk, mut right_walk) = (left.walk(), right.walk());
    let mut same = true;
    loop {
        let pair = (left_walk.next_batch()?, right_walk.next_batch()?);
        if let (None, None) = pair {
            break;
        }
        if same && !is_same(&pair) {
            same = false;
            writeln!(out, "first difference:")?;
            writeln!(out, "  left:  {}", describe(pair.0.as_ref()))?;
            writeln!(out, "  right: {}", describe(pair.1.as_ref()))?;
            if let (Some(left), Some(right)) = &pair {
                writeln!(out, "  {}", explain(left, right).map_err(refused(&left.path))?)?;
            }
        }
    }
    for (name, side, totals) in [("left: ", &left, &left_walk.totals), ("right:", &right, &right_walk.totals)]
    {
        let offset = |offset: Option<Offset>| offset.map_or("none".to_owned(), |offset| offset.to_string());
        let (path, segments) = (side.dir.path.display(), side.segments.len());
        writeln!(
            out,
            "{name} {path}: segments: {segments}, batches: {}, bytes: {}, damaged: {}, first offset: {}, end offset: {}",
            totals.batches,
            totals.bytes,
            totals.damaged,
            offset(totals.first),
            offset(totals.end)
        )?;
    }
    Ok(same)
}

/// A log's batches, segment by segment.
struct Batches<'a> {
    dir: &'a PartitionDir,
    segments: Vec<(PathBuf, SegmentFile)>,
}

#[derive(Default)]
struct Totals {
    batches: u64,
    bytes: u64,
    damaged: u64,
    first: Option<Offset>,
    end: Option<Offset>,
}

/// A batch of one side: its place and its header, or all of a short one of an old format.
struct Taken {
    path: PathBuf,
    at: BatchAt,
    header: Vec<u8>,
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

/// Larger batches are not unfolded to compare their records.
const UNFOLDED_MAX: u64 = 64 << 20;

// What it is that differs.
fn explain(left: &Taken, right: &Taken) -> io::Result<String> {
    let fields = header_fields(left, right);
    if left.at.size.max(right.at.size) > UNFOLDED_MAX {
        return Ok(fields);
    }
    let records = first_record(&left.bytes()?, &right.bytes()?);
    Ok(match records {
        Some(records) => format!("{fields}; {records}"),
        None => format!("{fields}; their records cannot be compared"),
    })
}

fn header_fields(left: &Taken, right: &Taken) -> String {
    let (Ok(left), Ok(right)) = (BatchHeader::read(&left.header), BatchHeader::read(&right.header)) else {
        return "a format before 2".to_owned();
    };
    let differs = [
        ("base offset", left.base_offset() != right.base_offset()),
        ("leader epoch", left.leader_epoch() != right.leader_epoch()),
        ("attributes", left.attributes() != right.attributes()),
        ("last offset", left.last_offset() != right.last_offset()),
        ("largest timestamp", left.max_timestamp() != right.max_timestamp()),
        ("producer id", left.producer_id() != right.producer_id()),
        ("producer epoch", left.producer_epoch() != right.producer_epoch()),
        ("base sequence", left.base_sequence() != right.base_sequence()),
        ("number of records", left.record_count() != right.record_count()),
        ("size", left.size_in_bytes() != right.size_in_bytes()),
    ];
    let names: Vec<&str> =
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    if names.is_empty() {
        "the headers say the same".to_owned()
    } else {
        format!("headers differ in {}", names.join(", "))
    }
}

fn first_record(left: &[u8], right: &[u8]) -> Option<String> {
    let (left, right) = (BatchView::read(left).ok()?, BatchView::read(right).ok()?);
    let mut left = left.records(DecompressionCap::default()).ok()?;
    let mut right = right.records(DecompressionCap::default()).ok()?;
    loop {
        match (left.next_record().transpose().ok()?, right.next_record().transpose().ok()?) {
            (None, None) => return Some("the records are the same".to_owned()),
            (Some(left), Some(right)) => {
                let differs = [
                    ("timestamp", left.timestamp != right.timestamp),
                    ("key", left.key != right.key),
                    ("value", left.value != right.value),
                    ("headers", !left.headers.eq(right.headers)),
                ];
                let (offset, other) = (left.offset, right.offset);
                if offset != other {
                    return Some(format!("record {offset} stands against record {other}"));
                }
                if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
                    return Some(format!("record {offset} is the first that differs, in its {what}"));
                }
            }
            (Some(record), None) | (None, Some(record)) => {
                return Some(format!("record {} is on one side only", record.offset));
            }
        }
    }
}

impl Taken {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.at.size as usize];
        File::open(&self.path)?.read_exact_at(&mut bytes, self.at.position)?;
        Ok(bytes)
    }
}

impl<'a> Batches<'a> {
    fn open(dir: &'a PartitionDir) -> Result<Self, OfflineError> {
        let open = |base| {
            let path = dir.file(FileType::Log, base);
            let file = SegmentFile::open(&path, base).map_err(refused(&path))?;
            Ok((path, file))
        };
        let segments = dir.offsets(FileType::Log).map(open).collect::<Result<_, OfflineError>>()?;
        Ok(Self { dir, segments })
    }

    fn walk(&self) -> Walk<'_> {
        Walk { segments: self.segments.iter(), walk: None, totals: Totals::default() }
    }
}

struct Walk<'a> {
    segments: std::slice::Iter<'a, (PathBuf, SegmentFile)>,
    walk: Option<(&'a PathBuf, BatchWalk<'a>)>,
    totals: Totals,
}

impl Walk<'_> {
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
                Some(Found::Damage { .. }) => self.totals.damaged += 1,
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
