//! What cannot be done is refused as Apache Kafka refuses it: error by error, sentence by sentence.

use broker_shim::config::{Config, Sources};
use klamm_tests::questions::{self, administration, groups, quotas, settings, transactions};

use crate::in_process::Klamm;

#[test]
fn impossible_requests_are_answered_as_kafka_answers_them() {
    let klamm = Klamm::start(&[]);
    questions::assert_as_kafka(&questions::kafkas_answers(), &questions::ask(&klamm.address().to_string()));
}

#[test]
fn transactions_are_run_and_refused_as_kafka_runs_and_refuses_them() {
    let klamm = Klamm::start(&[]);
    let answers = transactions::ask(&klamm.address().to_string());
    questions::assert_as_kafka(&transactions::kafkas_answers(), &answers);
}

#[test]
fn what_an_administrator_asks_of_a_lone_broker_is_answered_as_kafka_answers_it() {
    let klamm = Klamm::start(&[]);
    let answers = administration::ask(&klamm.address().to_string());
    questions::assert_as_kafka(&administration::kafkas_answers(), &answers);
}

#[test]
fn quotas_are_taken_described_and_refused_as_kafka_does_it() {
    let klamm = Klamm::start(&[]);
    let answers = quotas::ask(&klamm.address().to_string());
    questions::assert_as_kafka(&quotas::kafkas_answers(), &answers);
}

#[test]
fn settings_are_taken_and_refused_as_kafka_takes_and_refuses_them() {
    let klamm = Klamm::start(&[]);
    let answers = settings::ask(&klamm.address().to_string());
    questions::assert_as_kafka(&settings::kafkas_answers(), &answers);
}

#[test]
fn groups_are_answered_as_kafka_answers_them() {
    let klamm = Klamm::start(&["group.initial.rebalance.delay.ms=0"]);
    let answers = groups::ask(&klamm.address().to_string());
    questions::assert_as_kafka(&groups::kafkas_answers(), &answers);
}

#[test]
fn a_value_in_server_properties_is_refused_with_kafkas_sentence() {
    let answers: Vec<String> = settings::properties()
        .map(|line| {
            let sources = Sources { overrides: vec![line.clone()], ..Sources::default() };
            let verdict =
                Config::load(&sources).map_or_else(|refusal| refusal.to_string(), |_| "accepted".to_owned());
            format!("{line}: {verdict}")
        })
        .collect();
    questions::assert_as_kafka(&settings::kafkas_start_answers(), &answers);
}
