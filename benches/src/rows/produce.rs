//! Producing to one partition: Java's perf client, and the frames it sent, replayed.
//!
//! The Java client is the bottleneck of its own row; what the broker costs shows in its CPU time. The replay takes
//! the client out: the same frames, at the pace of the client and as fast as the server answers, to Klamm and to the
//! bare loop.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use klamm_tests::process::run;
use klamm_tests::properties::Properties;

use super::{BareServer, Bench, column};
use crate::frames::{self, Recorder, Recording, Replayed};
use crate::process::{keep_process_on, on_processors, server_and_client_processors};
use crate::report::Row;
use crate::subject::{Server, Subject};

/// Frames that Java's producer leaves unanswered.
const WINDOW: usize = 5;
/// Kept of the recording.
const RECORDED_MAX: u64 = 150_000_000;
/// How often a recording is replayed: short runs, because memory that was warmed does not stay warm.
const REPLAYS: usize = 3;

/// What Java's perf client is asked to do, and the broker to keep.
pub(super) struct Load {
    what: String,
    record_size: u64,
    partitions: u32,
    acks: &'static str,
    durable: bool,
    /// `batch.size` of the client, where it is not the client's default.
    batch_size: Option<u32>,
}

impl Load {
    /// One partition, acks=1, flush policy `os`.
    pub(super) fn of(record_size: u64) -> Self {
        let what = format!("produce {record_size} B, 1 partition, acks=1");
        Load { what, record_size, partitions: 1, acks: "1", durable: false, batch_size: None }
    }

    /// A thousand partitions.
    pub(super) fn spread() -> Self {
        Load { what: "produce 1000 B, 1 000 partitions, acks=1".into(), ..Self::over(1000) }
    }

    /// To fill so many partitions.
    pub(super) fn over(partitions: u16) -> Self {
        Load { partitions: partitions.into(), ..Self::of(1000) }
    }

    /// The same in batches that cost the broker little.
    pub(super) fn in_large_batches(self) -> Self {
        Load { batch_size: Some(512 << 10), ..self }
    }

    /// Records that make this many megabytes.
    pub(super) fn records(&self, megabytes: u64) -> u64 {
        megabytes * 1_000_000 / self.record_size
    }

    /// Flushed before each answer.
    pub(super) fn durable() -> Self {
        let what = "produce 1000 B, 1 partition, durable (flush.messages=1), acks=all".into();
        Load { what, acks: "all", durable: true, ..Self::of(1000) }
    }

    fn row(&self, what: &str) -> Row {
        Row::new(format!("{}: {what}", self.what))
    }

    pub(super) fn configured(&self, properties: Properties) -> Properties {
        let properties = properties.with("num.partitions", self.partitions.to_string());
        if self.durable { properties.with("log.flush.interval.messages", "1") } else { properties }
    }
}

/// What the Java client sees of both brokers, and what it costs them.
pub(super) fn by_java_client(bench: &Bench, load: &Load) -> io::Result<Vec<Row>> {
    let mut rate = load.row("Java perf client, MB/s");
    let mut latency = load.row("Java perf client, p99 ms");
    let mut cpu = load.row("Java perf client, broker CPU s per GB");
    let mut memory = load.row("peak resident memory, MB");
    let bytes = bench.megabytes * 1_000_000;
    for _ in 0..bench.repeat {
        for subject in Subject::ALL {
            let directory = bench.directory()?;
            let properties = load.configured(subject.properties(directory.path()));
            subject.format(bench.oracle, &properties);
            let server = subject.start(bench.oracle, &properties)?;
            bench.warm(directory.path(), bench.megabytes)?;
            let before = server.cpu_seconds();
            let perf = java_perf_as(bench, server.address(), load.records(bench.megabytes), load)?;
            column(&mut rate, subject).push(perf.megabytes_per_second);
            column(&mut latency, subject).push(perf.p99_ms);
            column(&mut cpu, subject).push((server.cpu_seconds() - before) / gigabytes(bytes));
            column(&mut memory, subject).push(server.memory_mb("VmHWM"));
        }
    }
    Ok(vec![rate, latency, cpu, memory])
}

