//! Everything that reads bytes it did not write, each as a function that must come back, whatever the bytes are: without a panic,
//! without memory for what is only claimed, and with what it accepted standing up to a second look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use log_engine::batch::legacy::LegacyView;
use log_engine::batch::{
    AppendOrigin, BatchBuilder, BatchView, Compression, CompressionType, DecompressionCap, HEADER_LEN,
    NewRecord, ValidationRules, batches, control, crc32c, validate,
};
use log_engine::checkpoint::{format_epochs, format_offsets, parse_epochs, parse_offsets};
use log_engine::inspect::{
    offset_index_entries, parse_directory_name, parse_file_name, parse_txn_index, time_index_entries,
};
use log_engine::io::sim::SimDisk;
use log_engine::io::{Disk, FileKind, OpenMode};
use log_engine::log_dir::{MetaProperties, format_partition_metadata, parse_partition_metadata};
use log_engine::producer::{ProducerEntry, ProducerStates, snapshot};
use log_engine::{
    AppendRequest, DiskChoice, Engine, EngineConfig, Isolation, LeaderEpoch, LogConfig, ManualClock, Offset,
    ReadRequest, TimestampMs, TopicId, TopicPartition, Upkeep,
};
use wire::header::IncomingHeader;
use wire::messages::{EXPANDED, Request, Response};
use wire::primitives::Reader;
use wire::records::MetadataRecord;

/// A target and its name, which is that of its directory of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 12] = [
    ("batch", batch),
    ("checkpoints", checkpoints),
    ("codec_gzip", codec_gzip),
    ("codec_lz4", codec_lz4),
    ("codec_snappy", codec_snappy),
    ("codec_zstd", codec_zstd),
    ("indexes", indexes),
    ("meta_properties", meta_properties),
    ("names", names),
    ("side_files", side_files),
    ("snapshot", snapshot_file),
    ("wire", wire),
];

const CAP: DecompressionCap = DecompressionCap::new(1 << 20);
const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);

/// Batches of all formats, as they come and with a checksum that fits; what validation accepts can be read to its end.
pub fn batch(data: &[u8]) {
    for found in batches(data) {
        let Ok(view) = found else { break };
        assert!(view.as_bytes().len() <= data.len());
        let _ = read_records(&view);
        let _ = control::marker_of(&view);
    }
    if let Ok(message) = LegacyView::read(data) {
        let _ = message.crc_is_valid();
        if let Ok(mut records) = message.records(CAP) {
            while let Some(Ok(_)) = records.next_record() {}
        }
    }
    let mut sealed = data.to_vec();
    seal(&mut sealed);
    for origin in [AppendOrigin::Client, AppendOrigin::Coordinator, AppendOrigin::Replication] {
        let rules = ValidationRules { decompression: CAP, ..ValidationRules::defaults(origin) };
        let Ok(valid) = validate(&sealed, &rules, NOW) else { continue };
        // A last batch that is cut is left out.
        for accepted in valid.batches() {
            let view = BatchView::read(&sealed[accepted.position..]).expect("what is accepted is whole");
            assert!(view.crc_is_valid());
            if origin == AppendOrigin::Client {
                assert_eq!(read_records(&view), Ok(accepted.record_count as usize));
            }
        }
    }
}

// Checksums that fit: no fuzzer finds them by chance.
fn seal(mut bytes: &mut [u8]) {
    const CRC: usize = 17;
    const CRC_FROM: usize = 21;
    while let Ok(view) = BatchView::read(bytes) {
        let size = view.as_bytes().len();
        let crc = crc32c(&bytes[CRC_FROM..size]).to_be_bytes();
        bytes[CRC..CRC + 4].copy_from_slice(&crc);
        bytes = &mut bytes[size..];
    }
}

// How many records can be read, or that one cannot.
fn read_records(view: &BatchView<'_>) -> Result<usize, ()> {
    let mut records = view.records(CAP).map_err(drop)?;
    let mut count = 0;
    while let Some(record) = records.next_record() {
        let record = record.map_err(drop)?;
        for header in record.headers {
            let _ = header;
        }
        count += 1;
    }
    Ok(count)
}

/// gzip.
pub fn codec_gzip(data: &[u8]) {
    codec(CompressionType::Gzip, data);
}

/// LZ4.
pub fn codec_lz4(data: &[u8]) {
    codec(CompressionType::Lz4, data);
}

/// Snappy, framed or bare.
pub fn codec_snappy(data: &[u8]) {
    codec(CompressionType::Snappy, data);
}

