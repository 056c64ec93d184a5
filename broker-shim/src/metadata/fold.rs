//! Folding records into an image, with the rules of Kafka's `*Delta.replay` and `PartitionRegistration.merge`.

use std::{collections::BTreeSet, sync::Arc};

use log_engine::types::TopicId;

use super::{
    ids::DirectoryId,
    image::{Image, TopicImage},
    record::{
        BrokerRegistrationChange, ConfigResource, MetadataRecord, PartitionChange, PartitionImage,
        PartitionRecord, QuotaEntity, ResourceKind, ScramCredential,
    },
};

/// A record that cannot follow what came before it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FoldError {
    /// A topic's name is taken by another id.
    #[error("topic {name} is created with id {topic_id}, but the name is taken")]
    TopicExists {
        /// The name.
        name: Arc<str>,
        /// The id in the record.
        topic_id: TopicId,
    },
    /// A record about a topic that does not exist.
    #[error("no topic has the id {topic_id}")]
    UnknownTopic {
        /// The id in the record.
        topic_id: TopicId,
    },
    /// A change of a partition that does not exist.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: Arc<str>,
        /// The number in the record.
        partition: i32,
    },
    /// A change of a broker that is not registered, or not under that epoch.
    #[error("broker {broker_id} is not registered with epoch {broker_epoch}")]
    StaleBroker {
        /// The broker.
        broker_id: i32,
        /// The epoch in the record.
        broker_epoch: i64,
    },
}

/// What some records changed, for those who act on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Topics that were created.
    pub created_topics: Vec<TopicId>,
    /// Topics that were deleted, with the names they had.
    pub deleted_topics: Vec<(TopicId, Arc<str>)>,
    /// Partitions that were created or changed.
    pub partitions: BTreeSet<(TopicId, i32)>,
    /// Resources whose configuration changed.
    pub configs: BTreeSet<ConfigResource>,
    /// Whether any quota of clients changed.
    pub client_quotas: bool,
}

impl Delta {
    /// What came after, in addition.
    pub(super) fn extend(&mut self, later: Self) {
        self.created_topics.extend(later.created_topics);
        self.deleted_topics.extend(later.deleted_topics);
        self.partitions.extend(later.partitions);
        self.configs.extend(later.configs);
        self.client_quotas |= later.client_quotas;
    }
}

impl Image {
    /// Folds one record. On an error the image is as before.
    ///
    /// # Errors
    /// See [`FoldError`]. The records of transactions are not for here: the loader decides what counts.
    pub fn fold(&mut self, record: &MetadataRecord, delta: &mut Delta) -> Result<(), FoldError> {
        match record {
            MetadataRecord::RegisterBroker(broker) => {
                Arc::make_mut(&mut self.brokers).insert(broker.broker_id, broker.clone());
            }
            MetadataRecord::UnregisterBroker { broker_id } => {
                Arc::make_mut(&mut self.brokers).remove(broker_id);
            }
            MetadataRecord::BrokerRegistrationChange(change) => self.fold_registration_change(change)?,
            MetadataRecord::RegisterController(controller) => {
                Arc::make_mut(&mut self.controllers).insert(controller.controller_id, controller.clone());
            }
            MetadataRecord::Topic { name, topic_id } => self.fold_topic(name, *topic_id, delta)?,
            MetadataRecord::RemoveTopic { topic_id } => self.fold_remove_topic(*topic_id, delta)?,
            MetadataRecord::Partition(record) => self.fold_partition(record, delta)?,
            MetadataRecord::PartitionChange(change) => self.fold_partition_change(change, delta)?,
            MetadataRecord::ClearElr { topic_name } => self.fold_clear_elr(topic_name, delta),
            MetadataRecord::Config { resource, name, value } => {
                self.fold_config(resource, name, value.as_ref());
                delta.configs.insert(resource.clone());
            }
            MetadataRecord::FeatureLevel { name, level: 0 } => {
                Arc::make_mut(&mut self.features).remove(name);
            }
            MetadataRecord::FeatureLevel { name, level } => {
                Arc::make_mut(&mut self.features).insert(Arc::clone(name), *level);
            }
            MetadataRecord::ProducerIds { next_producer_id, .. } => self.next_producer_id = *next_producer_id,
            MetadataRecord::ClientQuota { entity, key, value } => {
                self.fold_client_quota(entity, key, *value);
                delta.client_quotas = true;
            }
            MetadataRecord::UserScramCredential { user, mechanism, credential } => {
                self.fold_scram_credential(user, *mechanism, credential.as_ref());
            }
            MetadataRecord::Kept(kept) => {
                let all = Arc::make_mut(&mut self.kept);
                match &kept.value {
                    Some(bytes) => all.insert(kept.key.clone(), Arc::clone(bytes)),
                    None => all.remove(&kept.key),
                };
            }
            MetadataRecord::BeginTransaction { .. }
            | MetadataRecord::EndTransaction
            | MetadataRecord::AbortTransaction { .. }
            | MetadataRecord::NoOp => {}
        }
        Ok(())
    }

