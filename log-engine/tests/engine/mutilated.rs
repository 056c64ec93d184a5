//! Bytes that nobody's producer wrote: batches with any field or any byte changed, cut, or made of noise. Nothing
//! panics, the two ways to read records agree, and memory does not follow what a batch claims.

use log_engine::batch::{
    AppendOrigin, BatchBuilder, BatchHeader, BatchSummary, BatchView, Compression, CompressionType,
    DecompressError, DecompressionCap, NewRecord, Prefix, RecordError, RecordHeader, ValidationRules,
    Violation, control, legacy::LegacyView, validate,
};
use log_engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use proptest::prelude::*;

const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);
#[derive(Debug, Clone)]
struct Record {
    age: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..len_max)
}

fn record(len_max: usize) -> impl Strategy<Value = Record> {
    let headers = prop::collection::vec((bytes(4), prop::option::of(bytes(6))), 0..3);
    let parts = (0..5000_i64, prop::option::of(bytes(8)), prop::option::of(bytes(len_max)), headers);
    parts.prop_map(|(age, key, value, headers)| Record { age, key, value, headers })
}

fn build(codec: CompressionType, records: &[Record]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::of(codec)).producer(
        ProducerId::new(9),
        ProducerEpoch::new(0),
        Sequence::new(0),
    );
    for record in records {
        let headers: Vec<RecordHeader<'_>> =
            record.headers.iter().map(|(key, value)| RecordHeader { key, value: value.as_deref() }).collect();
        let timestamp = TimestampMs::new(NOW.get() - record.age);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(&NewRecord { timestamp, key, value, headers: &headers }).unwrap();
    }
    builder.finish().unwrap()
}

fn fix_crc(batch: &mut [u8]) {
    if batch.len() > 21 {
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

#[derive(Debug, Clone)]
enum Wound {
    Byte { at: prop::sample::Index, to: u8 },
    Field { at: usize, to: i64 },
    Cut(prop::sample::Index),
    Add(Vec<u8>),
}

fn wound() -> impl Strategy<Value = Wound> {
    let extremes = prop_oneof![Just(-1), Just(0), Just(1), Just(i64::MAX), Just(i64::MIN), any::<i64>()];
    prop_oneof![
        4 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, to)| Wound::Byte { at, to }),
        3 => (0..57_usize, extremes).prop_map(|(at, to)| Wound::Field { at, to }),
        1 => any::<prop::sample::Index>().prop_map(Wound::Cut),
        1 => bytes(30).prop_map(Wound::Add),
    ]
}

fn inflict(batch: &mut Vec<u8>, wounds: &[Wound]) {
    for wound in wounds {
        match wound {
            Wound::Byte { at, to } if !batch.is_empty() => *at.get_mut(batch) = *to,
            Wound::Field { at, to } if batch.len() >= at + 8 => {
                batch[*at..at + 8].copy_from_slice(&to.to_be_bytes());
            }
            Wound::Cut(at) if !batch.is_empty() => batch.truncate(at.index(batch.len())),
            Wound::Add(more) => batch.extend_from_slice(more),
            _ => {}
        }
    }
}

fn all_rules() -> Vec<ValidationRules> {
    let mut all = Vec::new();
    for origin in
        [AppendOrigin::Client, AppendOrigin::Coordinator, AppendOrigin::RaftLeader, AppendOrigin::Replication]
    {
        let rules = ValidationRules {
            decompression: DecompressionCap::new(1 << 20),
            ..ValidationRules::defaults(origin)
        };
        all.push(rules);
        all.push(ValidationRules { compacted: true, ..rules });
        all.push(ValidationRules { compression: Some(Compression::None), ..rules });
        all.push(ValidationRules { compression: Some(Compression::of(CompressionType::Zstd)), ..rules });
    }
    all
}

/// Everything that is ever asked of untrusted bytes.
fn ask_everything(bytes: &[u8]) {
    let _ = Prefix::read(bytes);
    let _ = format!("{:?}", BatchHeader::read(bytes));
    if let Ok(message) = LegacyView::read(bytes) {
        let _ = message.crc_is_valid();
        if let Ok(mut records) = message.records(DecompressionCap::new(1 << 20)) {
            while let Some(Ok(_)) = records.next_record() {}
        }
    }
    if let Ok(batch) = BatchView::read(bytes) {
        let _ = (batch.crc_is_valid(), batch.last_sequence(), batch.next_offset(), batch.delete_horizon());
        let _ = (control::marker_of(&batch).is_ok(), BatchSummary::of(&batch, 0).is_ok());
        both_readers_agree(&batch);
    }
    for rules in all_rules() {
        accepted_batches_stay_valid(bytes, &rules);
    }
}

