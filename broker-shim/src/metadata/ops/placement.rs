//! Which brokers hold a new partition.

use super::Refusal;
use crate::metadata::{
    ids::DirectoryId,
    image::{BrokerImage, Image, PartitionImage},
};

/// Spreads partitions over the brokers that are up, each beginning one broker later than the one before.
/// Racks are not considered.
pub(super) struct Placement<'a> {
    image: &'a Image,
    usable: Vec<i32>,
}

impl<'a> Placement<'a> {
    /// Over the brokers of an image.
    pub(super) fn over(image: &'a Image) -> Self {
        let usable =
            image.brokers().filter(|broker| is_active(broker)).map(|broker| broker.broker_id).collect();
        Self { image, usable }
    }

    /// The replicas of partition `partition`.
    pub(super) fn place(&self, partition: i32, replication_factor: i16) -> Result<Vec<i32>, Refusal> {
        let wanted = usize::try_from(replication_factor).unwrap_or(0);
        let registered = self.image.brokers().count();
        let unable = |why: String| {
            let text = format!("Unable to replicate the partition {replication_factor} time(s): {why}");
            Err(Refusal::InvalidReplicationFactor(text))
        };
        if wanted > registered {
            return unable(format!(
                "The target replication factor of {replication_factor} cannot be reached because only {registered} \
                 broker(s) are registered or some brokers have all their log directories cordoned."
            ));
        }
        if self.usable.is_empty() {
            return unable(
                "All brokers are currently fenced or have all their log directories cordoned.".to_owned(),
            );
        }
        let first = usize::try_from(partition).unwrap_or(0);
        let down = self.image.brokers().map(|broker| broker.broker_id).filter(|id| !self.usable.contains(id));
        let up = (0..self.usable.len()).map(|n| self.usable[(first + n) % self.usable.len()]);
        Ok(up.chain(down).take(wanted).collect())
    }

    /// Checks replicas that the request names itself.
    pub(super) fn check_manual(&self, replicas: &[i32], expected: Option<usize>) -> Result<(), Refusal> {
        let refuse = |why: String| Err(Refusal::InvalidReplicaAssignment(why));
        if replicas.is_empty() {
            return refuse("The manual partition assignment includes an empty replica list.".to_owned());
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        for (at, id) in sorted.iter().enumerate() {
            if self.image.broker(*id).is_none() {
                return refuse(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                ));
            }
            if at > 0 && sorted[at - 1] == *id {
                return refuse(format!(
                    "The manual partition assignment includes the broker {id} more than once."
                ));
            }
        }
        match expected {
            Some(factor) if factor != replicas.len() => refuse(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
                 with previous partitions, which have {factor} replica(s).",
                replicas.len()
            )),
            _ => Ok(()),
        }
    }

    /// A new partition on these replicas: those that are up are in sync, the first of them leads.
    pub(super) fn partition(&self, partition: i32, replicas: &[i32]) -> Result<PartitionImage, Refusal> {
        let isr: Box<[i32]> = replicas.iter().copied().filter(|id| self.usable.contains(id)).collect();
        let Some(leader) = isr.first().copied() else {
            return Err(Refusal::InvalidReplicaAssignment(format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                 controlled shutdown."
            )));
        };
        Ok(PartitionImage {
            partition,
            replicas: replicas.into(),
            directories: replicas.iter().map(|id| self.directory_on(*id)).collect(),
            isr,
            removing_replicas: Box::default(),
            adding_replicas: Box::default(),
            eligible_leader_replicas: Box::default(),
            last_known_elr: Box::default(),
            leader,
            leader_recovery_state: 0,
            leader_epoch: 0,
            partition_epoch: 0,
        })
    }

    /// A broker with one data directory has no choice; one with several tells the controller which it chose.
    fn directory_on(&self, broker: i32) -> DirectoryId {
        match self.image.broker(broker).map(|broker| &*broker.log_dirs) {
            Some([only]) => *only,
            _ => DirectoryId::UNASSIGNED,
        }
    }
}

fn is_active(broker: &BrokerImage) -> bool {
    !broker.fenced && !broker.in_controlled_shutdown
}
