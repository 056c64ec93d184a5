//! Carrying out a group: from appends to writes, and from what became of the writes back to the appends.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::io::{FileGroup, Run, WriteGroup, WriteQueue};

use super::failure::{Reach, reach_of_write_failure};
use super::group::{FilePlan, Place, Plan, plan};
use super::{CommitError, CommitRequest, Counters, DirState};

/// How one append ended, before earlier failures of its chain are considered.
pub(super) type Verdict = Result<(), CommitError>;

/// Why an append must not even be tried.
pub(super) fn precheck(dir: &DirState, request: &CommitRequest) -> Option<CommitError> {
    if let Some(offline) = dir.offline() {
        return Some(CommitError::Offline(Arc::clone(offline)));
    }
    let first = request.target.chain().failure()?;
    Some(CommitError::AfterFailure { first: Arc::new(first) })
}

/// Writes, flushes and judges; the verdicts are in the order of the requests.
pub(super) fn carry_out(
    dir: &DirState,
    requests: &[CommitRequest],
    queue: &mut dyn WriteQueue,
    counters: &Counters,
) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> =
        requests.iter().map(|request| precheck(dir, request).map_or(Ok(()), Err)).collect();
    let tried: Vec<usize> = (0..requests.len()).filter(|&index| verdicts[index].is_ok()).collect();
    let places: Vec<Place> = tried.iter().map(|&index| place(&requests[index])).collect();
    let plan = plan(&places, Run::PARTS_MAX);
    let mut group = to_writes(&plan, requests, &tried);
    let flushed = group.files.iter().filter(|file| file.sync).map(|file| &file.file);
    let announced = dir.announce_flushes(flushed);
    queue.execute(&mut group);
    counters.add_queue(group.counts);
    report_failures_told_to_others(dir, &mut group);
    for (planned, done) in plan.files.iter().zip(group.files) {
        judge_file(dir, planned, done, |member, verdict| verdicts[tried[member]] = verdict);
    }
    if announced.end_and_wait()
        && let Some(offline) = dir.offline()
    {
        for member in flushed_members(&plan) {
            let verdict = &mut verdicts[tried[member]];
            if verdict.is_ok() {
                *verdict = Err(CommitError::Offline(Arc::clone(offline)));
            }
        }
    }
    verdicts
}

fn flushed_members(plan: &Plan) -> impl Iterator<Item = usize> {
    let flushed = plan.files.iter().filter(|planned| planned.sync);
    flushed.flat_map(|planned| &planned.runs).flat_map(|run| &run.members).copied()
}

// The kernel tells a failed write-back to one flush of a handle. Where somebody else flushed it meanwhile, in the background
// or to close it, that one was told, has taken the directory offline, and ours succeeded without the bytes. One that has not
// said yet how it ended is waited for, see `flushes`.
fn report_failures_told_to_others(dir: &DirState, group: &mut WriteGroup) {
    let Some(offline) = dir.offline() else { return };
    for file in &mut group.files {
        if let Some(Ok(())) = file.synced {
            file.synced = Some(Err(io::Error::other(offline.to_string())));
        }
    }
}

fn place(request: &CommitRequest) -> Place {
    Place {
        file: Arc::as_ptr(&request.file).cast::<()>().addr(),
        position: request.position,
        len: request.bytes.len() as u64,
        sync: request.durability.is_durable(),
    }
}

fn to_writes(plan: &Plan, requests: &[CommitRequest], tried: &[usize]) -> WriteGroup {
    let request = |member: usize| &requests[tried[member]];
    let file_group = |planned: &FilePlan| FileGroup {
        file: Arc::clone(&request(planned.runs[0].members[0]).file),
        runs: planned
            .runs
            .iter()
            .map(|run| Run {
                position: run.position,
                parts: run.members.iter().map(|&member| request(member).bytes.clone()).collect(),
                outcome: Ok(()),
            })
            .collect(),
        sync: planned.sync,
        synced: None,
    };
    WriteGroup { files: plan.files.iter().map(file_group).collect(), ..WriteGroup::default() }
}