/// Reading records and walking over them say the same of every record, and of where it ends.
fn both_readers_agree(batch: &BatchView<'_>) {
    let cap = DecompressionCap::new(1 << 20);
    let (Ok(mut read), Ok(mut skimmed)) = (batch.records(cap), batch.records(cap)) else { return };
    loop {
        match (read.next_record(), skimmed.skim()) {
            (None, None) => return,
            (Some(Ok(record)), Some(Ok(skim))) => {
                assert_eq!(record.offset_delta, skim.offset_delta);
                assert_eq!(record.timestamp_delta, skim.timestamp_delta);
                assert_eq!(record.size_in_bytes, skim.size_in_bytes);
                assert_eq!(record.key.is_some(), skim.has_key);
                assert_eq!(record.headers.count(), record.headers.len());
            }
            (Some(Err(_)), Some(Err(_))) => {}
            (read, skim) => panic!("{read:?} {skim:?}"),
        }
    }
}

fn accepted_batches_stay_valid(bytes: &[u8], rules: &ValidationRules) {
    let Ok(mut valid) = validate(bytes, rules, NOW) else { return };
    let mut stored = valid.take_rewritten().unwrap_or_else(|| bytes[..valid.valid_bytes()].to_vec());
    valid.stamp(&mut stored, Offset::new(1000), LeaderEpoch::new(7));
    for summary in valid.batches() {
        let batch = BatchView::read(&stored[summary.position..]).unwrap();
        assert!(batch.crc_is_valid());
        assert_eq!(BatchSummary::of(&batch, summary.position).unwrap(), *summary);
        if rules.origin.assigns_offsets() {
            assert_eq!((batch.base_offset(), batch.leader_epoch()), (Offset::new(1000), LeaderEpoch::new(7)));
        }
        if rules.origin == AppendOrigin::Client {
            let mut records = batch.records(rules.decompression).unwrap();
            let mut count = 0;
            while let Some(record) = records.next_record() {
                record.unwrap();
                count += 1;
            }
            assert_eq!(count, batch.record_count());
        }
    }
}

proptest! {
    #[test]
    fn what_a_producer_builds_is_accepted(codec in 0..5usize, records in prop::collection::vec(record(40), 1..6)) {
        let batch = build(CompressionType::ALL[codec], &records);
        let mut valid = validate(&batch, &ValidationRules::defaults(AppendOrigin::Client), NOW).unwrap();
        prop_assert_eq!(valid.batches()[0].record_count as usize, records.len());
        prop_assert!(!valid.was_rewritten());
        let mut stored = batch.clone();
        valid.stamp(&mut stored, Offset::new(5), LeaderEpoch::new(2));
        let view = BatchView::read(&stored).unwrap();
        let mut read = view.records(DecompressionCap::default()).unwrap();
        for (i, record) in records.iter().enumerate() {
            let got = read.next_record().unwrap().unwrap();
            prop_assert_eq!(got.offset, Offset::new(5 + i as i64));
            prop_assert_eq!(got.timestamp.get(), NOW.get() - record.age);
            prop_assert_eq!((got.key, got.value), (record.key.as_deref(), record.value.as_deref()));
            let headers: Vec<_> = got.headers.map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&headers, &record.headers);
        }
        prop_assert!(read.next_record().is_none());
    }

    #[test]
    fn a_wounded_batch_is_judged_without_panic(
        codec in 0..5usize,
        records in prop::collection::vec(record(40), 1..5),
        wounds in prop::collection::vec(wound(), 1..4),
        sealed: bool,
    ) {
        let mut batch = build(CompressionType::ALL[codec], &records);
        inflict(&mut batch, &wounds);
        if sealed {
            fix_crc(&mut batch);
        }
        ask_everything(&batch);
    }

    #[test]
    fn a_sealed_batch_with_a_wounded_body_is_judged_without_panic(
        codec in 0..5usize,
        records in prop::collection::vec(record(40), 1..5),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut batch = build(CompressionType::ALL[codec], &records);
        for (at, to) in wounds {
            *at.get_mut(&mut batch[61..]) = to;
        }
        fix_crc(&mut batch);
        ask_everything(&batch);
    }

    #[test]
    fn noise_is_judged_without_panic(noise in bytes(200), magic in 0..3u8) {
        ask_everything(&noise);
        // The same noise behind a header that lets it pass the first checks.
        let mut batch = build(CompressionType::None, &[Record { age: 0, key: None, value: None, headers: vec![] }]);
        batch.truncate(61);
        batch.extend_from_slice(&noise);
        let length = (batch.len() - 12) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = magic;
        fix_crc(&mut batch);
        ask_everything(&batch);
    }
}

