//! Every batch that Kafka was asked about gets Kafka's answer here: the same error, the same refused records, the same
//! bytes.

use std::fmt::Write as _;

use log_engine::batch::{
    AppendOrigin, BatchSummary, BatchView, Compression, CompressionType, DecompressError, DecompressionCap,
    RecordError, RecordProblemRule, TimestampType, ValidBatches, ValidationRules, Violation, ViolationClass,
    control::{EndTxnMarker, TxnOutcome},
    validate,
};
use log_engine::producer::{Admission, ProducerStates};
use log_engine::types::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicPartition,
};

use crate::oracle::{answers, refusal_code};

const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);
const START: Offset = Offset::new(100);
const EPOCH: LeaderEpoch = LeaderEpoch::new(3);

fn rules(name: &str) -> ValidationRules {
    let mut rules = ValidationRules::defaults(AppendOrigin::Client);
    match name {
        "default" => {}
        "append-time" => rules.timestamp_type = TimestampType::LogAppendTime,
        "compacted" => rules.compacted = true,
        "bounded" => (rules.timestamp_before_max_ms, rules.timestamp_after_max_ms) = (1000, 500),
        "small" => rules.max_message_bytes = 90,
        "uncompressed" => rules.compression = Some(Compression::None),
        "gzip-append-time" => {
            rules.compression = Some(Compression::of(CompressionType::Gzip));
            rules.timestamp_type = TimestampType::LogAppendTime;
        }
        codec => rules.compression = Some(Compression::of(CompressionType::from_name(codec).unwrap())),
    }
    rules
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn code(violation: &Violation) -> i16 {
    match violation.class() {
        ViolationClass::UnknownServerError => -1,
        ViolationClass::CorruptMessage => 2,
        ViolationClass::MessageTooLarge => 10,
        ViolationClass::RecordListTooLarge => 18,
        ViolationClass::InvalidTimestamp => 32,
        ViolationClass::InvalidRecord => 87,
    }
}

/// Where we answer otherwise on purpose.
fn is_deliberate(batch: &[u8], answer: &Result<ValidBatches, Violation>, kafkas: i16) -> bool {
    let compressed =
        BatchView::read(batch).is_ok_and(|batch| batch.compression() != Ok(CompressionType::None));
    match answer {
        // Kafka's size arithmetic overflows and it answers UNKNOWN_SERVER_ERROR; to us this is a batch cut short.
        Err(Violation::NoBatch) => kafkas == -1 && batch[8..12] == i32::MAX.to_be_bytes(),
        // In compressed batches that stay as they are, Kafka checks a record's length against nothing: what it then
        // stores no consumer can read, and some such batches make it fail. We refuse them as in every other batch.
        Err(Violation::Records(RecordError::Malformed { .. })) => compressed && (kafkas == 0 || kafkas == -1),
        // lz4-java unfolds copies from a distance of 0 to whatever is there; the format forbids them.
        Err(Violation::Records(RecordError::Decompress(DecompressError::Corrupt { codec, .. }))) => {
            // And a stored block that runs past the end it takes for a malformed record.
            *codec == CompressionType::Lz4 && (kafkas == 87 || kafkas == 0 && has_copy_from_nowhere(batch))
        }
        // Kafka decodes header keys to text and back when it builds a batch anew, which changes those that are no
        // text. We keep them.
        Ok(valid) => valid.was_rewritten() && kafkas == 0 && has_header_key_that_is_no_text(batch),
        _ => false,
    }
}

fn has_copy_from_nowhere(batch: &[u8]) -> bool {
    batch[61 + 11..].windows(2).any(|offset| offset == [0, 0])
}

fn has_header_key_that_is_no_text(batch: &[u8]) -> bool {
    let mut records = BatchView::read(batch).unwrap().records(DecompressionCap::default()).unwrap();
    while let Some(record) = records.next_record() {
        if record.unwrap().headers.any(|header| str::from_utf8(header.key).is_err()) {
            return true;
        }
    }
    false
}

#[test]
fn every_append_is_answered_as_kafka_answers_it() {
    let mut wrong = String::new();
    let text = answers("appends.tsv");
    let (mut accepted, mut refused, mut deliberate) = (0, 0, 0);
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, rules_name, kafkas, problems, batch, stored] = fields[..] else { panic!("{line}") };
        let kafkas: i16 = kafkas.parse().unwrap();
        let bytes = unhex(batch);
        let answer = validate(&bytes, &rules(rules_name), NOW);
        if is_deliberate(&bytes, &answer, kafkas) {
            deliberate += 1;
            continue;
        }
        match answer {
            Ok(mut valid) => {
                accepted += 1;
                if kafkas != 0 {
                    writeln!(wrong, "{name} {rules_name}: accepted, Kafka says {kafkas}: {batch}").unwrap();
                    continue;
                }
                let mut ours =
                    valid.take_rewritten().unwrap_or_else(|| bytes[..valid.valid_bytes()].to_vec());
                valid.stamp(&mut ours, START, EPOCH);
                let summary = valid.batches()[0];
                assert_eq!(summary, BatchSummary::of(&BatchView::read(&ours).unwrap(), 0).unwrap(), "{name}");
                if !same_batch(&ours, &unhex(stored)) {
                    writeln!(wrong, "{name} {rules_name}: stored\n  {ours:02x?}\n  {:02x?}", unhex(stored))
                        .unwrap();
                }
            }
            Err(violation) => {
                refused += 1;
                let ours = code(&violation);
                if ours != kafkas {
                    writeln!(
                        wrong,
                        "{name} {rules_name}: {violation} ({ours}), Kafka says {kafkas}: {batch}"
                    )
                    .unwrap();
                } else if !same_problems(&violation, problems) {
                    writeln!(wrong, "{name} {rules_name}: {:?}, Kafka says {problems}", violation.problems())
                        .unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(accepted > 300 && refused > 300, "the answers are not those expected: {accepted} {refused}");
    assert!(
        deliberate * 50 < accepted + refused,
        "{deliberate} answers differ on purpose: more than was meant"
    );
}

/// Byte for byte where nothing had to be compressed; else the same header and the same records.
fn same_batch(ours: &[u8], kafkas: &[u8]) -> bool {
    if ours == kafkas {
        return true;
    }
    let (ours, kafkas) = (BatchView::read(ours).unwrap(), BatchView::read(kafkas).unwrap());
    let rewritten = ours.compression() != Ok(CompressionType::None);
    let header = |batch: &BatchView<'_>| {
        let mut header = batch.as_bytes()[..61].to_vec();
        header[8..12].fill(0);
        header[17..21].fill(0);
        header
    };
    rewritten && ours.crc_is_valid() && header(&ours) == header(&kafkas) && records(&ours) == records(&kafkas)
}

fn records(batch: &BatchView<'_>) -> Vec<String> {
    let mut records = batch.records(DecompressionCap::default()).unwrap();
    let mut all = Vec::new();
    while let Some(record) = records.next_record() {
        let record = record.unwrap();
        all.push(format!("{record:?} {:?}", record.headers.collect::<Vec<_>>()));
    }
    all
}

fn same_problems(violation: &Violation, kafkas: &str) -> bool {
    let partition = TopicPartition::new("t", 0);
    let ours = violation.problems().iter().map(|problem| match problem.rule {
        // Kafka prints the record as its class prints itself; only which record it was is compared.
        RecordProblemRule::LogAppendTimeFromProducer => format!("{}:Invalid timestamp type", problem.index),
        _ => format!("{}:{}", problem.index, problem.message(&partition)),
    });
    let kafkas = kafkas
        .split('|')
        .filter(|text| !text.is_empty())
        .map(|text| text.split_once(" in message ").map_or(text, |(start, _)| start).to_owned());
    ours.eq(kafkas)
}

/// A log as far as producers see it: offsets and their state.
struct Partition {
    states: ProducerStates,
    end: Offset,
}

impl Partition {
    fn append(&mut self, batch: BatchSummary, origin: AppendOrigin) -> (i16, Option<(Offset, Offset)>) {
        match self.states.admit(&batch, origin) {
            Admission::Accept => {
                let placed = batch.at(self.end);
                self.states.reserve(&placed);
                self.states.publish(&placed);
                self.end = placed.last_offset().next();
                (0, Some((placed.base_offset, placed.last_offset())))
            }
            Admission::Duplicate { of, in_flight } => {
                assert!(!in_flight);
                (0, Some((of.first_offset(), of.last_offset)))
            }
            Admission::Refuse(refusal) => (refusal_code(refusal), None),
        }
    }
}

#[test]
fn producers_are_judged_and_remembered_as_kafka_does() {
    let text = answers("producers.tsv");
    let mut partition = Partition { states: ProducerStates::new(Offset::ZERO), end: Offset::ZERO };
    let (mut appends, mut snapshots) = (0, 0);
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["round"] => {
                partition = Partition { states: ProducerStates::new(Offset::ZERO), end: Offset::ZERO };
            }
            ["stable", high_watermark, expected] => {
                let high_watermark = Offset::new(high_watermark.parse().unwrap());
                partition.states.on_high_watermark_updated(high_watermark);
                let ours = partition.states.last_stable_offset(high_watermark);
                assert_eq!(ours.to_string(), expected, "line {number}");
            }
            ["snapshot", end, expected] => {
                snapshots += 1;
                assert_eq!(partition.states.end_offset().to_string(), end, "line {number}");
                assert_eq!(partition.states.to_snapshot(), unhex(expected), "line {number}");
            }
            [kind, .., code, first, last] => {
                appends += 1;
                let (batch, origin) = summary(kind, &fields);
                let (ours, offsets) = partition.append(batch, origin);
                assert_eq!(ours.to_string(), code, "line {number}: {line}");
                if kind == "append" && ours == 0 {
                    let (ours_first, ours_last) = offsets.unwrap();
                    assert_eq!(
                        (ours_first.to_string(), ours_last.to_string()),
                        (first.into(), last.into()),
                        "line {number}"
                    );
                }
            }
            _ => panic!("line {number}: {line}"),
        }
    }
    assert!(appends > 500 && snapshots > 20, "the answers are not those expected");
}

fn summary(kind: &str, fields: &[&str]) -> (BatchSummary, AppendOrigin) {
    let number = |at: usize| fields[at].parse::<i64>().unwrap();
    let control = kind != "append";
    let timestamp = TimestampMs::new(number(7));
    let outcome = if kind == "abort" { TxnOutcome::Abort } else { TxnOutcome::Commit };
    let marker = EndTxnMarker { outcome, coordinator_epoch: number(6) as i32 };
    let count = if control { 1 } else { number(4) as i32 };
    let batch = BatchSummary {
        position: 0,
        size_in_bytes: 100,
        base_offset: Offset::ZERO,
        last_offset_delta: count - 1,
        leader_epoch: EPOCH,
        max_timestamp: timestamp,
        compression: CompressionType::None,
        producer_id: ProducerId::new(number(1)),
        producer_epoch: ProducerEpoch::new(number(2) as i16),
        base_sequence: if control { Sequence::NONE } else { Sequence::new(number(3) as i32) },
        transactional: control || fields[5] == "true",
        control,
        record_count: count,
        marker: control.then_some((marker, timestamp)),
    };
    (batch, if control { AppendOrigin::Coordinator } else { AppendOrigin::Client })
}
