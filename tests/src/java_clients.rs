//! Kafka's Java clients in one virtual machine that lives as long as the test: `tests/interop/java/Clients.java`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::oracle::Oracle;

/// A virtual machine waiting for commands; ended when dropped.
#[derive(Debug)]
pub struct JavaClients {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl JavaClients {
    /// Starts it with the clients that belong to the broker of the oracle.
    pub fn start(oracle: &Oracle) -> Self {
        Self::start_as(oracle.java("Clients"))
    }

    /// Starts it with the newest clients, where they can be had.
    pub fn start_newest(oracle: &Oracle) -> Option<Self> {
        oracle.java_with_newest_clients("Clients").map(Self::start_as)
    }

    fn start_as(mut java: Command) -> Self {
        let mut child = java
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("java is installed");
        let commands = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, commands, answers }
    }

    /// Gives a command and returns what the clients answered: the text after `ok`, or after `failed`.
    pub fn ask(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.commands, "{command}").expect("the virtual machine reads commands");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the virtual machine answers");
        match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
            ("ok", text) => Ok(text.to_owned()),
            ("failed", text) => Err(text.to_owned()),
            _ => panic!("{command}: answered {answer:?}"),
        }
    }

    /// Gives a command that has to succeed.
    pub fn must(&mut self, command: &str) -> String {
        self.ask(command).unwrap_or_else(|failure| panic!("{command}: {failure}"))
    }
}

impl Drop for JavaClients {
    fn drop(&mut self) {
        // Killed rather than asked: after a panic it may be in the middle of a long wait.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