proptest! {
    // Records larger than the window of unfolded bytes take a path of their own.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn large_records_are_walked_over_as_they_are_read(
        codec in 1..5usize,
        sizes in prop::collection::vec(prop_oneof![0..200usize, 60_000..70_000usize, 130_000..200_000usize], 1..4),
        wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut state = 1u32;
        let mut noise = |len: usize| -> Vec<u8> {
            (0..len).map(|_| { state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); (state >> 24) as u8 }).collect()
        };
        let records: Vec<Record> = sizes
            .iter()
            .map(|len| Record { age: 1, key: Some(noise(len / 3)), value: Some(noise(*len)), headers: vec![(noise(len / 4), None)] })
            .collect();
        // Wounds are dealt before compression, so that they reach the records and not the codec.
        let mut batch = build(CompressionType::None, &records);
        for (at, to) in &wounds {
            *at.get_mut(&mut batch[61..]) = *to;
        }
        let folded = compress_body(&batch, CompressionType::ALL[codec]);
        both_readers_agree(&BatchView::read(&folded).unwrap());
        if wounds.is_empty() {
            prop_assert!(validate(&folded, &ValidationRules::defaults(AppendOrigin::Client), NOW).is_ok());
        }
    }
}

/// The same header over the same body, compressed.
fn compress_body(batch: &[u8], codec: CompressionType) -> Vec<u8> {
    use std::io::Write as _;
    let (header, body) = batch.split_at(61);
    let folded = match codec {
        CompressionType::None => body.to_vec(),
        CompressionType::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        CompressionType::Snappy => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        CompressionType::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        CompressionType::Zstd => zstd::encode_all(body, 1).unwrap(),
    };
    let mut all = [header, &folded].concat();
    let length = (all.len() - 12) as i32;
    all[8..12].copy_from_slice(&length.to_be_bytes());
    all[22] = codec.id();
    fix_crc(&mut all);
    all
}

#[test]
fn a_batch_of_our_own_that_contradicts_itself_is_refused_too() {
    let record = Record { age: 0, key: None, value: None, headers: vec![] };
    for delta in [i32::MIN, -1, 1, i32::MAX] {
        let mut batch = build(CompressionType::None, std::slice::from_ref(&record));
        batch[23..27].copy_from_slice(&delta.to_be_bytes());
        fix_crc(&mut batch);
        for rules in all_rules().iter().filter(|rules| rules.origin.assigns_offsets()) {
            assert!(validate(&batch, rules, NOW).is_err(), "{delta}");
        }
    }
}

#[test]
fn of_very_many_refused_records_only_the_first_are_listed() {
    let mut builder = BatchBuilder::new(Compression::of(CompressionType::Zstd));
    for _ in 0..30_000 {
        builder.append(&NewRecord { timestamp: NOW, ..NewRecord::default() }).unwrap();
    }
    // A bad timestamp decides the answer, wherever it stands.
    let late = TimestampMs::new(i64::MAX / 2);
    builder.append(&NewRecord { timestamp: late, key: Some(b"k"), ..NewRecord::default() }).unwrap();
    let batch = builder.finish().unwrap();
    let rules = ValidationRules { compacted: true, ..ValidationRules::defaults(AppendOrigin::Client) };
    let refused = validate(&batch, &rules, NOW).unwrap_err();
    assert_eq!(refused.problems().len(), 10_000);
    assert!(matches!(refused, Violation::InvalidTimestamp { .. }));
}

/// The largest resident size this process has had, in KiB.
fn peak_resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_batch_that_unfolds_a_thousandfold_is_judged_in_little_memory() {
    const UNFOLDED: usize = 96 << 20;
    let bombs: Vec<Vec<u8>> = {
        let value = vec![0; UNFOLDED];
        let bomb = |codec| {
            let mut builder = BatchBuilder::new(Compression::of(codec));
            builder
                .append(&NewRecord { timestamp: NOW, value: Some(&value), ..NewRecord::default() })
                .unwrap();
            builder.finish().unwrap()
        };
        [CompressionType::Zstd, CompressionType::Lz4].map(bomb).to_vec()
    };
    let rules =
        ValidationRules { max_message_bytes: usize::MAX, ..ValidationRules::defaults(AppendOrigin::Client) };
    let capped = ValidationRules { decompression: DecompressionCap::new(64 << 20), ..rules };
    // The peak was reached while the bombs were built; forget it.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_resident_kib();
    for bomb in &bombs {
        assert!(bomb.len() < UNFOLDED / 200);
        assert!(validate(bomb, &rules, NOW).is_ok());
        match validate(bomb, &capped, NOW) {
            Err(Violation::Records(RecordError::Decompress(DecompressError::OverCap { .. }))) => {}
            other => panic!("{other:?}"),
        }
    }
    let grown = peak_resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "the peak grew by {grown} KiB");
}
