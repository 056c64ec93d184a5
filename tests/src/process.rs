//! A child process whose output is kept and whose end is certain.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up. Far above what it needs: only a hang runs into it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running child process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error going to the file `output` (appended: restarts share it).
    pub fn spawn(mut command: Command, name: &str, output: &Path) -> Self {
        let file = File::options().create(true).append(true).open(output).expect("output file opens");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor can be duplicated"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name: name.to_owned(), output: output.to_owned() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Waits until `ready` holds; panics with the output if the process ends first or never gets there.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready(&self.output()) {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                panic!("{} ended ({status}) before {what}:\n{}", self.name, self.output_tail());
            }
            assert!(Instant::now() < deadline, "{}: {what} did not come:\n{}", self.name, self.output_tail());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it with SIGTERM and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Ends it with SIGINT, as Ctrl-C does, and waits for the end.
    pub fn interrupt(mut self) -> ExitStatus {
        self.signal(Signal::INT);
        self.wait()
    }

    /// Ends it with SIGKILL, as a crash would, and waits for the end.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.name, self.output_tail());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a child not yet waited for can be signalled");
    }

    fn output_tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already waited for, or ended by itself: nothing left to end.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end with `stdin` as its input and returns what it printed; panics if it fails.
pub fn run(command: &mut Command, stdin: &[u8]) -> String {
    let output = output_of(command, stdin);
    printed(command, &output)
}

/// The same for a program that may hang: it is killed when it takes longer than `at_most`, and so fails.
pub fn run_within(command: &mut Command, at_most: Duration) -> String {
    let output = output_within(command, b"", at_most);
    printed(command, &output)
}

fn printed(command: &Command, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Longer than anything takes that is built or run here.
const NO_BUILD_TAKES: Duration = Duration::from_secs(3600);

/// Runs `command` to its end with `stdin` as its input, whatever its exit code.
pub fn output_of(command: &mut Command, stdin: &[u8]) -> Output {
    output_within(command, stdin, NO_BUILD_TAKES)
}

fn output_within(command: &mut Command, stdin: &[u8], at_most: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut input = child.stdin.take().expect("stdin is piped");
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            // A program that does not want its input closes the pipe; its exit code says whether that was right.
            let _ = input.write_all(stdin);
        });
        scope.spawn(move || {
            if end.recv_timeout(at_most) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("the child's output can be read");
        drop(ended);
        output
    })
}
