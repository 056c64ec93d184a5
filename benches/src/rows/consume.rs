//! Consuming one partition from the page cache: kcat, the raw fetch loop, the bare sendfile loop.
//!
//! The raw fetch loop has a processor of its own and the server the others, as if the client were another machine. Left to
//! the scheduler, both sometimes take turns on one processor, which costs the server a third, and the figures say
//! more of that than of the server.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use klamm_tests::properties::Properties;

use super::{BareServer, Bench, column, produce};
use crate::process::{keep_process_on, on_processors, server_and_client_processors};
use crate::raw_fetch;
use crate::report::Row;
use crate::subject::{Server, Subject};

/// What a Java consumer asks for at most, per partition.
const SLICE_BYTES: i32 = 1 << 20;
const RECORD_SIZE: u64 = 1000;
/// Passes of the raw fetch loop for each of kcat.
const FETCHES: usize = 3;

pub(super) fn measure(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut kcat_rate = Row::new("consume 1 KB: kcat, MB/s");
    let mut kcat_cpu = Row::new("consume 1 KB: kcat, broker CPU s per GB");
    let mut loops = [
        RawLoop::new("send buffer of 100 KiB", Some(102_400)),
        RawLoop::new("send buffer left to the system", None),
    ];
    let records = bench.megabytes * 1_000_000 / RECORD_SIZE;
    for subject in Subject::ALL {
        let directory = bench.directory()?;
        let properties = subject.properties(directory.path());
        subject.format(bench.oracle, &properties);
        let segment = {
            let server = subject.start(bench.oracle, &properties)?;
            produce::java_perf(bench, server.address(), records, RECORD_SIZE)?;
            for _ in 0..bench.repeat {
                let (seconds, cpu) = kcat(&server, records)?;
                let gigabytes = (records * RECORD_SIZE) as f64 / 1e9;
                column(&mut kcat_rate, subject).push(gigabytes * 1e3 / seconds);
                column(&mut kcat_cpu, subject).push(cpu / gigabytes);
            }
            server.data().join("perf-0/00000000000000000000.log")
        };
        for raw in &mut loops {
            let server = subject.start(bench.oracle, &raw.configured(&properties))?;
            raw.of_broker(bench, subject, &server)?;
            if subject == Subject::Klamm {
                raw.of_bare(bench, &segment)?;
            }
        }
    }
    let raw_rows = loops.into_iter().flat_map(|raw| [raw.rate, raw.cpu]);
    Ok([kcat_rate, kcat_cpu].into_iter().chain(raw_rows).collect())
}

/// The raw fetch loop against servers whose sockets have the same send buffer.
struct RawLoop {
    rate: Row,
    cpu: Row,
    send_buffer: Option<usize>,
    of_server: Range<usize>,
    of_client: Range<usize>,
}

impl RawLoop {
    fn new(with: &str, send_buffer: Option<usize>) -> Self {
        let [of_server, of_client] = server_and_client_processors().unwrap_or([0..1, 0..1]);
        RawLoop {
            rate: Row::new(format!("consume 1 KB: raw fetch loop, {with}, MB/s")),
            cpu: Row::new(format!("consume 1 KB: raw fetch loop, {with}, server CPU s per GB")),
            send_buffer,
            of_server,
            of_client,
        }
    }

    fn configured(&self, properties: &Properties) -> Properties {
        let size = self.send_buffer.map_or("-1".to_owned(), |size| size.to_string());
        properties.clone().with("socket.send.buffer.bytes", size)
    }

    fn of_broker(&mut self, bench: &Bench, subject: Subject, server: &Server) -> io::Result<()> {
        keep_process_on(server.pid(), self.of_server.clone())?;
        for _ in 0..FETCHES * bench.repeat {
            let before = server.cpu_seconds();
            let fetch = || raw_fetch::fetch_all(server.address(), "perf", 0, SLICE_BYTES);
            let fetched = on_processors(self.of_client.clone(), fetch)??;
            column(&mut self.rate, subject).push(fetched.megabytes_per_second());
            column(&mut self.cpu, subject).push((server.cpu_seconds() - before) / fetched.gigabytes());
        }
        Ok(())
    }

    fn of_bare(&mut self, bench: &Bench, segment: &Path) -> io::Result<()> {
        let (segment, slice) = (segment.to_string_lossy(), SLICE_BYTES.to_string());
        let size = self.send_buffer.map(|size| size.to_string());
        let arguments: Vec<&str> = ["send", &segment, &slice].into_iter().chain(size.as_deref()).collect();
        for _ in 0..FETCHES * bench.repeat {
            let bare = BareServer::start(&arguments)?;
            keep_process_on(bare.pid(), self.of_server.clone())?;
            let fetch = || raw_fetch::fetch_bare(bare.address);
            let fetched = on_processors(self.of_client.clone(), fetch)??;
            self.rate.limit.push(fetched.megabytes_per_second());
            self.cpu.limit.push(bare.cpu_seconds() / fetched.gigabytes());
        }
        Ok(())
    }
}

/// Seconds of the whole run and CPU seconds of the broker.
fn kcat(server: &Server, records: u64) -> io::Result<(f64, f64)> {
    let address: SocketAddr = server.address();
    let before = server.cpu_seconds();
    let started = Instant::now();
    let status = Command::new("kcat")
        .args(["-b", &address.to_string(), "-C", "-t", "perf", "-p", "0", "-o", "beginning", "-e", "-q"])
        .args(["-c", &records.to_string()])
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("kcat ended with {status}")));
    }
    Ok((started.elapsed().as_secs_f64(), server.cpu_seconds() - before))
}
