//! Who owns what the kernel is working on: this table, until the completion.

use std::io::{self, IoSlice};
use std::mem;

use bytes::Bytes;

use crate::io::write::Run;
use crate::io::{FileHandle, ShortWrite};

/// An operation the kernel may be reading memory for.
pub(super) enum Operation {
    Write(WriteOperation),
    Flush { file: FileHandle, file_index: usize },
}

/// Operations by slot. A slot is known outside by its number and its generation, so that a completion that comes
/// late can never be taken for one of the slot's next tenant.
#[derive(Default)]
pub(super) struct InFlight {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    operation: Option<Operation>,
}

impl InFlight {
    /// Takes ownership; the answer goes into the entry's user data.
    pub(super) fn insert(&mut self, operation: Operation) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.operation = Some(operation);
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    pub(super) fn get(&self, user_data: u64) -> Option<&Operation> {
        let slot = self.slots.get(user_data as u32 as usize)?;
        slot.operation.as_ref().filter(|_| u64::from(slot.generation) == user_data >> 32)
    }

    pub(super) fn get_mut(&mut self, user_data: u64) -> Option<&mut Operation> {
        let slot = self.slots.get_mut(user_data as u32 as usize)?;
        slot.operation.as_mut().filter(|_| u64::from(slot.generation) == user_data >> 32)
    }

    /// Gives an operation up: its completion has been reaped.
    pub(super) fn remove(&mut self, user_data: u64) {
        if self.get(user_data).is_some() {
            let index = user_data as u32;
            let slot = &mut self.slots[index as usize];
            slot.operation = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for InFlight {
    /// What the kernel may still be reading is leaked: memory is worth less than a segment with foreign bytes in it.
    fn drop(&mut self) {
        for operation in self.slots.drain(..).filter_map(|slot| slot.operation) {
            mem::forget(operation);
        }
    }
}

/// A vectored write, as far as it has come.
pub(super) struct WriteOperation {
    pub(super) file: FileHandle,
    pub(super) file_index: usize,
    pub(super) run_index: usize,
    pub(super) retries: u32,
    parts: Vec<Bytes>,
    /// Points into `parts`, from `written` on. Rebuilt only between completion and resubmission.
    vector: Vec<libc::iovec>,
    position: u64,
    written: u64,
    total: u64,
}

impl WriteOperation {
    pub(super) fn new(file: FileHandle, run: &Run, file_index: usize, run_index: usize) -> Self {
        let mut write = Self {
            file,
            file_index,
            run_index,
            retries: 0,
            parts: run.parts.clone(),
            vector: Vec::with_capacity(run.parts.len()),
            position: run.position,
            written: 0,
            total: run.len(),
        };
        write.rebuild_vector();
        write
    }

    pub(super) fn vector(&self) -> (*const libc::iovec, u32) {
        (self.vector.as_ptr(), self.vector.len() as u32)
    }

    pub(super) fn position_now(&self) -> u64 {
        self.position + self.written
    }

    pub(super) fn is_complete(&self) -> bool {
        self.written >= self.total
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        self.written += bytes;
        self.rebuild_vector();
    }

    pub(super) fn short(&self, error: io::Error) -> ShortWrite {
        ShortWrite { written: self.written, error }
    }

    /// The rest by a call that waits where the ring would not.
    pub(super) fn finish_directly(&self) -> Result<(), ShortWrite> {
        let rest: Vec<IoSlice<'_>> = self.remaining_parts().map(IoSlice::new).collect();
        self.file
            .write_vectored_all_at(&rest, self.position_now())
            .map_err(|short| ShortWrite { written: self.written + short.written, error: short.error })
    }

    fn rebuild_vector(&mut self) {
        let mut vector = mem::take(&mut self.vector);
        vector.clear();
        vector.extend(
            self.remaining_parts()
                .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }),
        );
        self.vector = vector;
    }

    fn remaining_parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.written;
        self.parts.iter().filter_map(move |part| {
            let skipped = skip.min(part.len() as u64);
            skip -= skipped;
            Some(&part[skipped as usize..]).filter(|rest| !rest.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::io::{BackendChoice, Disk, NativeDisk, OpenMode};

    fn write_of(parts: &[&'static [u8]]) -> (tempfile::TempDir, WriteOperation) {
        let dir = tempfile::tempdir().unwrap();
        let disk = NativeDisk::new(BackendChoice::Threads);
        let file = disk.open(&dir.path().join("a"), OpenMode::CreateNew).unwrap();
        let parts = parts.iter().map(|part| Bytes::from_static(part)).collect();
        (dir, WriteOperation::new(file, &Run { position: 100, parts, outcome: Ok(()) }, 0, 0))
    }

    #[test]
    fn a_write_that_ended_early_goes_on_behind_the_last_byte_that_arrived() {
        let (_dir, mut write) = write_of(&[b"abc", b"defg", b"h"]);
        let rest =
            |write: &WriteOperation| write.remaining_parts().map(<[u8]>::to_vec).collect::<Vec<_>>().concat();
        for (advance, position, expected) in [
            (0, 100, &b"abcdefgh"[..]),
            (2, 102, b"cdefgh"),
            (1, 103, b"defgh"),
            (4, 107, b"h"),
            (1, 108, b""),
        ] {
            write.advance(advance);
            assert_eq!((write.position_now(), rest(&write)), (position, expected.to_vec()));
        }
        assert!(write.is_complete());
    }

    #[test]
    fn the_vector_given_to_the_kernel_describes_what_remains() {
        let (_dir, mut write) = write_of(&[b"abc", b"defg"]);
        write.advance(4);
        assert_eq!(write.vector.iter().map(|part| part.iov_len).collect::<Vec<_>>(), [3]);
        assert_eq!(write.vector[0].iov_base.cast_const().cast(), write.parts[1][1..].as_ptr());
    }

    #[test]
    fn a_late_completion_does_not_reach_the_next_operation_in_its_slot() {
        let (_dir, first) = write_of(&[b"a"]);
        let (_dir2, second) = write_of(&[b"b"]);
        let mut table = InFlight::default();
        let old = table.insert(Operation::Write(first));
        table.remove(old);
        let new = table.insert(Operation::Write(second));
        assert_ne!(old, new);
        assert!(table.get(old).is_none() && table.get(new).is_some());
        table.remove(old);
        assert_eq!(table.len(), 1);
        table.remove(new);
        assert!(table.is_empty());
    }

    #[test]
    fn a_dropped_table_does_not_free_what_the_kernel_may_still_read() {
        static CONTENT: [u8; 3] = *b"abc";
        struct Owner {
            _alive: std::sync::Arc<()>,
        }
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &CONTENT
            }
        }
        let alive = std::sync::Arc::new(());
        let (_dir, mut write) = write_of(&[b"x"]);
        write.parts = vec![Bytes::from_owner(Owner { _alive: std::sync::Arc::clone(&alive) })];
        let mut table = InFlight::default();
        table.insert(Operation::Write(write));
        drop(table);
        assert_eq!(
            std::sync::Arc::strong_count(&alive),
            2,
            "the buffer is still owned by the leaked operation"
        );
    }
}
