//! OffsetFetch: where a group's consumers go on. Up to version 7 one group is asked for, later several at once.

use std::{borrow::Cow, sync::Arc};

use log_engine::types::TopicId;
use wire::{
    ErrorCode,
    messages::{
        OffsetFetchRequest, OffsetFetchResponse,
        offset_fetch_request::OffsetFetchRequestGroup,
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    primitives::Uuid,
};

use super::{topic_id, uuid};
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::{AskedTopic, Committed, FetchRequest, FetchedOffset, FetchedTopic, Stability},
    metadata::Image,
    request_context::RequestContext,
};

/// From this version on several groups are asked for at once.
const FIRST_BATCHED: i16 = 8;
/// From this version on topics are named by id.
const FIRST_WITH_TOPIC_IDS: i16 = 10;
/// From this version on there is an error of the group; before it every partition has it.
const FIRST_WITH_GROUP_ERROR: i16 = 2;

/// Where nothing was committed.
const NO_OFFSET: i64 = -1;
const NO_EPOCH: i32 = -1;

/// What is asked of one group, in any version.
struct Asked<'a> {
    group: &'a str,
    topics: Option<Vec<WantedTopic<'a>>>,
    stability: Stability,
}

struct WantedTopic<'a> {
    name: &'a str,
    id: Uuid,
    partitions: &'a [i32],
}

/// One topic of the answer.
struct Topic {
    name: Arc<str>,
    id: Uuid,
    partitions: Vec<(i32, FetchedOffset)>,
}

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetFetchRequest<'r>,
) -> OffsetFetchResponse<'r> {
    let stability = if request.require_stable { Stability::Required } else { Stability::AsItIs };
    if context.version >= FIRST_BATCHED {
        let groups = request.groups.iter().map(|group| {
            let asked = Asked { group: &group.group_id, topics: batched_topics(group), stability };
            batched_answer(group.group_id.clone(), fetch(broker, context, &asked))
        });
        return OffsetFetchResponse { groups: groups.collect(), ..OffsetFetchResponse::default() };
    }
    let topics = request.topics.as_ref().map(|topics| {
        let asked = topics.iter().map(|topic| WantedTopic {
            name: &topic.name,
            id: Uuid::ZERO,
            partitions: &topic.partition_indexes,
        });
        asked.collect()
    });
    let asked = Asked { group: &request.group_id, topics, stability };
    let fetched = fetch(broker, context, &asked);
    single_answer(context.version, &asked, fetched)
}

fn batched_topics<'a>(group: &'a OffsetFetchRequestGroup<'_>) -> Option<Vec<WantedTopic<'a>>> {
    let topics = group.topics.as_ref()?.iter();
    Some(
        topics
            .map(|topic| WantedTopic {
                name: &topic.name,
                id: topic.topic_id,
                partitions: &topic.partition_indexes,
            })
            .collect(),
    )
}

fn fetch(broker: &Broker, context: &RequestContext, asked: &Asked<'_>) -> Result<Vec<Topic>, ErrorCode> {
    if !broker.allows(context, Operation::Describe, Resource::group(asked.group)) {
        return Err(ErrorCode::GroupAuthorizationFailed);
    }
    let image = broker.image();
    let request = |topics| FetchRequest { group: asked.group, topics, stability: asked.stability };
    let Some(topics) = &asked.topics else {
        let all = broker.groups.fetch(&request(None))?;
        return Ok(all.into_iter().filter_map(|topic| seen(broker, context, &image, topic)).collect());
    };
    let checked: Vec<_> = topics.iter().map(|topic| check(broker, context, &image, topic)).collect();
    let allowed = checked.iter().zip(topics).filter_map(|(name, topic)| {
        let name = Arc::clone(name.as_ref().ok()?);
        Some(AskedTopic { name, id: topic.id, partitions: topic.partitions })
    });
    let mut fetched = broker.groups.fetch(&request(Some(allowed.collect())))?.into_iter();
    let answer = |(checked, topic): (Result<Arc<str>, ErrorCode>, &WantedTopic<'_>)| {
        let partitions = match checked {
            Ok(_) => fetched.next().map(|topic| topic.partitions).unwrap_or_default(),
            Err(code) => topic.partitions.iter().map(|number| (*number, Err(code))).collect(),
        };
        Topic { name: topic.name.into(), id: topic.id, partitions }
    };
    Ok(checked.into_iter().zip(topics).map(answer).collect())
}

