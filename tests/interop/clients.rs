//! What ordinary clients do with a broker, each story given nothing but an address.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use klamm_tests::binaries::workspace;
use klamm_tests::java_clients::JavaClients;
use klamm_tests::oracle::{Oracle, is_installed, skip};
use klamm_tests::process::run;

use crate::libraries::{go_programs, python_with_clients};

/// The five compression types of the protocol.
pub(crate) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Every story, on one broker.
pub(crate) fn all(oracle: &Oracle, bootstrap: &str) {
    let mut java = JavaClients::start(oracle);
    told("Java, every compression", || java_clients_with_every_compression(&mut java, "java", bootstrap));
    told("Java, administration", || java_admin_changes_what_it_reads_back(&mut java, bootstrap));
    told("a file there and back", || a_file_comes_back_identical(&mut java, bootstrap));
    told("newest Java clients", || match JavaClients::start_newest(oracle) {
        Some(mut newest) => java_clients_with_every_compression(&mut newest, "newest", bootstrap),
        None => skip("no maven"),
    });
    told("transactions", || transactions(oracle, &mut java, bootstrap));
    told("console tools", || console_producer_and_consumer(oracle, bootstrap));
    told("kcat", || kcat(bootstrap));
    told("librdkafka", || librdkafka_from_python(&mut java, bootstrap));
    told("franz-go", || franz_go(&mut java, bootstrap));
}

/// One story, and how long it took: shown when the test fails or runs with `--nocapture`.
pub(crate) fn told(name: &str, story: impl FnOnce()) {
    println!("{name} ...");
    let begun = Instant::now();
    story();
    println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
}

fn java_clients_with_every_compression(java: &mut JavaClients, prefix: &str, bootstrap: &str) {
    for codec in CODECS {
        for kind in ["idempotent", "plain"] {
            let topic = format!("{prefix}-{codec}-{kind}");
            java.must(&format!("create {bootstrap} {topic} 2"));
            assert_eq!(java.must(&format!("produce {bootstrap} {topic} 1 {codec} {kind} 0 400")), "399");
            java.must(&format!("verify {bootstrap} {topic} 1 400 committed"));
            assert_eq!(java.must(&format!("offsets {bootstrap} {topic} 0")), "0 0");
            assert_eq!(java.must(&format!("offsets {bootstrap} {topic} 1")), "0 400");
            assert_eq!(java.must(&format!("at-time {bootstrap} {topic} 1 250")), "250 0 0");
            assert_eq!(java.must(&format!("at-time {bootstrap} {topic} 1 400")), "none");
        }
    }
}

fn java_admin_changes_what_it_reads_back(java: &mut JavaClients, bootstrap: &str) {
    java.must(&format!("create {bootstrap} admin 1 retention.ms=123456,cleanup.policy=compact"));
    let read = |java: &mut JavaClients, key| java.must(&format!("configuration {bootstrap} admin {key}"));
    assert_eq!(read(java, "retention.ms"), "123456 DYNAMIC_TOPIC_CONFIG");
    assert_eq!(read(java, "cleanup.policy"), "compact DYNAMIC_TOPIC_CONFIG");
    assert_eq!(read(java, "segment.bytes"), "1073741824 DEFAULT_CONFIG");
    java.must(&format!("configure {bootstrap} admin retention.ms 654321"));
    assert_eq!(read(java, "retention.ms"), "654321 DYNAMIC_TOPIC_CONFIG");

    let taken = java.ask(&format!("create {bootstrap} admin 1")).expect_err("the name is taken");
    assert_eq!(taken, "TopicExistsException Topic 'admin' already exists.");
    java.must(&format!("grow {bootstrap} admin 3"));
    // Record 0 has no key.
    let refused = java.ask(&format!("produce {bootstrap} admin 2 none idempotent 0 1")).expect_err("no key");
    let rule = "Compacted topic cannot accept message without key in topic partition admin-2";
    assert!(refused.contains(rule), "{refused}");
    assert_eq!(java.must(&format!("produce {bootstrap} admin 2 none idempotent 1 1")), "0");
    java.must(&format!("delete {bootstrap} admin"));
    let topics = java.must(&format!("topics {bootstrap}"));
    assert!(!topics.split(',').any(|topic| topic == "admin"), "{topics}");
}

