//! CreateTopics (Kafka's `ReplicationControlManager.createTopics`, and the duplicate check of `ControllerApis`).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use log_engine::types::TopicId;

use super::{
    Allowance, CLUSTER_METADATA_TOPIC, Decision, MAX_PARTITIONS_PER_REQUEST, Refusal,
    alter_configs::ConfigRules, check_topic_name, placement::Placement, topic_name::Collisions,
};
use crate::metadata::{
    image::{Image, PartitionImage},
    record::{ConfigResource, MetadataRecord, PartitionRecord},
};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct CreateTopics {
    /// One entry for each topic.
    pub topics: Vec<NewTopic>,
    /// Check, but create nothing.
    pub validate_only: bool,
}

/// A topic that is asked for.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the default, or where they are assigned by hand.
    pub num_partitions: i32,
    /// How many replicas of each; -1 for the default, or where they are assigned by hand.
    pub replication_factor: i16,
    /// For each partition the brokers that hold it; empty to let the controller choose.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Its configuration.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was created, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; of no meaning where only validation was asked for.
    pub topic_id: TopicId,
    /// How many partitions.
    pub num_partitions: i32,
    /// How many replicas of each.
    pub replication_factor: i16,
}

/// What a topic gets that asks for nothing.
#[derive(Clone, Copy, Debug)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
}

/// One answer for each name, in the order of the request.
pub(in crate::metadata) type Answers = Vec<(String, Result<CreatedTopic, Refusal>)>;

pub(in crate::metadata) fn create_topics(
    image: &Image,
    defaults: TopicDefaults,
    rules: &dyn ConfigRules,
    request: &CreateTopics,
    new_id: &mut dyn FnMut() -> TopicId,
    allow: &mut Allowance,
) -> Decision<Answers> {
    let placement = Placement::over(image);
    // As in Kafka, with topics that exist; two names of one request do not collide with each other.
    let collisions = Collisions::of(image, request.topics.iter().map(|topic| topic.name.as_str()));
    let too_many = total_partitions(request, defaults) > MAX_PARTITIONS_PER_REQUEST;
    let repeated = repeated_names(request);
    let mut records = Vec::new();
    let mut answers: Answers = Vec::new();
    for topic in &request.topics {
        if repeated.contains(topic.name.as_str()) && answers.iter().any(|(name, _)| *name == topic.name) {
            continue;
        }
        let answer = (|| {
            if repeated.contains(topic.name.as_str()) {
                return Err(Refusal::InvalidRequest("Duplicate topic name.".to_owned()));
            }
            if too_many {
                let text = "Excessively large number of partitions per request.";
                return Err(Refusal::PolicyViolation(text.to_owned()));
            }
            check_name(image, &collisions, &topic.name)?;
            let configs = config_records(rules, topic)?;
            let partitions = partitions(&placement, defaults, topic)?;
            allow(partitions.len())?;
            let replication_factor = partitions.first().map_or(0, |partition| partition.replicas.len());
            let created = CreatedTopic {
                topic_id: new_id(),
                num_partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
                replication_factor: i16::try_from(replication_factor).unwrap_or(i16::MAX),
            };
            // Configuration stands before the partitions, so that whoever creates logs from them knows it.
            records
                .push(MetadataRecord::Topic { name: topic.name.as_str().into(), topic_id: created.topic_id });
            records.extend(configs);
            records.extend(partitions.into_iter().map(|partition| {
                MetadataRecord::Partition(PartitionRecord { topic_id: created.topic_id, partition })
            }));
            Ok(created)
        })();
        answers.push((topic.name.clone(), answer));
    }
    Decision::new(records, answers).without_records_if(request.validate_only)
}

