//! AlterClientQuotas (Kafka's `ClientQuotaControlManager`).

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    net::ToSocketAddrs as _,
    sync::Arc,
};

use super::{Decision, Refusal};
use crate::metadata::{
    image::Image,
    record::{MetadataRecord, QuotaEntity},
};

/// The types that an entity of quotas is made of.
pub(crate) mod entity_type {
    /// A user, by name.
    pub(crate) const USER: &str = "user";
    /// A client, by what it calls itself.
    pub(crate) const CLIENT_ID: &str = "client-id";
    /// An address.
    pub(crate) const IP: &str = "ip";
}

/// The keys of quotas.
pub(crate) mod quota_key {
    /// Bytes per second that clients may produce.
    pub(crate) const PRODUCER_BYTE_RATE: &str = "producer_byte_rate";
    /// Bytes per second that clients may fetch.
    pub(crate) const CONSUMER_BYTE_RATE: &str = "consumer_byte_rate";
    /// Share of one thread's time that the requests of clients may take.
    pub(crate) const REQUEST_PERCENTAGE: &str = "request_percentage";
    /// Partitions per second that clients may create and delete.
    pub(crate) const CONTROLLER_MUTATION_RATE: &str = "controller_mutation_rate";
    /// New connections per second.
    pub(crate) const CONNECTION_CREATION_RATE: &str = "connection_creation_rate";
}

/// The request.
#[derive(Clone, Debug, Default)]
pub struct AlterClientQuotas {
    /// One entry for each entity.
    pub entries: Vec<QuotaAlterations>,
    /// Check, but change nothing.
    pub validate_only: bool,
}

/// What is to change for one entity.
#[derive(Clone, Debug)]
pub struct QuotaAlterations {
    /// Whose quotas.
    pub entity: QuotaEntity,
    /// Keys, and their new values; without one a key is removed.
    pub ops: Vec<(String, Option<f64>)>,
}

/// One answer for each entity.
pub(in crate::metadata) type Answers = Vec<(QuotaEntity, Result<(), Refusal>)>;

pub(in crate::metadata) fn alter_client_quotas(
    image: &Image,
    request: &AlterClientQuotas,
) -> Decision<Answers> {
    let mut records = Vec::new();
    let mut answers: Answers = Vec::new();
    for entry in &request.entries {
        let answered = answers.iter().position(|(entity, _)| *entity == entry.entity);
        let answer = if answered.is_some() || repeats_a_key(&entry.ops) {
            Err(Refusal::InvalidRequest(format!("Ignoring duplicate entity {}", shown(&entry.entity))))
        } else {
            changes(image, entry).map(|changes| records.extend(changes))
        };
        match answered {
            // As in Kafka the refusal is what is told, though the first of the two was carried out.
            Some(at) => answers[at].1 = answer,
            None => answers.push((entry.entity.clone(), answer)),
        }
    }
    Decision::new(records, answers).without_records_if(request.validate_only)
}

fn repeats_a_key(ops: &[(String, Option<f64>)]) -> bool {
    let mut seen = HashSet::new();
    !ops.iter().all(|(key, _)| seen.insert(key))
}

/// An entity in the words of Kafka's `ClientQuotaEntity`.
fn shown(entity: &QuotaEntity) -> String {
    let mut text = String::from("ClientQuotaEntity(entries={");
    for (number, (kind, name)) in in_kafkas_order(entity).enumerate() {
        let separator = if number == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{kind}={}", name.as_deref().unwrap_or("null"));
    }
    text + "})"
}

/// The parts as Kafka has them in its records and answers: in the order of Java's hash map.
pub(crate) fn in_kafkas_order(entity: &QuotaEntity) -> impl Iterator<Item = (&Arc<str>, &Option<Arc<str>>)> {
    let place = |kind: &str| match kind {
        entity_type::IP => 0,
        entity_type::CLIENT_ID => 1,
        _ => 2,
    };
    let mut parts: Vec<_> = entity.iter().collect();
    parts.sort_by_key(|(kind, _)| place(kind));
    parts.into_iter()
}

fn changes(image: &Image, entry: &QuotaAlterations) -> Result<Vec<MetadataRecord>, Refusal> {
    let kind = EntityKind::of(&entry.entity)?;
    let before = image.client_quotas.get(&entry.entity);
    let mut changes = BTreeMap::new();
    for (key, value) in &entry.ops {
        if let Some(value) = value {
            check(kind, key, *value)?;
        }
        if before.and_then(|values| values.get(key.as_str()).copied()) != *value {
            changes.insert(key.as_str(), *value);
        }
    }
    let record = |(key, value): (&str, Option<f64>)| MetadataRecord::ClientQuota {
        entity: entry.entity.clone(),
        key: key.into(),
        value,
    };
    Ok(changes.into_iter().map(record).collect())
}

/// Which keys an entity may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntityKind {
    Clients,
    Addresses,
}

impl EntityKind {
    fn of(entity: &QuotaEntity) -> Result<Self, Refusal> {
        if entity.is_empty() {
            return refused("Invalid empty client quota entity".to_owned());
        }
        for (kind, name) in entity {
            if ![entity_type::USER, entity_type::CLIENT_ID, entity_type::IP].contains(&&**kind) {
                return refused(format!("Unhandled client quota entity type: {kind}"));
            }
            if name.as_deref() == Some("") {
                return refused(format!("Empty {kind} not supported"));
            }
        }
        match entity.get(entity_type::IP) {
            None => Ok(Self::Clients),
            Some(_) if entity.len() > 1 => refused(
                "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"
                    .to_owned(),
            ),
            Some(Some(name)) if !is_address(name) => {
                refused(format!("{name} is not a valid IP or resolvable host."))
            }
            Some(_) => Ok(Self::Addresses),
        }
    }
}

fn refused<T>(text: String) -> Result<T, Refusal> {
    Err(Refusal::InvalidRequest(text))
}

/// As in Kafka the resolver is asked, while other changes wait.
fn is_address(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
        || (name, 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some())
}

/// How a value is held, which bounds it.
#[derive(Clone, Copy)]
enum Held {
    Double,
    Int,
    Long,
}

fn check(kind: EntityKind, key: &str, value: f64) -> Result<(), Refusal> {
    let held = match (kind, key) {
        (EntityKind::Clients, quota_key::PRODUCER_BYTE_RATE | quota_key::CONSUMER_BYTE_RATE) => Held::Long,
        (EntityKind::Clients, quota_key::REQUEST_PERCENTAGE | quota_key::CONTROLLER_MUTATION_RATE) => {
            Held::Double
        }
        (EntityKind::Addresses, quota_key::CONNECTION_CREATION_RATE) => Held::Int,
        _ => return refused(format!("Invalid configuration key {key}")),
    };
    if value <= 0.0 {
        return refused(format!("Quota {key} must be greater than 0"));
    }
    let (most, name) = match held {
        Held::Double => return Ok(()),
        Held::Int => (f64::from(i32::MAX), "an INT"),
        Held::Long => (i64::MAX as f64, "a LONG"),
    };
    if value > most {
        return refused(format!("Proposed value for {key} is too large for {name}."));
    }
    // Kafka lets this much of a fraction pass.
    if (value % 1.0).abs() > 1e-6 {
        return refused(format!("{key} cannot be a fractional value."));
    }
    Ok(())
}
