//! A broker in this process, on a free port, in a directory that vanishes with the test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_shim::config::{Config, Sources};
use broker_shim::{Running, StartError, start, start_on, start_with_threads};
use klamm_tests::client::{BY_NAME, Client, batch};
use log_engine::TimestampMs;
use log_engine::batch::Compression;
use log_engine::io::{BackendChoice, Disk, NativeDisk};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wire::ErrorCode;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{CreateTopicsRequest, MetadataRequest};
use wire::primitives::Uuid;

/// A time at which test records were made; any time not in the future will do.
pub(crate) const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);

/// A broker that is stopped when it is dropped.
pub(crate) struct Klamm {
    runtime: Runtime,
    running: Option<Running>,
    address: SocketAddr,
    overrides: Vec<String>,
    directory: TempDir,
}

impl Klamm {
    /// Starts one with these keys beside a free port and an empty directory.
    pub(crate) fn start(overrides: &[&str]) -> Self {
        Self::start_on(overrides, Arc::new(NativeDisk::new(BackendChoice::Auto)))
    }

    /// The same on another disk, until it is restarted.
    pub(crate) fn start_on(overrides: &[&str], disk: Arc<dyn Disk>) -> Self {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        Self::start_in(tempfile::tempdir().expect("a directory"), None, overrides, disk)
    }

    /// The same without keys, its connections served by this many threads.
    pub(crate) fn start_with(threads: usize, disk: Arc<dyn Disk>) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), Some(threads), Vec::new(), disk)
    }

    /// One with two data directories, `a` with the metadata log, and `b`.
    pub(crate) fn start_on_two(disk: Arc<dyn Disk>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().display();
        let overrides = vec![format!("log.dirs={path}/a,{path}/b")];
        Self::start_in(directory, None, overrides, disk)
    }

    fn start_in(
        directory: TempDir,
        threads: Option<usize>,
        overrides: Vec<String>,
        disk: Arc<dyn Disk>,
    ) -> Self {
        let runtime = runtime();
        let config = config(directory.path(), &overrides);
        let running = match threads {
            Some(threads) => runtime.block_on(start_with_threads(config, disk, threads)),
            None => runtime.block_on(start_on(config, disk)),
        }
        .expect("the broker starts");
        let address = running.addresses()[0].1;
        Self { runtime, running: Some(running), address, overrides, directory }
    }

    /// Stops cleanly and starts again on the same directory.
    pub(crate) fn restart(&mut self) {
        self.restart_after(|_| {});
    }

    /// The same, on this disk and with this many threads for its connections.
    pub(crate) fn restart_with(&mut self, threads: usize, disk: Arc<dyn Disk>) {
        self.stop();
        let config = config(self.directory.path(), &self.overrides);
        let running = self.runtime.block_on(start_with_threads(config, disk, threads));
        self.go_on(running.expect("the broker starts again"));
    }

    /// Stops cleanly, does something to the directory, and starts again.
    pub(crate) fn restart_after(&mut self, act: impl FnOnce(&Path)) {
        self.stop();
        self.start_again(act);
    }

    /// Does something to the directory of a broker that was stopped, and starts it again.
    pub(crate) fn start_again(&mut self, act: impl FnOnce(&Path)) {
        act(self.directory.path());
        let config = config(self.directory.path(), &self.overrides);
        let running = self.runtime.block_on(start(config));
        self.go_on(running.expect("the broker starts again"));
    }

    fn go_on(&mut self, running: Running) {
        self.address = running.addresses()[0].1;
        self.running = Some(running);
    }

    /// Stops cleanly, does something to the directory after which it must not start, and answers what it says.
    pub(crate) fn refusal_after(&mut self, act: impl FnOnce(&Path)) -> String {
        self.stop();
        act(self.directory.path());
        let config = config(self.directory.path(), &self.overrides);
        self.runtime.block_on(start(config)).err().expect("the broker does not start").to_string()
    }

    /// Stops on a disk that does not let it stop well.
    pub(crate) fn stop_badly(&mut self) {
        if let Some(running) = self.running.take() {
            assert!(self.runtime.block_on(running.shutdown()).is_err(), "it says that it did not stop well");
        }
    }

    /// Adds a key, in force from the next start on.
    pub(crate) fn set(&mut self, key_and_value: &str) {
        self.overrides.push(key_and_value.to_owned());
    }

    /// Stops cleanly.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown()).expect("the broker stops");
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address).expect("a connection")
    }

    /// A client, and a topic with this many partitions.
    pub(crate) fn with_topic(&self, topic: &str, partitions: i32) -> Client {
        let mut client = self.client();
        create(&mut client, topic, partitions, &[]);
        client
    }
}

