//! What ordinary consumers and Kafka's own tool do with groups, each story given nothing but an address.

use std::process::Command;

use klamm_tests::java_clients::JavaClients;
use klamm_tests::oracle::{Oracle, is_installed, skip};
use klamm_tests::process::run;

/// Every story, on one broker.
pub(crate) fn all(oracle: &Oracle, bootstrap: &str) {
    let mut java = JavaClients::start(oracle);
    java.must(&format!("create {bootstrap} grouped 3"));
    for partition in 0..3 {
        java.must(&format!("produce {bootstrap} grouped {partition} none idempotent 0 10"));
    }
    console_consumers_share_their_place(oracle, bootstrap);
    kcat_goes_on_where_its_group_was(bootstrap);
    the_formatter_of_offsets_reads_the_internal_topic(oracle, bootstrap);
    assignors_spread_seven_partitions_over_three_members(oracle, &mut java, bootstrap);
}

fn consume(oracle: &Oracle, bootstrap: &str, group: &str, messages: usize) -> usize {
    let mut consumer = oracle.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    consumer.args(["--bootstrap-server", bootstrap, "--topic", "grouped", "--group", group]);
    consumer.args(["--from-beginning", "--max-messages", &messages.to_string(), "--timeout-ms", "60000"]);
    for property in ["print.value=false", "print.partition=true", "print.offset=true"] {
        consumer.args(["--formatter-property", property]);
    }
    run(&mut consumer, b"").lines().count()
}

/// What `kafka-consumer-groups.sh` prints: the words of each line.
fn tool(oracle: &Oracle, bootstrap: &str, arguments: &[&str]) -> Vec<Vec<String>> {
    let mut tool = oracle.java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand");
    tool.args(["--bootstrap-server", bootstrap]).args(arguments);
    let text = run(&mut tool, b"");
    let words = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    let mut lines: Vec<Vec<String>> = text.lines().map(words).filter(|line| !line.is_empty()).collect();
    // Topics and partitions come as a hash map gives them.
    lines.sort();
    lines
}

fn rows(rows: &[&str]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.split_whitespace().map(ToOwned::to_owned).collect()).collect();
    rows.sort();
    rows
}

fn console_consumers_share_their_place(oracle: &Oracle, bootstrap: &str) {
    assert_eq!(consume(oracle, bootstrap, "console", 12), 12);
    assert_eq!(consume(oracle, bootstrap, "console", 18), 18, "the rest, and nothing twice");
    let header = "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID";
    let described = tool(oracle, bootstrap, &["--describe", "--group", "console"]);
    let at_end = [
        "console grouped 0 10 10 0 - - -",
        "console grouped 1 10 10 0 - - -",
        "console grouped 2 10 10 0 - - -",
    ];
    assert_eq!(described, rows(&[header, at_end[0], at_end[1], at_end[2]]));
    let state = tool(oracle, bootstrap, &["--describe", "--group", "console", "--state"]);
    let coordinator = format!("console {bootstrap} (1) - Empty 0");
    let state_header = "GROUP COORDINATOR (ID) ASSIGNMENT-STRATEGY STATE #MEMBERS";
    assert_eq!(state, rows(&[state_header, &coordinator]));
    assert_eq!(
        tool(oracle, bootstrap, &["--list", "--state", "empty"]),
        rows(&["GROUP STATE", "console Empty"])
    );

    let to_four =
        ["--reset-offsets", "--group", "console", "--topic", "grouped", "--to-offset", "4", "--execute"];
    let reset_header = "GROUP TOPIC PARTITION NEW-OFFSET";
    let reset = ["console grouped 0 4", "console grouped 1 4", "console grouped 2 4"];
    assert_eq!(tool(oracle, bootstrap, &to_four), rows(&[reset_header, reset[0], reset[1], reset[2]]));
    assert_eq!(consume(oracle, bootstrap, "console", 18), 18, "six of each partition are to be read again");
    let delete = ["--delete", "--group", "console"];
    let deleted = "Deletion of requested consumer groups ('console') was successful.";
    assert_eq!(tool(oracle, bootstrap, &delete), rows(&[deleted]));
    assert_eq!(tool(oracle, bootstrap, &["--list"]), rows(&[]));
}

fn kcat_goes_on_where_its_group_was(bootstrap: &str) {
    if !is_installed("kcat", "-V") {
        return skip("no kcat");
    }
    let consume = |messages: &str| {
        let mut kcat = Command::new("kcat");
        kcat.args(["-b", bootstrap, "-G", "kcat", "-X", "auto.offset.reset=earliest", "-q", "-e"]);
        kcat.args(["-f", "%p %o\n", "-c", messages, "grouped"]);
        let mut lines: Vec<String> = run(&mut kcat, b"").lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    let mut all = consume("11");
    all.extend(consume("1000"));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 30, "every record, and none left out");
}

/// The group of the story before.
fn the_formatter_of_offsets_reads_the_internal_topic(oracle: &Oracle, bootstrap: &str) {
    let mut consumer = oracle.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    consumer.args(["--bootstrap-server", bootstrap, "--topic", "__consumer_offsets", "--from-beginning"]);
    consumer.args(["--formatter", "org.apache.kafka.tools.consumer.OffsetsMessageFormatter"]);
    let told = run(consumer.args(["--timeout-ms", "5000"]), b"");
    let key = r#""data":{"group":"console","topic":"grouped","partition":0}"#;
    let offset = r#""offset":10,"#;
    assert!(told.lines().any(|line| line.contains(key) && line.contains(offset)), "{told}");
}

fn assignors_spread_seven_partitions_over_three_members(
    oracle: &Oracle,
    java: &mut JavaClients,
    bootstrap: &str,
) {
    java.must(&format!("create {bootstrap} seven 7"));
    let assignors = ["RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"];
    let mut groups = oracle.java("Groups");
    let told = run(groups.args([bootstrap, "seven"]).args(assignors), b"");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "RangeAssignor [0,1,2][3,4][5,6]");
    assert_eq!(lines[1], "RoundRobinAssignor [0,3,6][1,4][2,5]");
    for (line, assignor) in lines[2..].iter().zip(&assignors[2..]) {
        let spread = line.strip_prefix(assignor).expect("a line for each assignor");
        assert!(!spread.contains("timeout"), "{line}");
    }
    assert_eq!(lines.len(), assignors.len());
}
