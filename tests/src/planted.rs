//! A disk with a bug, to show that a harness finds bugs: a real file system that lies in one chosen way.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use log_engine::io::{
    BackendChoice, BackendReport, DirEntry, Disk, DiskFile, FileHandle, FileLock, Metadata, NativeDisk,
    OpenMode, ShortWrite, WriteQueue,
};

/// Which bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A write to a `.log` is called done while its bytes are still held back, until the next write comes.
    EarlyAck,
    /// A `.log` that has bytes loses its last one when a process opens it first, and with it the last batch.
    LostLastBatch,
    /// Entries of an `.index` point to where a later batch begins.
    StaleIndex,
}

impl Plant {
    /// Every bug.
    pub const ALL: [Plant; 3] = [Plant::EarlyAck, Plant::LostLastBatch, Plant::StaleIndex];

    /// The name by which a planted broker is told.
    pub fn name(self) -> &'static str {
        match self {
            Plant::EarlyAck => "early-ack",
            Plant::LostLastBatch => "lost-last-batch",
            Plant::StaleIndex => "stale-index",
        }
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Plant::ALL.into_iter().find(|plant| plant.name() == name).ok_or_else(|| format!("no plant {name}"))
    }
}

/// The disk of this machine with one bug.
#[derive(Debug)]
pub struct PlantedDisk {
    // Threads: its queue goes through `DiskFile` for every write, a ring would go around the bug.
    honest: NativeDisk,
    plant: Plant,
    cut: Mutex<BTreeSet<PathBuf>>,
}

impl PlantedDisk {
    /// A disk with `plant` in it.
    pub fn new(plant: Plant) -> Self {
        Self { honest: NativeDisk::new(BackendChoice::Threads), plant, cut: Mutex::default() }
    }

    fn lose_last_byte(&self, file: &FileHandle) -> io::Result<()> {
        let first_time = lock(&self.cut).insert(file.path().to_owned());
        match file.len()? {
            len if first_time && len > 0 => file.set_len(len - 1),
            _ => Ok(()),
        }
    }
}

impl Disk for PlantedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let honest = self.honest.open(path, mode)?;
        let ends_with = |extension: &str| path.extension().is_some_and(|e| e == extension);
        // The metadata log is spared: the bug shall be seen in the records, not in a broker that does not start.
        let of_topic = !path.components().any(|part| part.as_os_str() == "__cluster_metadata-0");
        Ok(match self.plant {
            Plant::EarlyAck if of_topic && ends_with("log") => {
                Arc::new(PlantedFile { honest, bug: WriteBug::Holding(Mutex::default()) })
            }
            Plant::LostLastBatch if of_topic && ends_with("log") && mode != OpenMode::Read => {
                self.lose_last_byte(&honest)?;
                honest
            }
            Plant::StaleIndex if of_topic && ends_with("index") => {
                Arc::new(PlantedFile { honest, bug: WriteBug::Shifting })
            }
            _ => honest,
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.honest.list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.honest.metadata(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.honest.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.honest.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.honest.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.honest.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.honest.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        self.honest.lock(path)
    }

    fn write_queue(&self) -> io::Result<Box<dyn WriteQueue>> {
        self.honest.write_queue()
    }

    fn backend(&self) -> BackendReport {
        self.honest.backend()
    }
}

/// A file whose writes go through the bug and whose everything else is honest.
#[derive(Debug)]
struct PlantedFile {
    honest: FileHandle,
    bug: WriteBug,
}

#[derive(Debug)]
enum WriteBug {
    /// The last write is held back until the next one.
    Holding(Mutex<Option<(u64, Vec<u8>)>>),
    /// Positions written into an offset index grow.
    Shifting,
}

/// More than a batch of the harness, so that the entry leads past the batch it names.
const SHIFT: u32 = 4096;
const ENTRY_LEN: usize = 8;

fn shift_positions(entries: &mut [u8]) {
    for entry in entries.chunks_exact_mut(ENTRY_LEN) {
        let (_, position) = entry.split_at_mut(4);
        let real = u32::from_be_bytes([position[0], position[1], position[2], position[3]]);
        position.copy_from_slice(&(real + SHIFT).to_be_bytes());
    }
}

impl DiskFile for PlantedFile {
    fn write_vectored_all_at(&self, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let due = match &self.bug {
            WriteBug::Holding(held) => lock(held).replace((position, bytes)),
            WriteBug::Shifting => {
                shift_positions(&mut bytes);
                Some((position, bytes))
            }
        };
        let Some((position, bytes)) = due else { return Ok(()) };
        self.honest.write_vectored_all_at(&[IoSlice::new(&bytes)], position)
    }

    fn path(&self) -> &Path {
        self.honest.path()
    }

    fn len(&self) -> io::Result<u64> {
        self.honest.len()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.honest.read_at(buf, position)
    }

    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.honest.read_cached_at(buf, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.honest.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.honest.sync_data()
    }

    fn start_writeback(&self, position: u64, len: u64) -> io::Result<()> {
        self.honest.start_writeback(position, len)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.honest.as_fd()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
