//! Serving every partition again after kill -9 under load.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use klamm_tests::client::Client;
use wire::messages::ListOffsetsRequest;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::produce::{Load, java_perf_as};
use super::{Bench, column};
use crate::report::Row;
use crate::subject::{Server, Subject};

const PARTITIONS: u16 = 1000;
/// The last version that tells partitions of an unknown leader apart and asks for nothing else.
const LIST_OFFSETS_VERSION: i16 = 7;
const LATEST: i64 = -1;
/// Nothing measured here takes this long; only a hang does.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn measure(bench: &Bench) -> io::Result<Vec<Row>> {
    let gigabytes = bench.recovery_megabytes as f64 / 1e3;
    let mut answering =
        Row::new(format!("first answer after kill -9 with {gigabytes} GB in 1 000 partitions, s"));
    let mut serving =
        Row::new(format!("all partitions served after kill -9 with {gigabytes} GB in 1 000 partitions, s"));
    let (load, filling) = (Load::over(PARTITIONS), Load::over(PARTITIONS).in_large_batches());
    for subject in Subject::ALL {
        let directory = bench.directory()?;
        let properties = load.configured(subject.properties(directory.path()));
        subject.format(bench.oracle, &properties);
        let mut server = subject.start(bench.oracle, &properties)?;
        java_perf_as(bench, server.address(), filling.records(bench.recovery_megabytes), &filling)?;
        for _ in 0..bench.repeat {
            // Some load right before the kill, so that there is something unclean each time.
            java_perf_as(bench, server.address(), 100_000, &load)?;
            server.kill()?;
            server = subject.start(bench.oracle, &properties)?;
            column(&mut answering, subject).push(server.ready_after().as_secs_f64());
            column(&mut serving, subject).push(until_all_are_served(&server)?.as_secs_f64());
        }
    }
    Ok(vec![answering, serving])
}

/// From the start of the process until each partition says where it ends.
fn until_all_are_served(server: &Server) -> io::Result<Duration> {
    loop {
        if all_are_served(server.address()).unwrap_or(false) {
            return Ok(server.since_start());
        }
        if server.since_start() > PATIENCE {
            return Err(io::Error::other("partitions are not served again"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn all_are_served(address: SocketAddr) -> io::Result<bool> {
    let partition = |index| ListOffsetsPartition {
        partition_index: i32::from(index),
        current_leader_epoch: -1,
        timestamp: LATEST,
        ..ListOffsetsPartition::default()
    };
    let partitions = (0..PARTITIONS).map(partition).collect();
    let topic = ListOffsetsTopic { name: "perf".into(), partitions, ..ListOffsetsTopic::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    Client::connect(address)?.call(&request, LIST_OFFSETS_VERSION, |answer| {
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.all(|partition| partition.error_code == 0)
    })
}
