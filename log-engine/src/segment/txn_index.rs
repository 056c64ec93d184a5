//! `.txnindex`: the aborted transactions that end in a segment. Exists only where there is one.
//!
//! ```text
//!  0 version            i16 | 0
//!  2 producer id        i64
//! 10 first offset       i64 | of the transaction
//! 18 last offset        i64 | of its abort marker
//! 26 last stable offset i64 | when the marker was appended
//! ```
//!
//! Entries are rare and written as they come. Those for which there is no room, or no descriptor, stay in memory until the
//! next flush: readers of committed records need them at once.

use std::io;
use std::path::Path;

use crate::error::{Corruption, Rule};
use crate::io::{FileHandle, OpenMode, atomic_replace};
use crate::types::{Offset, ProducerId};

use super::name::FileType;
use super::open_files::FileSlot;
use super::place::Names;
use super::scan::{ReadMode, read_exact};

/// Bytes of an entry.
pub const ENTRY_LEN: usize = 34;

const VERSION: i16 = 0;

/// A transaction that was aborted, as a reader at `read_committed` has to know it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AbortedTransaction {
    /// Whose transaction it was.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its abort marker.
    pub last_offset: Offset,
    /// The last stable offset when the marker was appended.
    pub last_stable_offset: Offset,
}

impl AbortedTransaction {
    /// The entry's bytes.
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [
            self.producer_id.get(),
            self.first_offset.get(),
            self.last_offset.get(),
            self.last_stable_offset.get(),
        ];
        for (field, to) in fields.into_iter().zip(bytes[2..].chunks_exact_mut(8)) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Reads an entry; `None` for a version that nobody writes.
    pub fn decode(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        if i16::from_be_bytes([bytes[0], bytes[1]]) != VERSION {
            return None;
        }
        let field = |index: usize| {
            let start = 2 + index * 8;
            bytes[start..start + 8].iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte))
        };
        Some(Self {
            producer_id: ProducerId::new(field(0)),
            first_offset: Offset::new(field(1)),
            last_offset: Offset::new(field(2)),
            last_stable_offset: Offset::new(field(3)),
        })
    }
}

/// Entries read at once.
const ENTRIES_PER_READ: usize = 128;

#[derive(Debug)]
pub(crate) struct TxnIndex {
    pub(super) file: FileSlot,
    // In the file.
    entries: u64,
    unwritten: Vec<AbortedTransaction>,
}

impl TxnIndex {
    /// The index in its file, which most often does not exist. A part of an entry at the end, and anything that is no
    /// entry, ends it.
    pub(crate) fn open(names: &Names) -> io::Result<Self> {
        let length = match names.metadata(FileType::TxnIndex) {
            Ok(metadata) => metadata.len,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { entries: length / ENTRY_LEN as u64, ..Self::empty() })
    }

    pub(crate) fn empty() -> Self {
        Self { file: FileSlot::default(), entries: 0, unwritten: Vec::new() }
    }

    pub(crate) fn len_in_bytes(&self) -> u64 {
        self.entries * ENTRY_LEN as u64
    }

    pub(crate) fn has_unopened_entries(&self) -> bool {
        self.entries > 0 && !self.file.is_open()
    }

    /// Appends an entry, which readers find whatever this answers.
    pub(crate) fn append(&mut self, names: &Names, entry: &AbortedTransaction) -> io::Result<()> {
        self.unwritten.push(*entry);
        self.write_unwritten(names)
    }

    /// Whether there are entries that the file lacks.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Hands the entries in memory to the operating system.
    pub(crate) fn write_unwritten(&mut self, names: &Names) -> io::Result<()> {
        if self.has_unwritten() {
            let bytes: Vec<u8> = self.unwritten.iter().flat_map(AbortedTransaction::encode).collect();
            let position = self.len_in_bytes();
            self.handle(names)?.write_all_at(&bytes, position)?;
            self.entries += self.unwritten.len() as u64;
            self.unwritten = Vec::new();
        }
        Ok(())
    }

