//! Which protocol a group follows: one that all members support, by vote. And what is read off it.

use std::collections::{BTreeMap, HashSet};

use wire::{primitives::Reader, records::ConsumerProtocolSubscription};

use super::{ClassicGroup, member::Protocol};
use crate::coordinator::java_hash;

impl ClassicGroup {
    /// Whether a member with these protocols may join.
    pub(super) fn accepts(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let by_all = |name: &str| self.members.values().all(|member| member.supports(name));
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(|(name, _)| by_all(name))
    }

    /// The protocol that most members like best of those that all support. Of several with as many votes Java's `HashMap`
    /// shows one first, and so it does here.
    pub(super) fn elected_protocol(&self) -> Option<Box<str>> {
        let first = self.members.values().next()?;
        let names = first.protocols.iter().map(|(name, _)| &**name);
        let candidates: Vec<&str> =
            names.filter(|name| self.members.values().all(|member| member.supports(name))).collect();
        let mut votes: BTreeMap<(i32, &str), usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|member| member.vote(&candidates)) {
            *votes.entry((bucket(name), name)).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, votes)| *votes == most).map(|((_, name), _)| name.into())
    }

    /// What the members subscribe to, by the protocol that was elected; unknown where that is none of consumers.
    pub(super) fn subscribed_topics(&self) -> Option<HashSet<Box<str>>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(HashSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut all = HashSet::new();
        for member in self.members.values() {
            all.extend(topics(&member.metadata(protocol))?);
        }
        Some(all)
    }
}

/// The topics of one subscription. All versions begin as the first one does.
fn topics(metadata: &[u8]) -> Option<Vec<Box<str>>> {
    let mut reader = Reader::new(metadata);
    let _version = reader.i16().ok()?;
    let subscription = ConsumerProtocolSubscription::decode(&mut reader, 0).ok()?;
    Some(subscription.topics.iter().map(|topic| topic.as_ref().into()).collect())
}

/// Where a `HashMap` of Java's with its 16 buckets keeps a text.
fn bucket(text: &str) -> i32 {
    let hash = java_hash(text).cast_unsigned();
    ((hash ^ (hash >> 16)) & 15).cast_signed()
}
