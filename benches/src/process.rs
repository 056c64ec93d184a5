//! What the kernel says of a running process, and on which processors it may run: CPU seconds, resident memory, affinity.

use std::fs;
use std::io;
use std::ops::Range;

use nix::time::ClockId;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPU time of a process, user and system together, in seconds.
///
/// Counts ended threads too. From the process's own clock, in nanoseconds: the ticks of `/proc/PID/stat` are 10 ms, a tenth of
/// what serving a gigabyte costs.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).ok()?);
    let spent = ClockId::pid_cpu_clock_id(pid).ok()?.now().ok()?;
    Some(spent.tv_sec() as f64 + spent.tv_nsec() as f64 / 1e9)
}

/// Resident memory in bytes. `field` is `VmRSS` (now), `VmHWM` (peak) or `RssAnon` (now, without mapped files).
pub fn memory_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.split(':').next() == Some(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// The processors in two parts, for a server and for its client; `None` where there is only one.
pub fn server_and_client_processors() -> Option<[Range<usize>; 2]> {
    let number = std::thread::available_parallelism().map_or(1, usize::from);
    (number > 1).then(|| [0..number - 1, number - 1..number])
}

/// Keeps all threads that a process has now on these processors.
pub fn keep_process_on(pid: u32, processors: Range<usize>) -> io::Result<()> {
    let set = cpu_set(processors);
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = entry?.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        sched_setaffinity(thread, &set)?;
    }
    Ok(())
}

/// Runs on these processors only, and on the calling thread.
pub fn on_processors<T>(processors: Range<usize>, run: impl FnOnce() -> T) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    sched_setaffinity(None, &cpu_set(processors))?;
    let result = run();
    sched_setaffinity(None, &before)?;
    Ok(result)
}

fn cpu_set(processors: Range<usize>) -> CpuSet {
    let mut set = CpuSet::new();
    processors.for_each(|processor| set.set(processor));
    set
}
