//! What a log has been told, kept apart from the engine: the batches in their order, and what follows from them.
//!
//! Pure. It knows Kafka's rules of producers and transactions once more, in the plainest way: by walking over everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` takes the key's earlier records away.
    pub value: Option<Vec<u8>>,
}

/// Who wrote a batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Producer {
    /// The producer's id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The sequence of the batch's first record; -1 in a marker.
    pub sequence: i32,
}

/// What a batch is in a transaction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// In none.
    Plain,
    /// Records of one.
    Records,
    /// Its end.
    End {
        /// Whether its records count.
        commit: bool,
    },
}

/// One batch as it was appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Offset of its first record.
    pub base: i64,
    /// At least one. A marker has one, whose content is the engine's.
    pub records: Vec<Record>,
    /// Who wrote it.
    pub producer: Option<Producer>,
    /// What it is in a transaction.
    pub part: Part,
    /// The leader epoch.
    pub epoch: i32,
}

impl Batch {
    /// The offset after its last record.
    pub fn end(&self) -> i64 {
        self.base + self.records.len() as i64
    }
}

/// A transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Whose.
    pub producer: i64,
    /// Offset of its first record.
    pub first: i64,
    /// Offset of its marker and whether it counts; `None` while it is open.
    pub end: Option<(i64, bool)>,
}

/// What a log remembers of a producer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// Its epoch.
    pub epoch: i16,
    /// Sequence and offset of the last record it wrote.
    pub last: Option<(i32, i64)>,
    /// Where its open transaction began.
    pub open: Option<i64>,
    /// Offset of the last batch or marker.
    pub heard_at: i64,
}

/// A log's history.
#[derive(Clone, Default, Debug)]
pub struct Timeline {
    /// In order, without gaps.
    pub batches: Vec<Arc<Batch>>,
    /// Where the history begins: 0, or where the log was made to start anew.
    pub start: i64,
    /// The offset after the last record.
    pub end: i64,
    /// Leader epochs and where they begin.
    pub epochs: Vec<(i32, i64)>,
    /// What producers wrote before the history began may still be known.
    pub said_before: BTreeMap<i64, Remembered>,
}

impl Timeline {
    /// A batch more.
    pub fn push(&mut self, batch: Batch) {
        assert_eq!(batch.base, self.end, "the model has no gaps");
        self.note_epoch(batch.epoch, batch.base);
        self.end = batch.end();
        self.batches.push(Arc::new(batch));
    }

    /// A leader epoch begins.
    pub fn note_epoch(&mut self, epoch: i32, at: i64) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.retain(|(_, start)| *start < at);
            self.epochs.push((epoch, at));
        }
    }

    /// Forgets everything from `end` on, which lies between batches.
    pub fn cut(&mut self, end: i64) {
        self.batches.retain(|batch| batch.end() <= end);
        self.end = end.min(self.end);
        self.epochs.retain(|(_, start)| *start < end);
    }

    /// An end between batches that is not above `offset`.
    pub fn boundary(&self, offset: i64) -> i64 {
        self.batches.iter().map(|batch| batch.end()).filter(|end| *end <= offset).max().unwrap_or(self.start)
    }

    /// Whether a batch ends at `end`, or none was written.
    pub fn is_boundary(&self, end: i64) -> bool {
        end == self.start || self.batches.iter().any(|batch| batch.end() == end)
    }

    /// All transactions, in the order in which they began.
    pub fn transactions(&self) -> Vec<Transaction> {
        let mut all: Vec<Transaction> = Vec::new();
        for batch in &self.batches {
            let Some(producer) = batch.producer else { continue };
            let open = all.iter_mut().find(|txn| txn.producer == producer.id && txn.end.is_none());
            match (batch.part, open) {
                (Part::Records, None) => {
                    all.push(Transaction { producer: producer.id, first: batch.base, end: None });
                }
                (Part::End { commit }, Some(open)) => open.end = Some((batch.base, commit)),
                _ => {}
            }
        }
        all
    }

    /// Where a reader of committed records stops.
    pub fn last_stable(&self, high_watermark: i64) -> i64 {
        let unstable = |txn: &Transaction| txn.end.is_none_or(|(end, _)| end >= high_watermark);
        let first = self.transactions().iter().filter(|txn| unstable(txn)).map(|txn| txn.first).min();
        first.map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// Where the oldest open transaction began of those that began at `from` or later.
    pub fn first_open(&self, from: i64) -> Option<i64> {
        let open = |txn: &&Transaction| txn.end.is_none() && txn.first >= from;
        self.transactions().iter().filter(open).map(|txn| txn.first).min()
    }

    /// Offsets of records whose transaction was aborted.
    pub fn aborted(&self) -> BTreeSet<i64> {
        let transactions = self.transactions();
        let of = |batch: &Batch, producer: Producer| {
            transactions.iter().any(|txn| {
                txn.producer == producer.id
                    && matches!(txn.end, Some((end, false)) if (txn.first..end).contains(&batch.base))
            })
        };
        self.batches
            .iter()
            .filter(|batch| batch.part == Part::Records && batch.producer.is_some_and(|who| of(batch, who)))
            .flat_map(|batch| batch.base..batch.end())
            .collect()
    }

    /// For each key, the offset of its last record that counts, and whether that record takes the key away.
    pub fn latest_by_key(&self) -> BTreeMap<Vec<u8>, (i64, bool)> {
        let aborted = self.aborted();
        let mut latest = BTreeMap::new();
        for (offset, record) in self.records() {
            if let (Some(key), false) = (&record.key, aborted.contains(&offset)) {
                latest.insert(key.clone(), (offset, record.value.is_none()));
            }
        }
        latest
    }

    /// The records that clients wrote, with their offsets.
    pub fn records(&self) -> impl Iterator<Item = (i64, &Record)> {
        let of_clients = self.batches.iter().filter(|batch| !matches!(batch.part, Part::End { .. }));
        of_clients.flat_map(|batch| (batch.base..).zip(&batch.records))
    }

    /// What is remembered of the producers.
    pub fn producers(&self) -> BTreeMap<i64, Remembered> {
        let mut all: BTreeMap<i64, Remembered> = BTreeMap::new();
        for batch in &self.batches {
            let Some(producer) = batch.producer else { continue };
            let new = Remembered { epoch: producer.epoch, last: None, open: None, heard_at: batch.base };
            let entry = all.entry(producer.id).or_insert_with(|| new.clone());
            if entry.epoch != producer.epoch {
                *entry = Remembered { open: entry.open, ..new };
            }
            entry.heard_at = batch.base;
            match batch.part {
                Part::End { .. } => entry.open = None,
                part => {
                    let last = producer.sequence + batch.records.len() as i32 - 1;
                    entry.last = Some((last, batch.end() - 1));
                    if part == Part::Records {
                        entry.open.get_or_insert(batch.base);
                    }
                }
            }
        }
        all
    }
}
