//! A metadata log in memory, for tests: batches, and an error to give on demand.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use log_engine::{
    batch::BatchView,
    types::{LeaderEpoch, Offset},
};

use super::record_log::{LogFailure, PendingAppend, RecordLog};

/// Clones share the log, as two runs of a process share a disk.
#[derive(Clone, Default)]
pub(super) struct MemoryLog {
    pub(super) inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) batches: Vec<Vec<u8>>,
    pub(super) high_watermark: Option<Offset>,
    /// Appends from this one on (counted from 0) never become durable.
    pub(super) fails_from: Option<usize>,
}

impl MemoryLog {
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let log = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = BatchView::read(rest).unwrap().header().size_in_bytes();
            log.inner.lock().unwrap().batches.push(rest[..size].to_vec());
            rest = &rest[size..];
        }
        log
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.inner.lock().unwrap().batches.concat()
    }

    fn last<T>(&self, field: impl Fn(&BatchView<'_>) -> T) -> Option<T> {
        let inner = self.inner.lock().unwrap();
        inner.batches.last().map(|batch| field(&BatchView::read(batch).unwrap()))
    }
}

struct Pending {
    log: MemoryLog,
    number: usize,
}

impl PendingAppend for Pending {
    fn wait(self: Box<Self>) -> Result<(), LogFailure> {
        let mut inner = self.log.inner.lock().unwrap();
        match inner.fails_from {
            Some(from) if self.number >= from => {
                inner.batches.truncate(from);
                Err(LogFailure::new("no space"))
            }
            _ => Ok(()),
        }
    }
}

impl RecordLog for MemoryLog {
    fn end_offset(&self) -> Offset {
        self.last(|batch| batch.header().next_offset()).unwrap_or(Offset::ZERO)
    }

    fn append(&mut self, batch: Vec<u8>) -> Result<Box<dyn PendingAppend>, LogFailure> {
        assert_eq!(BatchView::read(&batch).unwrap().header().base_offset(), self.end_offset());
        let mut inner = self.inner.lock().unwrap();
        inner.batches.push(batch);
        let number = inner.batches.len() - 1;
        drop(inner);
        Ok(Box::new(Pending { log: self.clone(), number }))
    }

    fn forget_failed(&mut self) {}

    fn read(&self, from: Offset, _max_bytes: usize) -> Result<Vec<u8>, LogFailure> {
        let inner = self.inner.lock().unwrap();
        let found =
            inner.batches.iter().find(|batch| BatchView::read(batch).unwrap().header().last_offset() >= from);
        Ok(found.cloned().unwrap_or_default())
    }

    fn start_offset(&self) -> Offset {
        let inner = self.inner.lock().unwrap();
        let first = inner.batches.first();
        first.map_or(Offset::ZERO, |batch| BatchView::read(batch).unwrap().header().base_offset())
    }

    fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.last(|batch| batch.header().leader_epoch())
    }

    fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogFailure> {
        assert!(self.latest_epoch().is_none_or(|latest| latest < epoch));
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn delete_before(&mut self, offset: Offset) -> Result<(), LogFailure> {
        let mut inner = self.inner.lock().unwrap();
        inner.batches.retain(|batch| BatchView::read(batch).unwrap().header().next_offset() > offset);
        Ok(())
    }

    fn set_high_watermark(&mut self, offset: Offset) {
        self.inner.lock().unwrap().high_watermark = Some(offset);
    }
}
