//! What tools ask for: the cluster, configurations, producer ids, deleted records.

use std::collections::HashMap;

use klamm_tests::client::{Client, batch};
use log_engine::batch::Compression;
use wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::{
    ApiVersionsRequest, DeleteRecordsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    FindCoordinatorRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
};
use wire::{ApiKey, ErrorCode};

use crate::in_process::{Klamm, NOW, code, create, until};

const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;

/// Error and new log start.
pub(crate) fn delete_records(client: &mut Client, topic: &str, offset: i64) -> (ErrorCode, i64) {
    let partition = DeleteRecordsPartition { offset, ..Default::default() };
    let topic = DeleteRecordsTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
    client
        .call(&request, 2, |response| {
            let partition = &response.topics[0].partitions[0];
            (code(partition.error_code), partition.low_watermark)
        })
        .expect("an answer")
}

/// Value and source of each key.
fn describe(
    client: &mut Client,
    resource_type: i8,
    name: &str,
) -> Result<HashMap<String, (String, i8)>, ErrorCode> {
    let resource =
        DescribeConfigsResource { resource_type, resource_name: name.into(), ..Default::default() };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    client
        .call(&request, 4, |response| {
            let result = &response.results[0];
            match code(result.error_code) {
                ErrorCode::None => Ok(result
                    .configs
                    .iter()
                    .map(|config| {
                        let value = config.value.as_deref().unwrap_or_default().to_owned();
                        (config.name.to_string(), (value, config.config_source))
                    })
                    .collect()),
                error => Err(error),
            }
        })
        .expect("an answer")
}

