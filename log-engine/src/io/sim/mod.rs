//! A disk in memory that loses power and fails on command, the same way for the same seed.
//!
//! It holds for every file and every directory what readers see and what the disk would still have after a power
//! loss. [`SimDisk::crash`] decides by its seed what becomes of everything between: unsynced writes are lost, torn
//! at 512-byte sectors or arrive out of order, and unsynced names survive as a prefix in the order of the journal.
//! The model is stricter than ext4 where ext4 is kind by accident: flushing a file says nothing about its name.
//!
//! It does not model bit rot or misdirected writes; damage files through [`DiskFile::write_all_at`] for these.

mod content;
mod fault;
mod gate;
mod names;
mod seeded;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::threads::ThreadsQueue;
use super::{
    Backend, BackendReport, DirEntry, Disk, DiskFile, FileHandle, FileKind, FileLock, Metadata, OpenMode,
    ShortWrite, WriteQueue,
};
use content::Content;
use gate::Gate;
use names::{Change, Inode, Names, Node};

pub use fault::{Fault, Operation};
pub use gate::HeldFlushes;
pub use seeded::Seeded;

/// The simulated disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    machine: Arc<Mutex<Machine>>,
}

#[derive(Debug, Default)]
struct Machine {
    names: Names,
    contents: BTreeMap<Inode, Content>,
    inodes_made: Inode,
    locked: BTreeSet<PathBuf>,
    faults: Vec<Fault>,
    gates: Vec<Weak<Gate>>,
    full: bool,
    operations: u64,
    struck: u64,
    power_off_at: Option<u64>,
    off: bool,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Power is lost. This disk and all its handles answer nothing but errors from now on; the machine that comes
    /// up again has the disk that is returned.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut random = Seeded::new(seed);
        let mut machine = self.machine();
        machine.off = true;
        let names = machine.names.after_power_loss(&mut random);
        machine.successor(names, |content| content.after_power_loss(&mut random))
    }

    /// The process is killed: everything written stays. This disk and all its handles answer nothing but errors.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut machine = self.machine();
        machine.off = true;
        let names = machine.names.after_kill();
        machine.successor(names, Content::after_kill)
    }

    /// An error to come.
    pub fn inject(&self, fault: Fault) {
        self.machine().faults.push(fault);
    }

    /// No more errors than those that already struck.
    pub fn clear_faults(&self) {
        self.machine().faults.clear();
    }

    /// Flushes of files whose path contains `text` wait until the answer is dropped. What they make durable is decided
    /// then.
    #[must_use = "flushes wait only as long as this exists"]
    pub fn hold_flushes(&self, text: &str) -> HeldFlushes {
        let gate = Arc::new(Gate::on(text));
        self.machine().gates.push(Arc::downgrade(&gate));
        HeldFlushes::new(gate)
    }

    /// While set, every write that makes a file longer ends with ENOSPC at the file's end.
    pub fn set_full(&self, full: bool) {
        self.machine().full = full;
    }

    /// Operations that a fault has struck so far.
    pub fn faults_struck(&self) -> u64 {
        self.machine().struck
    }

    /// Operations so far, reads among them.
    pub fn operations(&self) -> u64 {
        self.machine().operations
    }

    /// From that many operations after now on, nothing answers any more; crash or kill it then.
    pub fn power_off_after(&self, operations: u64) {
        let mut machine = self.machine();
        machine.power_off_at = Some(machine.operations + operations);
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine, if it is on and no fault strikes this operation.
    fn begin(&self, operation: Operation, path: &Path) -> io::Result<MutexGuard<'_, Machine>> {
        let mut machine = self.machine();
        match machine.strike(operation, path)? {
            Some(fault) => Err(io::Error::from_raw_os_error(fault.errno)),
            None => Ok(machine),
        }
    }
}

impl Machine {
    fn successor(&self, names: Names, mut survive: impl FnMut(&Content) -> Content) -> SimDisk {
        // Every content draws from the seed, also one without a name, so that equal histories stay equal.
        let mut contents: BTreeMap<Inode, Content> =
            self.contents.iter().map(|(inode, content)| (*inode, survive(content))).collect();
        let named = names.inodes();
        contents.retain(|inode, _| named.contains(inode));
        let machine = Machine { names, contents, inodes_made: self.inodes_made, ..Machine::default() };
        SimDisk { machine: Arc::new(Mutex::new(machine)) }
    }

    fn strike(&mut self, operation: Operation, path: &Path) -> io::Result<Option<Fault>> {
        self.operations += 1;
        if self.off || self.power_off_at.is_some_and(|at| self.operations > at) {
            self.off = true;
            return Err(io::Error::other("the simulated machine has no power"));
        }
        let path = path.to_string_lossy();
        let fault =
            self.faults.iter_mut().find_map(|fault| fault.strikes(operation, &path).then(|| fault.clone()));
        self.struck += u64::from(fault.is_some());
        Ok(fault)
    }

    fn gate_of(&self, path: &Path) -> Option<Arc<Gate>> {
        let path = path.to_string_lossy();
        self.gates.iter().filter_map(Weak::upgrade).find(|gate| gate.concerns(&path))
    }

    fn content(&mut self, inode: Inode) -> &mut Content {
        self.contents.entry(inode).or_default()
    }