    fn fold_registration_change(&mut self, change: &BrokerRegistrationChange) -> Result<(), FoldError> {
        let stale = FoldError::StaleBroker { broker_id: change.broker_id, broker_epoch: change.broker_epoch };
        if self.brokers.get(&change.broker_id).is_none_or(|found| found.broker_epoch != change.broker_epoch) {
            return Err(stale);
        }
        let broker = Arc::make_mut(&mut self.brokers).get_mut(&change.broker_id).ok_or(stale)?;
        broker.fenced = change.fenced.unwrap_or(broker.fenced);
        broker.in_controlled_shutdown |= change.in_controlled_shutdown;
        if let Some(log_dirs) = &change.log_dirs {
            broker.log_dirs.clone_from(log_dirs);
        }
        if let Some(cordoned) = &change.cordoned_log_dirs {
            broker.cordoned_log_dirs = Some(cordoned.clone());
        }
        Ok(())
    }

    fn fold_topic(&mut self, name: &Arc<str>, topic_id: TopicId, delta: &mut Delta) -> Result<(), FoldError> {
        if self.topics.get(&**name).is_some() || self.names.get(&topic_id).is_some() {
            return Err(FoldError::TopicExists { name: Arc::clone(name), topic_id });
        }
        let topic = TopicImage { name: Arc::clone(name), topic_id, partitions: Vec::new() };
        self.names.insert(topic_id, Arc::clone(name));
        self.topics.insert(Arc::clone(name), Arc::new(topic));
        delta.created_topics.push(topic_id);
        Ok(())
    }

    fn fold_remove_topic(&mut self, topic_id: TopicId, delta: &mut Delta) -> Result<(), FoldError> {
        let name = self.names.remove(&topic_id).ok_or(FoldError::UnknownTopic { topic_id })?;
        self.topics.remove(&*name);
        self.configs.remove(&ConfigResource { kind: ResourceKind::TOPIC, name: Arc::clone(&name) });
        delta.deleted_topics.push((topic_id, name));
        Ok(())
    }

    fn fold_partition(&mut self, record: &PartitionRecord, delta: &mut Delta) -> Result<(), FoldError> {
        let topic = self.topic_mut(record.topic_id)?;
        let partition = Arc::new(record.partition.clone());
        match topic.position(partition.partition) {
            Ok(at) => topic.partitions[at] = partition,
            Err(at) => topic.partitions.insert(at, partition),
        }
        delta.partitions.insert((record.topic_id, record.partition.partition));
        Ok(())
    }

    fn fold_partition_change(
        &mut self,
        change: &PartitionChange,
        delta: &mut Delta,
    ) -> Result<(), FoldError> {
        let topic = self.topic_mut(change.topic_id)?;
        let at = topic.position(change.partition).map_err(|_| FoldError::UnknownPartition {
            topic: Arc::clone(&topic.name),
            partition: change.partition,
        })?;
        topic.partitions[at] = Arc::new(topic.partitions[at].merged(change));
        delta.partitions.insert((change.topic_id, change.partition));
        Ok(())
    }

    fn fold_clear_elr(&mut self, topic_name: &str, delta: &mut Delta) {
        let names: Vec<Arc<str>> = match topic_name {
            "" => self.topics.iter().map(|(name, _)| Arc::clone(name)).collect(),
            name => self.topics.get(name).map(|topic| Arc::clone(&topic.name)).into_iter().collect(),
        };
        for name in names {
            let Some(topic) = self.topics.get_mut(&*name) else { continue };
            let has_elr = |p: &Arc<PartitionImage>| {
                !p.eligible_leader_replicas.is_empty() || !p.last_known_elr.is_empty()
            };
            if !topic.partitions.iter().any(has_elr) {
                continue;
            }
            let topic = Arc::make_mut(topic);
            for partition in topic.partitions.iter_mut().filter(|p| has_elr(p)) {
                let partition = Arc::make_mut(partition);
                partition.eligible_leader_replicas = Box::default();
                partition.last_known_elr = Box::default();
                delta.partitions.insert((topic.topic_id, partition.partition));
            }
        }
    }

