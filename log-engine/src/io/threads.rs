//! Plain system calls on the calling thread: the backend for machines and sandboxes that refuse rings.
//!
//! Files are flushed one after the other. Writeback of all of them is started before the first flush, which then
//! commits the journal for most of the others too.

use super::write::{QueueCounts, WriteGroup, WriteQueue, write_runs};

/// pwritev for each contiguous stretch, fdatasync for each file that must be durable.
#[derive(Debug, Default)]
pub(crate) struct ThreadsQueue;

impl WriteQueue for ThreadsQueue {
    fn execute(&mut self, group: &mut WriteGroup) {
        write_all(group);
        flush_in_turn(group);
    }
}

fn write_all(group: &mut WriteGroup) {
    for file in &mut group.files {
        write_runs(file, &mut group.counts);
    }
}

fn flush_in_turn(group: &mut WriteGroup) {
    let QueueCounts { syncs, .. } = &mut group.counts;
    let mut files: Vec<_> = group.files.iter_mut().filter(|file| file.wants_flush()).collect();
    if files.len() > 1 {
        for file in &mut files {
            file.synced = file.start_writeback().err().map(Err);
        }
    }
    for file in files.into_iter().filter(|file| file.synced.is_none()) {
        *syncs += 1;
        file.synced = Some(file.file.sync_data());
    }
}
