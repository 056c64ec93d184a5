//! A broker under measurement: Apache Kafka or Klamm, as a child process with its own data directory.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use klamm_tests::oracle::Oracle;
use klamm_tests::properties::Properties;
use klamm_tests::{binaries, kafka};

use crate::process;

/// Nothing measured here takes this long; only a hang does.
const PATIENCE: Duration = Duration::from_secs(120);
/// A valid cluster id; which one does not matter.
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Apache Kafka 4.3 with its shipped settings: 1 GiB heap, G1.
    Kafka,
    /// `klamm`, release build.
    Klamm,
}

impl Subject {
    /// Both, in the order of the table.
    pub const ALL: [Subject; 2] = [Subject::Kafka, Subject::Klamm];

    /// Column heading.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Kafka => "Apache Kafka",
            Subject::Klamm => "Klamm",
        }
    }

    /// Configuration for a data directory below `directory`, on free ports.
    pub fn properties(self, directory: &Path) -> Properties {
        Properties::new(&directory.join("data"))
    }

    /// Makes the data directory ready for a first start. Klamm does that itself.
    pub fn format(self, oracle: &Oracle, properties: &Properties) {
        if self == Subject::Kafka {
            kafka::format(oracle, properties, CLUSTER_ID);
        }
    }

    fn command(self, oracle: &Oracle, properties: &Properties) -> Command {
        let mut command = match self {
            Subject::Kafka => {
                let mut java = oracle.java_as_shipped("kafka.Kafka");
                java.arg(properties.write());
                java
            }
            Subject::Klamm => {
                let mut klamm = Command::new(binaries::klamm());
                klamm.arg("--config").arg(properties.write());
                klamm
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the broker and waits until it answers an ApiVersions request.
    pub fn start(self, oracle: &Oracle, properties: &Properties) -> io::Result<Server> {
        let command = &mut self.command(oracle, properties);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let address = properties.bootstrap().parse().map_err(io::Error::other)?;
        let ready_after = loop {
            if answers(address) {
                break started.elapsed();
            }
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("{} ended with {status}", self.name())));
            }
            if started.elapsed() > PATIENCE {
                child.kill()?;
                return Err(io::Error::other(format!("{} does not get ready", self.name())));
            }
            thread::sleep(Duration::from_micros(200));
        };
        Ok(Server { child, address, started, ready_after, data: properties.data() })
    }
}

/// An ApiVersions v0 request with correlation id 1 and no client id gets any answer.
fn answers(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    const API_VERSIONS_V0: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let Ok(mut socket) = TcpStream::connect(address) else { return false };
    let mut prefix = [0; 4];
    socket.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && socket.write_all(&API_VERSIONS_V0).is_ok()
        && socket.read_exact(&mut prefix).is_ok()
}

/// A running broker; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    started: Instant,
    ready_after: Duration,
    data: PathBuf,
}

impl Server {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the start of the process to the first answered request.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// From the start of the process until now.
    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU seconds until now.
    pub fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.child.id()).unwrap_or(f64::NAN)
    }

    /// Memory in MB: `VmRSS` now or `VmHWM` at its peak.
    pub fn memory_mb(&self, field: &str) -> f64 {
        process::memory_bytes(self.child.id(), field).map_or(f64::NAN, |bytes| bytes as f64 / 1e6)
    }

    /// Stops it as a crash would.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing to do about a child that cannot be killed: the run is over.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
