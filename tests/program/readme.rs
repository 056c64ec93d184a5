//! The README's first lines, as they stand there: no argument, no configuration, port 9092.

use std::net::TcpListener;
use std::process::Command;

use klamm_tests::binaries;
use klamm_tests::oracle::{is_installed, skip};
use klamm_tests::process::{Process, output_of, run};

/// Where the port is nobody's.
enum Network {
    /// A network of its own, in which only the loopback is, and nobody.
    Own,
    /// This machine's, where nobody listens on that port.
    Machine,
}

impl Network {
    fn with_the_port_free() -> Option<Self> {
        let tools = [("unshare", "--version"), ("nsenter", "--version"), ("ip", "-V")];
        let own = tools.iter().all(|(tool, argument)| is_installed(tool, argument))
            && output_of(&mut alone("true"), b"").status.success();
        if own {
            return Some(Self::Own);
        }
        TcpListener::bind("127.0.0.1:9092").is_ok().then_some(Self::Machine)
    }

    fn klamm(&self) -> Command {
        let klamm = binaries::klamm().to_str().expect("its path is text");
        match self {
            Self::Own => alone(&format!("exec {klamm}")),
            Self::Machine => Command::new(klamm),
        }
    }

    /// kcat where the broker is.
    fn kcat(&self, klamm: &Process) -> Command {
        match self {
            Self::Own => {
                let mut inside = Command::new("nsenter");
                inside.args(["--target", &klamm.pid().to_string(), "--user", "--preserve-credentials"]);
                inside.args(["--net", "--", "kcat"]);
                inside
            }
            Self::Machine => Command::new("kcat"),
        }
    }
}

/// A command of the shell in a network of its own.
fn alone(command: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
    unshare.arg(format!("ip link set lo up && {command}"));
    unshare
}

#[test]
fn one_command_without_configuration_stores_what_kcat_sends_and_gives_it_back() {
    if !is_installed("kcat", "-V") {
        return skip("no kcat");
    }
    let Some(network) = Network::with_the_port_free() else {
        return skip("port 9092 is taken, and this machine allows no network of one's own");
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory is made");
    let mut command = network.klamm();
    command.current_dir(&empty).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut klamm = Process::spawn(command, "klamm", &place.path().join("out"));
    klamm.wait_until("its three lines", |text| text.contains("disk backend"));
    let output = klamm.output();
    let lines: Vec<&str> = output.lines().filter(|line| !line.contains(" INFO ")).collect();
    let [listening, data, backend] = lines[..] else { panic!("not three lines:\n{output}") };
    assert_eq!(listening, "listening on PLAINTEXT 127.0.0.1:9092");
    assert!(data.starts_with("data in klamm-data (cluster "), "{data}");
    assert!(backend.starts_with("disk backend "), "{backend}");

    let kcat =
        |arguments: &str, input: &str| run(network.kcat(&klamm).args(arguments.split(' ')), input.as_bytes());
    kcat("-b 127.0.0.1:9092 -P -t greetings", "hello\nagain\n");
    assert_eq!(kcat("-b 127.0.0.1:9092 -C -q -t greetings -o beginning -e", ""), "hello\nagain\n");
    assert_eq!(klamm.terminate().code(), Some(0));
    assert!(
        empty.join("klamm-data/greetings-0/00000000000000000000.log").exists(),
        "it lies where it was said"
    );
    assert!(empty.join("klamm-data/.kafka_cleanshutdown").exists(), "it stopped cleanly");
    let made: Vec<_> =
        std::fs::read_dir(&empty).expect("listed").map(|entry| entry.expect("listed").file_name()).collect();
    assert_eq!(made, ["klamm-data"], "nothing else is made");
}
