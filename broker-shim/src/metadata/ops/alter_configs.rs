//! IncrementalAlterConfigs (Kafka's `ConfigurationControlManager`).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{Decision, Refusal, check_topic_name};
use crate::metadata::{
    image::{ConfigValues, ELR_VERSION, Image},
    record::{ConfigResource, MetadataRecord, ResourceKind},
};

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What is known of configuration keys.
pub trait ConfigRules: Send + Sync {
    /// Whether a resource may have these values, all of them together.
    ///
    /// # Errors
    /// A sentence that names the key and what is wrong with it.
    fn check(&self, resource: &ConfigResource, values: &ConfigValues) -> Result<(), String>;

    /// What members would be added to, where nothing was set.
    fn default_list(&self, resource: &ConfigResource, key: &str) -> DefaultList<'_>;
}

/// What a key's values are, to an operation on lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultList<'a> {
    /// Lists; this one where nothing was set.
    Of(&'a str),
    /// No lists.
    NoList,
    /// The key is not known.
    Unknown,
}

/// The request.
#[derive(Clone, Debug, Default)]
pub struct AlterConfigs {
    /// One entry for each resource.
    pub resources: Vec<ResourceAlterations>,
    /// Check, but change nothing.
    pub validate_only: bool,
}

/// What is to change in one resource.
#[derive(Clone, Debug)]
pub struct ResourceAlterations {
    /// The resource.
    pub resource: ConfigResource,
    /// Keys, what to do with them, and values where that needs one.
    pub ops: Vec<(String, ConfigOp, Option<String>)>,
}

/// What to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// Give it the value.
    Set,
    /// Back to the default.
    Delete,
    /// Add the members to the list.
    Append,
    /// Take the members from the list.
    Subtract,
}

/// One answer for each resource, in the order of the request.
pub(in crate::metadata) type Answers = Vec<(ConfigResource, Result<(), Refusal>)>;

pub(in crate::metadata) fn alter_configs(
    image: &Image,
    rules: &dyn ConfigRules,
    request: &AlterConfigs,
) -> Decision<Answers> {
    let mut seen = HashSet::new();
    let repeated: HashSet<_> = request
        .resources
        .iter()
        .map(|entry| &entry.resource)
        .filter(|resource| !seen.insert(*resource))
        .collect();
    let mut records = Vec::new();
    let mut answers = Vec::new();
    for entry in &request.resources {
        let answer = if !repeated.contains(&entry.resource) {
            changes(image, rules, entry).map(|changes| {
                records.extend(changes.into_iter().map(|(name, value)| MetadataRecord::Config {
                    resource: entry.resource.clone(),
                    name,
                    value,
                }));
            })
        } else {
            Err(Refusal::InvalidRequest("Each resource must appear at most once.".to_owned()))
        };
        answers.push((entry.resource.clone(), answer));
    }
    Decision::new(records, answers).without_records_if(request.validate_only)
}

/// The keys that get another value than they have; `None` where they lose it.
fn changes(
    image: &Image,
    rules: &dyn ConfigRules,
    entry: &ResourceAlterations,
) -> Result<BTreeMap<Arc<str>, Option<Arc<str>>>, Refusal> {
    check_ops(&entry.ops)?;
    check_resource(image, &entry.resource)?;
    let before = image.config(&entry.resource).map(|values| (**values).clone()).unwrap_or_default();
    let mut after = before.clone();
    for (key, op, value) in &entry.ops {
        match (op, value) {
            (ConfigOp::Delete, _) | (_, None) => {
                after.remove(key.as_str());
            }
            (ConfigOp::Set, Some(value)) => {
                after.insert(key.as_str().into(), value.as_str().into());
            }
            (ConfigOp::Append | ConfigOp::Subtract, Some(value)) => {
                let list = altered_list(rules, &entry.resource, &before, key, *op, value)?;
                after.insert(key.as_str().into(), list.into());
            }
        }
    }
    rules.check(&entry.resource, &after).map_err(|text| refused(&entry.resource, text))?;
    for (key, op, _) in &entry.ops {
        check_min_insync_replicas(image, &entry.resource, key, *op)?;
    }
    let touched = entry.ops.iter().map(|(key, _, _)| key.as_str());
    let changed = |key: &&str| before.get(*key) != after.get(*key);
    Ok(touched.filter(changed).map(|key| (key.into(), after.get(key).cloned())).collect())
}

