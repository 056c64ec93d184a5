//! Under `sync`, appends that wait together share flushes: counted by the committer, on a disk whose flushes are held
//! back until all of them wait.

use super::*;
use crate::commit::CommitCounts;
use crate::io::sim::SimDisk;

const PRODUCERS: u64 = 64;
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What it took to store one record of `len` bytes of each of 64 producers, who write to `partitions` logs and all wait
/// when the first flush ends.
fn counts_of_64_producers(len: usize, partitions: i32) -> CommitCounts {
    let disk = SimDisk::new();
    let engine = engine_on(&disk);
    let logs: Vec<Arc<Log>> = (0..partitions).map(|partition| durable_log(&engine, partition)).collect();
    let first = durable_log(&engine, partitions);
    let before = engine.counts().commits;

    let held = disk.hold_flushes(".log");
    let mut waiting = vec![append_at_once(&first, KIB)];
    held.wait_for_one();
    waiting.extend((0..PRODUCERS as usize).map(|producer| append_at_once(&logs[producer % logs.len()], len)));
    drop(held);
    for ticket in waiting {
        ticket.wait().unwrap();
    }

    let (first, mut counts) = (1, engine.counts().commits);
    counts.appends -= before.appends + first;
    counts.groups -= before.groups + first;
    counts.queue.syncs -= before.queue.syncs + first;
    assert_eq!(counts.appends, PRODUCERS);
    counts
}

pub(super) fn engine_on(disk: &SimDisk) -> Engine {
    let mut config = EngineConfig::new([PathBuf::from("/data")], 1);
    config.disk = DiskChoice::Given(Arc::new(disk.clone()));
    config.clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW)));
    let meta = MetaProperties { cluster_id: "test".into(), node_id: 1, directory_id: None };
    log_dir::format(&config.open_disk(), Path::new("/data"), &meta, config.clock.now()).unwrap();
    Engine::open(config).unwrap()
}

/// Holds a record already: the first one flushes the segment's names too, on the thread that appends.
fn durable_log(engine: &Engine, partition: i32) -> Arc<Log> {
    let config = LogConfig {
        klamm_flush_policy: Some(FlushPolicy::Sync),
        max_message_bytes: 2 * MIB as u32,
        ..LogConfig::default()
    };
    let partition = TopicPartition::new("orders", partition);
    let log = engine.create_log(&partition, TopicId::new([7; 16]), config, None).unwrap();
    append(&log, &[b"ground"]);
    log
}

/// An append that waits for nothing but its flush: there is room for it beside all that wait already.
fn append_at_once(log: &Arc<Log>, len: usize) -> AppendTicket {
    let request = AppendRequest::from_client(batch_of(&[&vec![b'x'; len]], NOW), LeaderEpoch::new(0));
    match log.try_append(request).unwrap() {
        Attempt::Started(ticket) => ticket,
        Attempt::WouldWait(_) => panic!("no room for an append of {len} bytes"),
    }
}

#[test]
fn of_64_waiting_producers_at_least_16_share_an_fdatasync_whether_records_have_1_kib_or_1_mib() {
    for len in [KIB, MIB] {
        let syncs = counts_of_64_producers(len, 1).queue.syncs;
        assert!(PRODUCERS >= 16 * syncs, "{syncs} flushes for {PRODUCERS} records of {len} bytes");
    }
}

#[test]
fn small_records_of_64_producers_over_several_partitions_take_one_fdatasync_per_partition() {
    for partitions in [4, 64] {
        let counts = counts_of_64_producers(KIB, partitions);
        assert_eq!((counts.groups, counts.queue.syncs), (1, partitions as u64), "{partitions} partitions");
    }
}

#[test]
fn large_records_of_64_partitions_wait_for_at_most_four_rounds_of_flushes() {
    let counts = counts_of_64_producers(MIB, 64);
    assert!(counts.groups <= PRODUCERS / 16, "{} rounds", counts.groups);
    assert_eq!(counts.queue.syncs, PRODUCERS, "no file is flushed twice");
}
