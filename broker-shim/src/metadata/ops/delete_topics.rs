//! DeleteTopics (Kafka's `ReplicationControlManager.deleteTopics`). A topic's partitions and configuration go with its
//! record.

use std::{collections::HashSet, sync::Arc};

use log_engine::types::TopicId;

use super::{Allowance, Decision, Refusal};
use crate::metadata::{
    image::{Image, TopicImage},
    record::MetadataRecord,
};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct DeleteTopics {
    /// The topics.
    pub topics: Vec<TopicSelector>,
}

/// How a request names a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicSelector {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// One answer for each entry, in the order of the request: the topic that is deleted.
pub(in crate::metadata) type Answers = Vec<(TopicSelector, Result<Arc<TopicImage>, Refusal>)>;

pub(in crate::metadata) fn delete_topics(
    image: &Image,
    request: &DeleteTopics,
    allow: &mut Allowance,
) -> Decision<Answers> {
    let mut deleted = HashSet::new();
    let mut records = Vec::new();
    let mut answers = Vec::new();
    for selector in &request.topics {
        let answer = find(image, selector).and_then(|topic| {
            if !deleted.insert(topic.topic_id) {
                let text = match selector {
                    TopicSelector::Name(_) => "Duplicate topic name.",
                    TopicSelector::Id(_) => "Duplicate topic id.",
                };
                return Err(Refusal::InvalidRequest(text.to_owned()));
            }
            allow(topic.partitions.len())?;
            records.push(MetadataRecord::RemoveTopic { topic_id: topic.topic_id });
            Ok(Arc::clone(topic))
        });
        answers.push((selector.clone(), answer));
    }
    Decision::new(records, answers)
}

fn find<'a>(image: &'a Image, selector: &TopicSelector) -> Result<&'a Arc<TopicImage>, Refusal> {
    match selector {
        TopicSelector::Name(name) => image.topic(name).ok_or(Refusal::UnknownTopic),
        TopicSelector::Id(id) => image.topic_by_id(*id).ok_or(Refusal::UnknownTopicId(*id)),
    }
}
