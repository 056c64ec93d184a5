//! Indexes against their log: each takes part in the walk over the batches and compares its entries as they come by.
//!
//! What is asked is what a lookup relies on. An entry of an offset index points to where a batch begins, and a batch from
//! there on ends at its offset: Kafka once made an entry per append of several batches. An entry of a time index has the
//! largest timestamp up to its offset.

use std::io;

use log_engine::{
    AbortedTransaction, Corruption, Offset, Rule as EngineRule,
    batch::BatchHeader,
    inspect::{BatchAt, CheckedBatch, OffsetIndexEntry, TimeIndexEntry},
};

use super::{
    damage::{Findings, Rule},
    entries::{Entries, Entry, Next},
};

fn tell<E: Entry>(
    findings: &mut Findings<'_>,
    entries: &Entries<E>,
    position: u64,
    rule: Rule,
) -> io::Result<()> {
    findings.damage(&entries.path, position, rule)
}

/// The entry that comes next, if the file can still be read; tells why where it cannot.
fn peek<E: Entry>(findings: &mut Findings<'_>, entries: &mut Entries<E>) -> io::Result<Option<(u64, E)>> {
    match entries.peek()? {
        Next::Entry(position, entry) => Ok(Some((position, entry))),
        Next::End => Ok(None),
        Next::Damage(damage) => findings.corruption(damage).map(|()| None),
    }
}

fn order<E: Entry>(position: u64) -> Rule {
    EngineRule::IndexOrder { entry: position / E::LEN as u64 }.into()
}

pub(super) struct OffsetIndexCheck {
    pub(super) entries: Entries<OffsetIndexEntry>,
    // The entry whose offset no batch has ended at yet.
    open: Option<(u64, Offset)>,
    last: Option<Offset>,
}

impl OffsetIndexCheck {
    pub(super) fn new(entries: Entries<OffsetIndexEntry>) -> Self {
        Self { entries, open: None, last: None }
    }

    pub(super) fn see(&mut self, batch: &BatchAt, findings: &mut Findings<'_>) -> io::Result<()> {
        while let Some((position, entry)) = peek(findings, &mut self.entries)? {
            let target = entry.position.get();
            if target > batch.position {
                break;
            }
            self.entries.advance();
            self.close(findings)?;
            if self.last.is_some_and(|last| entry.offset <= last) {
                self.entries.stop();
                tell(findings, &self.entries, position, order::<OffsetIndexEntry>(position))?;
                break;
            }
            self.last = Some(entry.offset);
            if target < batch.position {
                let rule = Rule::NoBatchAt { target, offset: entry.offset };
                tell(findings, &self.entries, position, rule)?;
            } else {
                self.open = Some((position, entry.offset));
            }
        }
        match self.open {
            Some((_, offset)) if offset == batch.last_offset => self.open = None,
            Some((_, offset)) if offset < batch.last_offset => self.close(findings)?,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, findings: &mut Findings<'_>) -> io::Result<()> {
        match self.open.take() {
            Some((position, offset)) => tell(findings, &self.entries, position, Rule::NoBatchEnds { offset }),
            None => Ok(()),
        }
    }

    pub(super) fn finish(mut self, findings: &mut Findings<'_>) -> io::Result<()> {
        self.close(findings)?;
        if let Some((position, entry)) = peek(findings, &mut self.entries)? {
            let rule = Rule::NoBatchAt { target: entry.position.get(), offset: entry.offset };
            tell(findings, &self.entries, position, rule)?;
        }
        Ok(())
    }
}

pub(super) struct TimeIndexCheck {
    pub(super) entries: Entries<TimeIndexEntry>,
    largest: i64,
    last: Option<TimeIndexEntry>,
}

impl TimeIndexCheck {
    pub(super) fn new(entries: Entries<TimeIndexEntry>) -> Self {
        Self { entries, largest: -1, last: None }
    }

    pub(super) fn see(&mut self, batch: &BatchAt, findings: &mut Findings<'_>) -> io::Result<()> {
        let with_batch = self.largest.max(batch.max_timestamp.get());
        while let Some((position, entry)) = peek(findings, &mut self.entries)? {
            if entry.offset > batch.last_offset {
                break;
            }
            self.entries.advance();
            let follows =
                |last: TimeIndexEntry| entry.timestamp > last.timestamp && entry.offset >= last.offset;
            if !self.last.is_none_or(follows) {
                self.entries.stop();
                tell(findings, &self.entries, position, order::<TimeIndexEntry>(position))?;
                break;
            }
            self.last = Some(entry);
            let log = if entry.offset < batch.base_offset { self.largest } else { with_batch };
            if batch.magic >= 2 && entry.timestamp.get() != log {
                let rule = Rule::Timestamp { entry: entry.timestamp.get(), offset: entry.offset, log };
                tell(findings, &self.entries, position, rule)?;
            }
        }
        self.largest = with_batch;
        Ok(())
    }