/// The client's frames again, to Klamm and to the bare loop in turns, so that what the machine does meanwhile falls on both.
/// Server and client have processors of their own, as when records are consumed.
pub(super) fn replayed(bench: &Bench, load: &Load) -> io::Result<Vec<Row>> {
    let mut paced = load.row("frames replayed at the client's pace, CPU s per GB");
    let mut full = load.row("frames replayed at full speed, CPU s per GB");
    let mut full_rate = load.row("frames replayed at full speed, MB/s");
    let directory = bench.directory()?;
    let (server, recording) = record(bench, directory.path(), load.record_size)?;
    let megabytes = recording.bytes() / 1_000_000;
    let file = directory.path().join("bare");
    let [of_server, of_client] = server_and_client_processors().unwrap_or([0..1, 0..1]);
    keep_process_on(server.pid(), of_server.clone())?;
    let replay =
        |to, pace| on_processors(of_client.clone(), || frames::replay(to, &recording, 1, WINDOW, pace))?;
    for _ in 0..REPLAYS * bench.repeat {
        for (row, pace) in [(&mut paced, recording.bytes_per_second()), (&mut full, 0)] {
            bench.warm(directory.path(), megabytes)?;
            let before = server.cpu_seconds();
            let klamm = replay(server.address(), pace)?;
            row.klamm.push((server.cpu_seconds() - before) / gigabytes(klamm.bytes));
            bench.warm(directory.path(), megabytes)?;
            let bare = BareServer::start(&["receive", &file.to_string_lossy(), "1"])?;
            keep_process_on(bare.pid(), of_server.clone())?;
            let limit = replay(bare.address, pace)?;
            row.limit.push(bare.cpu_seconds() / gigabytes(limit.bytes));
            fs::remove_file(&file)?;
            if pace == 0 {
                full_rate.klamm.push(megabytes_per_second(klamm));
                full_rate.limit.push(megabytes_per_second(limit));
            }
        }
    }
    Ok(vec![paced, full, full_rate])
}

fn megabytes_per_second(replayed: Replayed) -> f64 {
    replayed.bytes as f64 / 1e6 / replayed.elapsed.as_secs_f64()
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// Klamm with a recording of what the Java client sends to it, made through a proxy that stands in its metadata.
fn record(bench: &Bench, directory: &Path, record_size: u64) -> io::Result<(Server, Recording)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = listener.local_addr()?;
    let subject = Subject::Klamm;
    let properties =
        subject.properties(directory).with("advertised.listeners", format!("PLAINTEXT://{proxy}"));
    let server = subject.start(bench.oracle, &properties)?;
    let recorder = Recorder::start(listener, server.address(), RECORDED_MAX)?;
    java_perf(bench, recorder.address(), RECORDED_MAX / record_size, record_size)?;
    let recording = recorder.recording();
    if recording.is_empty() {
        return Err(io::Error::other("the client sent nothing through the recorder"));
    }
    Ok((server, recording))
}

pub(super) struct Perf {
    megabytes_per_second: f64,
    p99_ms: f64,
}

pub(super) fn java_perf(
    bench: &Bench,
    broker: SocketAddr,
    records: u64,
    record_size: u64,
) -> io::Result<Perf> {
    java_perf_as(bench, broker, records, &Load::of(record_size))
}

pub(super) fn java_perf_as(bench: &Bench, broker: SocketAddr, records: u64, load: &Load) -> io::Result<Perf> {
    let record_size = load.record_size;
    let mut client: Command = bench.oracle.java_as_shipped("org.apache.kafka.tools.ProducerPerformance");
    client.args(["--topic", "perf", "--throughput", "-1"]);
    client.args(["--num-records", &records.to_string(), "--record-size", &record_size.to_string()]);
    client.args(["--bootstrap-server", &broker.to_string()]);
    client.args(["--command-property", &format!("acks={}", load.acks)]);
    client.args(["--command-property", "enable.idempotence=false"]);
    if let Some(bytes) = load.batch_size {
        client.args(["--command-property", &format!("batch.size={bytes}")]);
    }
    let text = run(&mut client, b"");
    let summary = text.lines().rfind(|line| line.contains("99th")).unwrap_or_default();
    parse_summary(summary).ok_or_else(|| io::Error::other(format!("perf client said: {text}")))
}

/// `N records sent, R records/sec (M MB/sec), A ms avg latency, X ms max latency, ... T ms 99th, ...`; its MB are MiB.
fn parse_summary(line: &str) -> Option<Perf> {
    let megabytes: f64 = line.split_once('(')?.1.split_once(' ')?.0.parse().ok()?;
    let p99 = line.split(", ").find(|part| part.contains("99th"))?.split(' ').next()?.parse().ok()?;
    Some(Perf { megabytes_per_second: megabytes * 1.048_576, p99_ms: p99 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_the_perf_client_is_read() {
        let line = "100 records sent, 5000.0 records/sec (10.00 MB/sec), 3.5 ms avg latency, 90.0 ms max latency, \
                    2 ms 50th, 8 ms 95th, 12 ms 99th, 80 ms 99.9th.";
        let perf = parse_summary(line).expect("the line is a summary");
        assert!((perf.megabytes_per_second - 10.48576).abs() < 1e-9);
        assert_eq!(perf.p99_ms, 12.0);
    }
}
