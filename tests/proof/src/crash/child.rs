//! The child: an engine with a writer for each partition, that says what was acknowledged. And reading back what it left.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::io::sim::Seeded;
use log_engine::{
    AppendRequest, AppendTicket, Clock, DiskChoice, Engine, EngineConfig, Isolation, LeaderEpoch, Log,
    LogConfig, Offset, OpenError, SystemClock, TopicId, TopicPartition,
};

use crate::planted::Plant;
use crate::seen::read_all;

use super::ledger::{Known, Ledger, PARTITIONS};

/// Appends of one writer that no answer has come to.
const UNANSWERED_MAX: usize = 8;
const OPENING_ATTEMPTS: u32 = 500;
const SEGMENT_BYTES: u32 = 32 << 10;
/// So that the image does not fill up.
const RETENTION_BYTES: i64 = 1 << 20;

fn partition(number: usize) -> TopicPartition {
    TopicPartition::new("ledger", number as i32)
}

fn config(data: &Path, policy: &str) -> Result<EngineConfig, Box<dyn Error>> {
    let mut config = EngineConfig::new([data.to_owned()], 1);
    config.log_defaults = LogConfig {
        segment_bytes: SEGMENT_BYTES,
        index_interval_bytes: 512,
        retention_bytes: RETENTION_BYTES,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    config.log_defaults.set("klamm.flush.policy", policy)?;
    config.recovery_point_interval_ms = 50;
    config.retention_interval_ms = 50;
    Ok(config)
}

// The kernel may keep the lock of a process for a moment after its end, and any process does that is just being forked.
fn open(config: &EngineConfig) -> Result<Engine, OpenError> {
    for _ in 0..OPENING_ATTEMPTS {
        match Engine::open_or_format(config.clone()) {
            Err(OpenError::InUse { .. }) => thread::sleep(Duration::from_millis(10)),
            opened => return opened,
        }
    }
    Engine::open_or_format(config.clone())
}

/// Lives until it is killed.
pub fn live(data: PathBuf, seed: u64, policy: &str, plant: Option<Plant>) -> Result<(), Box<dyn Error>> {
    let mut config = config(&data, policy)?;
    if let Some(plant) = plant {
        config.disk = DiskChoice::Given(Arc::new(plant.disk()));
    }
    let engine = open(&config)?;
    engine.start_retention();
    let mut logs = Vec::new();
    for number in 0..PARTITIONS {
        let id = TopicId::new([number as u8 + 1; 16]);
        let log = engine.open_or_create_log(&partition(number), id, config.log_defaults.clone())?;
        let epoch = log.latest_epoch().map_or(0, |epoch| epoch.get() + 1);
        log.begin_epoch(LeaderEpoch::new(epoch))?;
        logs.push((log, epoch));
    }
    thread::scope(|scope| {
        for (number, (log, epoch)) in logs.iter().enumerate() {
            scope.spawn(move || {
                if let Err(error) = write(number, log, *epoch, seed) {
                    eprintln!("partition {number}: {error}");
                }
            });
        }
    });
    Err("the writers ended".into())
}

fn write(partition: usize, log: &Arc<Log>, epoch: i32, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Seeded::new(seed ^ (partition as u64) << 48);
    let mut waiting: VecDeque<(u64, i64, AppendTicket)> = VecDeque::new();
    // Above all numbers of earlier lives.
    let mut number = (seed + 1) << 24;
    loop {
        let count = 1 + random.below(5) as i64;
        let request = AppendRequest::from_client(batch(partition, number, count), LeaderEpoch::new(epoch));
        waiting.push_back((number, count, log.append(request)?));
        number += count as u64;
        while waiting.len() > random.below(UNANSWERED_MAX as u64) as usize {
            let Some((first, count, ticket)) = waiting.pop_front() else { break };
            let offset = ticket.wait()?.first_offset;
            log.set_high_watermark(Offset::new(offset.get() + count));
            say(&format!("a {partition} {offset} {first} {count} .\n"))?;
        }
        if random.one_in(40) {
            let end = log.offsets().log_end;
            log.flush()?;
            say(&format!("f {partition} {end} .\n"))?;
        }
    }
}

// One call of the system for a line, so that a kill leaves it whole or not at all.
fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

fn batch(partition: usize, first: u64, count: i64) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None);
    for number in first..first + count as u64 {
        let value = value(partition, number);
        let record = NewRecord { timestamp: SystemClock.now(), value: Some(&value), ..NewRecord::default() };
        builder.append(&record).expect("a record fits");
    }
    BytesMut::from(&builder.finish().expect("a batch is built")[..])
}