    pub(super) fn finish(mut self, findings: &mut Findings<'_>) -> io::Result<()> {
        if let Some((position, entry)) = peek(findings, &mut self.entries)? {
            tell(findings, &self.entries, position, Rule::NoBatchEnds { offset: entry.offset })?;
        }
        Ok(())
    }
}

pub(super) struct TxnIndexCheck {
    pub(super) entries: Entries<AbortedTransaction>,
    last: Option<Offset>,
    // Compaction takes markers away and leaves the entries.
    may_have_gaps: bool,
}

impl TxnIndexCheck {
    pub(super) fn new(entries: Entries<AbortedTransaction>, may_have_gaps: bool) -> Self {
        Self { entries, last: None, may_have_gaps }
    }

    pub(super) fn see(&mut self, batch: &CheckedBatch<'_>, findings: &mut Findings<'_>) -> io::Result<()> {
        while let Some((position, entry)) = peek(findings, &mut self.entries)? {
            if entry.last_offset > batch.at.last_offset {
                break;
            }
            self.entries.advance();
            if entry.first_offset > entry.last_offset
                || self.last.is_some_and(|last| entry.last_offset <= last)
            {
                self.entries.stop();
                tell(findings, &self.entries, position, order::<AbortedTransaction>(position))?;
                break;
            }
            self.last = Some(entry.last_offset);
            if !self.has_marker(&entry, batch) {
                let rule = Rule::NoMarker { producer: entry.producer_id, offset: entry.last_offset };
                tell(findings, &self.entries, position, rule)?;
            }
        }
        Ok(())
    }

    fn has_marker(&self, entry: &AbortedTransaction, batch: &CheckedBatch<'_>) -> bool {
        if entry.last_offset < batch.at.base_offset {
            return self.may_have_gaps;
        }
        BatchHeader::read(batch.bytes).is_ok_and(|header| {
            let emptied = self.may_have_gaps && header.record_count() == 0;
            emptied || (header.is_control() && header.producer_id() == entry.producer_id)
        })
    }

    pub(super) fn finish(mut self, findings: &mut Findings<'_>) -> io::Result<()> {
        match peek(findings, &mut self.entries)? {
            Some((position, entry)) if !self.may_have_gaps => {
                let rule = Rule::NoMarker { producer: entry.producer_id, offset: entry.last_offset };
                tell(findings, &self.entries, position, rule)
            }
            _ => Ok(()),
        }
    }
}

/// The indexes of a segment, as far as they can be read.
pub(super) struct IndexChecks {
    pub(super) offsets: Option<OffsetIndexCheck>,
    pub(super) times: Option<TimeIndexCheck>,
    pub(super) transactions: Option<TxnIndexCheck>,
}

impl IndexChecks {
    pub(super) fn see(&mut self, batch: &CheckedBatch<'_>, findings: &mut Findings<'_>) -> io::Result<()> {
        if let Some(offsets) = &mut self.offsets {
            offsets.see(&batch.at, findings)?;
        }
        if let Some(times) = &mut self.times {
            times.see(&batch.at, findings)?;
        }
        match &mut self.transactions {
            Some(transactions) => transactions.see(batch, findings),
            None => Ok(()),
        }
    }

    /// Behind damage in the log the indexes cannot be judged by it.
    pub(super) fn give_up(&mut self) {
        *self = Self { offsets: None, times: None, transactions: None };
    }

    pub(super) fn finish(self, findings: &mut Findings<'_>) -> io::Result<()> {
        self.offsets.map_or(Ok(()), |check| check.finish(findings))?;
        self.times.map_or(Ok(()), |check| check.finish(findings))?;
        self.transactions.map_or(Ok(()), |check| check.finish(findings))
    }
}

/// Opens an index and tells of a length that is none.
pub(super) fn open<E: Entry>(
    path: std::path::PathBuf,
    base: Offset,
    findings: &mut Findings<'_>,
) -> io::Result<Entries<E>> {
    let entries = Entries::open(path, base)?;
    let damage: Option<Corruption> = entries.check_length();
    damage.map_or(Ok(()), |damage| findings.corruption(damage))?;
    Ok(entries)
}
