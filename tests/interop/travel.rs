//! One and the same data directory goes from broker to broker; at every stop clients find what was there, add to it,
//! create a topic and change a configuration, while another produces without a break until the broker is gone. No file
//! in the directory is made or edited by anyone but the brokers.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use klamm_tests::broker::Running;
use klamm_tests::java_clients::JavaClients;
use klamm_tests::oracle::Oracle;
use klamm_tests::properties::Properties;
use klamm_tests::{broker, kafka};

use crate::clients::CODECS;
use crate::load::Load;

/// What is produced to until the broker is gone.
const BUSY: &str = "busy";

/// Who keeps the directory at a stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    Kafka,
    Klamm,
}

/// How a stop ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Departure {
    Clean,
    Killed,
}

impl Host {
    pub(crate) fn start(self, oracle: &Oracle, properties: &Properties) -> Running {
        match self {
            Self::Kafka => kafka::start(oracle, properties),
            Self::Klamm => broker::start(properties),
        }
    }
}

impl Departure {
    pub(crate) fn leave(self, broker: Running) {
        match self {
            Self::Clean => broker.stop(),
            Self::Killed => broker.kill(),
        }
    }
}

/// What the clients have been told is stored.
#[derive(Default)]
struct Told {
    /// Topic to what was described when it was made; its records are in its last partition.
    topics: BTreeMap<String, Topic>,
    /// Records of the first topic that a group has committed.
    followed: u32,
    /// Values of committed transactions, in order.
    committed: Vec<String>,
}

struct Topic {
    description: String,
    partitions: u32,
    records: u32,
    retention_ms: u32,
}

/// Stays at every host once.
pub(crate) fn travel(oracle: &Oracle, properties: &Properties, hosts: &[Host], departure: Departure) {
    let mut java = JavaClients::start(oracle);
    let mut told = Told::default();
    let mut load = Load::new(BUSY);
    for (stop, &host) in hosts.iter().enumerate() {
        println!("stop {stop}: {host:?}, leaving {departure:?}");
        let broker = host.start(oracle, properties);
        let bootstrap = broker.bootstrap().to_owned();
        let mut clients = Clients { java: &mut java, bootstrap: &bootstrap };
        if stop == 0 {
            clients.must(
                "create",
                &format!("{BUSY} 1 retention.ms=-1,segment.bytes=1048576,index.interval.bytes=300"),
            );
        }
        load.is_there(&bootstrap);
        let acknowledged = thread::scope(|scope| {
            let produces = scope.spawn(|| load.produce_until_closed(&bootstrap));
            clients.stay(&mut told, stop);
            // Whatever the clients waited for: here nobody waits, and records are on their way.
            thread::sleep(Duration::from_millis(100));
            assert!(!produces.is_finished(), "it produces until the broker is gone");
            departure.leave(broker);
            produces.join().expect("the load has no opinion")
        });
        assert!(acknowledged > 50, "that was no load: {acknowledged} batches");
    }
}

struct Clients<'a> {
    java: &'a mut JavaClients,
    bootstrap: &'a str,
}

impl Clients<'_> {
    /// All that is done at a stop.
    fn stay(&mut self, told: &mut Told, stop: usize) {
        self.find_everything(told);
        self.add_records(told, stop);
        self.create_topic(told, stop);
        self.change_configurations(told, stop);
        self.delete_a_topic(told, stop);
        self.transact(told, stop);
        self.find_everything(told);
        self.follow(told);
    }

    fn must(&mut self, command: &str, rest: &str) -> String {
        self.java.must(&format!("{command} {} {rest}", self.bootstrap))
    }

    fn find_everything(&mut self, told: &Told) {
        let topics = self.must("topics", "");
        let found: Vec<&str> =
            topics.split(',').filter(|name| !["", "transacted", BUSY].contains(name)).collect();
        assert_eq!(found, told.topics.keys().collect::<Vec<_>>());
        for (name, topic) in &told.topics {
            let last = topic.partitions - 1;
            assert_eq!(self.must("describe", name), topic.description, "{name}");
            self.must("verify", &format!("{name} {last} {} committed", topic.records));
            assert_eq!(
                self.must("offsets", &format!("{name} {last}")),
                format!("0 {}", topic.records),
                "{name}"
            );
            let retention = self.must("configuration", &format!("{name} retention.ms"));
            assert_eq!(retention, format!("{} DYNAMIC_TOPIC_CONFIG", topic.retention_ms), "{name}");
        }
        if !told.committed.is_empty() {
            assert_eq!(self.must("read", "transacted 0 committed"), told.committed.join(","));
        }
    }

    fn add_records(&mut self, told: &mut Told, stop: usize) {
        for (name, topic) in &mut told.topics {
            for (kind, shift) in [("idempotent", 0), ("plain", 2)] {
                let codec = CODECS[(stop + shift) % CODECS.len()];
                let last = topic.partitions - 1;
                self.must("produce", &format!("{name} {last} {codec} {kind} {} 60", topic.records));
                topic.records += 60;
            }
        }
    }

    fn create_topic(&mut self, told: &mut Told, stop: usize) {
        for (name, partitions) in [(format!("stop-{stop}"), 2), (format!("brief-{stop}"), 1)] {
            self.must(
                "create",
                &format!("{name} {partitions} retention.ms=1000000000,index.interval.bytes=300"),
            );
            let records = 70;
            self.must("produce", &format!("{name} {} lz4 idempotent 0 {records}", partitions - 1));
            let description = self.must("describe", &name);
            told.topics.insert(name, Topic { description, partitions, records, retention_ms: 1_000_000_000 });
        }
    }

    fn change_configurations(&mut self, told: &mut Told, stop: usize) {
        for (name, topic) in &mut told.topics {
            topic.retention_ms = 2_000_000_000 + u32::try_from(stop).expect("a few stops");
            self.must("configure", &format!("{name} retention.ms {}", topic.retention_ms));
        }
    }

    /// What the stop before made for this.
    fn delete_a_topic(&mut self, told: &mut Told, stop: usize) {
        let Some(before) = stop.checked_sub(1) else { return };
        let name = format!("brief-{before}");
        self.must("delete", &name);
        told.topics.remove(&name).expect("the stop before made it");
    }

    /// A group goes on where it was at the stop before.
    fn follow(&mut self, told: &mut Told) {
        let records = told.topics["stop-0"].records;
        assert_eq!(self.must("follow", "stop-0 travellers"), (records - told.followed).to_string());
        told.followed = records;
    }

    fn transact(&mut self, told: &mut Told, stop: usize) {
        if told.committed.is_empty() {
            self.must("create", "transacted 1");
        } else {
            // The stop before left it open: the coordinator of this one ends it.
            self.must("recover", "transacted 0 traveller");
        }
        self.must("transact", &format!("transacted 0 at-{stop}"));
        told.committed.extend((0..3).map(|n| format!("at-{stop}-committed-{n}")));
        assert_eq!(self.must("read", "transacted 0 committed"), told.committed.join(","));
        self.must("open", "transacted 0 traveller");
    }
}
