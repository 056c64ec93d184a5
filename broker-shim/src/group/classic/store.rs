//! A classic group as its record has it, and back.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use wire::records::{GroupMetadataValue, group_metadata_value::MemberMetadata};

use super::{
    ClassicGroup, Effect, State, Turn,
    member::{Described, Member},
};
use crate::{
    coordinator::Record,
    group::records::{self, Unwritable},
};

/// Why there is no record of a group.
pub(super) type Unrecorded = Unwritable;

/// The record of the group as it is, with these assignments.
pub(super) fn record(
    group: &ClassicGroup,
    assignment: impl Fn(&Member) -> Bytes,
) -> Result<Record, Unrecorded> {
    let protocol = group.protocol.as_deref();
    let assignments: Vec<(Bytes, Bytes)> = group
        .members
        .values()
        .map(|member| (member.metadata(protocol.unwrap_or_default()), assignment(member)))
        .collect();
    let members =
        group.members.values().zip(&assignments).map(|(member, (subscription, assignment))| MemberMetadata {
            member_id: (&*member.id).into(),
            group_instance_id: member.instance.as_deref().map(Into::into),
            client_id: (&*member.client_id).into(),
            client_host: (&*member.client_host).into(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: (&subscription[..]).into(),
            assignment: (&assignment[..]).into(),
            ..MemberMetadata::default()
        });
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type().into(),
        generation: group.generation,
        protocol: protocol.map(Into::into),
        leader: group.leader.as_deref().map(Into::into),
        current_state_timestamp: group.since.unwrap_or(-1),
        members: members.collect(),
        ..GroupMetadataValue::default()
    };
    records::group_metadata(&group.id, Some(&value))
}

impl ClassicGroup {
    /// The group whose first member has just been told its id, as Kafka writes it.
    pub(in crate::group) fn first_record(&self) -> Result<Record, Unrecorded> {
        let value = GroupMetadataValue {
            protocol: None,
            leader: None,
            current_state_timestamp: self.since.unwrap_or(-1),
            ..GroupMetadataValue::default()
        };
        records::group_metadata(&self.id, Some(&value))
    }

    /// The group that a record describes.
    pub(in crate::group) fn from_record(id: Arc<str>, value: &GroupMetadataValue<'_>) -> Self {
        let state = if value.members.is_empty() { State::Empty } else { State::Stable };
        let mut group = Self {
            id,
            state,
            since: (value.current_state_timestamp >= 0).then_some(value.current_state_timestamp),
            generation: value.generation,
            protocol_type: Some(&*value.protocol_type).filter(|kind| !kind.is_empty()).map(Into::into),
            protocol: value.protocol.as_deref().map(Into::into),
            leader: value.leader.as_deref().map(Into::into),
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: HashSet::new(),
            unsynced: HashSet::new(),
            initial: None,
            topics: None,
        };
        for member in &value.members {
            let member = restored(member, value);
            group.add(member);
        }
        group.topics = group.subscribed_topics();
        group
    }
}

fn restored(member: &MemberMetadata<'_>, group: &GroupMetadataValue<'_>) -> Member {
    let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let protocol = group.protocol.as_deref().unwrap_or_default();
    Member::new(Described {
        id: member.member_id.as_ref().into(),
        instance: member.group_instance_id.as_deref().map(Into::into),
        client_id: member.client_id.as_ref().into(),
        client_host: member.client_host.as_ref().into(),
        // Old brokers wrote no time of its own for rebalances.
        rebalance_timeout_ms: if member.rebalance_timeout < 0 {
            member.session_timeout
        } else {
            member.rebalance_timeout
        },
        session_timeout_ms: member.session_timeout,
        protocol_type: group.protocol_type.as_ref().into(),
        protocols: vec![(protocol.into(), bytes(&member.subscription))],
        assignment: bytes(&member.assignment),
    })
}

impl Turn<'_> {
    /// The group was read from its partition: its members have a session's time to be heard of.
    pub(in crate::group) fn loaded(&mut self) -> Effect {
        let sessions: Vec<(Arc<str>, i64)> = self
            .group
            .members
            .values()
            .map(|member| (Arc::clone(&member.id), member.session_timeout_ms.into()))
            .collect();
        let members = sessions.len();
        for (member, session_ms) in sessions {
            self.expect_by(&member, session_ms);
        }
        if members > self.config.max_size {
            return self.prepare_rebalance("there are more members than group.max.size allows now");
        }
        Effect::default()
    }
}