fn check_name(image: &Image, collisions: &Collisions, name: &str) -> Result<(), Refusal> {
    if name == CLUSTER_METADATA_TOPIC {
        let text = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
        return Err(Refusal::InvalidRequest(text));
    }
    check_topic_name(name)?;
    collisions.check(name)?;
    match image.topic(name) {
        Some(_) => Err(Refusal::TopicExists(name.to_owned())),
        None => Ok(()),
    }
}

/// The keys in alphabetical order, as Kafka writes them.
fn config_records(rules: &dyn ConfigRules, topic: &NewTopic) -> Result<Vec<MetadataRecord>, Refusal> {
    let null: Vec<&str> =
        topic.configs.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.as_str()).collect();
    if !null.is_empty() {
        let text = format!("Null value not supported for topic configs: {}", null.join(", "));
        return Err(Refusal::InvalidConfig(text));
    }
    let values =
        topic.configs.iter().filter_map(|(key, value)| Some((key.as_str().into(), value.as_deref()?.into())));
    let values = values.collect();
    let resource = ConfigResource::topic(topic.name.as_str());
    rules.check(&resource, &values).map_err(Refusal::InvalidConfig)?;
    let record = |(name, value): (Arc<str>, Arc<str>)| MetadataRecord::Config {
        resource: resource.clone(),
        name,
        value: Some(value),
    };
    Ok(values.into_iter().map(record).collect())
}

fn partitions(
    placement: &Placement<'_>,
    defaults: TopicDefaults,
    topic: &NewTopic,
) -> Result<Vec<PartitionImage>, Refusal> {
    if !topic.assignments.is_empty() {
        return assigned_partitions(placement, topic);
    }
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        let text = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(Refusal::InvalidReplicationFactor(text.to_owned()));
    }
    if topic.num_partitions < -1 || topic.num_partitions == 0 {
        let text = "Number of partitions was set to an invalid non-positive value.";
        return Err(Refusal::InvalidPartitions(text.to_owned()));
    }
    let count = if topic.num_partitions == -1 { defaults.num_partitions } else { topic.num_partitions };
    let factor =
        if topic.replication_factor == -1 { defaults.replication_factor } else { topic.replication_factor };
    (0..count).map(|n| placement.partition(n, &placement.place(n, factor)?)).collect()
}

fn assigned_partitions(placement: &Placement<'_>, topic: &NewTopic) -> Result<Vec<PartitionImage>, Refusal> {
    let mistaken = |what: &str| {
        let text = format!("A manual partition assignment was specified, but {what} was not set to -1.");
        Err(Refusal::InvalidRequest(text))
    };
    if topic.replication_factor != -1 {
        return mistaken("replication factor");
    }
    if topic.num_partitions != -1 {
        return mistaken("numPartitions");
    }
    let mut factor = None;
    let mut partitions = BTreeMap::new();
    for (number, replicas) in &topic.assignments {
        if partitions.contains_key(number) {
            let text = format!("Found multiple manual partition assignments for partition {number}");
            return Err(Refusal::InvalidReplicaAssignment(text));
        }
        placement.check_manual(replicas, factor)?;
        factor = Some(replicas.len());
        partitions.insert(*number, placement.partition(*number, replicas)?);
    }
    if partitions.keys().zip(0..).any(|(number, expected)| *number != expected) {
        let text = "partitions should be a consecutive 0-based integer sequence";
        return Err(Refusal::InvalidReplicaAssignment(text.to_owned()));
    }
    Ok(partitions.into_values().collect())
}

fn total_partitions(request: &CreateTopics, defaults: TopicDefaults) -> usize {
    let of = |topic: &NewTopic| match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => usize::try_from(defaults.num_partitions).unwrap_or(0),
        (0, count) => usize::try_from(count).unwrap_or(0),
        (assigned, _) => assigned,
    };
    request.topics.iter().map(of).fold(0, usize::saturating_add)
}

fn repeated_names(request: &CreateTopics) -> HashSet<&str> {
    let mut seen = HashSet::new();
    request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| !seen.insert(*name)).collect()
}
