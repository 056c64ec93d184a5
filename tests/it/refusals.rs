//! What cannot be done is refused as Apache Kafka refuses it: error by error, sentence by sentence.

use klamm_tests::questions;

use crate::in_process::Klamm;

#[test]
fn impossible_requests_are_answered_as_kafka_answers_them() {
    let klamm = Klamm::start(&[]);
    questions::assert_as_kafka(&questions::ask(&klamm.address().to_string()));
}
