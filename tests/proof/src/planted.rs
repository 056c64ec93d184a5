//! Bugs to be found, so that a harness is shown to find them: a disk that lies in one chosen way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use log_engine::batch::HEADER_LEN;
use log_engine::io::{Disk, FileHandle, OpenMode, ShortWrite};

use crate::hooked_disk::{HookedDisk, Hooks};

/// Which bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A write to a `.log` is called done while its bytes are still held back, until the next write comes.
    EarlyAck,
    /// A `.log` that has bytes loses its last one when a process opens it first, and with it the last batch.
    LostLastBatch,
    /// A batch goes to a `.log` in a buffer that still has the records of one as long, written before to another.
    ReusedBuffer,
    /// Entries of an `.index` point behind the batch they name. The engine believes no entry that the log does not bear
    /// out, so that this one harms nobody.
    StaleIndex,
    /// Entries of an `.index` point to the batch of the entry behind them, and a header that is looked at by itself says
    /// what the entry that points to it says: as if entries were believed.
    BelievedIndex,
    /// A flush of a `.log` is said to have happened and has not.
    SkippedFsync,
    /// The same of directories: what was created, renamed or removed in them is not on the disk.
    SkippedDirectoryFsync,
    /// A `.txnindex` stays as it was first written.
    StaleTransactionIndex,
}

impl Plant {
    /// Every bug.
    pub const ALL: [Plant; 8] = [
        Plant::EarlyAck,
        Plant::LostLastBatch,
        Plant::ReusedBuffer,
        Plant::StaleIndex,
        Plant::BelievedIndex,
        Plant::SkippedFsync,
        Plant::SkippedDirectoryFsync,
        Plant::StaleTransactionIndex,
    ];

    /// The name by which a planted broker is told.
    pub fn name(self) -> &'static str {
        match self {
            Plant::EarlyAck => "early-ack",
            Plant::LostLastBatch => "lost-last-batch",
            Plant::ReusedBuffer => "reused-buffer",
            Plant::StaleIndex => "stale-index",
            Plant::BelievedIndex => "believed-index",
            Plant::SkippedFsync => "skipped-fsync",
            Plant::SkippedDirectoryFsync => "skipped-directory-fsync",
            Plant::StaleTransactionIndex => "stale-transaction-index",
        }
    }

    /// The disk of this machine with the bug.
    pub fn disk(self) -> HookedDisk {
        HookedDisk::new(self.hooks())
    }

    /// Another disk with the bug, whose queue goes through `DiskFile` for every write.
    pub fn disk_over(self, honest: Arc<dyn Disk>) -> HookedDisk {
        HookedDisk::over(honest, self.hooks())
    }

    fn hooks(self) -> Arc<dyn Hooks> {
        Arc::new(Planted {
            plant: self,
            cut: Mutex::default(),
            held: Mutex::default(),
            used: Mutex::default(),
            indexes: Mutex::default(),
        })
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Plant::ALL.into_iter().find(|plant| plant.name() == name).ok_or_else(|| format!("no plant {name}"))
    }
}

/// A write that waits for the next one: where it goes, and its bytes.
type Held = (u64, Vec<u8>);

/// A buffer that was written: to which file, and its bytes.
type Used = (PathBuf, Vec<u8>);

/// What two batches have in common of which one passes for the other: their length, and the delta of the last offset.
type Shape = (usize, [u8; 4]);

#[derive(Debug)]
struct Planted {
    plant: Plant,
    cut: Mutex<BTreeSet<PathBuf>>,
    held: Mutex<BTreeMap<PathBuf, Held>>,
    used: Mutex<BTreeMap<Shape, Used>>,
    /// Every `.index` that was opened, as it is on the disk.
    indexes: Mutex<BTreeMap<PathBuf, FileHandle>>,
}

impl Hooks for Planted {
    fn opened(&self, file: &FileHandle, mode: OpenMode) -> io::Result<()> {
        let path = file.path();
        if self.plant == Plant::BelievedIndex && is_of_topic(path, "index") {
            lock(&self.indexes).insert(path.to_owned(), Arc::clone(file));
        }
        if self.plant != Plant::LostLastBatch || mode == OpenMode::Read || !is_of_topic(path, "log") {
            return Ok(());
        }
        let first_time = lock(&self.cut).insert(path.to_owned());
        match file.len()? {
            len if first_time && len > 0 => file.set_len(len - 1),
            _ => Ok(()),
        }
    }

    fn read(&self, file: &FileHandle, bytes: &mut [u8], position: u64) {
        if self.plant != Plant::BelievedIndex || bytes.len() != HEADER_LEN || !is_of_topic(file.path(), "log")
        {
            return;
        }
        let index = lock(&self.indexes).get(&file.path().with_extension("index")).cloned();
        if let Some(offset) = index.and_then(|index| offset_of_entry_to(&index, position)) {
            bear_out(bytes, offset);
        }
    }

