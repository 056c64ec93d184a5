//! Transactions in a partition as Kafka's own log keeps them: who may open one, how far readers of committed records see,
//! what they are told of aborted ones, and what lies in the files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::BytesMut;
use log_engine::{
    AppendError, AppendRequest, Engine, Isolation, Log, LogConfig, ReadRequest,
    batch::{
        BatchBuilder, BatchView, Compression, NewRecord,
        control::{EndTxnMarker, TxnOutcome},
    },
    producer::{
        TransactionContext, TransactionProtocol, Verification, VerificationGuard, VerificationRequest,
    },
    types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs},
};

use crate::oracle::{answers, hex, refusal_code};
use crate::partition::Partition;

const EPOCH: LeaderEpoch = LeaderEpoch::new(3);

/// One round.
struct Round {
    partition: Partition,
    guards: HashMap<i64, VerificationGuard>,
}

impl Round {
    fn new() -> Self {
        let settings = LogConfig { segment_bytes: 1200, index_interval_bytes: 100, ..LogConfig::default() };
        let verifying = |engine: &Engine| engine.set_transaction_verification(true);
        let partition = Partition::new(tempfile::tempdir().unwrap(), settings, verifying);
        Self { partition, guards: HashMap::new() }
    }

    fn log(&self) -> &Arc<Log> {
        self.partition.log()
    }

    fn begin(&mut self, id: i64, epoch: i64, sequence: i64, protocol: TransactionProtocol) -> String {
        let request = VerificationRequest {
            producer_id: ProducerId::new(id),
            producer_epoch: ProducerEpoch::new(epoch as i16),
            base_sequence: Sequence::new(sequence as i32),
            protocol,
        };
        match self.log().begin_verification(&request) {
            Ok(Verification::Ongoing) => "ongoing".into(),
            Ok(Verification::Needed(guard)) if self.guards.get(&id) == Some(&guard) => "same".into(),
            Ok(Verification::Needed(guard)) => {
                self.guards.insert(id, guard);
                "guard".into()
            }
            Err(error) => code(&error).to_string(),
        }
    }

    fn append(&self, request: AppendRequest) -> (i16, String, String) {
        match self.log().append(request).map(|ticket| ticket.wait().unwrap()) {
            Ok(appended) => (0, appended.first_offset.to_string(), appended.last_offset.to_string()),
            Err(error) => (code(&error), "-".into(), "-".into()),
        }
    }

    /// Bytes, the offset behind them, and who was aborted from where on.
    fn read(&self, from: i64, max_bytes: usize) -> (String, i64, Vec<String>) {
        let request = ReadRequest {
            from: Offset::new(from),
            max_bytes,
            ..ReadRequest::from_start(Isolation::LastStable)
        };
        let fetched = self.log().read(&request).unwrap();
        let aborted = fetched.aborted.iter().map(|txn| format!("{}:{}", txn.producer_id, txn.first_offset));
        let (bytes, mut position, mut next) = (fetched.to_bytes().unwrap(), 0, from);
        while let Ok(batch) = BatchView::read(&bytes[position..]) {
            (position, next) = (position + batch.size_in_bytes(), batch.next_offset().get());
        }
        (bytes.len().to_string(), next, aborted.collect())
    }

    fn raise_high_watermark(&self) -> String {
        let end = self.log().offsets().log_end;
        self.log().set_high_watermark(end);
        end.to_string()
    }
}

fn code(error: &AppendError) -> i16 {
    let AppendError::Producer(refusal) = error else { panic!("{error}") };
    refusal_code(*refusal)
}

fn batch(fields: &[&str]) -> BytesMut {
    let number = |at: usize| fields[at].parse::<i64>().unwrap();
    let (id, epoch) = (ProducerId::new(number(1)), ProducerEpoch::new(number(2) as i16));
    let mut batch = BatchBuilder::new(Compression::None).producer(id, epoch, Sequence::new(number(3) as i32));
    if fields[5] == "true" {
        batch = batch.transactional();
    }
    for _ in 0..number(4) {
        let timestamp = TimestampMs::new(number(7));
        batch.append(&NewRecord { timestamp, key: None, value: Some(b"value"), headers: &[] }).unwrap();
    }
    BytesMut::from(&batch.finish().unwrap()[..])
}

fn marker(kind: &str, fields: &[&str]) -> AppendRequest {
    let number = |at: usize| fields[at].parse::<i64>().unwrap();
    let outcome = if kind == "abort" { TxnOutcome::Abort } else { TxnOutcome::Commit };
    let marker = EndTxnMarker { outcome, coordinator_epoch: number(3) as i32 };
    let (id, epoch) = (ProducerId::new(number(1)), ProducerEpoch::new(number(2) as i16));
    let bytes = marker.to_batch(id, epoch, TimestampMs::new(number(5))).unwrap();
    let protocol =
        if fields[4] == "2" { TransactionProtocol::EpochBump } else { TransactionProtocol::Classic };
    AppendRequest::from_coordinator(BytesMut::from(&bytes[..]), EPOCH)
        .in_transaction(TransactionContext { verified_by: None, protocol })
}

