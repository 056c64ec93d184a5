//! A file of sorted entries of one fixed length: what the offset index and the time index have in common.
//!
//! New entries gather in memory and are written a page at a time: an index is derived data, so a crash may lose its
//! tail, and recovery rebuilds it from the log. Kafka preallocates its index files and trims them on a clean close;
//! after a crash they end in zeros, which [`IndexFile::keep_valid_prefix`] tells from entries by their order.
//!
//! Entry layouts are next door, in `offset_index` and `time_index`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Corruption, Rule};
use crate::io::{Disk, FileHandle, OpenMode, with_suffix};

use super::name::{FileType, UNFINISHED};
use super::open_files::FileSlot;
use super::place::Names;
use super::scan::{ReadMode, read_exact};

/// One entry's layout.
pub(crate) trait Entry: Copy + PartialEq + std::fmt::Debug + 'static {
    /// Bytes of an entry.
    const LEN: usize;
    /// The file that such entries are in.
    const FILE: FileType;
    /// Appends the entry's bytes.
    fn encode(self, to: &mut Vec<u8>);
    /// Reads an entry from exactly [`Entry::LEN`] bytes.
    fn decode(bytes: &[u8]) -> Self;
    /// Whether `self` may stand behind `previous`.
    fn follows(self, previous: Self) -> bool;
}

/// Entries held in memory before they are written.
const TAIL_ENTRIES_MAX: usize = 512;

/// Entries read at once, around the guess of a search and when it has narrowed down to a stretch of the file.
const STRETCH_ENTRIES: u64 = 256;

/// Bytes read at once when a whole index is walked.
const WALK_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct IndexFile<E> {
    // Opened when needed: most indexes of a large directory are never looked at.
    pub(super) file: FileSlot,
    in_file: u64,
    tail: Vec<E>,
    last: Option<E>,
    held_back: bool,
}

