//! The rows of the table, one file a kind of load.

mod consume;
mod dump;
mod produce;
mod recovery;
mod start;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::ValueEnum;
use klamm_tests::oracle::{self, Oracle};
use tempfile::TempDir;

use self::produce::Load;

use crate::process;
use crate::report::Row;
use crate::subject::{Server, Subject};

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowKind {
    /// Start to the first answer; idle memory.
    Start,
    /// 1 KB records from Java's perf client, the same frames replayed, the bare receive loop.
    Produce,
    /// The replay of `produce` alone.
    Replay,
    /// The same as `produce` with 100 B records.
    ProduceSmall,
    /// 1 KB records over 1 000 partitions.
    ProduceSpread,
    /// 1 KB records, each request flushed before it is answered.
    ProduceDurable,
    /// kcat and the raw fetch loop, the bare sendfile loop.
    Consume,
    /// Ready after kill -9.
    Recovery,
    /// kafka-dump-log.
    Dump,
}

impl RowKind {
    /// Every kind, in the order of the table; `Replay` is part of `Produce`.
    pub fn all() -> &'static [RowKind] {
        use RowKind::{Consume, Dump, Produce, ProduceDurable, ProduceSmall, ProduceSpread, Recovery, Start};
        &[Start, Produce, ProduceSmall, ProduceSpread, ProduceDurable, Consume, Recovery, Dump]
    }
}

/// What all rows share.
#[derive(Debug)]
pub struct Bench {
    oracle: &'static Oracle,
    repeat: usize,
    megabytes: u64,
    recovery_megabytes: u64,
}

impl Bench {
    /// Finds Kafka; fails where it cannot run.
    pub fn new(repeat: usize, megabytes: u64, recovery_megabytes: u64) -> io::Result<Self> {
        let oracle =
            oracle::required().ok_or_else(|| io::Error::other("Apache Kafka needs Java 17 and Maven"))?;
        Ok(Bench { oracle, repeat, megabytes, recovery_megabytes })
    }

    /// A directory on the disk that holds the build, not in memory.
    fn directory(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("versus").tempdir_in(klamm_tests::binaries::cache_directory())
    }

    /// Takes as much memory as a run is going to fill with file pages, and gives it back just before the run: a virtual machine
    /// gets memory that it has not used for a while from its host, page by page, and that costs more than what is measured.
    fn warm(&self, directory: &Path, megabytes: u64) -> io::Result<()> {
        let path = directory.join("warm");
        let mut file = File::create(&path)?;
        let megabyte = vec![1; 1_000_000];
        for _ in 0..megabytes * 5 / 4 {
            file.write_all(&megabyte)?;
        }
        drop(file);
        fs::remove_file(path)
    }

    fn start(&self, subject: Subject, directory: &Path) -> io::Result<Server> {
        let properties = subject.properties(directory);
        subject.format(self.oracle, &properties);
        subject.start(self.oracle, &properties)
    }
}

/// Measures the rows of one kind.
pub fn measure(kind: RowKind, bench: &Bench) -> io::Result<Vec<Row>> {
    match kind {
        RowKind::Start => start::measure(bench),
        RowKind::Produce => produce_and_replay(bench, &Load::of(1000)),
        RowKind::Replay => produce::replayed(bench, &Load::of(1000)),
        RowKind::ProduceSmall => produce_and_replay(bench, &Load::of(100)),
        RowKind::ProduceSpread => produce::by_java_client(bench, &Load::spread()),
        RowKind::ProduceDurable => produce::by_java_client(bench, &Load::durable()),
        RowKind::Consume => consume::measure(bench),
        RowKind::Recovery => recovery::measure(bench),
        RowKind::Dump => dump::measure(bench),
    }
}

fn produce_and_replay(bench: &Bench, load: &Load) -> io::Result<Vec<Row>> {
    let mut rows = produce::by_java_client(bench, load)?;
    rows.extend(produce::replayed(bench, load)?);
    Ok(rows)
}

fn column(row: &mut Row, subject: Subject) -> &mut Vec<f64> {
    match subject {
        Subject::Kafka => &mut row.kafka,
        Subject::Klamm => &mut row.klamm,
    }
}

/// A bare loop that listens, as a process of its own.
struct BareServer {
    child: Child,
    address: SocketAddr,
}

impl BareServer {
    fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(bare_program()?).args(arguments).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port)?;
        let port: u16 = port.trim().parse().map_err(io::Error::other)?;
        Ok(BareServer { child, address: SocketAddr::from(([127, 0, 0, 1], port)) })
    }

    fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.pid()).unwrap_or(f64::NAN)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        // It ends by itself when its connection does; kill what a failed run has left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `bare` lies beside this program: cargo builds both.
fn bare_program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("bare"))
}
