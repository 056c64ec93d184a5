//! AssignReplicasToDirs: a broker with several data directories tells the controller where it put a replica (KIP-858).

use log_engine::types::TopicId;

use crate::metadata::{
    ids::DirectoryId,
    image::Image,
    record::{MetadataRecord, PartitionChange},
};

/// Where one replica of this broker lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryAssignment {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The data directory.
    pub directory: DirectoryId,
}

/// Records only for what the image does not know yet; what was deleted meanwhile is passed over, and so is everything
/// under a metadata.version that knows no directories.
pub(in crate::metadata) fn assign_directories(
    image: &Image,
    broker_id: i32,
    assignments: &[DirectoryAssignment],
) -> Vec<MetadataRecord> {
    let record = |assignment: &DirectoryAssignment| {
        if !image.metadata_version().has_directories() {
            return None;
        }
        let partition = image.topic_by_id(assignment.topic_id)?.partition(assignment.partition)?;
        let replica = partition.replicas.iter().position(|id| *id == broker_id)?;
        let mut directories = partition.directories.clone();
        let directory = directories.get_mut(replica)?;
        if *directory == assignment.directory {
            return None;
        }
        *directory = assignment.directory;
        Some(MetadataRecord::PartitionChange(PartitionChange {
            topic_id: assignment.topic_id,
            partition: assignment.partition,
            directories: Some(directories),
            ..PartitionChange::default()
        }))
    };
    assignments.iter().filter_map(record).collect()
}
