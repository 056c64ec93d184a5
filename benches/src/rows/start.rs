//! How long until the first answer, and how much memory a broker with nothing to do holds.

use std::io;
use std::thread;
use std::time::Duration;

use super::{Bench, column};
use crate::report::Row;
use crate::subject::Subject;

/// Long enough for what a broker does behind its first answer.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) fn measure(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut ready = Row::new("start to the first answer, existing directory, ms");
    let mut idle = Row::new("resident memory idle, MB");
    for subject in Subject::ALL {
        let directory = bench.directory()?;
        bench.start(subject, directory.path())?.kill()?;
        for _ in 0..bench.repeat {
            let properties = subject.properties(directory.path());
            let server = subject.start(bench.oracle, &properties)?;
            column(&mut ready, subject).push(server.ready_after().as_secs_f64() * 1e3);
            thread::sleep(SETTLE);
            column(&mut idle, subject).push(server.memory_mb("VmRSS"));
            server.kill()?;
        }
    }
    Ok(vec![ready, idle])
}
