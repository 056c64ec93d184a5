//! Quotas of clients: what can be set for whom, what is said of the rest, and what a description shows.
//!
//! The answers of Apache Kafka are kept in `tests/it/quotas.txt`, as those of the module above. Entries, their parts and
//! their values are sorted before they are compared: Kafka's order is that of Java's hash maps.

use std::path::PathBuf;

use wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::describe_client_quotas_request::ComponentData;
use wire::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use crate::binaries::workspace;
use crate::client::Client;

/// Where the answers of Apache Kafka are kept.
pub fn kafkas_answers() -> PathBuf {
    workspace().join("tests/it/quotas.txt")
}

/// Asks everything. One line for each question, always in the same order. The broker has no quota before.
pub fn ask(bootstrap: &str) -> Vec<String> {
    let client = Client::connect(bootstrap).expect("the broker accepts a connection");
    let mut asked = Asked { bootstrap: bootstrap.to_owned(), client, answers: Vec::new(), marks: 0 };
    asked.set_for_everyone();
    asked.describe();
    asked.set_what_cannot_be();
    asked.set_twice();
    asked.only_validate();
    asked.describe_wrongly();
    asked.remove();
    asked.mutate_under_quota();
    asked.answers
}

/// Who a quota is for: types, and names where they are not the default.
type Entity<'a> = &'a [(&'a str, Option<&'a str>)];

/// A key, and its value where it is not removed.
type Op<'a> = (&'a str, Option<f64>);

const DEFAULT: Option<&str> = None;

/// Combinations of whom a quota may be for, in all forms that Kafka knows.
const ENTITIES: &[Entity<'_>] = &[
    &[("user", Some("alice"))],
    &[("user", DEFAULT)],
    &[("client-id", Some("app"))],
    &[("client-id", DEFAULT)],
    &[("user", Some("alice")), ("client-id", Some("app"))],
    &[("user", Some("alice")), ("client-id", DEFAULT)],
    &[("user", DEFAULT), ("client-id", Some("app"))],
    &[("user", DEFAULT), ("client-id", DEFAULT)],
];

