//! The `.snapshot` files: producers as they were when the log ended at the offset in the file's name.
//!
//! ```text
//! 0 version i16 = 1 | 2 crc u32 | 6 count i32 | count x 46 bytes, the crc covers everything behind it
//! entry: producer id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32 | timestamp i64
//!        | coordinator epoch i32 | first offset of the open transaction i64, or -1
//! ```
//! Of the remembered batches only the last is kept.

use std::collections::HashMap;

use crate::batch::crc32c;

use super::entry::{AppendedBatch, ProducerEntry};
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

pub(crate) const VERSION: i16 = 1;
const CRC: usize = 2;
const COUNT: usize = CRC + 4;
pub(crate) const ENTRIES: usize = COUNT + 4;
pub(crate) const ENTRY_LEN: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

const _: () = assert!(ENTRIES == 10 && ENTRY_LEN == 46);

/// Why bytes are no producer snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The file ends before its entries do.
    #[error("the snapshot ends before its {count} entries do")]
    Truncated {
        /// Entries the file says it has; -1 where it ends before saying so.
        count: i32,
    },
    /// A version not known here.
    #[error("snapshot contained an unknown file version {version}")]
    Version {
        /// The version.
        version: i16,
    },
    /// The checksum does not fit the bytes.
    #[error("snapshot is corrupt (CRC is no longer valid): stored {stored}, computed {computed}")]
    Crc {
        /// What the file carries.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
}

/// The producers in the bytes of a snapshot, in the order of the file.
pub fn decode(bytes: &[u8]) -> Result<Vec<ProducerEntry>, SnapshotError> {
    let mut rest = bytes;
    let truncated = SnapshotError::Truncated { count: -1 };
    let version = i16::from_be_bytes(take(&mut rest).ok_or(truncated)?);
    if version != VERSION {
        return Err(SnapshotError::Version { version });
    }
    let stored = u32::from_be_bytes(take(&mut rest).ok_or(truncated)?);
    let computed = crc32c(rest);
    let count = i32::from_be_bytes(take(&mut rest).ok_or(truncated)?);
    let truncated = SnapshotError::Truncated { count };
    // Checked before anything is reserved for them.
    let fits = usize::try_from(count).is_ok_and(|count| rest.len() / ENTRY_LEN >= count);
    if !fits {
        return Err(truncated);
    }
    if stored != computed {
        return Err(SnapshotError::Crc { stored, computed });
    }
    (0..count).map(|_| decode_entry(&mut rest).ok_or(truncated)).collect()
}

fn decode_entry(rest: &mut &[u8]) -> Option<ProducerEntry> {
    let mut entry = ProducerEntry::new(ProducerId::new(i64::from_be_bytes(take(rest)?)));
    entry.producer_epoch = ProducerEpoch::new(i16::from_be_bytes(take(rest)?));
    let last_sequence = Sequence::new(i32::from_be_bytes(take(rest)?));
    let last_offset = Offset::new(i64::from_be_bytes(take(rest)?));
    let offset_delta = i32::from_be_bytes(take(rest)?);
    let timestamp = TimestampMs::new(i64::from_be_bytes(take(rest)?));
    entry.coordinator_epoch = i32::from_be_bytes(take(rest)?);
    let first_offset = Offset::new(i64::from_be_bytes(take(rest)?));
    if last_offset >= Offset::ZERO {
        entry.remember(AppendedBatch { last_sequence, last_offset, offset_delta, timestamp });
    }
    entry.last_timestamp = timestamp;
    entry.current_txn_first_offset = (first_offset >= Offset::ZERO).then_some(first_offset);
    Some(entry)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (field, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*field)
}

/// The bytes of a snapshot of `producers`.
pub(super) fn encode(producers: &HashMap<ProducerId, ProducerEntry>) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENTRIES + producers.len() * ENTRY_LEN);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(producers.len() as i32).to_be_bytes());
    for id in in_kafkas_order(producers.keys().copied().collect()) {
        if let Some(entry) = producers.get(&id) {
            encode_entry(&mut out, entry);
        }
    }
    let crc = crc32c(&out[COUNT..]);
    out[CRC..COUNT].copy_from_slice(&crc.to_be_bytes());
    out
}

fn encode_entry(out: &mut Vec<u8>, entry: &ProducerEntry) {
    let last = entry.last_batch();
    out.extend_from_slice(&entry.producer_id.get().to_be_bytes());
    out.extend_from_slice(&entry.producer_epoch.get().to_be_bytes());
    out.extend_from_slice(&entry.last_sequence().get().to_be_bytes());
    out.extend_from_slice(&last.map_or(-1, |batch| batch.last_offset.get()).to_be_bytes());
    out.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
    out.extend_from_slice(&entry.last_timestamp.get().to_be_bytes());
    out.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
    out.extend_from_slice(&entry.current_txn_first_offset.map_or(-1, Offset::get).to_be_bytes());
}

/// Kafka writes the entries as its hash map gives them: by bucket. So the files of the two agree byte for byte, as
/// long as no two producers share a bucket and the map never was larger than it is.
fn in_kafkas_order(mut ids: Vec<ProducerId>) -> Vec<ProducerId> {
    let buckets = buckets_for(ids.len());
    ids.sort_unstable_by_key(|id| (bucket(*id, buckets), *id));
    ids
}

/// The table of a Java hash map that grew to `len` entries: doubled from 16 on whenever three quarters are exceeded.
fn buckets_for(len: usize) -> u32 {
    let mut buckets = 16;
    while len > buckets as usize / 4 * 3 {
        buckets *= 2;
    }
    buckets
}

fn bucket(id: ProducerId, buckets: u32) -> u32 {
    let raw = id.get() as u64;
    let hash = (raw ^ (raw >> 32)) as u32;
    (hash ^ (hash >> 16)) & (buckets - 1)
}
