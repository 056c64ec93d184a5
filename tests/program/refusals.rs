//! Requests that cannot be granted get the answers that Kafka gives.

use klamm_tests::properties::Properties;
use klamm_tests::{broker, questions};

#[test]
fn what_cannot_be_is_refused_as_kafka_refuses_it() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let klamm = broker::start(&Properties::new(&place.path().join("data")));
    questions::assert_as_kafka(&questions::ask(klamm.bootstrap()));
    klamm.stop();
}