    fn require_dir(&self, dir: &Path) -> io::Result<()> {
        match self.names.get(dir) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create_file(&mut self, path: &Path) -> io::Result<Inode> {
        self.require_dir(path.parent().unwrap_or(Path::new("/")))?;
        self.inodes_made += 1;
        let inode = self.inodes_made;
        self.contents.insert(inode, Content::default());
        self.names.change(Change::Create(path.to_owned(), Node::File(inode)));
        Ok(inode)
    }

    /// How many bytes of a write find room, and the error for the rest.
    fn room_for(&mut self, inode: Inode, position: usize, len: usize) -> (usize, Option<io::Error>) {
        let end = self.content(inode).live().len();
        if !self.full || position + len <= end {
            return (len, None);
        }
        (end.saturating_sub(position), Some(io::Error::from_raw_os_error(libc::ENOSPC)))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let mut machine = self.begin(Operation::Open, path)?;
        let inode = match (machine.names.get(path), mode) {
            (Some(Node::Directory), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(inode)), _) => inode,
            (None, OpenMode::Read | OpenMode::ReadWrite) => return Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::OpenOrCreate | OpenMode::CreateNew) => machine.create_file(path)?,
        };
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.to_owned(), writable }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let machine = self.begin(Operation::Read, dir)?;
        machine.require_dir(dir)?;
        let entry = |(path, node)| DirEntry { path, kind: kind_of(node) };
        Ok(machine.names.children(dir).into_iter().map(entry).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let mut machine = self.begin(Operation::Read, path)?;
        let node = machine.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let len = match node {
            Node::Directory => 0,
            Node::File(inode) => machine.content(inode).live().len() as u64,
        };
        // No clock runs here; a file that never changes its age is the same in every run.
        Ok(Metadata { kind: kind_of(node), len, modified_ms: 0 })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut machine = self.begin(Operation::Name, dir)?;
        let mut missing: Vec<&Path> =
            dir.ancestors().take_while(|path| machine.names.get(path).is_none()).collect();
        if let Some(existing) = dir.ancestors().nth(missing.len()) {
            machine.require_dir(existing)?;
        }
        while let Some(path) = missing.pop() {
            machine.names.change(Change::Create(path.to_owned(), Node::Directory));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut machine = self.begin(Operation::Name, from)?;
        let node = machine.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        machine.require_dir(to.parent().unwrap_or(Path::new("/")))?;
        match (node, machine.names.get(to)) {
            (_, None) | (Node::File(_), Some(Node::File(_))) => {}
            (Node::File(_), Some(Node::Directory)) => return Err(io::ErrorKind::IsADirectory.into()),
            (Node::Directory, Some(_)) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
        }
        machine.names.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.begin(Operation::Name, path)?;
        match machine.names.get(path) {
            Some(Node::File(_)) => {
                machine.names.change(Change::Remove(path.to_owned()));
                Ok(())
            }
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut machine = self.begin(Operation::Name, dir)?;
        machine.require_dir(dir)?;
        if !machine.names.children(dir).is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        machine.names.change(Change::Remove(dir.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut machine = self.begin(Operation::SyncDir, dir)?;
        machine.require_dir(dir)?;
        machine.names.sync_dir(dir);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        drop(self.open(path, OpenMode::OpenOrCreate)?);
        if !self.machine().locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(FileLock::held_by(SimLock { disk: self.clone(), path: path.to_owned() }))
    }

    fn write_queue(&self) -> io::Result<Box<dyn WriteQueue>> {
        Ok(Box::new(ThreadsQueue))
    }

    fn backend(&self) -> BackendReport {
        BackendReport { backend: Backend::Sim, reason: "a disk in memory".to_owned() }
    }
}

fn kind_of(node: Node) -> FileKind {
    match node {
        Node::Directory => FileKind::Directory,
        Node::File(_) => FileKind::File,
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.machine().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: Inode,
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    fn begin(&self, operation: Operation) -> io::Result<MutexGuard<'_, Machine>> {
        if !self.writable && matches!(operation, Operation::Write | Operation::SetLen) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        self.disk.begin(operation, &self.path)
    }

    /// One call of the simulated kernel: how many bytes arrived, or why none did.
    fn write_some(&self, bytes: &[u8], position: usize) -> io::Result<usize> {
        if !self.writable {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let mut machine = self.disk.machine();
        let struck = machine.strike(Operation::Write, &self.path)?;
        let (room, full) = machine.room_for(self.inode, position, bytes.len());
        let (arriving, error) = match struck {
            Some(fault) => (fault.arriving.min(bytes.len()), Some(io::Error::from_raw_os_error(fault.errno))),
            None => (room, full),
        };
        match error {
            Some(error) if arriving == 0 => Err(error),
            _ => {
                machine.content(self.inode).write(position, &bytes[..arriving]);
                Ok(arriving)
            }
        }
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.begin(Operation::Read)?.content(self.inode).live().len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut machine = self.begin(Operation::Read)?;
        let live = machine.content(self.inode).live();
        let rest = usize::try_from(position).ok().and_then(|start| live.get(start..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.read_at(buf, position)
    }

    fn write_vectored_all_at(&self, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        let bytes = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>();
        let mut written = 0;
        while written < bytes.len() {
            match self.write_some(&bytes[written..], position as usize + written) {
                Ok(arrived) => written += arrived,
                Err(error) => return Err(ShortWrite { written: written as u64, error }),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.begin(Operation::SetLen)?.content(self.inode).set_len(len as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let gate = self.disk.machine().gate_of(&self.path);
        // Without the machine, whose other operations go on.
        if let Some(gate) = gate {
            gate.pass();
        }
        let mut machine = self.disk.machine();
        match machine.strike(Operation::Sync, &self.path)? {
            Some(fault) => {
                machine.content(self.inode).fail_sync();
                Err(io::Error::from_raw_os_error(fault.errno))
            }
            None => {
                machine.content(self.inode).sync();
                Ok(())
            }
        }
    }

    fn start_writeback(&self, _position: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests;