pub(crate) fn alter(
    client: &mut Client,
    resource_type: i8,
    name: &str,
    key: &str,
    value: Option<&str>,
) -> ErrorCode {
    let config = AlterableConfig {
        name: key.into(),
        config_operation: i8::from(value.is_none()),
        value: value.map(Into::into),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: name.into(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    client.call(&request, 1, |response| code(response.responses[0].error_code)).expect("an answer")
}

#[test]
fn a_topics_configuration_says_where_each_value_comes_from() {
    let mut klamm = Klamm::start(&["log.retention.hours=2"]);
    let mut client = klamm.client();
    create(&mut client, "t", 1, &[("segment.bytes", "2000000")]);
    let entry = |text: &str, source| (text.to_owned(), source);
    let configs = describe(&mut client, TOPIC, "t").expect("described");
    assert_eq!(configs["segment.bytes"], entry("2000000", 1));
    assert_eq!(configs["retention.ms"], entry("7200000", 4));
    assert_eq!(configs["index.interval.bytes"], entry("4096", 5));
    assert_eq!(alter(&mut client, TOPIC, "t", "retention.ms", Some("5")), ErrorCode::None);
    assert_eq!(alter(&mut client, TOPIC, "t", "segment.bytes", None), ErrorCode::None);
    assert_eq!(alter(&mut client, TOPIC, "t", "retention.ms", Some("soon")), ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut client, TOPIC, "t", "no.such.key", Some("5")), ErrorCode::InvalidConfig);
    assert_eq!(
        alter(&mut client, TOPIC, "other", "retention.ms", Some("5")),
        ErrorCode::UnknownTopicOrPartition
    );
    drop(client);
    klamm.restart();
    let configs = describe(&mut klamm.client(), TOPIC, "t").expect("described");
    assert_eq!(configs["retention.ms"], entry("5", 1));
    assert_eq!(configs["segment.bytes"], entry("1073741824", 5));
    assert_eq!(describe(&mut klamm.client(), TOPIC, "other"), Err(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn a_brokers_configuration_can_be_changed_where_kafka_allows_it() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    assert_eq!(alter(&mut client, BROKER, "1", "log.retention.ms", Some("9")), ErrorCode::None);
    assert_eq!(alter(&mut client, BROKER, "", "log.segment.bytes", Some("3000000")), ErrorCode::None);
    assert_ne!(alter(&mut client, BROKER, "1", "node.id", Some("9")), ErrorCode::None);
    let broker = describe(&mut client, BROKER, "1").expect("described");
    assert_eq!(broker["log.retention.ms"], ("9".to_owned(), 2));
    assert_eq!(broker["log.segment.bytes"], ("3000000".to_owned(), 3));
    let topic = describe(&mut client, TOPIC, "t").expect("described");
    assert_eq!(topic["retention.ms"], ("9".to_owned(), 2));
    assert_eq!(topic["segment.bytes"], ("3000000".to_owned(), 3));
    assert_eq!(describe(&mut client, BROKER, "7"), Err(ErrorCode::InvalidRequest));
}

#[test]
fn a_brokers_keys_take_effect_while_it_runs_and_after_it_came_back() {
    let mut klamm = Klamm::start(&["log.retention.check.interval.ms=1", "log.retention.ms=-1"]);
    let mut client = klamm.with_topic("t", 1);
    let set = |client: &mut Client, key: &str, value: Option<&str>| {
        assert_eq!(alter(client, BROKER, "", key, value), ErrorCode::None, "{key}");
    };
    let store = |client: &mut Client, bytes: usize| {
        let records = batch(Compression::None, NOW, &[&vec![b'x'; bytes]]);
        let answer = client.produce("t", 0, 1, &records, |answer| {
            (code(answer.error_code), answer.log_append_time_ms != -1)
        });
        answer.expect("an answer")
    };
    let segments = |klamm: &Klamm| {
        let files = std::fs::read_dir(klamm.directory().join("data/t-0")).expect("the log's directory");
        files
            .filter(|file| {
                file.as_ref().expect("listed").path().extension().is_some_and(|kind| kind == "log")
            })
            .count()
    };
    assert_eq!(store(&mut client, 600_000), (ErrorCode::None, false));
    set(&mut client, "message.max.bytes", Some("1000"));
    until("the limit", || store(&mut client, 600_000).0 == ErrorCode::MessageTooLarge);
    set(&mut client, "message.max.bytes", None);
    set(&mut client, "log.message.timestamp.type", Some("LogAppendTime"));
    until("the broker's time", || store(&mut client, 1).1);
    set(&mut client, "log.message.timestamp.type", None);
    until("the client's time", || !store(&mut client, 1).1);
    // The broker's time was years behind that of the first record: that alone begins a segment.
    let before = segments(&klamm);
    for _ in 0..4 {
        store(&mut client, 600_000);
    }
    assert_eq!(segments(&klamm), before, "a segment of a gigabyte has room");
    set(&mut client, "log.segment.bytes", Some("1048576"));
    until("another segment", || {
        store(&mut client, 600_000).0 == ErrorCode::None && segments(&klamm) > before
    });
    drop(client);
    klamm.restart();
    let mut client = klamm.client();
    let before = segments(&klamm);
    until("another segment", || {
        store(&mut client, 600_000).0 == ErrorCode::None && segments(&klamm) > before
    });
    // All records are of years ago, but for those of the broker's time.
    set(&mut client, "log.retention.ms", Some("1"));
    until("an empty log", || {
        crate::list_offsets::list(&mut client, -2, 7) == crate::list_offsets::list(&mut client, -1, 7)
    });
}

#[test]
fn the_cluster_is_this_broker_at_the_port_that_it_got() {
    let klamm = Klamm::start(&["broker.rack=here"]);
    let mut client = klamm.client();
    let port = i32::from(klamm.address().port());
    client
        .call(&DescribeClusterRequest { endpoint_type: 1, ..Default::default() }, 1, |response| {
            assert_eq!((response.error_code, response.controller_id, response.brokers.len()), (0, 1, 1));
            let broker = &response.brokers[0];
            assert_eq!((broker.broker_id, &*broker.host, broker.port), (1, "127.0.0.1", port));
            assert_eq!(broker.rack.as_deref(), Some("here"));
        })
        .expect("an answer");
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut klamm = Klamm::start(&[]);
    let request = InitProducerIdRequest {
        transactional_id: None,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut client = klamm.client();
        for _ in 0..1500 {
            ids.push(
                client
                    .call(&request, 4, |response| {
                        assert_eq!(
                            (code(response.error_code), response.producer_epoch),
                            (ErrorCode::None, 0)
                        );
                        response.producer_id
                    })
                    .expect("an answer"),
            );
        }
        drop(client);
        klamm.restart();
    }
    let total = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), total);
}

#[test]
fn the_coordinator_of_a_group_is_this_broker_and_its_topic_is_made_as_kafka_makes_it() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.client();
    let port = i32::from(klamm.address().port());
    for version in 0..=6 {
        let request = match version {
            0..=3 => FindCoordinatorRequest { key: "g".into(), ..Default::default() },
            _ => FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() },
        };
        let answered = client
            .call(&request, version, |response| match response.coordinators.first() {
                Some(coordinator) => (coordinator.error_code, coordinator.node_id, coordinator.port),
                None => (response.error_code, response.node_id, response.port),
            })
            .expect("an answer");
        assert_eq!(answered, (0, 1, port), "version {version}");
    }
    let configs = describe(&mut client, TOPIC, "__consumer_offsets").expect("it is there");
    let own = |key: &str| configs[key].clone();
    assert_eq!(own("cleanup.policy"), ("compact".to_owned(), 1));
    assert_eq!(own("compression.type"), ("producer".to_owned(), 1));
    assert_eq!(own("segment.bytes"), ("104857600".to_owned(), 1));
}

#[test]
fn versions_are_told_to_clients_of_every_age() {
    let klamm = Klamm::start(&[]);
    for version in 0..=4 {
        let request = ApiVersionsRequest {
            client_software_name: if version >= 3 { "tests".into() } else { "".into() },
            client_software_version: if version >= 3 { "1.0".into() } else { "".into() },
            ..Default::default()
        };
        klamm
            .client()
            .call(&request, version, |response| {
                assert_eq!(code(response.error_code), ErrorCode::None);
                let produce = response.api_keys.iter().find(|api| api.api_key == ApiKey::Produce.code());
                assert_eq!(produce.map(|api| (api.min_version, api.max_version)), Some((0, 13)));
                if version >= 3 {
                    assert!(
                        response.finalized_features.iter().any(|feature| feature.name == "metadata.version")
                    );
                }
            })
            .expect("an answer");
    }
    let nameless = ApiVersionsRequest::default();
    let refused = klamm.client().call(&nameless, 3, |response| code(response.error_code)).expect("an answer");
    assert_eq!(refused, ErrorCode::InvalidRequest);
}
