//! Consuming one partition from the page cache: kcat, the raw fetch loop, the bare sendfile loop.
//!
//! The raw fetch loop has a processor of its own and the server the others, as if the client were another machine. Left to
//! the scheduler, both sometimes take turns on one processor, which costs the server a third, and the figures say
//! more of that than of the server.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{BareServer, Bench, column, produce};
use crate::process::{keep_process_on, on_processors, server_and_client_processors};
use crate::raw_fetch;
use crate::report::Row;
use crate::subject::{Server, Subject};

/// What a Java consumer asks for at most, per partition.
const SLICE_BYTES: i32 = 1 << 20;
const RECORD_SIZE: u64 = 1000;
/// `socket.send.buffer.bytes` of both brokers, which the bare loop gets too.
const SEND_BUFFER_BYTES: usize = 102_400;
/// Passes of the raw fetch loop for each of kcat.
const FETCHES: usize = 3;

pub(super) fn measure(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut kcat_rate = Row::new("consume 1 KB: kcat, MB/s");
    let mut kcat_cpu = Row::new("consume 1 KB: kcat, broker CPU s per GB");
    let mut raw_rate = Row::new("consume 1 KB: raw fetch loop, MB/s");
    let mut raw_cpu = Row::new("consume 1 KB: raw fetch loop, server CPU s per GB");
    let records = bench.megabytes * 1_000_000 / RECORD_SIZE;
    let [of_server, of_client] = server_and_client_processors().unwrap_or([0..1, 0..1]);
    for subject in Subject::ALL {
        let directory = bench.directory()?;
        let server = bench.start(subject, directory.path())?;
        produce::java_perf(bench, server.address(), records, RECORD_SIZE)?;
        for _ in 0..bench.repeat {
            let (seconds, cpu) = kcat(&server, records)?;
            let gigabytes = (records * RECORD_SIZE) as f64 / 1e9;
            column(&mut kcat_rate, subject).push(gigabytes * 1e3 / seconds);
            column(&mut kcat_cpu, subject).push(cpu / gigabytes);
        }
        keep_process_on(server.pid(), of_server.clone())?;
        for _ in 0..FETCHES * bench.repeat {
            let before = server.cpu_seconds();
            let fetch = || raw_fetch::fetch_all(server.address(), "perf", 0, SLICE_BYTES);
            let fetched = on_processors(of_client.clone(), fetch)??;
            let gigabytes = fetched.bytes as f64 / 1e9;
            column(&mut raw_rate, subject).push(gigabytes * 1e3 / fetched.elapsed.as_secs_f64());
            column(&mut raw_cpu, subject).push((server.cpu_seconds() - before) / gigabytes);
        }
        if subject == Subject::Klamm {
            let segment = server.data().join("perf-0/00000000000000000000.log");
            for _ in 0..FETCHES * bench.repeat {
                let (slice, buffer) = (SLICE_BYTES.to_string(), SEND_BUFFER_BYTES.to_string());
                let bare = BareServer::start(&["send", &segment.to_string_lossy(), &slice, &buffer])?;
                keep_process_on(bare.pid(), of_server.clone())?;
                let fetch = || raw_fetch::fetch_bare(bare.address);
                let fetched = on_processors(of_client.clone(), fetch)??;
                let gigabytes = fetched.bytes as f64 / 1e9;
                raw_rate.limit.push(gigabytes * 1e3 / fetched.elapsed.as_secs_f64());
                raw_cpu.limit.push(bare.cpu_seconds() / gigabytes);
            }
        }
    }
    Ok(vec![kcat_rate, kcat_cpu, raw_rate, raw_cpu])
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