/// Judges the appends of one file. A failed flush fails all of them: the kernel may have dropped any page.
fn judge_file(dir: &DirState, planned: &FilePlan, done: FileGroup, mut set: impl FnMut(usize, Verdict)) {
    let path = done.file.path();
    let flush_failure = match done.synced {
        Some(Err(error)) => Some(CommitError::Offline(Arc::clone(dir.fail("flush", path, error)))),
        _ => None,
    };
    for (run, planned) in done.runs.into_iter().zip(&planned.runs) {
        let (written, failure) = match run.outcome {
            Ok(()) => (u64::MAX, None),
            Err(short) => (short.written, verdict_of_write(dir, path, Err(short.error)).err()),
        };
        let mut end = 0;
        for (&member, part) in planned.members.iter().zip(&run.parts) {
            end += part.len() as u64;
            let failure = failure.as_ref().filter(|_| end > written).or(flush_failure.as_ref());
            set(member, failure.map_or(Ok(()), |error| Err(error.clone())));
        }
    }
}

/// What a write means: a full disk is the target's matter, anything else takes the directory offline.
pub(super) fn verdict_of_write(dir: &DirState, path: &Path, written: io::Result<()>) -> Verdict {
    let Err(error) = written else { return Ok(()) };
    Err(match reach_of_write_failure(&error) {
        Reach::Target => CommitError::NoSpace { path: path.to_owned(), error: Arc::new(error) },
        Reach::Directory => CommitError::Offline(Arc::clone(dir.fail("write", path, error))),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::thread;

    use super::super::Durability;
    use super::super::tests::{Target, request};
    use super::*;
    use crate::io::sim::SimDisk;
    use crate::io::{Disk, OpenMode};
    use crate::segment::place::Flusher;

    /// Flushes, and is told of no failure.
    struct Untold;

    impl WriteQueue for Untold {
        fn execute(&mut self, group: &mut WriteGroup) {
            for file in &mut group.files {
                file.synced = file.sync.then_some(Ok(()));
            }
        }
    }

    /// Between the failed flush and its report an append was acknowledged as durable, or the recovery point moved.
    #[test]
    fn a_flush_believes_itself_when_those_under_way_beside_it_have_said_how_they_ended() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/data")).unwrap();
        let path = Path::new("/data/f");
        let file = disk.open(path, OpenMode::OpenOrCreate).unwrap();
        let target = Arc::new(Target::default());
        let requests = [request(&file, &target, 0, 0, b"abcd", Durability::Sync)];
        let append = |dir: &DirState| carry_out(dir, &requests, &mut Untold, &Counters::default())[0].is_ok();
        let background = |dir: &DirState| Flusher::flush(dir, &file, path).is_ok();
        let flushes: [&(dyn Fn(&DirState) -> bool + Sync); 2] = [&append, &background];
        for flush in flushes {
            let dir = DirState::new(Path::new("/data"));
            let announced = dir.announce_flushes([&file]);
            let is_believed = thread::scope(|scope| {
                let other = scope.spawn(|| flush(&dir));
                // Long enough for one that does not wait; one that does is not hurried by it.
                for _ in 0..10_000 {
                    if other.is_finished() {
                        break;
                    }
                    thread::yield_now();
                }
                dir.fail("flush", path, io::Error::from_raw_os_error(5));
                drop(announced);
                other.join().unwrap()
            });
            assert!(!is_believed);
        }
    }

    /// While it flushes, another thread's flush of the same handle is told of the failure.
    struct Overtaken(Arc<DirState>);

    impl WriteQueue for Overtaken {
        fn execute(&mut self, group: &mut WriteGroup) {
            self.0.fail("flush", Path::new("/data/f"), io::Error::from_raw_os_error(5));
            for file in &mut group.files {
                file.synced = file.sync.then_some(Ok(()));
            }
        }
    }

    #[test]
    fn a_failed_flush_that_another_thread_was_told_of_acknowledges_nothing() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/data")).unwrap();
        let file = disk.open(Path::new("/data/f"), OpenMode::OpenOrCreate).unwrap();
        let target = Arc::new(Target::default());
        for (durability, acknowledged) in [(Durability::Sync, false), (Durability::Os, true)] {
            let dir = Arc::new(DirState::new(Path::new("/data")));
            let requests = [request(&file, &target, 0, 0, b"abcd", durability)];
            let mut queue = Overtaken(Arc::clone(&dir));
            let verdicts = carry_out(&dir, &requests, &mut queue, &Counters::default());
            assert_eq!(verdicts[0].is_ok(), acknowledged, "{durability:?}: {verdicts:?}");
        }
    }
}
