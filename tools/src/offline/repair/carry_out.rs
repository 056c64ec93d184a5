//! Carrying out one step. A crash in the middle leaves what was there before, or the step done, and perhaps a file whose name
//! ends in `.repairing`.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use log_engine::{
    Offset,
    checkpoint::format_epochs,
    inspect::{Derivation, FileType, Found, SegmentFile, SegmentIndexes, parse_file_name},
    io::{Disk, atomic_replace, move_aside},
};

use super::{
    step::{Derive, Step},
    survey::SurveyedSegment,
};
use crate::offline::{OfflineError, refused};

pub(super) fn carry_out(disk: &dyn Disk, step: &Step) -> Result<(), OfflineError> {
    let path = step.path();
    match step {
        Step::RemoveCleanMark { path } => {
            disk.remove_file(path).and_then(|()| sync_parent(disk, path)).map_err(refused(path))
        }
        Step::SetAside { path, .. } => move_aside(disk, path).map(drop).map_err(refused(path)),
        Step::TakeOut(segment) => take_out(disk, segment).map_err(refused(path)),
        Step::Derive(derive) => write_derived(disk, derive),
        Step::Flush { logs, .. } => logs.iter().try_for_each(|log| flush(log).map_err(refused(log))),
        Step::Write { path, content, .. } => {
            atomic_replace(disk, path, content.as_bytes()).map_err(refused(path))
        }
    }
}

fn sync_parent(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => disk.sync_dir(dir),
        _ => disk.sync_dir(Path::new(".")),
    }
}

// One that went aside meanwhile needs no flush.
fn flush(log: &Path) -> io::Result<()> {
    match File::open(log) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn take_out(disk: &dyn Disk, segment: &SurveyedSegment) -> io::Result<()> {
    let written = with_ending(&segment.path, ".repairing");
    let mut original = File::open(&segment.path)?;
    let mut copy = File::create(&written)?;
    for range in &segment.kept {
        original.seek(SeekFrom::Start(range.start))?;
        let copied = io::copy(&mut (&mut original).take(range.end - range.start), &mut copy)?;
        if copied != range.end - range.start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    copy.flush()?;
    copy.sync_all()?;
    // The log has its name at every moment: a start between the two would take it for missing.
    let aside = free_name(&segment.path);
    fs::hard_link(&segment.path, &aside).or_else(|_| copy_whole(&segment.path, &aside))?;
    disk.rename(&written, &segment.path)?;
    sync_parent(disk, &segment.path)
}

// Where a file cannot have two names.
fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

fn free_name(path: &Path) -> PathBuf {
    let mut aside = with_ending(path, ".aside");
    let mut number = 1;
    while aside.symlink_metadata().is_ok() {
        aside = with_ending(path, &format!(".aside.{number}"));
        number += 1;
    }
    aside
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn write_derived(disk: &dyn Disk, derive: &Derive) -> Result<(), OfflineError> {
    let begin = derive.logs.first().map_or(Offset::ZERO, |(base, _)| *base);
    let mut derivation = Derivation::new(begin, derive.index_interval_bytes);
    for (base, log) in &derive.logs {
        if let Some(path) = derive.snapshots.get(base) {
            let bytes = fs::read(path).map_err(refused(path))?;
            // One that cannot be read is in the plan, and not here.
            let _ = derivation.restore_producers(&bytes, *base);
        }
        let indexes = derive_segment(&mut derivation, *base, log).map_err(refused(log))?;
        write_indexes(disk, derive, *base, &indexes)?;
    }
    for path in derive.files.iter().filter(|path| file_type(path).is_none()) {
        let content = format_epochs(derivation.epochs());
        atomic_replace(disk, path, content.as_bytes()).map_err(refused(path))?;
    }
    Ok(())
}

fn derive_segment(derivation: &mut Derivation, base: Offset, log: &Path) -> io::Result<SegmentIndexes> {
    derivation.begin_segment(base);
    let file = SegmentFile::open(log, base)?;
    let mut batches = file.batches(None);
    while let Some(found) = batches.next_found()? {
        // Damage is in the plan, and out of the log by now.
        if let Found::Batch(batch) = found {
            derivation.see(&batch);
        }
    }
    Ok(derivation.end_segment())
}

fn write_indexes(
    disk: &dyn Disk,
    derive: &Derive,
    base: Offset,
    indexes: &SegmentIndexes,
) -> Result<(), OfflineError> {
    for path in &derive.files {
        let content = match file_type(path) {
            Some((FileType::OffsetIndex, of)) if of == base => &indexes.offset_index,
            Some((FileType::TimeIndex, of)) if of == base => &indexes.time_index,
            Some((FileType::TxnIndex, of)) if of == base && !indexes.txn_index.is_empty() => {
                &indexes.txn_index
            }
            _ => continue,
        };
        atomic_replace(disk, path, content).map_err(refused(path))?;
    }
    Ok(())
}

fn file_type(path: &Path) -> Option<(FileType, Offset)> {
    let name = parse_file_name(path.file_name()?.to_str()?)?;
    Some((name.file_type, name.offset))
}
