//! Answers of JoinGroup and SyncGroup, which may come long after the request.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use wire::ErrorCode;

/// Where an answer goes. Who asked may have gone away.
#[derive(Debug)]
pub(crate) struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// A reply, and where it arrives.
    pub(crate) fn new() -> (Self, oneshot::Receiver<T>) {
        let (tell, told) = oneshot::channel();
        (Self(tell), told)
    }

    pub(super) fn send(self, answer: T) {
        // A client that went away asks again.
        drop(self.0.send(answer));
    }
}

/// The answer to JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinAnswer {
    pub(crate) error: ErrorCode,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Box<str>>,
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) leader: Arc<str>,
    /// Whether the leader is not to assign: the assignment stands (KIP-814).
    pub(crate) skip_assignment: bool,
    pub(crate) member: Arc<str>,
    /// All members, for the leader.
    pub(crate) members: Vec<JoinedMember>,
}

/// A member, as the leader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) id: Arc<str>,
    pub(crate) instance: Option<Box<str>>,
    pub(crate) metadata: Bytes,
}

const NO_GENERATION: i32 = -1;

impl JoinAnswer {
    /// A refusal.
    pub(crate) fn error(member: impl Into<Arc<str>>, error: ErrorCode) -> Self {
        Self {
            error,
            generation: NO_GENERATION,
            protocol_type: None,
            protocol: None,
            leader: "".into(),
            skip_assignment: false,
            member: member.into(),
            members: Vec::new(),
        }
    }
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncAnswer {
    pub(crate) error: ErrorCode,
    pub(crate) protocol_type: Option<Box<str>>,
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) assignment: Bytes,
}

impl SyncAnswer {
    /// A refusal.
    pub(crate) fn error(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}
