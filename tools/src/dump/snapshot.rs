//! `.snapshot` files: the producers of a partition.
//!
//! ```text
//! version i16 = 1 | crc32c of what follows u32 | count i32 | entries:
//! producer id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32 | timestamp i64 |
//! coordinator epoch i32 | first offset of the open transaction i64, or -1
//! ```

use std::{fs, path::Path};

use log_engine::{batch::crc32c, types::Sequence};

use super::{DumpError, Session, damage::Rule, log::push_optional_long, refused};

const HEAD: usize = 10;
const ENTRY: usize = 46;
const CHECKSUMMED_FROM: usize = 6;
const VERSION: i16 = 1;

struct ProducerEntry {
    producer_id: i64,
    producer_epoch: i16,
    last_sequence: i32,
    last_offset: i64,
    offset_delta: i32,
    timestamp: i64,
    coordinator_epoch: i32,
    current_txn_first_offset: Option<i64>,
}

impl Session<'_> {
    pub(super) fn dump_snapshot(&mut self, file: &Path) -> Result<(), DumpError> {
        let bytes = fs::read(file).map_err(refused(file))?;
        match check(&bytes) {
            Ok(entries) => {
                entries.chunks_exact(ENTRY).for_each(|entry| self.producer_entry(&ProducerEntry::read(entry)))
            }
            // Kafka shows no entry of such a file, as none can be trusted.
            Err((position, rule)) => self.damage(file, position, rule),
        }
        Ok(())
    }

    fn producer_entry(&mut self, entry: &ProducerEntry) {
        if self.options.is_json() {
            return self.json_producer_entry(entry);
        }
        self.out
            .str("producerId: ")
            .int(entry.producer_id)
            .str(" producerEpoch: ")
            .int(entry.producer_epoch)
            .str(" coordinatorEpoch: ")
            .int(entry.coordinator_epoch)
            .str(" currentTxnFirstOffset: ")
            .with(|out| push_optional_long(out, entry.current_txn_first_offset))
            .str(" lastTimestamp: ")
            .int(entry.timestamp);
        if entry.has_batch() {
            self.out
                .str(" firstSequence: ")
                .int(entry.first_sequence())
                .str(" lastSequence: ")
                .int(entry.last_sequence)
                .str(" lastOffset: ")
                .int(entry.last_offset)
                .str(" offsetDelta: ")
                .int(entry.offset_delta)
                .str(" timestamp: ")
                .int(entry.timestamp);
        }
        self.out.end_line();
    }

    fn json_producer_entry(&mut self, entry: &ProducerEntry) {
        self.json_line("producer", |line| {
            let line = line
                .int("producerId", entry.producer_id)
                .int("producerEpoch", entry.producer_epoch)
                .int("coordinatorEpoch", entry.coordinator_epoch)
                .int_or_null("currentTxnFirstOffset", entry.current_txn_first_offset)
                .int("lastTimestamp", entry.timestamp);
            if !entry.has_batch() {
                return line;
            }
            line.int("firstSequence", entry.first_sequence())
                .int("lastSequence", entry.last_sequence)
                .int("lastOffset", entry.last_offset)
                .int("offsetDelta", entry.offset_delta)
        });
    }
}

impl ProducerEntry {
    fn read(entry: &[u8]) -> Self {
        let mut fields = Fields(entry);
        Self {
            producer_id: i64::from_be_bytes(fields.take()),
            producer_epoch: i16::from_be_bytes(fields.take()),
            last_sequence: i32::from_be_bytes(fields.take()),
            last_offset: i64::from_be_bytes(fields.take()),
            offset_delta: i32::from_be_bytes(fields.take()),
            timestamp: i64::from_be_bytes(fields.take()),
            coordinator_epoch: i32::from_be_bytes(fields.take()),
            current_txn_first_offset: Some(i64::from_be_bytes(fields.take())).filter(|offset| *offset >= 0),
        }
    }

    /// Whether a batch with data was written; a producer known only by a marker has none.
    fn has_batch(&self) -> bool {
        self.last_offset >= 0
    }

    fn first_sequence(&self) -> i32 {
        if self.offset_delta < 0 {
            -1
        } else {
            Sequence::new(self.last_sequence).minus(self.offset_delta).get()
        }
    }
}

struct Fields<'e>(&'e [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

/// The entries of a snapshot that is whole.
fn check(bytes: &[u8]) -> Result<&[u8], (u64, Rule)> {
    let mut head = Fields(bytes);
    if bytes.len() < 2 {
        return Err((0, Rule::EndsBefore("its version")));
    }
    let version = i16::from_be_bytes(head.take());
    if version != VERSION {
        return Err((0, Rule::UnknownVersion(version)));
    }
    if bytes.len() < HEAD {
        return Err((2, Rule::EndsBefore("its number of entries")));
    }
    let stored = u32::from_be_bytes(head.take());
    let count = i32::from_be_bytes(head.take());
    let whole = usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY));
    let Some(entries) = whole.and_then(|whole| bytes[HEAD..].get(..whole)) else {
        return Err((bytes.len() as u64, Rule::EndsBefore("its last entry")));
    };
    let computed = crc32c(&bytes[CHECKSUMMED_FROM..]);
    if stored != computed {
        return Err((2, Rule::CrcMismatch { stored, computed }));
    }
    Ok(entries)
}
