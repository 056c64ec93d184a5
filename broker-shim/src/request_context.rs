//! Who asks, from where, and what: the first argument of every handler.

use std::{net::SocketAddr, sync::Arc};

use wire::ApiKey;

use crate::quota::{Payer, ThreadTime};

/// What is the same for all requests of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Who the client is. Without authentication everyone is Kafka's anonymous user.
    pub(crate) principal: &'static str,
    /// Name of the listener that the connection came in by.
    pub(crate) listener: Arc<str>,
    /// Where it came from.
    pub(crate) address: SocketAddr,
}

/// The principal of a connection that did not authenticate.
pub(crate) const ANONYMOUS: &str = "User:ANONYMOUS";

/// One request's circumstances.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) peer: Arc<Peer>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<Arc<str>>,
    /// Counts what threads spend on the request, where that is limited.
    pub(crate) time: Option<Arc<ThreadTime>>,
}

impl RequestContext {
    /// Whose quotas count.
    pub(crate) fn payer(&self) -> Payer<'_> {
        Payer {
            user: self.peer.principal.strip_prefix(USER).unwrap_or(self.peer.principal),
            client_id: self.client_id.as_deref().unwrap_or_default(),
        }
    }
}

/// The type of a principal that quotas are about.
const USER: &str = "User:";
