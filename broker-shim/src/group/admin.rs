//! Looking at groups and deleting them: ListGroups, DescribeGroups, DeleteGroups.

use std::sync::Arc;

use bytes::Bytes;
use wire::ErrorCode;

use super::{
    classic::ClassicGroup,
    records,
    state::{Group, GroupState, unwritable},
};
use crate::coordinator::{Decision, Record};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: Arc<str>,
    pub(crate) protocol_type: Box<str>,
    pub(crate) state: &'static str,
    pub(crate) kind: &'static str,
}

/// Which groups are wanted; empty lists leave nothing out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Lower case.
    pub(crate) states: Vec<String>,
    pub(crate) kinds: Vec<String>,
}

/// A classic group, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) state: &'static str,
    pub(crate) protocol_type: Box<str>,
    /// Empty between generations.
    pub(crate) protocol: Box<str>,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) id: Arc<str>,
    pub(crate) instance: Option<Box<str>>,
    pub(crate) client_id: Box<str>,
    pub(crate) client_host: Box<str>,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// Kafka's name of the type.
const CLASSIC: &str = "classic";

impl GroupState {
    pub(super) fn list(&self, filter: &Filter) -> Vec<Listed> {
        let wanted = |words: &[String], word: &str| words.is_empty() || words.iter().any(|it| it == word);
        let listed = self.groups.iter().map(|(id, Group::Classic(group))| Listed {
            id: Arc::clone(id),
            protocol_type: group.protocol_type().into(),
            state: group.state().name(),
            kind: CLASSIC,
        });
        listed
            .filter(|group| wanted(&filter.states, &group.state.to_ascii_lowercase()))
            .filter(|group| wanted(&filter.kinds, group.kind))
            .collect()
    }

    pub(super) fn describe(&self, group: &str) -> Option<Described> {
        self.classic(group).map(ClassicGroup::describe)
    }

    /// A group without members goes, and its offsets with it.
    pub(super) fn delete(&self, id: &str) -> Result<Decision<Self>, ErrorCode> {
        let group = self.classic(id).ok_or(ErrorCode::GroupIdNotFound)?;
        if !group.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let mut records: Vec<Record> = Vec::new();
        for (topic, partition) in self.offsets.all_of(id) {
            records.push(self.tombstone(id, topic, partition)?);
        }
        records.push(records::group_metadata(id, None).map_err(|error| unwritable(&error))?);
        Ok(Decision::records(records, ()))
    }
}
