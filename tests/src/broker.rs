//! Klamm's broker as a child process, and what tests do with any running broker.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use wire::messages::ApiVersionsRequest;

use crate::binaries;
use crate::client::Client;
use crate::process::Process;
use crate::properties::Properties;

/// A broker that accepts connections; killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Process,
    bootstrap: String,
}

impl Running {
    pub(crate) fn new(process: Process, bootstrap: String) -> Self {
        Self { process, bootstrap }
    }

    /// `host:port` for clients.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// All it has printed so far.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Stops it cleanly, by SIGTERM. Panics if it does not say that it ended well.
    pub fn stop(self) {
        let output = self.output();
        let code = self.terminate();
        // Java answers an obeyed SIGTERM with 128 + 15.
        assert!(matches!(code, Some(0 | 143)), "the broker stopped with {code:?}:\n{output}");
    }

    /// Ends it by SIGTERM, and says how it ended.
    pub fn terminate(self) -> Option<i32> {
        self.process.terminate().code()
    }

    /// Kills it, as a crash would.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// Starts `klamm --config server.properties` and waits until it answers.
///
/// That the port takes a connection says little: it is bound before the directories are opened.
pub fn start(properties: &Properties) -> Running {
    let mut command = Command::new(binaries::klamm());
    command.arg("--config").arg(properties.write());
    start_command(command, properties)
}

/// Starts another program that is a broker with this configuration, and waits until it accepts a connection.
pub fn start_command(command: Command, properties: &Properties) -> Running {
    let mut process = Process::spawn(command, "klamm", &output_file(properties));
    let bootstrap = properties.bootstrap();
    process.wait_until("an answer", |_| answers(&bootstrap));
    Running::new(process, bootstrap)
}

/// All that brokers with this configuration have printed so far, those that ended included.
pub fn output(properties: &Properties) -> String {
    String::from_utf8_lossy(&fs::read(output_file(properties)).unwrap_or_default()).into_owned()
}

fn output_file(properties: &Properties) -> PathBuf {
    properties.data().with_extension("klamm.out")
}

fn answers(bootstrap: &str) -> bool {
    let answer = Client::connect(bootstrap).and_then(|mut client| {
        client.call(&ApiVersionsRequest::default(), 0, |response| response.error_code)
    });
    answer.is_ok_and(|error_code| error_code == 0)
}