/// The number, then bytes that follow from partition and number.
fn value(partition: usize, number: u64) -> Vec<u8> {
    let mut random = Seeded::new(number ^ (partition as u64) << 56);
    let len = 8 + random.below(300) as usize / 8 * 8;
    let mut value = number.to_be_bytes().to_vec();
    while value.len() < len {
        value.extend_from_slice(&random.next().to_be_bytes());
    }
    value
}

/// Opens what the child left and compares it with what the child said.
pub(super) fn read_back(data: &Path, power_was_lost: bool, ledger: &mut Ledger) -> Result<(), String> {
    let config = config(data, "os").map_err(|error| error.to_string())?;
    // A crash may come before the child has formatted the directory, or before it has made a log.
    let engine = open(&config).map_err(|error| format!("no start: {error}"))?;
    for number in 0..PARTITIONS {
        let known = ledger.partition(number);
        let (must, lost) = match engine.log(&partition(number)) {
            Some(log) => compare(number, &log, power_was_lost, known)?,
            None => (known.batches.len(), 0),
        };
        if must > 0 && engine.log(&partition(number)).is_none() {
            return Err(format!("partition {number} is gone with {must} acknowledged batches"));
        }
        known.batches.clear();
        ledger.lost += lost;
    }
    Ok(())
}

// Answers how many batches there were, and how many of them a power loss took.
fn compare(
    partition: usize,
    log: &Arc<Log>,
    power_was_lost: bool,
    known: &mut Known,
) -> Result<(usize, u64), String> {
    let offsets = log.offsets();
    let (start, end) = (offsets.log_start.get(), offsets.log_end.get());
    let from = known.read_to.clamp(start, end);
    let (batches, _) = read_all(log, from, Isolation::LogEnd, 64 << 10)?;
    let mut next = from;
    let mut found = Vec::new();
    for (offset, record) in
        batches.iter().flat_map(|batch| &batch.records).filter(|(offset, _)| *offset >= from)
    {
        let bytes = record.value.clone().unwrap_or_default();
        let number = bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)).unwrap_or_default();
        if bytes != value(partition, number) {
            return Err(format!("partition {partition}: what lies at {offset} was never written there"));
        }
        if *offset != next || number <= known.number {
            return Err(format!(
                "partition {partition}: number {number} at {offset}, {} before",
                known.number
            ));
        }
        (next, known.number) = (offset + 1, number);
        found.push(number);
    }
    if next != end {
        return Err(format!("partition {partition} ends at {end}, but can be read to {next}"));
    }
    let must = if power_was_lost { known.durable } else { i64::MAX };
    let mut lost = 0;
    for (offset, first, count) in &known.batches {
        for index in 0..*count {
            let place = usize::try_from(offset + index - from).ok();
            let number = place.and_then(|place| found.get(place)).copied();
            let is_there = number == Some(first + index as u64) || offset + index < start;
            // What a power loss takes, it takes from the end.
            if !is_there && (offset + index < must || offset + index < end) {
                return Err(format!(
                    "partition {partition}: record {} was acknowledged at {}, where {number:?} is",
                    first + index as u64,
                    offset + index
                ));
            }
            lost += u64::from(!is_there && index == 0);
        }
    }
    known.read_to = end;
    // What was found after a power loss came from the disk.
    known.durable = if power_was_lost { end } else { known.durable.min(end) };
    Ok((known.batches.len(), lost))
}
