//! Ready again after kill -9 under load.

use std::io;

use super::{Bench, column, produce};
use crate::report::Row;
use crate::subject::Subject;

const RECORD_SIZE: u64 = 1000;

pub(super) fn measure(bench: &Bench) -> io::Result<Vec<Row>> {
    let gigabytes = bench.recovery_megabytes as f64 / 1e3;
    let mut row = Row::new(format!("ready after kill -9 with {gigabytes} GB, s"));
    for subject in Subject::ALL {
        let directory = bench.directory()?;
        let properties = subject.properties(directory.path());
        subject.format(bench.oracle, &properties);
        let mut server = subject.start(bench.oracle, &properties)?;
        let records = bench.recovery_megabytes * 1_000_000 / RECORD_SIZE;
        produce::java_perf(bench, server.address(), records, RECORD_SIZE)?;
        for _ in 0..bench.repeat {
            // Some load right before the kill, so that there is something unclean each time.
            produce::java_perf(bench, server.address(), 100_000, RECORD_SIZE)?;
            server.kill()?;
            server = subject.start(bench.oracle, &properties)?;
            column(&mut row, subject).push(server.ready_after().as_secs_f64());
        }
    }
    Ok(vec![row])
}