impl Drop for Klamm {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // A failed test has said what is wrong already.
            drop(self.runtime.block_on(running.shutdown()));
        }
    }
}

/// What accepts, starts and stops; connections have threads of their own.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A configuration for a free port and this directory.
pub(crate) fn config(directory: &Path, overrides: &[String]) -> Config {
    let mut all = vec![
        "listeners=PLAINTEXT://127.0.0.1:0".to_owned(),
        format!("log.dirs={}", directory.join("data").display()),
    ];
    all.extend_from_slice(overrides);
    Config::load(&Sources { overrides: all, ..Sources::default() }).expect("a valid configuration")
}

/// Tries to start, and stops again if that went well.
pub(crate) fn try_start(config: Config) -> Result<(), StartError> {
    try_start_on(config, Arc::new(NativeDisk::new(BackendChoice::Auto)))
}

/// The same on another disk.
pub(crate) fn try_start_on(config: Config, disk: Arc<dyn Disk>) -> Result<(), StartError> {
    let runtime = runtime();
    let running = runtime.block_on(start_on(config, disk))?;
    runtime.block_on(running.shutdown()).expect("the broker stops");
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// Creates a topic.
pub(crate) fn create(client: &mut Client, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let (code, message) = try_create(client, topic, partitions, 1, configs);
    assert_eq!(code, ErrorCode::None, "{topic} is not created: {message}");
}

/// Tries to create a topic.
pub(crate) fn try_create(
    client: &mut Client,
    topic: &str,
    num_partitions: i32,
    replication_factor: i16,
    configs: &[(&str, &str)],
) -> (ErrorCode, String) {
    let configs = configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
            ..Default::default()
        })
        .collect();
    let topic = CreatableTopic {
        name: topic.into(),
        num_partitions,
        replication_factor,
        configs,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    client
        .call(&request, 7, |response| {
            let topic = &response.topics[0];
            (code(topic.error_code), topic.error_message.as_deref().unwrap_or_default().to_owned())
        })
        .expect("an answer")
}

/// The id of a topic, or the error that asking for it by name gives. Nothing is created.
pub(crate) fn topic_id(client: &mut Client, topic: &str) -> Result<Uuid, ErrorCode> {
    let wanted = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![wanted]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    client
        .call(&request, 12, |response| match code(response.topics[0].error_code) {
            ErrorCode::None => Ok(response.topics[0].topic_id),
            error => Err(error),
        })
        .expect("an answer")
}

/// The error of a number.
pub(crate) fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).expect("a known error")
}

/// Stores one record per value, one batch, and says where.
pub(crate) fn produce(client: &mut Client, topic: &str, values: &[&[u8]]) -> i64 {
    let records = batch(Compression::None, NOW, values);
    client
        .produce(topic, 0, -1, &records, |answer| {
            assert_eq!(code(answer.error_code), ErrorCode::None);
            answer.base_offset
        })
        .expect("an answer")
}

/// All that one fetch of partition 0 gives.
pub(crate) fn fetch(client: &mut Client, topic: &str, offset: i64) -> (ErrorCode, Vec<u8>) {
    client
        .fetch(topic, 0, offset, 1 << 20, |answer| {
            let records = answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default();
            (code(answer.error_code), records.to_vec())
        })
        .expect("an answer")
}

/// The version of Produce and Fetch by name, for requests that tests build themselves.
pub(crate) const NAMED: i16 = BY_NAME;

/// Asks until the answer is yes.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{what} does not come");
}
