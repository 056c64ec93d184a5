//! Transactions under kill -9: whatever step the broker dies in, readers of committed records see a transaction in all of
//! its partitions or in none; one whose commit was acknowledged they see, one that was aborted or never ended they do not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use klamm_tests::broker::{self, Running};
use klamm_tests::client::Client;
use klamm_tests::properties::Properties;
use klamm_tests::transactional::{TransactionalProducer, read_committed};

use crate::ledger::TOPIC;
use crate::{Random, producer, seed, variable};

const PARTITIONS: i32 = 3;
const TIMEOUT_MS: i32 = 60_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the harness knows of the transactions, by number.
#[derive(Default, Debug)]
struct Known {
    begun: u64,
    /// Acknowledged.
    committed: BTreeSet<u64>,
    /// A commit was asked for, and no answer came.
    undecided: BTreeSet<u64>,
}

#[test]
fn transactions_are_seen_whole_or_not_at_all_after_kill_9() {
    let cycles = variable("KLAMM_KILL_CYCLES", 100) / 5;
    let seed = seed();
    println!("seed {seed}, {cycles} cycles");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&directory.path().join("data"))
        .with("num.partitions", PARTITIONS.to_string())
        .with("transaction.state.log.num.partitions", "3")
        .with("log.segment.bytes", (1 << 20).to_string())
        .with("log.index.interval.bytes", "512");
    let (mut random, mut known) = (Random(seed), Known::default());
    let mut running = broker::start(&properties);
    producer::create_topic(running.bootstrap());
    for cycle in 0..cycles {
        run_until_killed(running, &mut known, &mut random);
        running = broker::start(&properties);
        check(&running, &known, cycle, seed);
    }
    running.kill();
    assert!(known.committed.len() as u64 > cycles, "the load was no load: {known:?}");
}

/// Runs transactions, kills the broker after so many of them were begun, at whatever step that is.
fn run_until_killed(broker: Running, known: &mut Known, random: &mut Random) {
    let (begun, until) = (AtomicU64::new(0), 1 + random.next() % 40);
    let pause = Duration::from_micros(random.next() % 3000);
    let address = broker.bootstrap().to_owned();
    thread::scope(|scope| {
        let begun = &begun;
        let load = scope.spawn(move || run(&address, known, begun));
        let deadline = Instant::now() + PATIENCE;
        while begun.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "no transaction is begun:\n{}", broker.output());
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(pause);
        broker.kill();
        load.join().expect("the load ends with its connection");
    });
}

fn run(address: &str, known: &mut Known, begun: &AtomicU64) {
    let mut producer =
        TransactionalProducer::start(address, "harness", TIMEOUT_MS).expect("the broker has just started");
    loop {
        let number = known.begun;
        known.begun += 1;
        begun.fetch_add(1, Ordering::Relaxed);
        for partition in 0..PARTITIONS {
            if producer.produce(TOPIC, partition, number.to_string().as_bytes()).is_err() {
                return;
            }
        }
        let commits = !number.is_multiple_of(3);
        if commits {
            known.undecided.insert(number);
        }
        if producer.end(commits).is_err() {
            return;
        }
        if commits {
            known.undecided.remove(&number);
            known.committed.insert(number);
        }
    }
}

/// Panics if readers see what they must not, or miss what they must see.
fn check(running: &Running, known: &Known, cycle: u64, seed: u64) {
    // Whoever takes the id over has to wait until what was decided is carried out, and what was open is aborted.
    let after = TransactionalProducer::start(running.bootstrap(), "harness", TIMEOUT_MS);
    after.expect("the coordinator has its state");
    let mut client = Client::connect(running.bootstrap()).expect("the broker accepts connections");
    let mut seen = Vec::new();
    for partition in 0..PARTITIONS {
        let values = read_committed(&mut client, TOPIC, partition).expect("read");
        let numbers: Vec<u64> = values
            .iter()
            .map(|value| String::from_utf8_lossy(value).parse().expect("a number was written"))
            .collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "cycle {cycle}, seed {seed}: {numbers:?}");
        seen.push(numbers.into_iter().collect::<BTreeSet<u64>>());
    }
    let all = &seen[0];
    for (partition, numbers) in seen.iter().enumerate() {
        assert_eq!(
            numbers, all,
            "cycle {cycle}, seed {seed}: partition {partition} shows other transactions"
        );
    }
    let missing: Vec<_> = known.committed.difference(all).collect();
    assert!(missing.is_empty(), "cycle {cycle}, seed {seed}: committed and lost: {missing:?}");
    let mut wrong = all.iter().filter(|one| !known.committed.contains(one) && !known.undecided.contains(one));
    assert_eq!(wrong.next(), None, "cycle {cycle}, seed {seed}: aborted or open, and seen");
}
