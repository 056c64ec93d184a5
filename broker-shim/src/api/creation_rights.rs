//! Who may create topics (`ControllerApis.createTopics`, `KafkaApis.handleTopicMetadataRequest`): who may create on the
//! cluster, and who may create this topic; what it is like is told to who may see its configuration.

use std::sync::{Arc, Mutex};

use wire::messages::{
    CreateTopicsRequest, MetadataRequest, create_topics_request::CreatableTopic,
    metadata_request::MetadataRequestTopic,
};

use super::denials::{Client, Question, broker_with};
use super::{Operation, ResourceKind};
use crate::{
    authorizer::{Authorizer, Resource},
    request_context::RequestContext,
};
use Operation::{Create, Describe, DescribeConfigs};
use ResourceKind::{Cluster, Topic};

/// Allows what was put in, of every resource of the kind.
#[derive(Default)]
struct Allowed(Mutex<Vec<Question>>);

impl Authorizer for Arc<Allowed> {
    fn allows(&self, _: &RequestContext, operation: Operation, resource: Resource<'_>) -> bool {
        self.0.lock().expect("no test panics with it").contains(&(operation, resource.kind))
    }
}

/// Error of the topic and of its configuration, text, partitions and number of keys told.
type Created = (i16, i16, Option<String>, i32, usize);

fn create(client: &mut Client, name: &str) -> Created {
    let topic =
        CreatableTopic { name: name.into(), num_partitions: 2, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    client.call(&request, 7, |response| {
        let topic = &response.topics[0];
        let text = topic.error_message.as_deref().map(str::to_owned);
        let configs = topic.configs.as_ref().map_or(0, Vec::len);
        (topic.error_code, topic.topic_config_error_code, text, topic.num_partitions, configs)
    })
}

fn ask_for(client: &mut Client, name: &str) -> i16 {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true, ..Default::default() };
    client.call(&request, 12, |response| response.topics[0].error_code)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_create_on_the_cluster_or_the_topic_creates_it_and_who_may_see_its_configuration_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let allowed = Arc::new(Allowed::default());
    let broker = broker_with(Box::new(Arc::clone(&allowed)), directory.path()).await;
    let address = broker.addresses()[0].1;
    tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(address);
        let allow = |rights: &[Question]| *allowed.0.lock().expect("it is not held") = rights.to_vec();
        let denied = (29, 0, Some("Authorization failed.".to_owned()), -1, 0);

        allow(&[(DescribeConfigs, Topic), (Describe, Topic)]);
        assert_eq!(create(&mut client, "a"), denied);
        assert_eq!(ask_for(&mut client, "a"), 29);

        for (name, right) in [("by-cluster", (Create, Cluster)), ("by-topic", (Create, Topic))] {
            allow(&[right]);
            assert_eq!(create(&mut client, name), (0, 29, None, -1, 0), "{right:?}");
            allow(&[right, (Describe, Topic)]);
            assert_eq!(ask_for(&mut client, &format!("{name}-asked")), 0, "{right:?}");
        }

        allow(&[(Create, Cluster), (DescribeConfigs, Topic)]);
        let (error, configs_error, text, partitions, configs) = create(&mut client, "seen");
        assert_eq!((error, configs_error, text, partitions), (0, 0, None, 2));
        assert!(configs > 10, "{configs} keys are told");
    })
    .await
    .expect("everything is asked");
    broker.shutdown().await.expect("it stops");
}
