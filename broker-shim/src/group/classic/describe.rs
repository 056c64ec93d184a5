//! A classic group as administrators see it.

use std::sync::Arc;

use bytes::Bytes;

use super::{ClassicGroup, Member, State};
use crate::group::admin::{Described, DescribedMember};

impl ClassicGroup {
    /// What members told and were told is shown in a stable group only, as in Kafka.
    pub(in crate::group) fn describe(&self) -> Described {
        let protocol = self.protocol.as_deref().filter(|_| self.state == State::Stable);
        Described {
            state: self.state.name(),
            protocol_type: self.protocol_type().into(),
            protocol: protocol.unwrap_or_default().into(),
            members: self.members.values().map(|member| describe(member, protocol)).collect(),
        }
    }
}

fn describe(member: &Member, protocol: Option<&str>) -> DescribedMember {
    DescribedMember {
        id: Arc::clone(&member.id),
        instance: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default(),
        assignment: protocol.map_or_else(Bytes::new, |_| member.assignment.clone()),
    }
}