impl<E: Entry> IndexFile<E> {
    /// The index in its file. Reads the last entry and nothing else, and leaves the file closed.
    pub(crate) fn open(names: &Names) -> Result<Self, OpenIndexError> {
        let mut index = Self::empty();
        let length = match names.metadata(E::FILE) {
            Ok(metadata) => metadata.len,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenIndexError::Missing),
            Err(error) => return Err(error.into()),
        };
        if !length.is_multiple_of(E::LEN as u64) {
            let rule = Rule::IndexLength { length, entry: E::LEN as u64 };
            return Err(Corruption { file: names.path(E::FILE), position: 0, rule }.into());
        }
        index.in_file = length / E::LEN as u64;
        if let Some(last) = index.in_file.checked_sub(1) {
            let file = names.open(E::FILE, OpenMode::Read)?;
            index.last = Some(index.view_of(file).entry(last, ReadMode::Blocking)?);
        }
        Ok(index)
    }

    /// An index without entries, whatever its file holds; the file is cut when it is next written.
    pub(crate) fn empty() -> Self {
        Self { file: FileSlot::default(), in_file: 0, tail: Vec::new(), last: None, held_back: false }
    }

    /// Closes the file, and gives back what memory entries took that are in it now.
    pub(crate) fn close(&mut self) {
        self.file.close();
        self.tail.shrink_to_fit();
    }

    /// Entries in the file.
    pub(crate) fn in_file(&self) -> u64 {
        self.in_file
    }

    pub(crate) fn len(&self) -> u64 {
        self.in_file + self.tail.len() as u64
    }

    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    /// Appends an entry, which must follow the last one.
    pub(crate) fn append(&mut self, names: &Names, entry: E) -> io::Result<()> {
        debug_assert!(self.last.is_none_or(|last| entry.follows(last)), "{entry:?} after {:?}", self.last);
        self.tail.push(entry);
        self.last = Some(entry);
        if self.tail.len() >= TAIL_ENTRIES_MAX && !self.held_back { self.write_tail(names) } else { Ok(()) }
    }

    /// Keeps new entries in memory, however many, until the index is trimmed.
    pub(crate) fn hold_back(&mut self) {
        self.held_back = true;
    }

    pub(crate) fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// Hands the entries in memory to the operating system.
    pub(crate) fn write_tail(&mut self, names: &Names) -> io::Result<()> {
        let tail = self.encoded_tail();
        if !tail.bytes.is_empty() {
            self.handle(names)?.write_all_at(&tail.bytes, tail.position())?;
            self.tail_was_written(&tail);
        }
        Ok(())
    }

    /// The entries in memory, to be written outside the segment's lock.
    pub(crate) fn encoded_tail(&self) -> EncodedTail {
        let mut bytes = Vec::with_capacity(self.tail.len() * E::LEN);
        self.tail.iter().for_each(|entry| entry.encode(&mut bytes));
        EncodedTail { bytes, behind: self.in_file, entry_len: E::LEN }
    }

    /// The entries that `written` was made of are in the file. Others may have come meanwhile, and may have been written
    /// together with these.
    pub(crate) fn tail_was_written(&mut self, written: &EncodedTail) {
        if self.in_file == written.behind {
            let entries = written.bytes.len() / E::LEN;
            self.tail.drain(..entries);
            self.in_file += entries as u64;
        }
    }

    pub(crate) fn has_unopened_entries(&self) -> bool {
        self.in_file > 0 && !self.file.is_open()
    }

    /// Writes what is in memory and cuts what lies behind: the file holds exactly the entries.
    pub(crate) fn trim(&mut self, names: &Names) -> io::Result<FileHandle> {
        self.held_back = false;
        self.write_tail(names)?;
        let length = self.in_file * E::LEN as u64;
        let file = self.handle(names)?;
        if file.len()? != length {
            file.set_len(length)?;
        }
        Ok(file)
    }

    /// The same where the file is open or entries are in memory: otherwise it holds the entries as it is.
    pub(crate) fn trim_if_used(&mut self, names: &Names) -> io::Result<()> {
        if !self.file.is_open() && self.tail.is_empty() { Ok(()) } else { self.trim(names).map(drop) }
    }

    /// Drops the entries from the first that `keep` refuses. Writes none: those in memory stay there.
    pub(crate) fn truncate(&mut self, names: &Names, keep: impl Fn(E) -> bool) -> io::Result<()> {
        self.tail.truncate(self.tail.partition_point(|entry| keep(*entry)));
        if let Some(last) = self.tail.last() {
            self.last = Some(*last);
            return Ok(());
        }
        let mut kept = 0;
        self.last = None;
        if self.in_file > 0 {
            let view = self.view(names, ReadMode::Blocking)?;
            kept = view.partition_point(keep, ReadMode::Blocking)?;
            self.last = kept.checked_sub(1).map(|last| view.entry(last, ReadMode::Blocking)).transpose()?;
        }
        if kept < self.in_file {
            self.in_file = kept;
            self.handle(names)?.set_len(kept * E::LEN as u64)?;
        }
        Ok(())
    }

    /// Keeps the entries up to the first that does not follow its predecessor or that `valid` refuses, and cuts the
    /// rest: how a preallocated, half written or damaged file becomes an index again.
    pub(crate) fn keep_valid_prefix(&mut self, names: &Names, valid: impl Fn(E) -> bool) -> io::Result<()> {
        let file = self.handle(names)?;
        let entries = file.len()? / E::LEN as u64;
        let per_read = (WALK_BYTES / E::LEN) as u64;
        let (mut kept, mut last) = (0, None);
        let mut bytes = vec![0; WALK_BYTES];
        'walk: while kept < entries {
            let count = per_read.min(entries - kept);
            let stretch = &mut bytes[..count as usize * E::LEN];
            file.read_exact_at(stretch, kept * E::LEN as u64)?;
            for entry in stretch.chunks_exact(E::LEN).map(E::decode) {
                if !valid(entry) || !last.is_none_or(|last| entry.follows(last)) {
                    break 'walk;
                }
                last = Some(entry);
                kept += 1;
            }
        }
        self.in_file = kept;
        self.last = last;
        self.tail.clear();
        self.trim(names).map(drop)
    }

    /// Goes on with a file that took the index's name. Views of the old file keep it.
    pub(crate) fn go_on_with(&mut self, names: &Names, replacement: Replacement<E>) {
        let Replacement { file, entries, last } = replacement;
        self.file.replace(names.keep(file));
        (self.in_file, self.last) = (entries, last);
        self.tail.clear();
    }

    /// The last entry that `reached` accepts, among those in memory; otherwise where to look in the file.
    pub(crate) fn floor(
        &mut self,
        names: &Names,
        reached: impl Fn(E) -> bool,
        mode: ReadMode,
    ) -> io::Result<Floor<E>> {
        match self.tail.partition_point(|entry| reached(*entry)).checked_sub(1) {
            Some(index) => Ok(Floor::Found(Some(self.tail[index]))),
            None if self.in_file == 0 => Ok(Floor::Found(None)),
            None => Ok(Floor::InFile(self.view(names, mode)?)),
        }
    }

    /// The first entry that `below` refuses: among those in memory, and where to look for an earlier one.
    pub(crate) fn ceiling(
        &mut self,
        names: &Names,
        below: impl Fn(E) -> bool,
        mode: ReadMode,
    ) -> io::Result<(Option<E>, Option<IndexView>)> {
        let in_memory = self.tail.get(self.tail.partition_point(|entry| below(*entry))).copied();
        let view = if self.in_file == 0 { None } else { Some(self.view(names, mode)?) };
        Ok((in_memory, view))
    }

    fn view(&mut self, names: &Names, mode: ReadMode) -> io::Result<IndexView> {
        if !self.file.is_open() && mode == ReadMode::CachedOnly {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file = self.handle(names)?;
        Ok(self.view_of(file))
    }

    fn view_of(&self, file: FileHandle) -> IndexView {
        IndexView { file, entries: self.in_file, all: self.len(), entry_len: E::LEN as u64, guess: None }
    }

    /// Opens the file, so that a view finds it also after it was renamed.
    pub(crate) fn handle(&mut self, names: &Names) -> io::Result<FileHandle> {
        match self.file.handle() {
            Some(file) => Ok(file),
            None => Ok(self.file.keep(names.open_to_keep(E::FILE, OpenMode::OpenOrCreate)?)),
        }
    }
}

