//! What checking and stamping a batch costs, beside the checksum alone that is its floor.
//!
//! Groups: `crc` compares two implementations of CRC32C over the same bytes; `validate` is one produce request's batch
//! through `validate` and `stamp`, by codec and record size; `recompress` is a topic whose codec is another.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use log_engine::batch::{
    AppendOrigin, BatchBuilder, Compression, CompressionType, NewRecord, TimestampType, ValidationRules,
    validate,
};
use log_engine::types::{LeaderEpoch, Offset, TimestampMs};

const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);
const BATCHES: [(&str, usize); 4] =
    [("1KiB", 1 << 10), ("16KiB", 16 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)];
const RECORDS: [(&str, usize); 2] = [("100B", 100), ("1KiB", 1 << 10)];
/// About `len` bytes of records before compression, half of each noise, so that codecs have something to do.
fn batch(codec: CompressionType, len: usize, record_len: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::of(codec));
    let mut state = 7_u32;
    let mut value = vec![b'k'; record_len];
    for _ in 0..len.div_ceil(record_len) {
        for byte in &mut value[..record_len / 2] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        let record = NewRecord { timestamp: NOW, value: Some(&value), ..NewRecord::default() };
        builder.append(&record).expect("the records fit");
    }
    builder.finish().expect("there are records")
}

fn rules() -> ValidationRules {
    ValidationRules { max_message_bytes: usize::MAX, ..ValidationRules::defaults(AppendOrigin::Client) }
}

fn crc(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc");
    for (name, len) in BATCHES {
        let bytes = batch(CompressionType::None, len, 1024);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("crc32c", name), |b| {
            b.iter(|| crc32c::crc32c(black_box(&bytes)))
        });
        group.bench_function(BenchmarkId::new("crc-fast", name), |b| {
            b.iter(|| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, black_box(&bytes)));
        });
    }
}

fn validation(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate");
    let mut bench = |name: &str, bytes: &mut [u8], rules: &ValidationRules| {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut valid = validate(black_box(bytes), rules, NOW).expect("the batch is valid");
                let (base, epoch) = (Offset::ZERO, LeaderEpoch::new(3));
                valid.stamp(bytes, base, epoch);
                black_box(valid.last_offset(base))
            });
        });
    };
    for codec in CompressionType::ALL {
        for (len_name, len) in BATCHES {
            for (record_name, record_len) in RECORDS {
                let mut bytes = batch(codec, len, record_len);
                bench(&format!("{codec}/{len_name}/{record_name}"), &mut bytes, &rules());
            }
        }
    }
}

/// A topic with the broker's timestamps: the checksum is taken again, over bytes that must be fresh each time.
fn append_time(c: &mut Criterion) {
    let rules = ValidationRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let bytes = batch(CompressionType::None, 16 << 10, 1024);
    let mut group = c.benchmark_group("append-time");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("none/16KiB/1KiB", |b| {
        b.iter_batched_ref(
            || bytes.clone(),
            |bytes| {
                let mut valid = validate(black_box(bytes), &rules, NOW).expect("the batch is valid");
                valid.stamp(bytes, Offset::ZERO, LeaderEpoch::new(3));
            },
            BatchSize::SmallInput,
        );
    });
}

fn recompression(c: &mut Criterion) {
    let mut group = c.benchmark_group("recompress");
    for target in CompressionType::ALL {
        let source =
            if target == CompressionType::None { CompressionType::Lz4 } else { CompressionType::None };
        let bytes = batch(source, 16 << 10, 1024);
        let rules = ValidationRules { compression: Some(Compression::of(target)), ..rules() };
        group.throughput(Throughput::Bytes(16 << 10));
        group.bench_function(format!("{source}-to-{target}/16KiB/1KiB"), |b| {
            b.iter(|| {
                black_box(
                    validate(black_box(&bytes), &rules, NOW).expect("the batch is valid").was_rewritten(),
                )
            });
        });
    }
}

criterion_group!(benches, crc, validation, append_time, recompression);
criterion_main!(benches);
