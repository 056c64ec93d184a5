//! Every bound of the engine, with its reason.

/// Bytes a batch may unfold to while its records are checked or read.
///
/// Kafka has no such bound: it unfolds whatever comes. A batch of a megabyte can unfold to 32 GB (zstd run-length
/// blocks), which would hold a thread for half a minute. The bytes are streamed, so this bounds time, not memory; it
/// is as far above what producers send (a thousand times the default `max.message.bytes`) as a bound may be and
/// still be one.
pub const DECOMPRESSED_BATCH_BYTES_MAX: u64 = 1 << 30;

/// Bytes of unfolded records that are held at a time while a batch is streamed. A larger record makes the window
/// grow as its bytes arrive, never beforehand.
pub const DECOMPRESSION_WINDOW_BYTES: usize = 64 * 1024;

/// Batches remembered per producer to recognise a batch sent again: Kafka's `NUM_BATCHES_TO_RETAIN`, which is also
/// the largest `max.in.flight.requests.per.connection` of an idempotent producer.
pub const BATCHES_REMEMBERED_PER_PRODUCER: usize = 5;

/// Bytes of one record of a compressed batch, where the record has to be held as a whole (reading it, or compressing
/// it anew). Validation passes over larger ones without holding them. A hundred times the default
/// `max.message.bytes`, and little enough that several such records at once do not exhaust a machine.
pub const DECOMPRESSED_RECORD_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Refused records of one batch that are listed in the answer. Kafka lists all of them; a compressed batch can hold
/// a hundred million, whose list would be gigabytes.
pub const RECORD_PROBLEMS_MAX: usize = 10_000;

/// Bytes a batch may unfold to while it is compacted, when it is held as a whole. As far above what producers send as
/// [`DECOMPRESSED_RECORD_BYTES_MAX`]; a log with a larger one is not compacted.
pub const CLEANED_BATCH_BYTES_MAX: u64 = 128 * 1024 * 1024;