/// Where the slice ends at the very first entry of the offset index, Kafka's search misses it and takes the next one: what
/// it then names beyond the slice need not be there.
fn expected_of(aborted: &str, ours: &[String], slice_end: i64) -> Vec<String> {
    let begins_behind = |text: &str| text.split_once(':').unwrap().1.parse::<i64>().unwrap() >= slice_end;
    let all = aborted.split(',').filter(|text| !text.is_empty());
    all.filter(|text| ours.iter().any(|one| one == text) || !begins_behind(text)).map(str::to_owned).collect()
}

#[test]
fn a_partition_keeps_transactions_as_kafkas_log_does() {
    let (mut round, mut cuts) = (None, HashSet::new());
    let (mut cut_since_watermark, mut fallen_back) = (false, false);
    let (mut appends, mut aborted_lists, mut indexes) = (0, 0, 0);
    for (number, line) in answers("transactions.tsv").lines().enumerate() {
        let at = format!("line {}: {line}", number + 1);
        let fields: Vec<&str> = line.split('\t').collect();
        if fields == ["round"] {
            round = Some(Round::new());
            cuts.clear();
            continue;
        }
        let round = round.as_mut().unwrap();
        let parse = |at: usize| fields[at].parse::<i64>().unwrap();
        match fields[..] {
            ["begin", .., bumps, answer] => {
                let protocol = if bumps == "true" {
                    TransactionProtocol::EpochBump
                } else {
                    TransactionProtocol::Classic
                };
                assert_eq!(round.begin(parse(1), parse(2), parse(3), protocol), answer, "{at}");
            }
            ["append", id, _, _, _, _, guarded, _, code, first, last] => {
                appends += 1;
                let guard = round.guards.get(&id.parse().unwrap()).copied();
                let verified_by = if guarded == "true" { guard } else { None };
                let context = TransactionContext { verified_by, ..TransactionContext::default() };
                let request = AppendRequest::from_client(batch(&fields), EPOCH).in_transaction(context);
                let answer = round.append(request);
                assert_eq!(answer, (code.parse().unwrap(), first.into(), last.into()), "{at}");
            }
            [kind @ ("abort" | "commit"), .., code] => {
                assert_eq!(round.append(marker(kind, &fields)).0.to_string(), code, "{at}");
            }
            ["watermark", end] => {
                (cut_since_watermark, fallen_back) = (false, false);
                assert_eq!(round.raise_high_watermark(), end, "{at}");
            }
            ["stable", high_watermark, _] => {
                let offsets = round.log().offsets();
                assert_eq!(offsets.high_watermark.to_string(), high_watermark, "{at}");
                // Behind a cut above the high watermark, Kafka takes transactions that are long over for undecided until the
                // high watermark moves, and its last stable offset falls back. Ours does not.
                let ours = offsets.last_stable.get();
                fallen_back = cut_since_watermark && parse(2) < ours;
                assert!(fallen_back || ours == parse(2), "{at}: {ours}");
            }
            ["read", ..] if fallen_back => {}
            ["read", from, max, bytes, aborted] => {
                let (len, next, ours) = round.read(from.parse().unwrap(), max.parse().unwrap());
                assert_eq!(len, bytes, "{at}");
                assert_eq!(ours, expected_of(aborted, &ours, next), "{at}");
                aborted_lists += i32::from(!aborted.is_empty());
            }
            ["truncate", end] => {
                cut_since_watermark = true;
                cuts.insert(format!("{:020}", parse(1)));
                round.log().truncate_to(Offset::new(end.parse().unwrap())).unwrap();
            }
            ["close"] => round.partition.close(),
            ["file", name, bytes] => {
                let found = round.partition.file(name);
                if let (Some(base), None) = (name.strip_suffix(".snapshot"), &found) {
                    // Kafka leaves one where a log was cut, until the log is opened again.
                    let log = round.partition.file(&format!("{base}.log"));
                    assert!(log.is_none() && cuts.contains(base), "{at}");
                    continue;
                }
                indexes += i32::from(name.ends_with(".txnindex"));
                assert_eq!(hex(&found.unwrap_or_default()), bytes, "{at}");
            }
            ["reopen", end, last_stable] => {
                round.partition.open();
                assert_eq!(round.raise_high_watermark(), end, "{at}");
                assert_eq!(round.log().offsets().last_stable.to_string(), last_stable, "{at}");
            }
            _ => panic!("{at}"),
        }
    }
    assert!(appends > 500 && aborted_lists > 50 && indexes > 20, "the answers are not those expected");
}
