//! Apache Kafka as published: its jars, its tools, and the Java programs of `tests/interop/java` compiled against them.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::binaries::{cache_directory, exclusively, workspace};
use crate::process::run;

/// The version that is the reference, as in `tests/interop/pom.xml`.
pub const KAFKA_VERSION: &str = "4.3.0";

/// Java and Kafka's jars, at hand.
#[derive(Debug)]
pub struct Oracle {
    jars: PathBuf,
    classes: PathBuf,
}

/// The oracle, or nothing and a line that says so, where Java or Maven is absent.
///
/// With `KLAMM_REQUIRE_INTEROP=1` absence is a failure.
pub fn required() -> Option<&'static Oracle> {
    static ORACLE: OnceLock<Option<Oracle>> = OnceLock::new();
    let oracle = ORACLE.get_or_init(Oracle::find).as_ref();
    if oracle.is_none() {
        skip("no java");
    }
    oracle
}

/// Says that a test does not run because something is not installed here, or fails where that is not allowed.
pub fn skip(reason: &str) {
    assert!(env::var_os("KLAMM_REQUIRE_INTEROP").is_none_or(|value| value != "1"), "required, but {reason}");
    // Past the test harness, which swallows the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Whether a program answers to `argument`.
pub fn is_installed(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Oracle {
    fn find() -> Option<Self> {
        if !is_installed("java", "-version") || !is_installed("javac", "-version") {
            return None;
        }
        let jars = find_jars()?;
        let classes = exclusively("classes", || compile(&jars));
        Some(Self { jars, classes })
    }

    /// The directory of Kafka's jars.
    pub fn jars(&self) -> &Path {
        &self.jars
    }

    /// `java` running `class` with the jars and our programs on its classpath; small, and quick to start.
    pub fn java(&self, class: &str) -> Command {
        self.java_with(&["-Xmx256m"], class)
    }

    /// The same with other options of the virtual machine, as `-Xmx1g`.
    pub fn java_with(&self, options: &[&str], class: &str) -> Command {
        // The star is Java's, not a shell's.
        Self::java_on(&format!("{}/*:{}", self.jars.display(), self.classes.display()), options, class)
    }

    /// The same with the clients of `newest-clients.xml` in place of those that belong to the broker.
    pub fn java_with_newest_clients(&self, class: &str) -> Option<Command> {
        let newest = resolve("newest-clients.xml", "newest-clients")?;
        let classpath =
            format!("{}/*:{}/*:{}", newest.display(), self.jars.display(), self.classes.display());
        Some(Self::java_on(&classpath, &["-Xmx256m"], class))
    }

    /// `java` running `class` with the clients that a pom of `tests/interop` names, and nothing else of Kafka's.
    pub fn java_with_clients(&self, pom: &str, class: &str) -> Option<Command> {
        let jars = resolve(pom, pom.trim_end_matches(".xml"))?;
        let classpath = format!("{}/*:{}", jars.display(), self.classes.display());
        Some(Self::java_on(&classpath, &["-Xmx128m"], class))
    }

    fn java_on(classpath: &str, options: &[&str], class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(options)
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp", classpath])
            .arg(format!("-Dlog4j2.configurationFile={}", sources().join("log4j2.properties").display()))
            .arg(class);
        command
    }

    /// The same as Kafka's own scripts run it, for measuring: 1 GiB heap, G1, every compiler.
    pub fn java_as_shipped(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-cp"])
            .arg(format!("{}/*:{}", self.jars.display(), self.classes.display()))
            .arg(format!("-Dlog4j2.configurationFile={}", sources().join("log4j2.properties").display()))
            .arg(class);
        command
    }

    /// Kafka's dump of many files in one virtual machine: for each request its exit code.
    ///
    /// Standard output of the tool goes to the file that the request names, standard error beside it with `.stderr`.
    pub fn dump(&self, directory: &Path, requests: &[(PathBuf, String)]) -> Vec<i32> {
        let input: String = requests
            .iter()
            .map(|(target, arguments)| format!("{}\t{arguments}\n", target.display()))
            .collect();
        let codes = run(self.java("Dump").current_dir(directory), input.as_bytes());
        let codes: Vec<i32> = codes.lines().map(|line| line.parse().expect("Dump prints numbers")).collect();
        assert_eq!(codes.len(), requests.len(), "one exit code for each dump");
        codes
    }
}

fn sources() -> PathBuf {
    workspace().join("tests/interop")
}

/// Kafka's jars: named by `KLAMM_KAFKA_JARS`, or resolved once by Maven into the build's cache.
fn find_jars() -> Option<PathBuf> {
    match env::var_os("KLAMM_KAFKA_JARS") {
        Some(named) => Some(PathBuf::from(named)),
        None => resolve("pom.xml", &format!("kafka-{KAFKA_VERSION}")),
    }
}

/// The jars that a pom of `tests/interop` names, with all they need, in a directory of the build's cache.
fn resolve(pom: &str, name: &str) -> Option<PathBuf> {
    let directory = cache_directory().join(name);
    exclusively("jars", || {
        if directory.is_dir() {
            return Some(directory.clone());
        }
        if !is_installed("mvn", "-v") {
            return None;
        }
        // Resolved beside its place and renamed: an interrupted download never looks complete.
        let unfinished = cache_directory().join(format!("{name}.unfinished"));
        let mut maven = Command::new("mvn");
        maven
            .arg("-q")
            .arg("-f")
            .arg(sources().join(pom))
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", unfinished.display()));
        run(&mut maven, b"");
        fs::rename(&unfinished, &directory).expect("a directory can be renamed beside itself");
        Some(directory.clone())
    })
}

/// Compiles the Java programs if a source is newer than what was compiled last.
fn compile(jars: &Path) -> PathBuf {
    let directory = cache_directory().join("classes");
    let files: Vec<PathBuf> = fs::read_dir(sources().join("java"))
        .expect("the Java programs are in the tree")
        .map(|entry| entry.expect("a directory can be listed").path())
        .collect();
    let newest = files.iter().filter_map(|file| modified(file)).max();
    let stamp = directory.join("compiled");
    if modified(&stamp) < newest {
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(&directory).arg("-cp").arg(format!("{}/*", jars.display())).args(&files);
        run(&mut javac, b"");
        fs::write(stamp, "").expect("the cache directory is writable");
    }
    directory
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}
