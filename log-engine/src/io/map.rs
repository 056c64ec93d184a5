//! Read-only maps of sealed index files.
//!
//! A map of a file that shrinks is a trap: touching a page past the new end kills the process with SIGBUS. Nothing
//! in Rust can turn that into an error, so the rule is one of use: only files that are sealed are mapped, meaning
//! that the engine neither writes nor cuts them any more and replaces them, if ever, by renaming another file over
//! them, which leaves mapped pages as they were. The active segment's indexes are read and written, never mapped.

use std::io;
use std::ops::Deref;

use super::FileHandle;

/// The content of a sealed file, in pages that the kernel can take back at any time.
#[derive(Debug)]
pub struct SealedMap {
    content: Content,
    // A map outlives its descriptor, but while the handle is held the file's pages also stay reachable by reads.
    _file: FileHandle,
}

#[derive(Debug)]
enum Content {
    Mapped(memmap2::Mmap),
    /// Of a file without a descriptor, or one without bytes, which cannot be mapped.
    Copied(Vec<u8>),
}

impl SealedMap {
    /// Maps a whole file. The caller promises that it is sealed.
    pub fn of(file: &FileHandle) -> io::Result<Self> {
        let len = file.len()?;
        let content = match file.as_fd() {
            Some(fd) if len > 0 => {
                // SAFETY: the pages are valid while the file keeps its length, and sealed files do: see the module's
                // documentation for who could break that and what then happens. No bytes of it are ever written
                // through a map, and their values are treated as untrusted by every reader.
                Content::Mapped(unsafe { memmap2::Mmap::map(&fd)? })
            }
            _ => {
                let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, 0)?;
                Content::Copied(bytes)
            }
        };
        Ok(Self { content, _file: FileHandle::clone(file) })
    }
}

impl Deref for SealedMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.content {
            Content::Mapped(map) => map,
            Content::Copied(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::io::{BackendChoice, Disk, NativeDisk, OpenMode, atomic_replace};

    #[test]
    fn a_map_shows_the_sealed_content_also_after_another_file_took_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let disk = NativeDisk::new(BackendChoice::Threads);
        let path = dir.path().join("00.index");
        atomic_replace(&disk, &path, &[1; 10_000]).unwrap();
        let map = SealedMap::of(&disk.open(&path, OpenMode::Read).unwrap()).unwrap();
        atomic_replace(&disk, &path, b"short").unwrap();
        assert_eq!(&*map, &[1; 10_000]);
        assert_eq!(&*SealedMap::of(&disk.open(&path, OpenMode::Read).unwrap()).unwrap(), b"short");
    }

    #[test]
    fn an_empty_file_maps_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let disk = NativeDisk::new(BackendChoice::Threads);
        let file = disk.open(&dir.path().join("a"), OpenMode::CreateNew).unwrap();
        assert!(SealedMap::of(&file).unwrap().is_empty());
    }
}
