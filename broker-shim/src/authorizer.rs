//! Who may do what. Handlers ask; today's answer is always yes.

use crate::request_context::RequestContext;

/// What a request wants to do, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Consume from a topic.
    Read,
    /// Produce to a topic.
    Write,
    /// Make a topic.
    Create,
    /// Remove a topic.
    Delete,
    /// Change a resource.
    Alter,
    /// See that a resource exists.
    Describe,
    /// See its configuration.
    DescribeConfigs,
    /// Change its configuration.
    AlterConfigs,
    /// What brokers ask of each other.
    ClusterAction,
    /// Produce idempotently without a transactional id.
    IdempotentWrite,
}

/// Kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResourceKind {
    Topic,
    Group,
    Cluster,
    TransactionalId,
}

/// One resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource<'a> {
    pub(crate) kind: ResourceKind,
    pub(crate) name: &'a str,
}

impl<'a> Resource<'a> {
    pub(crate) fn topic(name: &'a str) -> Self {
        Self { kind: ResourceKind::Topic, name }
    }

    pub(crate) fn group(name: &'a str) -> Self {
        Self { kind: ResourceKind::Group, name }
    }

    pub(crate) fn transactional_id(name: &'a str) -> Self {
        Self { kind: ResourceKind::TransactionalId, name }
    }

    /// The one cluster; Kafka's name for it.
    pub(crate) fn cluster() -> Self {
        Self { kind: ResourceKind::Cluster, name: "kafka-cluster" }
    }
}

/// Decides about one operation on one resource.
pub(crate) trait Authorizer: Send + Sync {
    fn allows(&self, context: &RequestContext, operation: Operation, resource: Resource<'_>) -> bool;
}

/// Allows everything, as Kafka does without an authorizer.
#[derive(Debug)]
pub(crate) struct AllowAll;

impl Authorizer for AllowAll {
    fn allows(&self, _context: &RequestContext, _operation: Operation, _resource: Resource<'_>) -> bool {
        true
    }
}