/// Java's transactional producer and committed reader, the console consumer, and the administrator's tool.
fn transactions(oracle: &Oracle, java: &mut JavaClients, bootstrap: &str) {
    java.must(&format!("create {bootstrap} ledger 1"));
    java.must(&format!("create {bootstrap} copied 1"));
    java.must(&format!("transact {bootstrap} ledger 0 clerk"));
    let fenced = java.must(&format!("replace {bootstrap} ledger 0 twin"));
    assert!(fenced.contains("Fenced") || fenced == "InvalidProducerEpochException", "{fenced}");
    java.must(&format!("open {bootstrap} ledger 0 dead"));
    let committed = ["clerk-committed-0", "clerk-committed-1", "clerk-committed-2", "twin-second"];
    let read =
        |java: &mut JavaClients, topic: &str| java.must(&format!("read {bootstrap} {topic} 0 committed"));
    assert_eq!(read(java, "ledger"), committed.join(","));
    let all = java.must(&format!("read {bootstrap} ledger 0 uncommitted"));
    assert!(
        all.contains("clerk-aborted-1") && all.contains("twin-first") && all.contains("dead-left"),
        "{all}"
    );

    let tool = |arguments: &str| {
        let mut tool = oracle.java("org.apache.kafka.tools.TransactionsCommand");
        run(tool.args(["--bootstrap-server", bootstrap]).args(arguments.split(' ')), b"")
    };
    let listed = tool("list");
    assert!(
        listed.lines().any(|line| line.starts_with("clerk ") && line.contains("CompleteAbort")),
        "{listed}"
    );
    assert!(listed.lines().any(|line| line.starts_with("dead ") && line.contains("Ongoing")), "{listed}");
    let described = tool("describe --transactional-id dead");
    assert!(described.contains("Ongoing") && described.contains("ledger-0"), "{described}");
    let producers = tool("describe-producers --topic ledger --partition 0");
    assert!(producers.lines().count() >= 4, "{producers}");
    // It does not hang: its coordinator knows of it.
    let hanging = tool("find-hanging --topic ledger --partition 0 --max-transaction-timeout 0");
    assert!(!hanging.contains("ledger"), "{hanging}");
    let since = producers
        .lines()
        .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
        .next()
        .expect("a transaction is open");
    tool(&format!("abort --topic ledger --partition 0 --start-offset {since}"));
    assert_eq!(read(java, "ledger"), committed.join(","));
    java.must(&format!("recover {bootstrap} ledger 0 dead"));

    assert_eq!(java.must(&format!("pipe {bootstrap} ledger copied books false")), "4 none");
    assert_eq!(read(java, "copied"), "");
    let piped = java.must(&format!("pipe {bootstrap} ledger copied books true"));
    assert!(piped.starts_with("4 ") && piped != "4 none", "{piped}");
    assert_eq!(read(java, "copied"), committed.join(","));

    let mut consumer = oracle.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    consumer.args([
        "--bootstrap-server",
        bootstrap,
        "--topic",
        "copied",
        "--partition",
        "0",
        "--offset",
        "earliest",
    ]);
    consumer.args(["--isolation-level", "read_committed", "--max-messages", "4", "--timeout-ms", "60000"]);
    assert_eq!(run(&mut consumer, b""), committed.map(|line| format!("{line}\n")).concat());
}

/// A real file, of the size that `KLAMM_STORY_MB` says.
fn a_file_comes_back_identical(java: &mut JavaClients, bootstrap: &str) {
    let size =
        std::env::var("KLAMM_STORY_MB").map_or(32, |text| text.parse().expect("KLAMM_STORY_MB is a number"));
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let [stored, fetched] = ["stored", "fetched"].map(|name| place.path().join(name));
    write_real_file(&stored, size * 1_000_000);
    let chunks = java.must(&format!("store {bootstrap} story {}", stored.display()));
    assert_eq!(java.must(&format!("fetch {bootstrap} story {}", fetched.display())), chunks);
    run(Command::new("cmp").arg(&stored).arg(&fetched), b"");
}