/// Zstandard.
pub fn codec_zstd(data: &[u8]) {
    codec(CompressionType::Zstd, data);
}

// The bytes as what a batch of the codec holds; and the codec on the bytes, there and back.
fn codec(codec: CompressionType, data: &[u8]) {
    let build = |compression, value: &[u8]| {
        let mut builder = BatchBuilder::new(compression);
        let record = NewRecord { timestamp: NOW, value: Some(value), ..NewRecord::default() };
        builder.append(&record).and_then(|()| builder.finish())
    };
    let mut hostile = build(Compression::of(codec), b"").expect("an empty record is one");
    hostile.truncate(HEADER_LEN);
    hostile.extend_from_slice(data);
    let length = (hostile.len() - 12) as u32;
    hostile[8..12].copy_from_slice(&length.to_be_bytes());
    hostile[57..61].copy_from_slice(&1_000_i32.to_be_bytes());
    let view = BatchView::read(&hostile).expect("header and length are right");
    let _ = read_records(&view);

    let Ok(packed) = build(Compression::of(codec), data) else { return };
    let view = BatchView::read(&packed).expect("it was just built");
    let mut records = view.records(DecompressionCap::default()).expect("it was just packed");
    let record = records.next_record().expect("there is one").expect("it unfolds");
    assert_eq!(record.value, Some(data), "what comes back is what went in");
}

/// The three kinds of index.
pub fn indexes(data: &[u8]) {
    let (path, base) = (Path::new("0.index"), Offset::new(17));
    if let Ok(entries) = offset_index_entries(path, base, data) {
        assert_eq!(entries.count(), data.len() / 8);
    }
    if let Ok(entries) = time_index_entries(path, base, data) {
        assert_eq!(entries.count(), data.len() / 12);
    }
    if let Ok(entries) = parse_txn_index(path, data) {
        let again: Vec<u8> = entries.iter().flat_map(|entry| entry.encode()).collect();
        assert_eq!(again, data);
    }
}

/// Snapshots of producers, as they come and with a checksum that fits.
pub fn snapshot_file(data: &[u8]) {
    let mut sealed = data.to_vec();
    if sealed.len() > 6 {
        let crc = crc32c(&sealed[6..]).to_be_bytes();
        sealed[2..6].copy_from_slice(&crc);
    }
    for bytes in [data, &sealed] {
        let Ok(entries) = snapshot::decode(bytes) else { continue };
        let states =
            ProducerStates::from_snapshot(bytes, Offset::new(5), NOW, i64::MAX).expect("it was decoded");
        let again = snapshot::decode(&states.to_snapshot()).expect("what was written can be read");
        let by_id = |entries: &[ProducerEntry]| -> BTreeMap<i64, String> {
            // A timestamp before all time has expired in any case.
            let kept = entries.iter().filter(|entry| !entry.is_expired(NOW, i64::MAX));
            kept.map(|entry| (entry.producer_id.get(), format!("{entry:?}"))).collect()
        };
        assert_eq!(by_id(&again), by_id(&entries));
    }
}

/// The small text files.
pub fn checkpoints(data: &[u8]) {
    let path = Path::new("checkpoint");
    let text = String::from_utf8_lossy(data);
    if let Ok(offsets) = parse_offsets(path, &text) {
        assert_eq!(parse_offsets(path, &format_offsets(&offsets)), Ok(offsets));
    }
    if let Ok(epochs) = parse_epochs(path, &text) {
        assert_eq!(parse_epochs(path, &format_epochs(&epochs)), Ok(epochs));
    }
    if let Ok(id) = parse_partition_metadata(path, &text) {
        assert_eq!(parse_partition_metadata(path, &format_partition_metadata(id)), Ok(id));
    }
}

/// `meta.properties`.
pub fn meta_properties(data: &[u8]) {
    let path = Path::new("meta.properties");
    if let Ok(meta) = MetaProperties::parse(path, &String::from_utf8_lossy(data)) {
        assert_eq!(MetaProperties::parse(path, &meta.format(NOW)), Ok(meta));
    }
}

/// Names of files and directories.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = parse_directory_name(&text);
    let _ = parse_file_name(&text);
}

/// Requests, responses and records of the metadata log: the first byte says which, the next two its version.
pub fn wire(data: &[u8]) {
    if let Ok(header) = IncomingHeader::decode(&mut Reader::new(data)) {
        let mut reader = Reader::new(data);
        let _ = IncomingHeader::decode(&mut reader);
        let _ = Request::decode(&mut reader, header.key, header.version);
    }
    let _ = MetadataRecord::decode(&mut Reader::new(data));
    let [which, version, rest @ ..] = data else { return };
    let key = EXPANDED[usize::from(*which) % EXPANDED.len()];
    let versions: Vec<i16> = key.versions().iter().collect();
    let version = versions[usize::from(*version) % versions.len()];
    let _ = Request::decode(&mut Reader::new(rest), key, version);
    let _ = Response::decode(&mut Reader::new(rest), key, version);
}