const OF_IPS: &[Entity<'_>] = &[&[("ip", Some("10.1.2.3"))], &[("ip", DEFAULT)]];

struct Asked {
    bootstrap: String,
    client: Client,
    answers: Vec<String>,
    marks: u32,
}

fn entry<'a>(entity: Entity<'a>, ops: &[Op<'a>]) -> EntryData<'a> {
    let part = |(kind, name): &(&'a str, Option<&'a str>)| EntityData {
        entity_type: (*kind).into(),
        entity_name: name.map(Into::into),
        ..Default::default()
    };
    let op = |(key, value): &Op<'a>| OpData {
        key: (*key).into(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
        ..Default::default()
    };
    EntryData {
        entity: entity.iter().map(part).collect(),
        ops: ops.iter().map(op).collect(),
        ..Default::default()
    }
}

impl Asked {
    fn alter(&mut self, entries: Vec<EntryData<'_>>, validate_only: bool, version: i16) -> String {
        let request = AlterClientQuotasRequest { entries, validate_only, ..Default::default() };
        self.client.call(&request, version, altered).expect("an answer")
    }

    fn ask_to_alter(&mut self, entries: Vec<EntryData<'_>>, version: i16) {
        let question: Vec<String> = entries.iter().map(entry_text).collect();
        let answer = self.alter(entries, false, version);
        self.answers.push(format!("alter {}, v{version}: {answer}", question.join(" and ")));
    }

    /// Until the broker shows what was altered last: it hears of it from the controller.
    fn wait_for_the_image(&mut self) {
        self.marks += 1;
        let value = f64::from(self.marks);
        let entity: Entity<'_> = &[("user", Some("marker"))];
        self.alter(vec![entry(entity, &[("producer_byte_rate", Some(value))])], false, 1);
        let seen = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let request = describe_request(&[("user", 0, Some("marker"))], true);
            let found = self.client.call(&request, 1, |response| {
                let values = response.entries.iter().flatten().flat_map(|entry| &entry.values);
                values.map(|value| value.value).next_back()
            });
            found.expect("an answer") == Some(value)
        });
        assert!(seen, "the broker hears of quotas");
    }

    fn ask_to_describe(&mut self, components: &[(&str, i8, Option<&str>)], strict: bool, version: i16) {
        let request = describe_request(components, strict);
        let answer = self.client.call(&request, version, described).expect("an answer");
        self.answers.push(format!("describe {components:?} strictly {strict}, v{version}: {answer}"));
    }

    fn set_for_everyone(&mut self) {
        for version in 0..=1 {
            for (number, entity) in ENTITIES.iter().enumerate() {
                let rate = 1_000_000.0 + number as f64;
                let ops = [
                    ("producer_byte_rate", Some(rate)),
                    ("consumer_byte_rate", Some(rate * 2.0)),
                    ("request_percentage", Some(200.5)),
                    ("controller_mutation_rate", Some(1000.25)),
                ];
                self.ask_to_alter(vec![entry(entity, &ops)], version);
            }
            for entity in OF_IPS {
                self.ask_to_alter(vec![entry(entity, &[("connection_creation_rate", Some(500.0))])], version);
            }
        }
    }

    fn describe(&mut self) {
        self.wait_for_the_image();
        let filters: &[&[(&str, i8, Option<&str>)]] = &[
            &[],
            &[("user", 0, Some("alice"))],
            &[("user", 0, Some("nobody"))],
            &[("user", 1, None)],
            &[("user", 2, None)],
            &[("client-id", 0, Some("app"))],
            &[("client-id", 1, None)],
            &[("client-id", 2, None)],
            &[("user", 2, None), ("client-id", 2, None)],
            &[("user", 0, Some("alice")), ("client-id", 1, None)],
            &[("user", 1, None), ("client-id", 0, Some("app"))],
            &[("ip", 2, None)],
            &[("ip", 1, None)],
            &[("ip", 0, Some("10.1.2.3"))],
            &[("ip", 0, Some("10.1.2.4"))],
        ];
        for version in 0..=1 {
            for filter in filters {
                for strict in [false, true] {
                    self.ask_to_describe(filter, strict, version);
                }
            }
        }
    }

    fn set_what_cannot_be(&mut self) {
        let user: Entity<'_> = &[("user", Some("bob"))];
        let ip: Entity<'_> = &[("ip", Some("10.1.2.3"))];
        let rate = |key| (key, Some(100.0));
        let cases: &[(Entity<'_>, &[Op<'_>])] = &[
            (&[], &[rate("producer_byte_rate")]),
            (&[("user", Some(""))], &[rate("producer_byte_rate")]),
            (&[("client-id", Some(""))], &[rate("producer_byte_rate")]),
            (&[("ip", Some(""))], &[rate("connection_creation_rate")]),
            (&[("group", Some("g"))], &[rate("producer_byte_rate")]),
            (&[("", Some("g"))], &[rate("producer_byte_rate")]),
            (&[("user", Some("a")), ("group", Some("g"))], &[rate("producer_byte_rate")]),
            (&[("user", Some("a")), ("user", Some("b"))], &[rate("no_such_key")]),
            (&[("user", Some("a")), ("ip", Some("10.0.0.1"))], &[rate("producer_byte_rate")]),
            (&[("client-id", None), ("ip", None)], &[rate("connection_creation_rate")]),
            (&[("ip", Some("no address"))], &[rate("connection_creation_rate")]),
            (&[("ip", Some("1.2.3.4.5"))], &[rate("connection_creation_rate")]),
            (&[("ip", Some("::1"))], &[rate("connection_creation_rate")]),
            (ip, &[rate("producer_byte_rate")]),
            (ip, &[("connection_creation_rate", Some(0.0))]),
            (ip, &[("connection_creation_rate", Some(1.5))]),
            (ip, &[("connection_creation_rate", Some(2_147_483_648.0))]),
            (user, &[rate("connection_creation_rate")]),
            (user, &[rate("no_such_key")]),
            (user, &[rate("")]),
            (user, &[("producer_byte_rate", Some(0.0))]),
            (user, &[("producer_byte_rate", Some(-1.0))]),
            (user, &[("producer_byte_rate", Some(f64::NAN))]),
            (user, &[("producer_byte_rate", Some(f64::INFINITY))]),
            (user, &[("producer_byte_rate", Some(1e19))]),
            (user, &[("producer_byte_rate", Some(9.3e18))]),
            (user, &[("producer_byte_rate", Some(1.5))]),
            (user, &[("producer_byte_rate", Some(1.000_000_1))]),
            (user, &[("consumer_byte_rate", Some(0.25))]),
            (user, &[("request_percentage", Some(0.0))]),
            (user, &[("request_percentage", Some(0.01))]),
            (user, &[("request_percentage", Some(f64::INFINITY))]),
            (user, &[("controller_mutation_rate", Some(-3.0))]),
            (user, &[("controller_mutation_rate", Some(0.5))]),
            (user, &[("SCRAM-SHA-256", Some(1.0))]),
            (user, &[rate("producer_byte_rate"), ("consumer_byte_rate", Some(-1.0))]),
            (user, &[("no_such_key", None)]),
            (user, &[]),
            (user, &[("controller_mutation_rate", None), ("request_percentage", None)]),
        ];
        for (entity, ops) in cases {
            self.ask_to_alter(vec![entry(entity, ops)], 1);
        }
        self.wait_for_the_image();
        self.ask_to_describe(&[("user", 0, Some("bob"))], false, 1);
        self.ask_to_alter(
            vec![entry(user, &[("producer_byte_rate", None), ("request_percentage", None)])],
            1,
        );
    }

    fn set_twice(&mut self) {
        let carol: Entity<'_> = &[("user", Some("carol"))];
        let dave: Entity<'_> = &[("user", Some("dave"))];
        let key = "producer_byte_rate";
        self.ask_to_alter(vec![entry(carol, &[(key, Some(1.0)), (key, Some(2.0))])], 1);
        self.ask_to_alter(vec![entry(dave, &[(key, Some(3.0))]), entry(dave, &[(key, Some(4.0))])], 1);
        let default: Entity<'_> = &[("user", None), ("client-id", Some("twice"))];
        self.ask_to_alter(vec![entry(default, &[(key, Some(3.0))]), entry(default, &[(key, Some(4.0))])], 1);
        self.ask_to_alter(vec![entry(carol, &[(key, Some(5.0))]), entry(dave, &[(key, Some(-5.0))])], 1);
        self.ask_to_alter(vec![], 1);
        self.wait_for_the_image();
        self.ask_to_describe(&[("user", 2, None)], true, 1);
        self.ask_to_describe(&[("client-id", 0, Some("twice"))], false, 1);
    }

    fn only_validate(&mut self) {
        let erin: Entity<'_> = &[("user", Some("erin"))];
        for value in [7.0, -7.0] {
            let entries = vec![entry(erin, &[("producer_byte_rate", Some(value))])];
            let answer = self.alter(entries, true, 1);
            self.answers.push(format!("would {value} do: {answer}"));
        }
        self.wait_for_the_image();
        self.ask_to_describe(&[("user", 0, Some("erin"))], true, 1);
    }

    fn describe_wrongly(&mut self) {
        let filters: &[&[(&str, i8, Option<&str>)]] = &[
            &[("", 0, Some("a"))],
            &[("group", 0, Some("a"))],
            &[("User", 2, None)],
            &[("user", 0, None)],
            &[("user", 1, Some("a"))],
            &[("user", 2, Some("a"))],
            &[("user", 3, None)],
            &[("user", -1, None)],
            &[("user", 2, None), ("user", 1, None)],
            &[("user", 0, Some("a")), ("user", 0, Some("a"))],
            &[("user", 2, None), ("ip", 2, None)],
            &[("client-id", 0, Some("a")), ("ip", 0, Some("10.0.0.1"))],
        ];
        for filter in filters {
            self.ask_to_describe(filter, false, 1);
        }
    }

    fn remove(&mut self) {
        let all =
            ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
        for entity in ENTITIES {
            let ops: Vec<Op<'_>> = all.iter().map(|key| (*key, None)).collect();
            self.ask_to_alter(vec![entry(entity, &ops)], 1);
        }
        for entity in OF_IPS {
            self.ask_to_alter(vec![entry(entity, &[("connection_creation_rate", None)])], 1);
        }
        self.wait_for_the_image();
        self.ask_to_describe(&[], false, 1);
    }

    /// A quota of one change in a long time is used up by the first request, which may still be as large as it likes.
    fn mutate_under_quota(&mut self) {
        let everyone: Entity<'_> = &[("user", None)];
        self.alter(vec![entry(everyone, &[("controller_mutation_rate", Some(0.01))])], false, 1);
        self.wait_for_the_image();
        let strict = self.create("quotas-1", 4, false, 7);
        self.answers.push(format!("create under a quota, v7: {strict}"));
        for (version, validate_only) in [(7, false), (7, true), (6, false), (5, false)] {
            let answer = self.create(&format!("quotas-of-{version}"), 2, validate_only, version);
            let question = format!("create over a quota, only validated {validate_only}, v{version}");
            self.answers.push(format!("{question}: {answer}"));
        }
        for version in [3, 2] {
            let topic = CreatePartitionsTopic {
                name: "quotas-1".into(),
                count: 9,
                assignments: None,
                ..Default::default()
            };
            let request =
                CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
            let answer = self.another_client().call(&request, version, |response| {
                let results = response
                    .results
                    .iter()
                    .map(|result| (result.error_code, result.error_message.as_deref()));
                throttled(response.throttle_time_ms, results)
            });
            self.answers.push(format!("add over a quota, v{version}: {}", answer.expect("an answer")));
        }
        for version in [6, 5, 4] {
            let name = "quotas-1";
            let topic = DeleteTopicState { name: Some(name.into()), ..Default::default() };
            let (topics, topic_names) =
                if version >= 6 { (vec![topic], Vec::new()) } else { (Vec::new(), vec![name.into()]) };
            let request =
                DeleteTopicsRequest { topics, topic_names, timeout_ms: 10_000, ..Default::default() };
            let answer = self.another_client().call(&request, version, |response| {
                let results = response
                    .responses
                    .iter()
                    .map(|result| (result.error_code, result.error_message.as_deref()));
                throttled(response.throttle_time_ms, results)
            });
            self.answers.push(format!("delete over a quota, v{version}: {}", answer.expect("an answer")));
        }
        self.alter(vec![entry(everyone, &[("controller_mutation_rate", None)])], false, 1);
    }

    /// A connection that was throttled is not heard for as long as it was told to wait.
    fn another_client(&self) -> Client {
        Client::connect(&self.bootstrap).expect("the broker accepts a connection")
    }

    fn create(&self, name: &str, num_partitions: i32, validate_only: bool, version: i16) -> String {
        let topic =
            CreatableTopic { name: name.into(), num_partitions, replication_factor: 1, ..Default::default() };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            validate_only,
            ..Default::default()
        };
        let answer = self.another_client().call(&request, version, |response| {
            let results =
                response.topics.iter().map(|topic| (topic.error_code, topic.error_message.as_deref()));
            throttled(response.throttle_time_ms, results)
        });
        answer.expect("an answer")
    }
}