/// Entries as they are to lie in the file.
pub(crate) struct EncodedTail {
    pub(crate) bytes: Vec<u8>,
    /// Entries before them.
    behind: u64,
    entry_len: usize,
}

impl EncodedTail {
    pub(crate) fn position(&self) -> u64 {
        self.behind * self.entry_len as u64
    }
}

/// An index whose file has the name already.
pub(crate) struct Replacement<E> {
    file: FileHandle,
    entries: u64,
    last: Option<E>,
}

/// An index written to a file beside the one that it is to replace. Removed where it did not come to that; a start
/// removes what a crash leaves.
pub(crate) struct WrittenBeside<E> {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Option<FileHandle>,
    entries: u64,
    last: Option<E>,
}

impl<E: Entry> WrittenBeside<E> {
    /// Writes `entries` beside the file at `path`, durably.
    pub(crate) fn write(disk: &Arc<dyn Disk>, path: &Path, entries: &[E]) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(entries.len() * E::LEN);
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        let path = with_suffix(path, UNFINISHED);
        let file = disk.open(&path, OpenMode::OpenOrCreate)?;
        let (disk, last) = (Arc::clone(disk), entries.last().copied());
        let beside = Self { disk, path, file: Some(Arc::clone(&file)), entries: entries.len() as u64, last };
        file.set_len(0)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        Ok(beside)
    }

    /// Puts the file in the place of the one at `path`.
    pub(crate) fn take_the_name(mut self, path: &Path) -> io::Result<Replacement<E>> {
        self.disk.rename(&self.path, path)?;
        let file = self.file.take().expect("taken here only, with all of it");
        Ok(Replacement { file, entries: self.entries, last: self.last })
    }
}

