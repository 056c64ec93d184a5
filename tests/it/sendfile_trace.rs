//! Records go from the file to the socket inside the kernel: seen from outside, by tracing the broker's system calls.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use klamm_tests::binaries;
use klamm_tests::client::{Client, batch};
use klamm_tests::process::Process;
use klamm_tests::properties::Properties;
use log_engine::batch::Compression;

use crate::in_process::{NOW, create};

/// Calls that bring bytes of a file into memory, and the one that does not.
const TRACED: &str = "trace=read,readv,pread64,preadv,preadv2,sendfile";
const BATCHES: usize = 32;
const VALUE_BYTES: usize = 64 << 10;
/// `index.interval.bytes`: so far apart are the places from which batch headers are read one by one.
const INDEX_INTERVAL_BYTES: u64 = 4096;

fn strace_is_missing() -> bool {
    if Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return false;
    }
    assert!(env::var_os("KLAMM_REQUIRE_INTEROP").is_none(), "strace is required and not there");
    println!("skipped: no strace");
    true
}

/// Name and result of each traced call, in order. Calls that another thread's call cut in two are put together.
fn calls(trace: &str) -> Vec<(String, u64)> {
    let mut unfinished: Vec<(&str, &str)> = Vec::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((pid, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        let name = match call.strip_prefix("<... ") {
            Some(resumed) => resumed.split(' ').next().unwrap_or_default(),
            None => call.split('(').next().unwrap_or_default(),
        };
        if call.ends_with("<unfinished ...>") {
            unfinished.push((pid, name));
            continue;
        }
        let result = call.rsplit_once(" = ").and_then(|(_, result)| result.split(' ').next()?.parse().ok());
        if let Some(result) = result {
            calls.push((name.to_owned(), result));
        }
        unfinished.retain(|(other, _)| *other != pid);
    }
    calls
}

fn consume_everything(bootstrap: &str, wanted: usize) {
    let mut client = Client::connect(bootstrap).expect("a connection");
    create(&mut client, "t", 1, &[]);
    let records = batch(Compression::None, NOW, &[&vec![b'x'; VALUE_BYTES]]);
    for _ in 0..BATCHES {
        client.produce("t", 0, 1, &records, |answer| assert_eq!(answer.error_code, 0)).expect("an answer");
    }
    for offset in 0..BATCHES {
        let offset = i64::try_from(offset).expect("small");
        let fetched = client
            .fetch("t", 0, offset, 1 << 20, |answer| {
                answer.records.as_ref().map_or(0, |records| records.len())
            })
            .expect("an answer");
        assert!(fetched >= wanted);
    }
}

fn trace_of_a_consumer(directory: &Path) -> String {
    let trace = directory.join("trace");
    let properties = Properties::new(&directory.join("data"));
    let mut command = Command::new("strace");
    // -D: the broker stays the child that is started here, and the tracer is the one that goes away with it.
    command.args(["-D", "-f", "-e", TRACED, "-o"]).arg(&trace).arg(binaries::klamm()).arg("--config");
    command.arg(properties.write());
    let mut process = Process::spawn(command, "klamm under strace", &directory.join("out"));
    let bootstrap = properties.bootstrap();
    process.wait_until("a connection", |_| TcpStream::connect(&bootstrap).is_ok());
    consume_everything(&bootstrap, VALUE_BYTES);
    process.terminate();
    fs::read_to_string(trace).expect("the trace is written")
}

#[test]
fn record_bytes_never_enter_the_brokers_memory_on_their_way_to_a_consumer() {
    if strace_is_missing() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let calls = calls(&trace_of_a_consumer(directory.path()));
    let is_sendfile = |(name, _): &(String, u64)| name == "sendfile";
    let first = calls.iter().position(is_sendfile).expect("there is a sendfile");
    let last = calls.iter().rposition(is_sendfile).expect("there is a sendfile");
    let (sent, read): (Vec<_>, Vec<_>) = calls[first..=last].iter().partition(|call| is_sendfile(call));
    let sent: u64 = sent.iter().map(|(_, bytes)| bytes).sum();
    let largest_read = read.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
    assert!(sent >= (BATCHES * VALUE_BYTES) as u64, "{sent} bytes were sent by sendfile");
    assert!(largest_read <= INDEX_INTERVAL_BYTES, "{largest_read} bytes were read at once");
    // A page of the index and the headers behind its entry, for each fetch.
    let all_read: u64 = read.iter().map(|(_, bytes)| bytes).sum();
    assert!(all_read <= BATCHES as u64 * INDEX_INTERVAL_BYTES, "{all_read} bytes were read in all");
}
