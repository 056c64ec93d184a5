//! Consuming one partition from the page cache: kcat, the raw fetch loop, the bare sendfile loop.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{BareServer, Bench, column, produce};
use crate::raw_fetch;
use crate::report::Row;
use crate::subject::{Server, Subject};

/// What a Java consumer asks for at most, per partition.
const SLICE_BYTES: i32 = 1 << 20;
const RECORD_SIZE: u64 = 1000;

pub(super) fn measure(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut kcat_rate = Row::new("consume 1 KB: kcat, MB/s");
    let mut kcat_cpu = Row::new("consume 1 KB: kcat, broker CPU s per GB");
    let mut raw_rate = Row::new("consume 1 KB: raw fetch loop, MB/s");
    let mut raw_cpu = Row::new("consume 1 KB: raw fetch loop, server CPU s per GB");
    let records = bench.megabytes * 1_000_000 / RECORD_SIZE;
    for subject in Subject::ALL {
        let directory = bench.directory()?;
        let server = bench.start(subject, directory.path())?;
        produce::java_perf(bench, server.address(), records, RECORD_SIZE)?;
        for _ in 0..bench.repeat {
            let (seconds, cpu) = kcat(&server, records)?;
            let gigabytes = (records * RECORD_SIZE) as f64 / 1e9;
            column(&mut kcat_rate, subject).push(gigabytes * 1e3 / seconds);
            column(&mut kcat_cpu, subject).push(cpu / gigabytes);
            let before = server.cpu_seconds();
            let fetched = raw_fetch::fetch_all(server.address(), "perf", 0, SLICE_BYTES)?;
            let gigabytes = fetched.bytes as f64 / 1e9;
            column(&mut raw_rate, subject).push(gigabytes * 1e3 / fetched.elapsed.as_secs_f64());
            column(&mut raw_cpu, subject).push((server.cpu_seconds() - before) / gigabytes);
        }
        if subject == Subject::Klamm {
            let segment = server.data().join("perf-0/00000000000000000000.log");
            for _ in 0..bench.repeat {
                let bare =
                    BareServer::start(&["send", &segment.to_string_lossy(), &SLICE_BYTES.to_string()])?;
                let fetched = raw_fetch::fetch_bare(bare.address)?;
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