impl<E> Drop for WrittenBeside<E> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What stays is removed by the next start.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

/// Where a search goes on.
pub(crate) enum Floor<E> {
    /// The entry, or none as small as was asked for.
    Found(Option<E>),
    /// Searched outside the segment's lock.
    InFile(IndexView),
}

/// The entries in a file at one moment.
pub(crate) struct IndexView {
    file: FileHandle,
    entries: u64,
    /// Those in memory too.
    all: u64,
    entry_len: u64,
    guess: Option<u64>,
}

impl IndexView {
    /// Tells a search where what it seeks probably lies: `part` of the way to `whole`, the last entry's. Batches of a log
    /// are of similar sizes, so one read around the guess answers most searches, where halving takes a dozen.
    pub(crate) fn near(mut self, part: u64, whole: u64) -> Self {
        let guess = u128::from(self.all) * u128::from(part) / u128::from(whole.max(1));
        self.guess = Some(u64::try_from(guess).unwrap_or(u64::MAX).min(self.entries));
        self
    }

    /// The last entry that `reached` accepts; `reached` must accept a prefix.
    pub(crate) fn floor<E: Entry>(
        &self,
        reached: impl Fn(E) -> bool,
        mode: ReadMode,
    ) -> io::Result<Option<E>> {
        match self.partition_point(reached, mode)?.checked_sub(1) {
            Some(index) => self.entry(index, mode).map(Some),
            None => Ok(None),
        }
    }

    /// The first entry that `below` refuses; `below` must accept a prefix.
    pub(crate) fn ceiling<E: Entry>(
        &self,
        below: impl Fn(E) -> bool,
        mode: ReadMode,
    ) -> io::Result<Option<E>> {
        match self.partition_point(below, mode)? {
            index if index < self.entries => self.entry(index, mode).map(Some),
            _ => Ok(None),
        }
    }

    fn partition_point<E: Entry>(&self, reached: impl Fn(E) -> bool, mode: ReadMode) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.entries);
        if let Some(guess) = self.guess.filter(|_| high > STRETCH_ENTRIES) {
            let from = guess.saturating_sub(STRETCH_ENTRIES / 2).min(high - STRETCH_ENTRIES);
            let to = from + STRETCH_ENTRIES;
            match self.partition_point_between(&reached, from, to, mode)? {
                point if point == from => high = from,
                point if point == to => low = to,
                point => return Ok(point),
            }
        }
        while high - low > STRETCH_ENTRIES {
            let middle = low + (high - low) / 2;
            if reached(self.entry(middle, mode)?) { low = middle + 1 } else { high = middle }
        }
        self.partition_point_between(&reached, low, high, mode)
    }

    fn partition_point_between<E: Entry>(
        &self,
        reached: &impl Fn(E) -> bool,
        low: u64,
        high: u64,
        mode: ReadMode,
    ) -> io::Result<u64> {
        let mut bytes = vec![0; ((high - low) * self.entry_len) as usize];
        read_exact(&*self.file, &mut bytes, low * self.entry_len, mode)?;
        let (mut from, mut to) = (0, (high - low) as usize);
        while from < to {
            let middle = from + (to - from) / 2;
            let entry = E::decode(&bytes[middle * E::LEN..][..E::LEN]);
            if reached(entry) { from = middle + 1 } else { to = middle }
        }
        Ok(low + from as u64)
    }

    fn entry<E: Entry>(&self, index: u64, mode: ReadMode) -> io::Result<E> {
        debug_assert_eq!(self.entry_len, E::LEN as u64, "a view of another index");
        let mut bytes = [0; 16];
        let bytes = &mut bytes[..E::LEN];
        read_exact(&*self.file, bytes, index * self.entry_len, mode)?;
        Ok(E::decode(bytes))
    }
}

/// Why an index cannot serve as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenIndexError {
    #[error("the index file is missing")]
    Missing,
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    #[error(transparent)]
    Io(#[from] io::Error),
}
