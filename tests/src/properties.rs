//! A server.properties that Kafka and Klamm read alike.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// Configuration of one broker that is its own controller, in the style of the file that Kafka ships.
///
/// The ports stay the same for the life of this value: a directory that travels between two brokers keeps its address.
#[derive(Clone, Debug)]
pub struct Properties {
    port: u16,
    keys: BTreeMap<String, String>,
}

impl Properties {
    /// One data directory, free ports on 127.0.0.1, everything else as shipped.
    pub fn new(data: &Path) -> Self {
        let [port, controller] = free_ports();
        let keys = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", "1".to_owned()),
            ("controller.quorum.bootstrap.servers", format!("127.0.0.1:{controller}")),
            ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
            (
                "advertised.listeners",
                format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
            ),
            ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()),
            ("log.dirs", data.display().to_string()),
            ("num.partitions", "1".to_owned()),
            // A broker that was killed may not come back before its session has ended: seconds, as shipped.
            ("broker.session.timeout.ms", "1000".to_owned()),
            ("broker.heartbeat.interval.ms", "300".to_owned()),
            ("num.network.threads", "2".to_owned()),
            ("num.io.threads", "4".to_owned()),
            ("offsets.topic.replication.factor", "1".to_owned()),
            ("offsets.topic.num.partitions", "1".to_owned()),
            ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
            ("share.coordinator.state.topic.min.isr", "1".to_owned()),
            ("transaction.state.log.replication.factor", "1".to_owned()),
            ("transaction.state.log.min.isr", "1".to_owned()),
            ("transaction.state.log.num.partitions", "1".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ];
        Self { port, keys: keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
    }

    /// The same with one key set.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// The same without one key.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.keys.remove(key);
        self
    }

    /// `127.0.0.1:port` for clients.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The first data directory.
    pub fn data(&self) -> PathBuf {
        let first = self.keys["log.dirs"].split(',').next().expect("split yields at least one part");
        PathBuf::from(first)
    }

    /// The text of the file.
    pub fn lines(&self) -> String {
        self.keys.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    /// Writes the file, beside the data directory, and returns its path.
    pub fn write(&self) -> PathBuf {
        let path = self.data().with_extension("properties");
        fs::write(&path, self.lines()).expect("server.properties can be written");
        path
    }
}

/// Ports nobody listens on at this moment; all are held before the first is let go, so they differ.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    std::array::from_fn(|i| held[i].local_addr().expect("a bound socket has an address").port())
}