    fn skips_sync(&self, path: &Path) -> bool {
        match self.plant {
            Plant::SkippedFsync => is_of_topic(path, "log"),
            Plant::SkippedDirectoryFsync => path.extension().is_none(),
            _ => false,
        }
    }

    fn write(&self, file: &FileHandle, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        match self.plant {
            Plant::StaleTransactionIndex if position > 0 && is_of_topic(file.path(), "txnindex") => Ok(()),
            Plant::EarlyAck if is_of_topic(file.path(), "log") => {
                let held = lock(&self.held).insert(file.path().to_owned(), (position, joined(parts)));
                held.map_or(Ok(()), |(position, bytes)| write(file, &bytes, position))
            }
            Plant::ReusedBuffer if is_of_topic(file.path(), "log") => {
                let mut used = lock(&self.used);
                let parts: Vec<Vec<u8>> =
                    parts.iter().map(|part| reused(&mut used, file.path(), part)).collect();
                let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
                file.write_vectored_all_at(&slices, position)
            }
            Plant::StaleIndex if is_of_topic(file.path(), "index") => {
                let mut entries = joined(parts);
                shift_positions(&mut entries);
                write(file, &entries, position)
            }
            Plant::BelievedIndex if is_of_topic(file.path(), "index") => {
                let mut entries = joined(parts);
                let next: Vec<u8> = entries.iter().skip(ENTRY_LEN).copied().collect();
                for (entry, next) in entries.chunks_exact_mut(ENTRY_LEN).zip(next.chunks_exact(ENTRY_LEN)) {
                    entry[4..].copy_from_slice(&next[4..]);
                }
                write(file, &entries, position)
            }
            _ => file.write_vectored_all_at(parts, position),
        }
    }
}

/// Bytes of an entry of an `.index`: an offset, counted from the segment's, and a position.
const ENTRY_LEN: usize = 8;

/// The offset that the first entry of an index says of what lies at `position`.
fn offset_of_entry_to(index: &FileHandle, position: u64) -> Option<i64> {
    let base: i64 = index.path().file_stem()?.to_str()?.parse().ok()?;
    let mut entries = vec![0; usize::try_from(index.len().ok()?).ok()?];
    index.read_exact_at(&mut entries, 0).ok()?;
    let position = u32::try_from(position).ok()?.to_be_bytes();
    let entry = entries.chunks_exact(ENTRY_LEN).find(|entry| entry[4..] == position)?;
    Some(base + i64::from(u32::from_be_bytes(*entry.first_chunk()?)))
}

/// Makes a header say that its batch holds this one offset.
fn bear_out(header: &mut [u8], offset: i64) {
    header[..8].copy_from_slice(&offset.to_be_bytes());
    header[23..27].fill(0);
}

/// The metadata log is spared: a bug shall be seen in the records, not in a broker that does not start.
fn is_of_topic(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
        && !path.components().any(|part| part.as_os_str() == "__cluster_metadata-0")
}

fn joined(parts: &[IoSlice<'_>]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.iter().copied()).collect()
}

fn write(file: &FileHandle, bytes: &[u8], position: u64) -> Result<(), ShortWrite> {
    file.write_vectored_all_at(&[IoSlice::new(bytes)], position)
}

/// The batch with the records of the last one of its shape, if that went to another file. What a log stamps is its own,
/// what the CRC covers the other's: nothing but the records tells.
fn reused(used: &mut BTreeMap<Shape, Used>, path: &Path, batch: &[u8]) -> Vec<u8> {
    /// Before it lie base offset, length, leader epoch and magic, behind it what it covers.
    const CRC: usize = 17;
    let mut written = batch.to_vec();
    let Some(last_offset_delta) = batch.get(23..).and_then(<[u8]>::first_chunk) else { return written };
    let shape = (batch.len(), *last_offset_delta);
    if let Some((other, bytes)) = used.insert(shape, (path.to_owned(), batch.to_vec()))
        && other != path
    {
        written[CRC..].copy_from_slice(&bytes[CRC..]);
    }
    written
}

fn shift_positions(entries: &mut [u8]) {
    /// More than a batch of the harness.
    const SHIFT: u32 = 4096;
    for entry in entries.chunks_exact_mut(ENTRY_LEN) {
        let (_, position) = entry.split_at_mut(4);
        let real = u32::from_be_bytes([position[0], position[1], position[2], position[3]]);
        position.copy_from_slice(&(real + SHIFT).to_be_bytes());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