/// One file of a data directory is replaced: an engine opens it or says why not, and a record that is read is the one that was
/// written at its offset. The first byte says which file, and whether the engine was stopped cleanly.
pub fn side_files(data: &[u8]) {
    const UNCLEAN: u8 = 0x80;
    let [which, content @ ..] = data else { return };
    let files = directory();
    let replaced =
        files.keys().nth(usize::from(which & !UNCLEAN) % files.len()).expect("below the number of files");
    let disk = SimDisk::new();
    disk.create_dir_all(&dir().join("orders-0")).expect("a disk in memory");
    for (path, bytes) in files {
        let is_mark = path.ends_with(".kafka_cleanshutdown");
        if is_mark && which & UNCLEAN != 0 {
            continue;
        }
        put(&disk, path, if path == replaced { content } else { bytes });
    }
    let Ok(engine) = Engine::open(config(&disk)) else { return };
    let Some(log) = engine.log(&orders()) else { return };
    let offsets = log.offsets();
    let mut from = offsets.log_start;
    while from < offsets.log_end {
        let request = ReadRequest { from, ..ReadRequest::from_start(Isolation::LogEnd) };
        let Ok(fetched) = log.read(&request) else { break };
        let bytes = fetched.to_bytes().expect("a disk in memory");
        let mut next = from;
        for view in batches(&bytes) {
            let Ok(view) = view else { break };
            next = next.max(view.next_offset());
            // The offset is outside the checksum: a log whose own bytes are replaced may say another.
            if view.crc_is_valid() && replaced.extension().is_none_or(|ending| ending != "log") {
                let mut records = view.records(CAP).expect("its checksum is right");
                while let Some(record) = records.next_record() {
                    let record = record.expect("its checksum is right");
                    assert_eq!(record.value, Some(&*value(record.offset.get())), "at {}", record.offset);
                }
            }
        }
        if next == from {
            break;
        }
        from = next;
    }
}

fn dir() -> PathBuf {
    PathBuf::from("/data")
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn value(offset: i64) -> Vec<u8> {
    format!("value {offset}").into_bytes()
}

fn config(disk: &SimDisk) -> EngineConfig {
    EngineConfig {
        disk: DiskChoice::Given(Arc::new(disk.clone())),
        clock: Arc::new(ManualClock::starting_at(NOW)),
        upkeep: Upkeep::Caller,
        ..EngineConfig::new([dir()], 1)
    }
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::CreateNew).expect("a disk in memory");
    file.write_all_at(bytes, 0).expect("a disk in memory");
}

// The files of a log of several segments, stopped cleanly.
fn directory() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimDisk::new();
        let engine = Engine::open_or_format(config(&disk)).expect("a disk in memory");
        let small = LogConfig { segment_bytes: 1200, index_interval_bytes: 100, ..LogConfig::default() };
        let log =
            engine.open_or_create_log(&orders(), TopicId::new([7; 16]), small).expect("a disk in memory");
        log.begin_epoch(LeaderEpoch::new(0)).expect("a disk in memory");
        for offset in 0..40 {
            let mut builder = BatchBuilder::new(Compression::None);
            let timestamp = TimestampMs::new(NOW.get() + offset);
            let value = value(offset);
            builder
                .append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() })
                .expect("a record of ten bytes");
            let records = BytesMut::from(&builder.finish().expect("a batch of one record")[..]);
            let request = AppendRequest::from_client(records, LeaderEpoch::new(0));
            log.append(request).expect("it keeps all rules").wait().expect("a disk in memory");
        }
        engine.close().expect("a disk in memory");
        drop((log, engine));
        let mut files = BTreeMap::new();
        collect(&disk, &dir(), &mut files);
        files
    })
}

fn collect(disk: &SimDisk, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in disk.list(dir).expect("a disk in memory") {
        if entry.kind == FileKind::Directory {
            collect(disk, &entry.path, files);
            continue;
        }
        let file = disk.open(&entry.path, OpenMode::Read).expect("it was listed");
        let mut bytes = vec![0; file.len().expect("a disk in memory") as usize];
        file.read_exact_at(&mut bytes, 0).expect("a disk in memory");
        files.insert(entry.path, bytes);
    }
}
