//! What a read costs: finding a batch by offset and by time, and handing its bytes to a socket.
//!
//! One log of 256 MiB in batches of 16 KiB (64 MiB segments, an index entry every 4096 bytes). `locate` is the read
//! walk without moving bytes; `send` adds sendfile of 1 MiB to a loopback socket, beside `bare`: the same sendfile
//! from the same file without a log around it.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::io::{BackendChoice, Disk, NativeDisk};
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    AppendRequest, Engine, EngineConfig, FetchedData, FileSlice, Isolation, LeaderEpoch, Log, LogConfig,
    Offset, ReadMode, ReadRequest, TimestampMs, TimestampQuery, TopicId, TopicPartition,
};

const LOG_BYTES: u64 = 256 << 20;
const RECORD_BYTES: usize = 1 << 10;
const RECORDS_PER_BATCH: usize = 16;
const SLICE_BYTES: usize = 1 << 20;
const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;

fn filled_log(directory: &Path) -> (Engine, Arc<Log>) {
    let disk: Arc<dyn Disk> = Arc::new(NativeDisk::new(BackendChoice::Auto));
    let meta = MetaProperties {
        node_id: 1,
        cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
        directory_id: Some(TopicId::new([7; 16])),
    };
    log_dir::format(&disk, directory, &meta, TimestampMs::new(FIRST_TIMESTAMP))
        .expect("the directory is ours");
    let mut config = EngineConfig::new([directory.to_owned()], 1);
    config.log_defaults = LogConfig {
        segment_bytes: 64 << 20,
        message_timestamp_before_max_ms: i64::MAX,
        ..LogConfig::default()
    };
    let defaults = config.log_defaults.clone();
    let engine = Engine::open(config).expect("an empty directory opens");
    let partition = TopicPartition::new("bench", 0);
    let log = engine.create_log(&partition, TopicId::new([9; 16]), defaults, None).expect("a new log");
    log.begin_epoch(LeaderEpoch::new(0)).expect("the first epoch");
    let mut timestamp = FIRST_TIMESTAMP;
    while log.size_bytes() < LOG_BYTES {
        let request = AppendRequest::from_client(batch(timestamp), LeaderEpoch::new(0));
        log.append(request).expect("a valid batch").wait().expect("the disk of a benchmark works");
        timestamp += RECORDS_PER_BATCH as i64;
    }
    log.set_high_watermark(log.offsets().log_end);
    (engine, log)
}

fn batch(first_timestamp: i64) -> BytesMut {
    let value = [b'v'; RECORD_BYTES];
    let mut builder = BatchBuilder::new(Compression::None);
    for i in 0..RECORDS_PER_BATCH as i64 {
        let timestamp = TimestampMs::new(first_timestamp + i);
        let record = NewRecord { timestamp, value: Some(&value), ..NewRecord::default() };
        builder.append(&record).expect("a small record");
    }
    BytesMut::from(&builder.finish().expect("an uncompressed batch")[..])
}

fn read(log: &Log, from: Offset) -> FileSlice {
    let request = ReadRequest {
        from,
        max_bytes: SLICE_BYTES,
        at_least_one: true,
        isolation: Isolation::HighWatermark,
        mode: ReadMode::Blocking,
    };
    match log.read(&request).expect("the offset is in the log").data {
        FetchedData::File(slice) => slice,
        other => panic!("no bytes in a file: {other:?}"),
    }
}

/// Offsets all over the log, in an order that the processor cannot guess.
fn scattered(log: &Log) -> impl FnMut() -> Offset {
    let records = log.offsets().log_end.get() as u64;
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Offset::new(((state >> 33) % records) as i64)
    }
}

/// A socket whose other end takes everything.
fn drained_socket() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback connects");
    let (mut other, _) = listener.accept().expect("loopback accepts");
    thread::spawn(move || {
        let mut buffer = vec![0; SLICE_BYTES];
        while other.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    socket
}

fn send_all(slice: &FileSlice, socket: &TcpStream) {
    let mut sent = 0;
    while sent < slice.len() {
        sent += slice.send_to(socket, sent, slice.len() - sent).expect("the other end drains");
    }
}

fn send_bare(file: &File, position: u64, socket: &TcpStream) {
    let mut at = position;
    let end = position + SLICE_BYTES as u64;
    while at < end {
        let left = (end - at) as usize;
        rustix::fs::sendfile(socket, file, Some(&mut at), left).expect("the other end drains");
    }
}

fn benches(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (engine, log) = filled_log(directory.path());

    let mut group = c.benchmark_group("locate");
    let mut next = scattered(&log);
    group.bench_function("by offset", |b| b.iter(|| black_box(read(&log, next()))));
    let mut next = scattered(&log);
    group.bench_function("by time", |b| {
        b.iter(|| {
            let query = TimestampQuery::AtOrAfter(TimestampMs::new(FIRST_TIMESTAMP + next().get()));
            black_box(log.offset_for_timestamp(query, Isolation::HighWatermark).expect("the log is readable"))
        });
    });
    group.finish();

    let mut group = c.benchmark_group("send 1 MiB");
    group.throughput(Throughput::Bytes(SLICE_BYTES as u64));
    let socket = drained_socket();
    group.bench_function("log", |b| b.iter(|| send_all(&read(&log, Offset::ZERO), &socket)));
    let file =
        File::open(directory.path().join("bench-0/00000000000000000000.log")).expect("the first segment");
    group.bench_function("bare", |b| b.iter(|| send_bare(&file, 0, &socket)));
    group.finish();
    engine.close().expect("the disk of a benchmark works");
}

criterion_group!(read_walk, benches);
criterion_main!(read_walk);