/// A topic of those that a group has offsets of, if the client may see it; by id, if it still exists.
fn seen(broker: &Broker, context: &RequestContext, image: &Image, topic: FetchedTopic) -> Option<Topic> {
    if !broker.allows(context, Operation::Describe, Resource::topic(&topic.name)) {
        return None;
    }
    let FetchedTopic { name, partitions } = topic;
    let id = image.topic(&name).map(|topic| topic.topic_id);
    if context.version >= FIRST_WITH_TOPIC_IDS && id.is_none() {
        return None;
    }
    Some(Topic { name, id: id.map_or(Uuid::ZERO, uuid), partitions })
}

/// The name of a topic that is asked for.
fn check(
    broker: &Broker,
    context: &RequestContext,
    image: &Image,
    topic: &WantedTopic<'_>,
) -> Result<Arc<str>, ErrorCode> {
    let name: Arc<str> = if context.version >= FIRST_WITH_TOPIC_IDS {
        let id: TopicId = topic_id(topic.id);
        Arc::clone(&image.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId)?.name)
    } else {
        topic.name.into()
    };
    if broker.allows(context, Operation::Describe, Resource::topic(&name)) {
        Ok(name)
    } else {
        Err(ErrorCode::TopicAuthorizationFailed)
    }
}

/// Offset, leader epoch, metadata and error, as they stand in an answer.
fn parts<'r>(fetched: FetchedOffset) -> (i64, i32, Option<Cow<'r, str>>, i16) {
    match fetched {
        Ok(Some(Committed { offset, leader_epoch, metadata, .. })) => {
            (offset, leader_epoch, Some(String::from(metadata).into()), ErrorCode::None.code())
        }
        Ok(None) => (NO_OFFSET, NO_EPOCH, Some("".into()), ErrorCode::None.code()),
        Err(code) => (NO_OFFSET, NO_EPOCH, Some("".into()), code.code()),
    }
}

fn batched_answer<'r>(
    group_id: Cow<'r, str>,
    fetched: Result<Vec<Topic>, ErrorCode>,
) -> OffsetFetchResponseGroup<'r> {
    let topics = match fetched {
        Ok(topics) => topics,
        Err(code) => {
            let error_code = code.code();
            return OffsetFetchResponseGroup { group_id, error_code, ..OffsetFetchResponseGroup::default() };
        }
    };
    let partition = |(partition_index, fetched)| {
        let (committed_offset, committed_leader_epoch, metadata, error_code) = parts(fetched);
        OffsetFetchResponsePartitions {
            partition_index,
            committed_offset,
            committed_leader_epoch,
            metadata,
            error_code,
            ..OffsetFetchResponsePartitions::default()
        }
    };
    let topic = |topic: Topic| OffsetFetchResponseTopics {
        name: topic.name.to_string().into(),
        topic_id: topic.id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..OffsetFetchResponseTopics::default()
    };
    let topics = topics.into_iter().map(topic).collect();
    OffsetFetchResponseGroup { group_id, topics, ..OffsetFetchResponseGroup::default() }
}

fn single_answer<'r>(
    version: i16,
    asked: &Asked<'_>,
    fetched: Result<Vec<Topic>, ErrorCode>,
) -> OffsetFetchResponse<'r> {
    let (topics, error_code) = match fetched {
        Ok(topics) => (topics, ErrorCode::None),
        Err(code) if version >= FIRST_WITH_GROUP_ERROR => (Vec::new(), code),
        Err(code) => (all_failed(asked, code), code),
    };
    let partition = |(partition_index, fetched)| {
        let (committed_offset, committed_leader_epoch, metadata, error_code) = parts(fetched);
        OffsetFetchResponsePartition {
            partition_index,
            committed_offset,
            committed_leader_epoch,
            metadata,
            error_code,
            ..OffsetFetchResponsePartition::default()
        }
    };
    let topic = |topic: Topic| OffsetFetchResponseTopic {
        name: topic.name.to_string().into(),
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..OffsetFetchResponseTopic::default()
    };
    OffsetFetchResponse {
        topics: topics.into_iter().map(topic).collect(),
        error_code: error_code.code(),
        ..OffsetFetchResponse::default()
    }
}

fn all_failed(asked: &Asked<'_>, code: ErrorCode) -> Vec<Topic> {
    let failed = |topic: &WantedTopic<'_>| Topic {
        name: topic.name.into(),
        id: topic.id,
        partitions: topic.partitions.iter().map(|number| (*number, Err(code))).collect(),
    };
    asked.topics.iter().flatten().map(failed).collect()
}
