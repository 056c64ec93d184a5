//! CreatePartitions (Kafka's `ReplicationControlManager.createPartitions`).

use std::collections::HashSet;

use super::{Allowance, Decision, MAX_PARTITIONS_PER_REQUEST, Refusal, placement::Placement};
use crate::metadata::{
    image::{Image, PartitionImage},
    record::{MetadataRecord, PartitionRecord},
};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct CreatePartitions {
    /// One entry for each topic.
    pub topics: Vec<MorePartitions>,
    /// Check, but create nothing.
    pub validate_only: bool,
}

/// A topic that is to have more partitions.
#[derive(Clone, Debug)]
pub struct MorePartitions {
    /// Its name.
    pub name: String,
    /// How many it is to have in all.
    pub count: i32,
    /// For each new partition the brokers that hold it; `None` to let the controller choose.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// One answer for each entry, in the order of the request.
pub(in crate::metadata) type Answers = Vec<(String, Result<(), Refusal>)>;

pub(in crate::metadata) fn create_partitions(
    image: &Image,
    request: &CreatePartitions,
    allow: &mut Allowance,
) -> Decision<Answers> {
    let placement = Placement::over(image);
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    let mut answers = Vec::new();
    for entry in &request.topics {
        let answer = if seen.insert(entry.name.as_str()) {
            new_partitions(image, &placement, entry, MAX_PARTITIONS_PER_REQUEST - records.len())
                .and_then(|created| allow(created.len()).map(|()| records.extend(created)))
        } else {
            Err(Refusal::InvalidRequest("Duplicate topic name.".to_owned()))
        };
        answers.push((entry.name.clone(), answer));
    }
    Decision::new(records, answers).without_records_if(request.validate_only)
}

fn new_partitions(
    image: &Image,
    placement: &Placement<'_>,
    entry: &MorePartitions,
    at_most: usize,
) -> Result<Vec<MetadataRecord>, Refusal> {
    let topic = image.topic(&entry.name).ok_or(Refusal::UnknownTopic)?;
    let before = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    if entry.count < before {
        let (name, count) = (&entry.name, entry.count);
        return Err(Refusal::InvalidPartitions(format!(
            "The topic {name} currently has {before} partition(s); {count} would not be an increase."
        )));
    }
    if entry.count == before {
        return Err(Refusal::InvalidPartitions(format!("Topic already has {before} partition(s).")));
    }
    let additional = usize::try_from(entry.count - before).unwrap_or(usize::MAX);
    if additional > at_most {
        // Kafka answers the same and, its list of records being full, still adds those that fit. Here nothing is added.
        tracing::warn!(topic = %entry.name, additional, at_most, "too many partitions for one request, nothing is added");
        return Err(Refusal::TooManyPartitions);
    }
    let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
    let partitions = match &entry.assignments {
        None => chosen(placement, before..entry.count, factor)?,
        Some(assigned) => by_hand(placement, before, additional, factor, assigned)?,
    };
    let record =
        |partition| MetadataRecord::Partition(PartitionRecord { topic_id: topic.topic_id, partition });
    Ok(partitions.into_iter().map(record).collect())
}

fn chosen(
    placement: &Placement<'_>,
    numbers: std::ops::Range<i32>,
    factor: usize,
) -> Result<Vec<PartitionImage>, Refusal> {
    let factor = i16::try_from(factor).unwrap_or(i16::MAX);
    numbers.map(|n| placement.partition(n, &placement.place(n, factor)?)).collect()
}

fn by_hand(
    placement: &Placement<'_>,
    first: i32,
    additional: usize,
    factor: usize,
    assigned: &[Vec<i32>],
) -> Result<Vec<PartitionImage>, Refusal> {
    if assigned.len() != additional {
        let count = assigned.len();
        return Err(Refusal::InvalidReplicaAssignment(format!(
            "Attempted to add {additional} additional partition(s), but only {count} assignment(s) were specified."
        )));
    }
    (first..)
        .zip(assigned)
        .map(|(number, replicas)| {
            placement.check_manual(replicas, Some(factor))?;
            placement.partition(number, replicas)
        })
        .collect()
}