    /// The file holds exactly these entries from now on: as it was until then, whatever crashes.
    pub(crate) fn replace(&mut self, names: &Names, entries: &[AbortedTransaction]) -> io::Result<()> {
        let bytes: Vec<u8> = entries.iter().flat_map(AbortedTransaction::encode).collect();
        let is_there = match names.metadata(FileType::TxnIndex) {
            Ok(found) if found.len == bytes.len() as u64 => {
                let mut there = vec![0; bytes.len()];
                names.open(FileType::TxnIndex, OpenMode::Read)?.read_exact_at(&mut there, 0)?;
                there == bytes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => bytes.is_empty(),
            found => found.map(|_| false)?,
        };
        if !is_there {
            atomic_replace(&**names.disk(), &names.path(FileType::TxnIndex), &bytes)?;
        }
        *self = Self { entries: entries.len() as u64, ..Self::empty() };
        Ok(())
    }

    /// The file holds exactly the entries; `None` if there never was one.
    pub(crate) fn trim(&mut self, names: &Names) -> io::Result<Option<FileHandle>> {
        self.write_unwritten(names)?;
        if self.entries == 0 && !self.file.is_open() {
            match names.metadata(FileType::TxnIndex) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        let file = self.handle(names)?;
        file.set_len(self.len_in_bytes())?;
        Ok(Some(file))
    }

    /// Drops the entries of transactions that end at or after `end`. Writes none: those in memory stay there.
    pub(crate) fn truncate_to(&mut self, names: &Names, end: Offset) -> io::Result<()> {
        self.unwritten.retain(|entry| entry.last_offset < end);
        let mut kept = 0;
        let in_file = TxnIndexView { unwritten: Vec::new(), ..self.view(names, ReadMode::Blocking)? };
        in_file.for_each(ReadMode::Blocking, |entry| {
            let keep = entry.last_offset < end;
            kept += u64::from(keep);
            keep
        })?;
        if kept < self.entries {
            self.entries = kept;
            self.handle(names)?.set_len(self.len_in_bytes())?;
        }
        Ok(())
    }

    /// The entries of transactions that end at or after `from`.
    pub(crate) fn entries_from(
        &mut self,
        names: &Names,
        from: Offset,
    ) -> io::Result<Vec<AbortedTransaction>> {
        let mut entries = Vec::new();
        self.view(names, ReadMode::Blocking)?.for_each(ReadMode::Blocking, |entry| {
            entries.extend(Some(entry).filter(|entry| entry.last_offset >= from));
            true
        })?;
        Ok(entries)
    }

    pub(crate) fn view(&mut self, names: &Names, mode: ReadMode) -> io::Result<TxnIndexView> {
        let unwritten = self.unwritten.clone();
        if self.entries == 0 {
            return Ok(TxnIndexView { file: None, entries: 0, unwritten });
        }
        if !self.file.is_open() && mode == ReadMode::CachedOnly {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(TxnIndexView { file: Some(self.handle(names)?), entries: self.entries, unwritten })
    }

    fn handle(&mut self, names: &Names) -> io::Result<FileHandle> {
        match self.file.handle() {
            Some(file) => Ok(file),
            None => Ok(self.file.keep(names.open_to_keep(FileType::TxnIndex, OpenMode::OpenOrCreate)?)),
        }
    }
}

/// The entries in a file at one moment, read outside the segment's lock.
pub(crate) struct TxnIndexView {
    file: Option<FileHandle>,
    entries: u64,
    unwritten: Vec<AbortedTransaction>,
}

impl TxnIndexView {
    /// Visits the entries in order until `visit` says no more, or one cannot be read as an entry.
    pub(crate) fn for_each(
        &self,
        mode: ReadMode,
        mut visit: impl FnMut(AbortedTransaction) -> bool,
    ) -> io::Result<()> {
        if let Some(file) = &self.file
            && !self.for_each_in(file, mode, &mut visit)?
        {
            return Ok(());
        }
        for entry in &self.unwritten {
            if !visit(*entry) {
                break;
            }
        }
        Ok(())
    }

    // Answers whether more were asked for.
    fn for_each_in(
        &self,
        file: &FileHandle,
        mode: ReadMode,
        visit: &mut impl FnMut(AbortedTransaction) -> bool,
    ) -> io::Result<bool> {
        let mut bytes = [0; ENTRIES_PER_READ * ENTRY_LEN];
        let mut done = 0;
        while done < self.entries {
            let count = (self.entries - done).min(ENTRIES_PER_READ as u64);
            let stretch = &mut bytes[..count as usize * ENTRY_LEN];
            read_exact(&**file, stretch, done * ENTRY_LEN as u64, mode)?;
            for entry in stretch.as_chunks().0 {
                let Some(entry) = AbortedTransaction::decode(entry) else { return Ok(true) };
                if !visit(entry) {
                    return Ok(false);
                }
            }
            done += count;
        }
        Ok(true)
    }
}

/// Parses a whole `.txnindex` file, for tools.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<AbortedTransaction>, Corruption> {
    let (entries, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        let rule = Rule::IndexLength { length: bytes.len() as u64, entry: ENTRY_LEN as u64 };
        return Err(Corruption { file: path.to_owned(), position: 0, rule });
    }
    let decode = |(index, entry)| {
        AbortedTransaction::decode(entry).ok_or_else(|| Corruption {
            file: path.to_owned(),
            position: (index * ENTRY_LEN) as u64,
            rule: Rule::IndexOrder { entry: index as u64 },
        })
    };
    entries.iter().enumerate().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lies_in_the_file_as_kafka_writes_it() {
        let entry = AbortedTransaction {
            producer_id: ProducerId::new(1),
            first_offset: Offset::new(2),
            last_offset: Offset::new(3),
            last_stable_offset: Offset::new(4),
        };
        let mut expected = vec![0, 0];
        for number in 1u8..=4 {
            expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, number]);
        }
        assert_eq!(entry.encode().to_vec(), expected);
        assert_eq!(AbortedTransaction::decode(&entry.encode()), Some(entry));
        assert_eq!(parse(Path::new("x"), &expected), Ok(vec![entry]));
        assert!(parse(Path::new("x"), &expected[..33]).is_err());
        expected[1] = 1;
        assert!(parse(Path::new("x"), &expected).is_err());
    }
}
