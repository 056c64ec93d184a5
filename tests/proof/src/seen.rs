//! What a log shows: everything that can be read of it, decoded.

use log_engine::batch::control::{TxnOutcome, marker_of};
use log_engine::batch::{BatchView, DecompressionCap};
use log_engine::{AbortedTransaction, Isolation, Log, Offset, ReadMode, ReadRequest};

use super::model::Record;

/// A batch that was read.
#[derive(Clone, Debug)]
pub struct SeenBatch {
    /// Offset of its first record, or of where that was.
    pub base: i64,
    /// The offset after its last record.
    pub end: i64,
    /// Producer id, epoch and first sequence.
    pub producer: (i64, i16, i32),
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// Whether it ends one, and how.
    pub commits: Option<bool>,
    /// The leader epoch.
    pub epoch: i32,
    /// Its records with their offsets.
    pub records: Vec<(i64, Record)>,
}

/// Reads everything from `from` on that `isolation` shows, in pieces of about `max_bytes`.
pub fn read_all(
    log: &Log,
    from: i64,
    isolation: Isolation,
    max_bytes: usize,
) -> Result<(Vec<SeenBatch>, Vec<AbortedTransaction>), String> {
    let (mut batches, mut aborted) = (Vec::<SeenBatch>::new(), Vec::new());
    let mut next = from;
    loop {
        let request = ReadRequest {
            from: Offset::new(next),
            max_bytes,
            at_least_one: true,
            isolation,
            mode: ReadMode::Blocking,
        };
        let fetched = log.read(&request).map_err(|error| format!("a read at {next} fails: {error}"))?;
        let bytes = fetched.to_bytes().map_err(|error| format!("a slice at {next} fails: {error}"))?;
        let read = decode(&bytes).map_err(|error| format!("a read at {next}: {error}"))?;
        let Some(last) = read.last().map(|batch| batch.end) else { return Ok((batches, aborted)) };
        if let Some(first) = read.first()
            && first.end <= next
        {
            return Err(format!("a read at {next} begins with the batch before {}", first.end));
        }
        aborted.extend(fetched.aborted);
        batches.extend(read);
        next = last;
    }
}

/// The whole batches in `bytes`.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<SeenBatch>, String> {
    let mut batches = Vec::new();
    // The last one may be cut.
    while let Ok(batch) = BatchView::read(bytes) {
        let base = batch.base_offset();
        if !batch.crc_is_valid() {
            return Err(format!("the batch at {base} has a wrong checksum"));
        }
        batches.push(seen(&batch).map_err(|error| format!("the batch at {base}: {error}"))?);
        bytes = bytes.get(batch.size_in_bytes()..).unwrap_or_default();
    }
    Ok(batches)
}

fn seen(batch: &BatchView<'_>) -> Result<SeenBatch, String> {
    let mut records = batch.records(DecompressionCap::default()).map_err(|error| error.to_string())?;
    let mut read = Vec::new();
    let mut commits = None;
    while let Some(record) = records.next_record() {
        let record = record.map_err(|error| error.to_string())?;
        if batch.is_control() {
            let marker = marker_of(batch).map_err(|error| error.to_string())?;
            commits = marker.map(|(marker, _)| marker.outcome == TxnOutcome::Commit);
        }
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let (key, value) = (owned(record.key), owned(record.value));
        read.push((record.offset.get(), Record { timestamp: record.timestamp.get(), key, value }));
    }
    Ok(SeenBatch {
        base: batch.base_offset().get(),
        end: batch.next_offset().get(),
        producer: (batch.producer_id().get(), batch.producer_epoch().get(), batch.base_sequence().get()),
        transactional: batch.is_transactional(),
        commits,
        epoch: batch.leader_epoch().get(),
        records: read,
    })
}

/// The offsets of client records that a reader of committed records keeps, as Kafka's consumer sorts them out.
pub fn committed(batches: &[SeenBatch], aborted: &[AbortedTransaction]) -> Vec<i64> {
    let is_aborted = |batch: &SeenBatch| {
        let of_it = |txn: &&AbortedTransaction| {
            txn.producer_id.get() == batch.producer.0
                && (txn.first_offset.get()..=txn.last_offset.get()).contains(&batch.base)
        };
        batch.transactional && aborted.iter().any(|txn| of_it(&txn))
    };
    let kept = batches.iter().filter(|batch| batch.commits.is_none() && !is_aborted(batch));
    kept.flat_map(|batch| batch.records.iter().map(|(offset, _)| *offset)).collect()
}
