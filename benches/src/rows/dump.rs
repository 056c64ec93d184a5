//! kafka-dump-log over one segment: batches, deep, print data.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use klamm_tests::binaries;

use super::{Bench, bare_program, column, produce};
use crate::report::Row;
use crate::subject::Subject;

const RECORD_SIZE: u64 = 1000;
const MODES: [(&str, &[&str]); 3] =
    [("batches", &[]), ("deep", &["--deep-iteration"]), ("print data", &["--print-data-log"])];

pub(super) fn measure(bench: &Bench) -> io::Result<Vec<Row>> {
    let directory = bench.directory()?;
    let server = bench.start(Subject::Klamm, directory.path())?;
    produce::java_perf(bench, server.address(), bench.megabytes * 1_000_000 / RECORD_SIZE, RECORD_SIZE)?;
    let segment = server.data().join("perf-0/00000000000000000000.log");
    drop(server);
    let size = fs::metadata(&segment)?.len() as f64 / 1e9;
    let mut rows = Vec::new();
    for (mode, flags) in MODES {
        let mut row = Row::new(format!("dump {size:.2} GB: {mode}, s"));
        for _ in 0..bench.repeat {
            for subject in Subject::ALL {
                column(&mut row, subject).push(seconds(dump_command(bench, subject, &segment).args(flags))?);
            }
            if flags.is_empty() {
                row.limit.push(seconds(Command::new(bare_program()?).arg("read").arg(&segment))?);
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

fn dump_command(bench: &Bench, subject: Subject, segment: &Path) -> Command {
    let mut command = match subject {
        Subject::Kafka => bench.oracle.java_as_shipped("org.apache.kafka.tools.DumpLogSegments"),
        Subject::Klamm => Command::new(binaries::kafka_dump_log()),
    };
    command.arg("--files").arg(segment);
    command
}

fn seconds(command: &mut Command) -> io::Result<f64> {
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("{command:?} ended with {status}")));
    }
    Ok(started.elapsed().as_secs_f64())
}
