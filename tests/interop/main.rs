//! Against the real thing: Apache Kafka's broker, tools and clients, and the clients of other languages.
//!
//! Where Java, Maven or a client is not installed the tests say `skipped: ...` and pass; `KLAMM_REQUIRE_INTEROP=1`
//! turns that into a failure. A story about clients takes the address of a broker and is told twice: to Kafka itself,
//! so that it asks for nothing that Kafka does not do, and to Klamm.

mod answers;
mod clients;
mod compaction;
mod directories;
mod dumps;
mod frameworks;
mod groups;
mod libraries;
mod load;
mod log_dirs;
mod metadata;
mod repair;
mod retention;
mod schemas;
mod travel;

use std::path::Path;

use klamm_tests::properties::Properties;
use klamm_tests::questions::{administration, groups as groups_asked, quotas, settings, transactions};
use klamm_tests::{binaries, broker, kafka, oracle, process, questions};
use tempfile::TempDir;
use travel::Departure::{self, Clean, Killed};
use travel::Host::{Kafka, Klamm};

/// A cluster id for directories that a test formats itself.
const CLUSTER_ID: &str = "klammInteropAAAAAAAAAA";

/// A directory for one broker, below a temporary one that vanishes with the test.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    fn properties(&self) -> Properties {
        Properties::new(&self.root.path().join("data"))
    }
}

#[test]
fn what_is_asked_of_klamm_holds_on_kafka_itself() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    kafka::format(oracle, &properties, CLUSTER_ID);
    let kafka = kafka::start(oracle, &properties);
    keeps(&questions::kafkas_answers(), &questions::ask(kafka.bootstrap()));
    keeps(&administration::kafkas_answers(), &administration::ask(kafka.bootstrap()));
    schemas::assert_versions_are_kept(kafka.bootstrap());
    clients::all(oracle, kafka.bootstrap());
    kafka.stop();
    dumps::agree(oracle, &properties.data());
}

#[test]
fn what_is_kept_of_transactions_is_how_kafka_runs_them() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    kafka::format(oracle, &properties, CLUSTER_ID);
    let kafka = kafka::start(oracle, &properties);
    keeps(&transactions::kafkas_answers(), &transactions::ask(kafka.bootstrap()));
    kafka.stop();
}

#[test]
fn what_is_kept_of_groups_is_what_kafka_says_of_them() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    kafka::format(oracle, &properties, CLUSTER_ID);
    let kafka = kafka::start(oracle, &properties);
    keeps(&groups_asked::kafkas_answers(), &groups_asked::ask(kafka.bootstrap()));
    kafka.stop();
}

#[test]
fn what_is_kept_of_quotas_is_what_kafka_says_of_them() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    kafka::format(oracle, &properties, CLUSTER_ID);
    let kafka = kafka::start(oracle, &properties);
    keeps(&quotas::kafkas_answers(), &quotas::ask(kafka.bootstrap()));
    kafka.stop();
}

#[test]
fn what_is_kept_of_rates_is_what_kafkas_class_says_of_them() {
    let Some(oracle) = oracle::required() else { return };
    let told = process::run(&mut oracle.java("Rates"), b"");
    let told: Vec<String> = told.lines().map(str::to_owned).collect();
    keeps(&binaries::workspace().join("broker-shim/src/quota/rate/kafkas_rates.txt"), &told);
}

#[test]
fn what_is_kept_of_settings_is_what_kafka_says_of_them() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    kafka::format(oracle, &properties, CLUSTER_ID);
    let kafka = kafka::start(oracle, &properties);
    keeps(&settings::kafkas_answers(), &settings::ask(kafka.bootstrap()));
    kafka.stop();
    let lines: String = settings::properties().map(|line| line + "\n").collect();
    let told = process::run(&mut oracle.java("ServerProperties"), lines.as_bytes());
    keeps(&settings::kafkas_start_answers(), &told.lines().map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn the_list_of_broker_keys_that_is_kept_is_kafkas() {
    let Some(oracle) = oracle::required() else { return };
    let keys = process::run(&mut oracle.java("BrokerKeys"), b"");
    let file = binaries::workspace().join("broker-shim/src/config/kafka_keys.txt");
    keeps(&file, &keys.lines().map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn the_dump_tool_has_the_keys_of_kafkas() {
    let Some(oracle) = oracle::required() else { return };
    dumps::assert_keys_are_kafkas(oracle);
}

/// Panics if Kafka's answers are not those in `file`; with `KLAMM_WRITE_GOLDEN=1` they are written there.
fn keeps(file: &Path, answers: &[String]) {
    if std::env::var_os("KLAMM_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(file, answers.join("\n") + "\n").expect("the tree is writable");
    }
    questions::assert_as_kafka(file, answers);
}

#[test]
fn every_client_story_holds_on_klamm_and_both_dump_tools_read_what_it_leaves() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    let klamm = broker::start(&properties);
    clients::all(oracle, klamm.bootstrap());
    klamm.stop();
    let asked = dumps::agree(oracle, &properties.data());
    dumps::assert_asked(&asked, "__transaction_state", "--transaction-log-decoder");
    dumps::assert_asked(&asked, "__cluster_metadata", "--cluster-metadata-decoder --skip-record-metadata");
    dumps::assert_asked(&asked, "", ".timeindex --verify-index-only");
}

#[test]
fn every_story_of_groups_holds_on_kafka_itself() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    kafka::format(oracle, &properties, CLUSTER_ID);
    let kafka = kafka::start(oracle, &properties);
    groups::all(oracle, kafka.bootstrap());
    kafka.stop();
}

#[test]
fn every_story_of_groups_holds_on_klamm() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    let klamm = broker::start(&properties);
    groups::all(oracle, klamm.bootstrap());
    klamm.stop();
    let asked = dumps::agree(oracle, &properties.data());
    dumps::assert_asked(&asked, "__consumer_offsets", "--offsets-decoder");
}

/// Side by side: most of the time they wait.
fn libraries_and_frameworks(oracle: &oracle::Oracle, bootstrap: &str) {
    std::thread::scope(|scope| {
        scope.spawn(|| libraries::all(oracle, bootstrap));
        scope.spawn(|| frameworks::all(oracle, bootstrap));
    });
}

#[test]
fn every_story_of_client_libraries_holds_on_kafka_itself() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    kafka::format(oracle, &properties, CLUSTER_ID);
    let kafka = kafka::start(oracle, &properties);
    libraries_and_frameworks(oracle, kafka.bootstrap());
    kafka.stop();
}

#[test]
fn every_story_of_client_libraries_holds_on_klamm() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let klamm = broker::start(&place.properties());
    libraries_and_frameworks(oracle, klamm.bootstrap());
    klamm.stop();
}

#[test]
fn a_directory_travels_between_klamm_and_kafka_after_clean_stops() {
    travels(Clean);
}

#[test]
fn a_directory_travels_between_klamm_and_kafka_after_kill_9() {
    travels(Killed);
}

fn travels(departure: Departure) {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = place.properties();
    travel::travel(oracle, &properties, &[Klamm, Kafka, Klamm, Kafka, Klamm], departure);
    dumps::agree(oracle, &properties.data());
}

#[test]
fn a_directory_that_kafka_stopped_is_served_as_kafka_serves_it() {
    let Some(oracle) = oracle::required() else { return };
    answers::assert_same(oracle, "stopped");
}

#[test]
fn a_directory_on_which_kafka_was_killed_is_served_as_kafka_serves_it() {
    let Some(oracle) = oracle::required() else { return };
    answers::assert_same(oracle, "killed");
}
