//! What client libraries do with a broker, Java's of three generations and those of other languages: for each a program
//! that tells the same stories and prints the same line for the same fact, whichever library and whichever broker it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use klamm_tests::binaries::{cache_directory, exclusively, workspace};
use klamm_tests::oracle::{Oracle, is_installed, skip};
use klamm_tests::process::{run, run_within};

use crate::clients::{CODECS, told};

/// Ten times what a library takes for all of its stories; only one that hangs runs into it.
pub(crate) const STORY_AT_MOST: Duration = Duration::from_secs(300);

/// A library, and what it cannot do or does in a way of its own.
struct Library {
    name: &'static str,
    /// Where each of three members ends up with range, and with roundrobin.
    range: &'static str,
    sticky: &'static [&'static str],
    transactions: bool,
    deletes_records: bool,
    deletes_groups: bool,
    /// The application's own partitioner and interceptors inside the library, and its offsets outside Kafka.
    own_code: bool,
}

const ORDINARY: Library = Library {
    name: "",
    range: "[0,1,2][3,4][5,6]",
    sticky: &["sticky"],
    transactions: true,
    deletes_records: true,
    deletes_groups: true,
    own_code: false,
};
const KAFKA_PYTHON: Library = Library { name: "kafka-python", ..ORDINARY };
const AIOKAFKA: Library = Library { name: "aiokafka", deletes_groups: false, ..ORDINARY };
const SARAMA: Library = Library { name: "sarama", sticky: &["sticky", "cooperative-sticky"], ..ORDINARY };
/// Its range gives what is left over to the last member.
const KAFKA_GO: Library = Library {
    name: "kafka-go",
    range: "[0,1][2,3][4,5,6]",
    sticky: &[],
    transactions: false,
    deletes_records: false,
    ..ORDINARY
};
const JAVA: Library = Library { own_code: true, sticky: SARAMA.sticky, ..ORDINARY };
/// Java's libraries and the poms that name them.
const JAVA_LINES: [(Library, &str); 3] = [
    (Library { name: "java-newest", ..JAVA }, "newest-clients.xml"),
    (Library { name: "java-3", ..JAVA }, "clients-3.xml"),
    (Library { name: "java-2", ..JAVA }, "clients-2.xml"),
];

/// Every library's stories on one broker, side by side: most of the time they wait.
pub(crate) fn all(oracle: &Oracle, bootstrap: &str) {
    thread::scope(|scope| {
        for (library, pom) in &JAVA_LINES {
            scope.spawn(|| java(oracle, library, pom, bootstrap));
        }
        scope.spawn(|| python(&KAFKA_PYTHON, "kafka_python.py", bootstrap));
        scope.spawn(|| python(&AIOKAFKA, "aio.py", bootstrap));
        scope.spawn(|| go(&SARAMA, bootstrap));
        scope.spawn(|| go(&KAFKA_GO, bootstrap));
    });
}

fn java(oracle: &Oracle, library: &Library, pom: &str, bootstrap: &str) {
    let Some(mut java) = oracle.java_with_clients(pom, "Stories") else {
        return skip("no maven");
    };
    tells(library, &mut java, bootstrap);
}

fn python(library: &Library, script: &str, bootstrap: &str) {
    let Some(python) = python_with_clients() else {
        return skip("no python with venv");
    };
    let script = workspace().join("tests/interop/python").join(script);
    tells(library, Command::new(python).arg(script), bootstrap);
}

fn go(library: &Library, bootstrap: &str) {
    let Some(programs) = go_programs() else {
        return skip("no go");
    };
    tells(library, &mut Command::new(programs.join(library.name)), bootstrap);
}

/// Panics if the program ends badly, or with other facts than its library should come to.
fn tells(library: &Library, program: &mut Command, bootstrap: &str) {
    told(library.name, || {
        let facts = run_within(program.args([bootstrap, library.name]), STORY_AT_MOST);
        assert_eq!(facts.lines().collect::<Vec<_>>(), library.facts(), "{}", library.name);
    });
}

impl Library {
    /// What its program prints, line by line.
    fn facts(&self) -> Vec<String> {
        let mut facts: Vec<String> = CODECS.map(|codec| format!("codec {codec}: 40 records")).into();
        let mut say = |lines: &[&str]| facts.extend(lines.iter().map(|line| (*line).to_owned()));
        say(&["seek to 25: 25", "at time 30: 30", "past the last time: none", "ends: 0 40"]);
        say(&["committed: 4 note", "goes on at: 4"]);
        let spreads = [("range", self.range), ("roundrobin", "[0,3,6][1,4][2,5]")];
        for (assignor, spread) in spreads.into_iter().chain(self.sticky.iter().map(|name| (*name, "even"))) {
            say(&[&format!("{assignor}: {spread}"), &format!("{assignor} read: 70 records")]);
            say(&[&format!("{assignor} after one left: [3, 4]")]);
        }
        say(&["the group goes on with: [(3, 10)]"]);
        if self.transactions {
            say(&["uncommitted: a0 a1 a2 b0 b1 b2 c0 c1", "committed: a0 a1 a2 c0 c1"]);
            say(&["piped, aborted: none", "piped, committed: 10", "copied: A0 A1 A2 C0 C1", "fenced: yes"]);
        }
        say(&["created twice: refused", "partitions: 5", "retention: 123456", "retention: 654321"]);
        if self.deletes_records {
            say(&["after deletion the first is: 6"]);
        }
        if self.deletes_groups {
            say(&["the group is gone"]);
        }
        say(&["the topic is gone"]);
        if self.own_code {
            say(&["partitioner: key 3, key 7, key 11", "interceptors: 12 acknowledged, 12 came, 4 places"]);
            say(&["kept outside: 71 records, 0 twice", "kept inside: 0"]);
        }
        facts
    }
}

/// A virtual environment with the clients in it, made anew where others are asked for than last time.
pub(crate) fn python_with_clients() -> Option<PathBuf> {
    let environment = cache_directory().join("venv");
    let ready = environment.join("ready");
    let requirements = workspace().join("tests/interop/python/requirements.txt");
    let wanted = fs::read(&requirements).expect("the list of clients is in the tree");
    exclusively("venv", || {
        if fs::read(&ready).ok().as_ref() != Some(&wanted) {
            if !has_venv() {
                return None;
            }
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment), b"");
            let mut pip = Command::new(environment.join("bin/pip"));
            run(
                pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&requirements),
                b"",
            );
            fs::write(&ready, &wanted).expect("the cache directory is writable");
        }
        Some(environment.join("bin/python"))
    })
}

fn has_venv() -> bool {
    let mut ask = Command::new("python3");
    ask.args(["-c", "import venv, ensurepip"]).output().is_ok_and(|output| output.status.success())
}

/// The directory of the programs of `tests/interop/go`, each named after its library; compiled where they changed.
pub(crate) fn go_programs() -> Option<PathBuf> {
    if !is_installed("go", "version") {
        return None;
    }
    let programs = cache_directory().join("go");
    exclusively("go", || {
        fs::create_dir_all(&programs).expect("the cache directory is writable");
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(slashed(&programs)).arg("./...");
        run(go.current_dir(workspace().join("tests/interop/go")), b"");
    });
    Some(programs)
}

/// With a slash at its end `go build` takes it for a directory, also where one program is built.
fn slashed(directory: &Path) -> PathBuf {
    directory.join("")
}