    fn fold_config(&mut self, resource: &ConfigResource, name: &Arc<str>, value: Option<&Arc<str>>) {
        let mut values = self.configs.remove(resource).unwrap_or_default();
        match value {
            Some(value) => Arc::make_mut(&mut values).insert(Arc::clone(name), Arc::clone(value)),
            None => Arc::make_mut(&mut values).remove(name),
        };
        if !values.is_empty() {
            self.configs.insert(resource.clone(), values);
        }
    }

    /// An entity without any quota is none.
    fn fold_client_quota(&mut self, entity: &QuotaEntity, key: &Arc<str>, value: Option<f64>) {
        let all = Arc::make_mut(&mut self.client_quotas);
        match value {
            Some(value) => {
                all.entry(entity.clone()).or_default().insert(Arc::clone(key), value);
            }
            None => {
                if let Some(values) = all.get_mut(entity) {
                    values.remove(key);
                }
                all.retain(|_, values| !values.is_empty());
            }
        }
    }

    fn fold_scram_credential(
        &mut self,
        user: &Arc<str>,
        mechanism: i8,
        credential: Option<&ScramCredential>,
    ) {
        let all = Arc::make_mut(&mut self.scram_credentials);
        match credential {
            Some(credential) => {
                all.entry(Arc::clone(user)).or_default().insert(mechanism, credential.clone());
            }
            None => {
                if let Some(credentials) = all.get_mut(user) {
                    credentials.remove(&mechanism);
                }
                all.retain(|_, credentials| !credentials.is_empty());
            }
        }
    }

    fn topic_mut(&mut self, topic_id: TopicId) -> Result<&mut TopicImage, FoldError> {
        let name = self.names.get(&topic_id).ok_or(FoldError::UnknownTopic { topic_id })?;
        let topic = self.topics.get_mut(&**name).ok_or(FoldError::UnknownTopic { topic_id })?;
        Ok(Arc::make_mut(topic))
    }
}

impl PartitionImage {
    /// The partition after a change.
    #[must_use]
    pub fn merged(&self, change: &PartitionChange) -> Self {
        let or = |new: &Option<Box<[i32]>>, old: &[i32]| new.clone().unwrap_or_else(|| old.into());
        let replicas = or(&change.replicas, &self.replicas);
        let directories = match &change.directories {
            Some(directories) => directories.clone(),
            None => self.directories_for(&replicas),
        };
        Self {
            partition: self.partition,
            directories,
            replicas,
            isr: or(&change.isr, &self.isr),
            removing_replicas: or(&change.removing_replicas, &self.removing_replicas),
            adding_replicas: or(&change.adding_replicas, &self.adding_replicas),
            eligible_leader_replicas: or(&change.eligible_leader_replicas, &self.eligible_leader_replicas),
            last_known_elr: or(&change.last_known_elr, &self.last_known_elr),
            leader: change.leader.unwrap_or(self.leader),
            leader_recovery_state: change.leader_recovery_state.unwrap_or(self.leader_recovery_state),
            leader_epoch: self.leader_epoch.wrapping_add(i32::from(change.leader.is_some())),
            partition_epoch: self.partition_epoch.wrapping_add(1),
        }
    }

