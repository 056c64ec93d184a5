//! Against the real thing: Apache Kafka's broker, tools and clients, kcat, librdkafka and franz-go.
//!
//! Where Java, Maven or a client is not installed the tests say `skipped: ...` and pass; `KLAMM_REQUIRE_INTEROP=1`
//! turns that into a failure. A story about clients takes the address of a broker and is told twice: to Kafka itself,
//! so that it asks for nothing that Kafka does not do, and to Klamm.

mod clients;
mod dumps;
mod metadata;
mod schemas;

use klamm_tests::properties::Properties;
use klamm_tests::{kafka, oracle, questions};
use tempfile::TempDir;

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
    let answers = questions::ask(kafka.bootstrap());
    if std::env::var_os("KLAMM_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(questions::kafkas_answers(), answers.join("\n") + "\n").expect("the tree is writable");
    }
    questions::assert_as_kafka(&answers);
    clients::all(oracle, kafka.bootstrap());
    kafka.stop();
    dumps::agree(oracle, &properties.data());
}
