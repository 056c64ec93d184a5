//! What a replica does with a partition, as Kafka's own log does it: appends with offsets and epochs given, cuts, starts
//! over, and is asked where an epoch ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, Compression, NewRecord, Violation};
use log_engine::types::{LeaderEpoch, Offset, TimestampMs};
use log_engine::{AppendError, AppendRequest, Log, LogConfig};

use crate::oracle::{answers, hex};
use crate::partition::Partition;

/// One round.
struct Round {
    partition: Partition,
}

impl Round {
    fn new() -> Self {
        // Every cut is flushed: in memory, where there is a place for that.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let settings = LogConfig { segment_bytes: 700, index_interval_bytes: 150, ..LogConfig::default() };
        Self { partition: Partition::new(dir, settings, |_| {}) }
    }

    fn log(&self) -> &Arc<Log> {
        self.partition.log()
    }

    fn append(&self, request: AppendRequest) -> Result<(Offset, Offset), AppendError> {
        let appended = self.log().append(request).map(|ticket| ticket.wait().unwrap())?;
        Ok((appended.first_offset, appended.last_offset))
    }

    fn follow(&self, leader: i32, bytes: &[u8]) -> (String, String, String) {
        let request = AppendRequest::from_leader(BytesMut::from(bytes), LeaderEpoch::new(leader));
        match self.append(request) {
            Ok((first, last)) if last < first => ("stored".into(), "-1".into(), "-1".into()),
            Ok((first, last)) => ("stored".into(), first.to_string(), last.to_string()),
            Err(error) => (name(&error).into(), "-".into(), "-".into()),
        }
    }

    fn lead(&self, epoch: i32, count: i32, timestamp: i64) -> (String, String) {
        let mut batch = BatchBuilder::new(Compression::None);
        for _ in 0..count {
            let timestamp = TimestampMs::new(timestamp);
            batch.append(&NewRecord { timestamp, key: None, value: Some(b"value"), headers: &[] }).unwrap();
        }
        let bytes = BytesMut::from(&batch.finish().unwrap()[..]);
        let (first, last) = self.append(AppendRequest::from_client(bytes, LeaderEpoch::new(epoch))).unwrap();
        (first.to_string(), last.to_string())
    }

    /// In the words of the answers.
    fn state(&self, asked: usize) -> Vec<String> {
        let log = self.log();
        let offsets = log.offsets();
        let end_of = |epoch: i32| {
            let end = log.epoch_end_offset(LeaderEpoch::new(epoch));
            end.map_or("-".to_owned(), |(epoch, offset)| format!("{epoch}:{offset}"))
        };
        let ends: Vec<String> = (-1..asked as i32 - 1).map(end_of).collect();
        let segments = log.segments_info();
        let segments: Vec<String> =
            segments.iter().map(|s| format!("{}:{}", s.base_offset, s.size_bytes)).collect();
        let producers = log.active_producers();
        let producers: BTreeMap<i64, i32> = producers
            .iter()
            .map(|entry| {
                (entry.producer_id.get(), entry.last_batch().map_or(-1, |batch| batch.last_sequence.get()))
            })
            .collect();
        let producers: Vec<String> =
            producers.iter().map(|(id, sequence)| format!("{id}:{sequence}")).collect();
        vec![
            offsets.log_start.to_string(),
            offsets.high_watermark.to_string(),
            offsets.log_end.to_string(),
            log.latest_epoch().map_or("-".to_owned(), |epoch| epoch.to_string()),
            ends.join(","),
            segments.join(","),
            producers.join(","),
        ]
    }
}

fn name(error: &AppendError) -> &'static str {
    match error {
        AppendError::OutOfOrder { .. } => "UnexpectedAppendOffsetException",
        AppendError::Invalid(violation) => match **violation {
            Violation::OffsetsOutOfOrder { .. } => "OffsetsOutOfOrderException",
            Violation::Crc { .. } => "CorruptRecordException",
            _ => panic!("{error}"),
        },
        _ => panic!("{error}"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_replica_appends_cuts_starts_over_and_knows_its_epochs_as_kafkas_log_does() {
    let mut round = None;
    let (mut stored, mut cuts, mut files) = (0, 0, 0);
    for (number, line) in answers("replicas.tsv").lines().enumerate() {
        let at = format!("line {}: {line}", number + 1);
        let fields: Vec<&str> = line.split('\t').collect();
        if fields == ["round"] {
            round = Some(Round::new());
            continue;
        }
        let round = round.as_mut().unwrap();
        let parse = |at: usize| fields[at].parse::<i64>().unwrap();
        let offset = |at: usize| Offset::new(parse(at));
        match fields[..] {
            ["follow", _, batches, answer, first, last] => {
                stored += i32::from(answer == "stored");
                let answer = (answer.into(), first.into(), last.into());
                assert_eq!(round.follow(parse(1) as i32, &bytes(batches)), answer, "{at}");
            }
            ["lead", .., first, last] => {
                let answer = round.lead(parse(1) as i32, parse(2) as i32, parse(3));
                assert_eq!(answer, (first.into(), last.into()), "{at}");
            }
            ["begin", _] => round.log().begin_epoch(LeaderEpoch::new(parse(1) as i32)).unwrap(),
            ["truncate", _, changed] => {
                cuts += i32::from(changed == "true");
                assert_eq!(round.log().truncate_to(offset(1)).unwrap().to_string(), changed, "{at}");
            }
            ["over", _] => round.log().truncate_fully_and_start_at(offset(1)).unwrap(),
            ["watermark", _] => drop(round.log().set_high_watermark(offset(1))),
            ["start", _] => drop(round.log().delete_records_before(offset(1)).unwrap()),
            ["reopen"] => {
                round.partition.close();
                round.partition.open();
                let end = round.log().offsets().log_end;
                // Kafka's start forgets an epoch that begins at the end. Ours keeps it: by it a later start tells what was
                // cut off and comes back in a power loss.
                assert!(!round.log().truncate_to(end).unwrap());
                round.log().set_high_watermark(end);
            }
            ["state", start, _, _, _, ends, _, producers] => {
                let (ours, theirs) = (round.state(ends.split(',').count()), &fields[1..]);
                assert_eq!(ours[..6], theirs[..6], "{at}");
                let known: Vec<&str> = ours[6].split(',').collect();
                assert!(
                    producers.split(',').all(|told| told.is_empty() || known.contains(&told)),
                    "{at}: {known:?}"
                );
                // Who wrote last before the log's start, in a segment that is still there, Kafka forgets with a cut.
                assert!(start != "0" || ours[6] == producers, "{at}: {known:?}");
            }
            ["close"] => round.partition.close(),
            ["file", name, content] => {
                files += 1;
                assert_eq!(hex(&round.partition.file(name).unwrap_or_default()), content, "{at}");
            }
            _ => panic!("{at}"),
        }
    }
    assert!(stored > 200 && cuts > 40 && files > 60, "the answers are not those expected");
}
