//! The README's first lines, as they stand there: no argument, no configuration, port 9092. And with the same broker a file of
//! `KLAMM_STORY_MB` megabytes, there and back, and Kafka's dump tool over what is left of it.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use klamm_tests::binaries::{self, workspace};
use klamm_tests::oracle::{self, is_installed, skip};
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

    /// A line of the shell where the broker is.
    fn shell(&self, klamm: &Process, line: &str) -> Command {
        let mut shell = match self {
            Self::Own => {
                let mut inside = Command::new("nsenter");
                inside.args(["--target", &klamm.pid().to_string(), "--user", "--preserve-credentials"]);
                inside.args(["--net", "--", "sh"]);
                inside
            }
            Self::Machine => Command::new("sh"),
        };
        shell.args(["-c", line]);
        shell
    }
}

/// The lines of the README that send and read with kcat.
fn lines_with_kcat() -> Vec<String> {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("it is in the tree");
    readme.lines().filter(|line| line.contains("kcat -b ")).map(str::to_owned).collect()
}

/// A command of the shell in a network of its own.
fn alone(command: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
    unshare.arg(format!("ip link set lo up && {command}"));
    unshare
}

/// A file of lines, each a record. Answers how many.
fn a_file_comes_back_identical(network: &Network, klamm: &Process, place: &Path) -> usize {
    let megabytes: usize = std::env::var("KLAMM_STORY_MB").map_or(8, |text| text.parse().expect("a number"));
    let lines = megabytes * 10_000;
    let stored = place.join("stored");
    let mut file = BufWriter::new(fs::File::create(&stored).expect("created"));
    for number in 0..lines {
        let noise = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(file, "{number:099} {noise:x}").expect("written");
    }
    file.flush().expect("written");
    drop(file);
    let stored = stored.display();
    let there = format!("kcat -b 127.0.0.1:9092 -P -t story -l {stored}");
    let back = format!("kcat -b 127.0.0.1:9092 -C -q -t story -o beginning -e | cmp - {stored}");
    for line in [there, back] {
        run(&mut network.shell(klamm, &line), b"");
    }
    lines
}

/// How many records Kafka's own tool finds in a partition; `None` where there is no Kafka.
fn records_that_kafka_dumps(partition: &Path) -> Option<usize> {
    let oracle = oracle::required()?;
    let mut records = 0;
    for entry in fs::read_dir(partition).expect("listed") {
        let file = entry.expect("listed").path();
        if file.extension().is_some_and(|extension| extension == "log") {
            let mut dump = oracle.java_as_shipped("org.apache.kafka.tools.DumpLogSegments");
            let text = run(dump.arg("--files").arg(&file), b"");
            let counts = text.lines().filter_map(|line| line.split_once(" count: ")?.1.split(' ').next());
            records += counts.map(|count| count.parse::<usize>().expect("a number")).sum::<usize>();
            assert!(!text.contains("isvalid: false"), "{}", file.display());
        }
    }
    Some(records)
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
    fs::create_dir(&empty).expect("a directory is made");
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

    let told: Vec<String> =
        lines_with_kcat().iter().map(|line| run(&mut network.shell(&klamm, line), b"")).collect();
    let [sent, read] = &told[..] else { panic!("the README has other lines with kcat: {told:?}") };
    assert_eq!(sent, "");
    assert!(read.lines().any(|line| line == "hello"), "{read}");
    let lines = a_file_comes_back_identical(&network, &klamm, place.path());
    assert_eq!(klamm.terminate().code(), Some(0));
    assert!(
        empty.join("klamm-data/greetings-0/00000000000000000000.log").exists(),
        "it lies where it was said"
    );
    assert!(empty.join("klamm-data/.kafka_cleanshutdown").exists(), "it stopped cleanly");
    assert_eq!(records_that_kafka_dumps(&empty.join("klamm-data/story-0")).unwrap_or(lines), lines);
    let made: Vec<_> =
        fs::read_dir(&empty).expect("listed").map(|entry| entry.expect("listed").file_name()).collect();
    assert_eq!(made, ["klamm-data"], "nothing else is made");
}