/// In Kafka a broker judges its own keys before the controller hears of them, and calls the request invalid.
fn refused(resource: &ConfigResource, text: String) -> Refusal {
    if resource.kind == ResourceKind::BROKER {
        Refusal::InvalidRequest(text)
    } else {
        Refusal::InvalidConfig(text)
    }
}

fn check_ops(ops: &[(String, ConfigOp, Option<String>)]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    if !ops.iter().all(|(key, _, _)| seen.insert(key)) {
        return Err(Refusal::InvalidRequest("Error due to duplicate config keys".to_owned()));
    }
    let null: Vec<&str> = ops
        .iter()
        .filter(|(_, op, value)| *op != ConfigOp::Delete && value.is_none())
        .map(|(key, _, _)| key.as_str())
        .collect();
    if null.is_empty() {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(format!("Null value not supported for : {}", null.join(", "))))
}

fn check_resource(image: &Image, resource: &ConfigResource) -> Result<(), Refusal> {
    let refuse = |text: &str| Err(Refusal::InvalidRequest(text.to_owned()));
    match (resource.kind, &*resource.name) {
        (ResourceKind::TOPIC, "") => refuse("Default topic resources are not allowed."),
        (ResourceKind::TOPIC, name) if image.topic(name).is_none() => {
            check_topic_name(name)?;
            Err(Refusal::UnknownTopicResource(name.to_owned()))
        }
        (ResourceKind::TOPIC, _) | (ResourceKind::BROKER, "") => Ok(()),
        (ResourceKind::BROKER, name) if name.parse::<i32>().is_err() => {
            refuse(&format!("Node id must be an integer, but it is: {name}"))
        }
        (ResourceKind::BROKER, _) => Ok(()),
        (kind, _) => Err(Refusal::InvalidRequest(format!("Unexpected resource type {}", kind.0))),
    }
}

/// The eligible leader replicas are judged by one minimum for the cluster, which therefore always exists (KIP-966).
fn check_min_insync_replicas(
    image: &Image,
    resource: &ConfigResource,
    key: &str,
    op: ConfigOp,
) -> Result<(), Refusal> {
    if key != MIN_INSYNC_REPLICAS
        || resource.kind != ResourceKind::BROKER
        || image.feature_level(ELR_VERSION) == 0
    {
        return Ok(());
    }
    let text = match (&*resource.name, op) {
        ("", ConfigOp::Delete) => "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ("", _) => return Ok(()),
        _ => "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
    };
    Err(Refusal::InvalidConfig(text.to_owned()))
}

fn altered_list(
    rules: &dyn ConfigRules,
    resource: &ConfigResource,
    before: &ConfigValues,
    key: &str,
    op: ConfigOp,
    value: &str,
) -> Result<String, Refusal> {
    let default = match rules.default_list(resource, key) {
        DefaultList::Of(default) => default,
        other => return Err(Refusal::InvalidConfig(no_list(resource, key, op, other))),
    };
    let members =
        |text: &str| text.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mut list = members(before.get(key).map_or(default, |value| value));
    for member in members(value) {
        match op {
            ConfigOp::Append if list.contains(&member) => {}
            ConfigOp::Append => list.push(member),
            _ => list.retain(|known| *known != member),
        }
    }
    Ok(list.join(","))
}

fn no_list(resource: &ConfigResource, key: &str, op: ConfigOp, why: DefaultList<'_>) -> String {
    let op = if op == ConfigOp::Append { "append" } else { "subtract" };
    match (resource.kind, why) {
        (ResourceKind::BROKER, DefaultList::Unknown) => format!("Unknown config name: {key}"),
        (ResourceKind::BROKER, _) => format!("Config value {op} is not allowed for config key: {key}"),
        _ => format!("Can't {} to key {key} because its type is not LIST.", op.to_ascii_uppercase()),
    }
}