/// The test program itself, over and over: a real file of any length that every machine has.
fn write_real_file(path: &Path, length: usize) {
    let program =
        fs::read(std::env::current_exe().expect("a running program has a path")).expect("and can be read");
    let bytes: Vec<u8> = program.iter().copied().cycle().take(length).collect();
    fs::write(path, bytes).expect("a temporary file can be written");
}

fn console_producer_and_consumer(oracle: &Oracle, bootstrap: &str) {
    let lines: String = (0..200).map(|n| format!("key{n}\tline {n}\n")).collect();
    let mut producer = oracle.java("org.apache.kafka.tools.ConsoleProducer");
    producer.args([
        "--bootstrap-server",
        bootstrap,
        "--topic",
        "console",
        "--reader-property",
        "parse.key=true",
    ]);
    run(&mut producer, lines.as_bytes());
    let mut consumer = oracle.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    consumer.args([
        "--bootstrap-server",
        bootstrap,
        "--topic",
        "console",
        "--partition",
        "0",
        "--offset",
        "50",
    ]);
    consumer.args([
        "--max-messages",
        "150",
        "--timeout-ms",
        "60000",
        "--formatter-property",
        "print.key=true",
    ]);
    let expected: String = lines.split_inclusive('\n').skip(50).collect();
    assert_eq!(run(&mut consumer, b""), expected);
}

fn kcat(bootstrap: &str) {
    if !is_installed("kcat", "-V") {
        return skip("no kcat");
    }
    let kcat = |arguments: &[&str], input: &str| {
        run(Command::new("kcat").args(["-b", bootstrap]).args(arguments), input.as_bytes())
    };
    let mut expected = String::new();
    for (codec, first) in CODECS.iter().zip((0..).step_by(100)) {
        let lines: String = (first..first + 100).map(|n| format!("key{n}:value {n}\n")).collect();
        // The first to come finds no topic: it is made for it.
        kcat(&["-P", "-t", "kcat", "-p", "0", "-K", ":", "-z", codec], &lines);
        expected.extend((first..first + 100).map(|n| format!("{n} key{n} value {n}\n")));
    }
    let read = ["-C", "-q", "-e", "-t", "kcat", "-p", "0", "-f", "%o %k %s\\n"];
    assert_eq!(kcat(&[&read[..], &["-o", "beginning"]].concat(), ""), expected);
    let tail: String = expected.split_inclusive('\n').skip(321).collect();
    assert_eq!(kcat(&[&read[..], &["-o", "321"]].concat(), ""), tail);
    assert_eq!(kcat(&["-Q", "-t", "kcat:0:-1"], "").trim(), "kcat [0] offset 500");
    let listed = kcat(&["-L", "-t", "kcat"], "");
    assert!(listed.contains("topic \"kcat\" with 1 partitions:"), "{listed}");
}

/// Topics for a client's compressions, made beforehand: clients wait seconds for one that is made for them.
fn create_topics_of(client: &str, java: &mut JavaClients, bootstrap: &str) {
    for codec in CODECS {
        for idempotent in [true, false] {
            java.must(&format!("create {bootstrap} {client}-{codec}-{idempotent} 1"));
        }
    }
}

fn librdkafka_from_python(java: &mut JavaClients, bootstrap: &str) {
    let Some(python) = python_with_clients() else {
        return skip("no python with venv");
    };
    create_topics_of("python", java, bootstrap);
    let script = workspace().join("tests/interop/python/clients.py");
    let printed = run(Command::new(python).arg(script).args([bootstrap, "python"]), b"");
    assert_eq!(printed.lines().count(), 10, "{printed}");
}

fn franz_go(java: &mut JavaClients, bootstrap: &str) {
    let Some(programs) = go_programs() else {
        return skip("no go");
    };
    create_topics_of("go", java, bootstrap);
    let printed = run(Command::new(programs.join("franz-go")).args([bootstrap, "go"]), b"");
    assert_eq!(printed.lines().count(), 10, "{printed}");
}
