//! Plain system calls on the calling thread: the backend for machines and sandboxes that refuse rings.

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
    for file in group.files.iter_mut().filter(|file| file.sync && file.wrote_anything()) {
        *syncs += 1;
        file.synced = Some(file.file.sync_data());
    }
}
