//! One member of a classic group.

use std::sync::Arc;

use bytes::Bytes;
use wire::ErrorCode;

use super::{JoinAnswer, Reply, SyncAnswer};
use crate::coordinator::Ticks;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientFacts<'a> {
    pub(crate) id: &'a str,
    pub(crate) host: &'a str,
}

/// A protocol that a member can follow, and what it tells the leader in it.
pub(super) type Protocol = (Box<str>, Bytes);

/// See the module.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: Arc<str>,
    pub(super) instance: Option<Box<str>>,
    pub(super) client_id: Box<str>,
    pub(super) client_host: Box<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocol_type: Box<str>,
    /// Those it likes best first.
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// It has not been through a rebalance yet, and so cannot send heartbeats.
    pub(super) is_new: bool,
    /// When its session ends; its timer may come earlier and is then set again.
    pub(super) deadline: Ticks,
    join: Option<Reply<JoinAnswer>>,
    sync: Option<Reply<SyncAnswer>>,
}

/// What a member is made of, beside what its rebalances make of it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) id: Arc<str>,
    pub(super) instance: Option<Box<str>>,
    pub(super) client_id: Box<str>,
    pub(super) client_host: Box<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocol_type: Box<str>,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
}

impl Member {
    pub(super) fn new(described: Described) -> Self {
        let Described {
            id,
            instance,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            protocol_type,
            protocols,
            assignment,
        } = described;
        Self {
            id,
            instance,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            protocol_type,
            protocols,
            assignment,
            is_new: false,
            deadline: Ticks::new(0),
            join: None,
            sync: None,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.instance.is_some()
    }

    pub(super) fn awaits_join(&self) -> bool {
        self.join.is_some()
    }

    /// Its JoinGroup waits here; one that waited before is a connection that is gone.
    pub(super) fn await_join(&mut self, reply: Reply<JoinAnswer>) {
        self.join = Some(reply);
    }

    pub(super) fn answer_join(&mut self, answer: JoinAnswer) {
        if let Some(reply) = self.join.take() {
            reply.send(answer);
        }
    }

    pub(super) fn await_sync(&mut self, reply: Reply<SyncAnswer>) {
        self.sync = Some(reply);
    }

    /// Whether it was waiting.
    pub(super) fn answer_sync(&mut self, answer: SyncAnswer) -> bool {
        match self.sync.take() {
            Some(reply) => {
                reply.send(answer);
                true
            }
            None => false,
        }
    }

    /// Whoever waits under a static member's old id has been replaced.
    pub(super) fn fence(&mut self) {
        let id = Arc::clone(&self.id);
        self.answer_join(JoinAnswer::error(id, ErrorCode::FencedInstanceId));
        self.answer_sync(SyncAnswer::error(ErrorCode::FencedInstanceId));
    }

    /// While it waits for a rebalance it cannot send heartbeats, and need not. One that has never been through a rebalance
    /// has a limit all the same: its client may be gone, and nobody would notice.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| **name == *protocol)
    }

    /// What it tells the leader in a protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| **name == *protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Of the candidates, the one that it likes best.
    pub(super) fn vote<'p>(&self, candidates: &[&'p str]) -> Option<&'p str> {
        self.protocols.iter().find_map(|(name, _)| candidates.iter().find(|it| ***it == **name).copied())
    }
}
