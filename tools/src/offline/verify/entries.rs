//! The entries of an index file, read in pieces.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use log_engine::{
    AbortedTransaction, Corruption, Offset, Rule,
    inspect::{
        OFFSET_INDEX_ENTRY_LEN, OffsetIndexEntry, TIME_INDEX_ENTRY_LEN, TXN_INDEX_ENTRY_LEN, TimeIndexEntry,
        offset_index_entries, parse_txn_index, time_index_entries,
    },
};

/// What an index file consists of.
pub(super) trait Entry: Copy {
    const LEN: usize;

    fn decode(path: &Path, base: Offset, bytes: &[u8]) -> Result<Vec<Self>, Corruption>;
}

impl Entry for OffsetIndexEntry {
    const LEN: usize = OFFSET_INDEX_ENTRY_LEN;

    fn decode(path: &Path, base: Offset, bytes: &[u8]) -> Result<Vec<Self>, Corruption> {
        Ok(offset_index_entries(path, base, bytes)?.collect())
    }
}

impl Entry for TimeIndexEntry {
    const LEN: usize = TIME_INDEX_ENTRY_LEN;

    fn decode(path: &Path, base: Offset, bytes: &[u8]) -> Result<Vec<Self>, Corruption> {
        Ok(time_index_entries(path, base, bytes)?.collect())
    }
}

impl Entry for AbortedTransaction {
    const LEN: usize = TXN_INDEX_ENTRY_LEN;

    fn decode(path: &Path, _: Offset, bytes: &[u8]) -> Result<Vec<Self>, Corruption> {
        parse_txn_index(path, bytes)
    }
}

/// Entries read at once.
const ENTRIES_PER_READ: usize = 4096;

/// The entries of one file, front to back; those that are zeros, as preallocation leaves them, are left out.
pub(super) struct Entries<E> {
    pub(super) path: PathBuf,
    file: File,
    base: Offset,
    length: u64,
    // What is read next, and what was read: number of the entry, and the entry.
    position: u64,
    held: VecDeque<(u64, E)>,
    zeros_at: Option<u64>,
}

/// What the next entry is.
pub(super) enum Next<E> {
    /// An entry, and the byte it stands at.
    Entry(u64, E),
    /// The file cannot be read on.
    Damage(Corruption),
    /// There is none.
    End,
}

impl<E: Entry> Entries<E> {
    pub(super) fn open(path: PathBuf, base: Offset) -> io::Result<Self> {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file, base, length, position: 0, held: VecDeque::new(), zeros_at: None })
    }

    /// The length must be that of whole entries.
    pub(super) fn check_length(&self) -> Option<Corruption> {
        let rule = Rule::IndexLength { length: self.length, entry: E::LEN as u64 };
        (!self.length.is_multiple_of(E::LEN as u64)).then(|| Corruption {
            file: self.path.clone(),
            position: self.length,
            rule,
        })
    }

    pub(super) fn peek(&mut self) -> io::Result<Next<E>> {
        while self.held.is_empty() {
            let left = (self.length - self.position) as usize / E::LEN;
            if left == 0 {
                return Ok(Next::End);
            }
            let mut bytes = vec![0; left.min(ENTRIES_PER_READ) * E::LEN];
            self.file.read_exact_at(&mut bytes, self.position)?;
            if let Err(damage) = self.hold(&bytes) {
                self.stop();
                return Ok(Next::Damage(damage));
            }
        }
        Ok(self.held.front().map_or(Next::End, |(position, entry)| Next::Entry(*position, *entry)))
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Corruption> {
        let first = self.position;
        let entries = E::decode(&self.path, self.base, bytes)
            .map_err(|damage| Corruption { position: damage.position + first, ..damage })?;
        self.position += bytes.len() as u64;
        for ((number, raw), entry) in bytes.chunks_exact(E::LEN).enumerate().zip(entries) {
            let position = first + (number * E::LEN) as u64;
            if raw.iter().all(|byte| *byte == 0) {
                self.zeros_at.get_or_insert(position);
                continue;
            }
            // Zeros may be the first entry, or stand behind the last.
            if let Some(position) = self.zeros_at.filter(|position| *position > 0) {
                let rule = Rule::IndexOrder { entry: position / E::LEN as u64 };
                return Err(Corruption { file: self.path.clone(), position, rule });
            }
            self.held.push_back((position, entry));
        }
        Ok(())
    }

    pub(super) fn advance(&mut self) {
        self.held.pop_front();
    }

    /// Nothing more is asked of this file.
    pub(super) fn stop(&mut self) {
        self.held.clear();
        self.position = self.length;
    }
}
