//! Elections and reassignments as far as one broker has any: what is asked for is in force already, or cannot be.

use super::{Refusal, placement::Placement};
use crate::metadata::{image::Image, record::NO_LEADER};

/// Which leader is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first of the replicas.
    Preferred,
    /// Any that is up, in sync or not.
    Unclean,
}

/// Why no other leader is elected (Kafka's `ReplicationControlManager.electLeader`). A partition whose directory is back
/// has its leader again before anybody can ask.
pub(crate) fn election(image: &Image, topic: &str, partition: i32, wanted: ElectionType) -> Refusal {
    let Some(found) = image.topic(topic) else {
        return Refusal::UnknownPartition(format!("No such topic as {topic}"));
    };
    let Some(found) = found.partition(partition) else {
        return Refusal::UnknownPartition(format!("No such partition as {topic}-{partition}"));
    };
    match wanted {
        ElectionType::Preferred if found.replicas.first() == Some(&found.leader) => {
            Refusal::ElectionNotNeeded
        }
        ElectionType::Unclean if found.leader != NO_LEADER => Refusal::ElectionNotNeeded,
        ElectionType::Preferred => Refusal::NoPreferredLeader,
        ElectionType::Unclean => Refusal::NoEligibleLeader,
    }
}

/// Whether a partition can be reassigned to these replicas, or its reassignment cancelled where there are none.
///
/// # Errors
/// As Kafka's `ReplicationControlManager.alterPartitionReassignments`.
pub(crate) fn reassignment(
    image: &Image,
    topic: &str,
    partition: i32,
    replicas: Option<&[i32]>,
) -> Result<(), Refusal> {
    let Some(found) = image.topic(topic) else {
        return Err(Refusal::UnknownPartition(format!("Unable to find a topic named {topic}.")));
    };
    if found.partition(partition).is_none() {
        return Err(Refusal::UnknownPartition(format!("Unable to find partition {topic}:{partition}.")));
    }
    let replicas = replicas.ok_or(Refusal::NoReassignment)?;
    Placement::over(image).check_manual(replicas, None)
}