    /// A replica that stays keeps its directory; a new one has none yet.
    fn directories_for(&self, replicas: &[i32]) -> Box<[DirectoryId]> {
        let of = |replica: &i32| {
            let before = self.replicas.iter().position(|known| known == replica);
            before.and_then(|at| self.directories.get(at).copied()).unwrap_or(DirectoryId::UNASSIGNED)
        };
        replicas.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn topic(name: &str, id: u8) -> MetadataRecord {
        MetadataRecord::Topic { name: name.into(), topic_id: TopicId::new([id; 16]) }
    }

    fn partition(topic: u8, number: i32) -> MetadataRecord {
        MetadataRecord::Partition(PartitionRecord {
            topic_id: TopicId::new([topic; 16]),
            partition: PartitionImage {
                partition: number,
                replicas: [1].into(),
                directories: [DirectoryId::new([9; 16])].into(),
                isr: [1].into(),
                removing_replicas: Box::default(),
                adding_replicas: Box::default(),
                eligible_leader_replicas: Box::default(),
                last_known_elr: Box::default(),
                leader: 1,
                leader_recovery_state: 0,
                leader_epoch: 0,
                partition_epoch: 0,
            },
        })
    }

    fn folded(records: &[MetadataRecord]) -> (Image, Delta) {
        let (mut image, mut delta) = (Image::empty("c"), Delta::default());
        for record in records {
            image.fold(record, &mut delta).unwrap();
        }
        (image, delta)
    }

    #[test]
    fn a_topic_is_found_by_name_and_by_id_until_it_is_removed_with_its_configuration() {
        let config = MetadataRecord::Config {
            resource: ConfigResource::topic("t"),
            name: "retention.ms".into(),
            value: Some("5".into()),
        };
        let (mut image, mut delta) = folded(&[topic("t", 1), partition(1, 0), partition(1, 1), config]);
        assert_eq!(image.topic("t").unwrap().partitions.len(), 2);
        assert_eq!(&*image.topic_by_id(TopicId::new([1; 16])).unwrap().name, "t");
        assert_eq!(&*image.topic_config("t").unwrap()["retention.ms"], "5");
        image.fold(&MetadataRecord::RemoveTopic { topic_id: TopicId::new([1; 16]) }, &mut delta).unwrap();
        assert!(image.topic("t").is_none() && image.topic_by_id(TopicId::new([1; 16])).is_none());
        assert!(image.topic_config("t").is_none());
        assert_eq!(delta.deleted_topics, [(TopicId::new([1; 16]), "t".into())]);
    }

    #[test]
    fn partitions_are_kept_in_order_whatever_order_they_come_in() {
        let (image, _) = folded(&[topic("t", 1), partition(1, 2), partition(1, 0), partition(1, 7)]);
        let numbers: Vec<_> = image.topic("t").unwrap().partitions.iter().map(|p| p.partition).collect();
        assert_eq!(numbers, [0, 2, 7]);
        assert!(image.partition("t", 7).is_some() && image.partition("t", 1).is_none());
        assert!(image.partition("t", -1).is_none());
    }

    #[test]
    fn naming_a_leader_raises_the_leader_epoch_and_any_change_the_partition_epoch() {
        let (mut image, mut delta) = folded(&[topic("t", 1), partition(1, 0)]);
        let change = |leader| {
            let change =
                PartitionChange { topic_id: TopicId::new([1; 16]), leader, ..PartitionChange::default() };
            MetadataRecord::PartitionChange(change)
        };
        for (leader, expected) in
            [(None, (1, 0, 1)), (Some(-1), (-1, 1, 2)), (Some(1), (1, 2, 3)), (Some(1), (1, 3, 4))]
        {
            image.fold(&change(leader), &mut delta).unwrap();
            let now = image.partition("t", 0).unwrap();
            assert_eq!((now.leader, now.leader_epoch, now.partition_epoch), expected);
        }
    }

    #[test]
    fn a_record_that_cannot_follow_is_an_error_and_changes_nothing() {
        let (image, delta) = folded(&[topic("t", 1), partition(1, 0)]);
        let unknown =
            PartitionChange { topic_id: TopicId::new([1; 16]), partition: 4, ..PartitionChange::default() };
        let stale =
            BrokerRegistrationChange { broker_id: 1, broker_epoch: 3, ..BrokerRegistrationChange::default() };
        let refused = [
            (topic("t", 2), "topic t is created with id AgICAgICAgICAgICAgICAg, but the name is taken"),
            (partition(2, 0), "no topic has the id AgICAgICAgICAgICAgICAg"),
            (MetadataRecord::PartitionChange(unknown), "topic t has no partition 4"),
            (MetadataRecord::BrokerRegistrationChange(stale), "broker 1 is not registered with epoch 3"),
        ];
        for (record, text) in refused {
            let (mut after, mut delta_after) = (image.clone(), delta.clone());
            assert_eq!(after.fold(&record, &mut delta_after).unwrap_err().to_string(), text);
            assert_eq!((after.topic_count(), delta_after), (1, delta.clone()));
        }
    }

    #[test]
    fn a_replica_that_stays_keeps_its_directory() {
        let (image, _) = folded(&[topic("t", 1), partition(1, 0)]);
        let change = PartitionChange { replicas: Some([2, 1].into()), ..PartitionChange::default() };
        let after = image.partition("t", 0).unwrap().merged(&change);
        assert_eq!(*after.directories, [DirectoryId::UNASSIGNED, DirectoryId::new([9; 16])]);
    }

    #[test]
    fn an_image_that_was_copied_does_not_see_later_records() {
        let (before, _) = folded(&[topic("t", 1), partition(1, 0)]);
        let mut after = before.clone();
        after.fold(&topic("u", 2), &mut Delta::default()).unwrap();
        after.fold(&partition(1, 1), &mut Delta::default()).unwrap();
        assert_eq!((before.topic_count(), before.topic("t").unwrap().partitions.len()), (1, 1));
        assert_eq!((after.topic_count(), after.topic("t").unwrap().partitions.len()), (2, 2));
    }
}