/// What became of each topic, and whether the client is to wait.
fn throttled<'a>(throttle_time_ms: i32, results: impl Iterator<Item = (i16, Option<&'a str>)>) -> String {
    let results: Vec<_> = results.collect();
    format!("throttled {} {results:?}", throttle_time_ms > 0)
}

fn describe_request<'a>(
    components: &[(&'a str, i8, Option<&'a str>)],
    strict: bool,
) -> DescribeClientQuotasRequest<'a> {
    let component = |(kind, match_type, name): &(&'a str, i8, Option<&'a str>)| ComponentData {
        entity_type: (*kind).into(),
        match_type: *match_type,
        r#match: name.map(Into::into),
        ..Default::default()
    };
    DescribeClientQuotasRequest {
        components: components.iter().map(component).collect(),
        strict,
        ..Default::default()
    }
}

fn entry_text(entry: &EntryData<'_>) -> String {
    let entity: Vec<_> =
        entry.entity.iter().map(|part| (part.entity_type.as_ref(), part.entity_name.as_deref())).collect();
    let ops: Vec<_> =
        entry.ops.iter().map(|op| (op.key.as_ref(), (!op.remove).then_some(op.value))).collect();
    format!("{entity:?} {ops:?}")
}

fn altered(response: AlterClientQuotasResponse<'_>) -> String {
    let mut entries: Vec<String> = response
        .entries
        .iter()
        .map(|entry| {
            let mut entity: Vec<_> = entry
                .entity
                .iter()
                .map(|part| (part.entity_type.as_ref(), part.entity_name.as_deref()))
                .collect();
            entity.sort_unstable();
            format!("{entity:?} error {} {:?}", entry.error_code, entry.error_message)
        })
        .collect();
    entries.sort_unstable();
    format!("throttle {} {entries:?}", response.throttle_time_ms)
}

/// Without what marks how far the broker has heard.
fn described(response: DescribeClientQuotasResponse<'_>) -> String {
    let entries = response.entries.map(|entries| {
        let mut entries: Vec<String> = entries
            .iter()
            .map(|entry| {
                let mut entity: Vec<_> = entry
                    .entity
                    .iter()
                    .map(|part| (part.entity_type.as_ref(), part.entity_name.as_deref()))
                    .collect();
                entity.sort_unstable();
                let mut values: Vec<_> =
                    entry.values.iter().map(|value| format!("{}={}", value.key, value.value)).collect();
                values.sort_unstable();
                format!("{entity:?} {values:?}")
            })
            .filter(|entry| !entry.contains("\"marker\""))
            .collect();
        entries.sort_unstable();
        entries
    });
    format!(
        "throttle {} error {} {:?} {entries:?}",
        response.throttle_time_ms, response.error_code, response.error_message
    )
}
