//! IncrementalAlterConfigs (Kafka's `ConfigurationControlManager`).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{Decision, Refusal};
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

    /// The default of a key whose values are lists; `None` for other keys.
    fn list_default(&self, resource: &ConfigResource, key: &str) -> Option<&str>;
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
    let mut records = Vec::new();
    let mut answers = Vec::new();
    for entry in &request.resources {
        let answer = if seen.insert(&entry.resource) {
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
    Decision { records, answer: answers }.without_records_if(request.validate_only)
}

/// The keys that get another value than they have; `None` where they lose it.
fn changes(
    image: &Image,
    rules: &dyn ConfigRules,
    entry: &ResourceAlterations,
) -> Result<BTreeMap<Arc<str>, Option<Arc<str>>>, Refusal> {
    check_resource(image, &entry.resource)?;
    let before = image.config(&entry.resource).map(|values| (**values).clone()).unwrap_or_default();
    let mut after = before.clone();
    let mut touched = HashSet::new();
    for (key, op, value) in &entry.ops {
        if !touched.insert(key.as_str()) {
            return Err(Refusal::InvalidRequest("Error due to duplicate config keys".to_owned()));
        }
        check_min_insync_replicas(image, &entry.resource, key, *op)?;
        match (op, value) {
            (ConfigOp::Delete, _) => {
                after.remove(key.as_str());
            }
            (_, None) => {
                return Err(Refusal::InvalidRequest(format!("Null value not supported for : {key}")));
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
    rules.check(&entry.resource, &after).map_err(Refusal::InvalidConfig)?;
    let changed = |key: &&str| before.get(*key) != after.get(*key);
    Ok(touched.into_iter().filter(changed).map(|key| (key.into(), after.get(key).cloned())).collect())
}

fn check_resource(image: &Image, resource: &ConfigResource) -> Result<(), Refusal> {
    let refuse = |text: &str| Err(Refusal::InvalidRequest(text.to_owned()));
    match (resource.kind, &*resource.name) {
        (ResourceKind::TOPIC, "") => refuse("Default topic resources are not allowed."),
        (ResourceKind::TOPIC, name) if image.topic(name).is_none() => {
            Err(Refusal::UnknownTopicResource(name.to_owned()))
        }
        (ResourceKind::TOPIC, _) | (ResourceKind::BROKER, "") => Ok(()),
        (ResourceKind::BROKER, name) if name.parse::<i32>().is_err() => {
            refuse("Unable to parse broker name as a base 10 number.")
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
    let Some(default) = rules.list_default(resource, key) else {
        let op = if op == ConfigOp::Append { "APPEND" } else { "SUBTRACT" };
        return Err(Refusal::InvalidConfig(format!("Can't {op} to key {key} because its type is not LIST.")));
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
