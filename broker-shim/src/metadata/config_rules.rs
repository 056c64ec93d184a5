//! What the tables of [`crate::config`] say of a resource's configuration, for the controller
//! (Kafka's `ControllerConfigurationValidator`).

use super::{
    image::ConfigValues,
    ops::{ConfigRules, DefaultList},
    record::{ConfigResource, ResourceKind},
};
use crate::config::{
    keys,
    keys::Mode,
    requirements, topic_keys,
    value::{self, Kind},
};

/// The keys that this build knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownKeys;

impl ConfigRules for KnownKeys {
    fn check(&self, resource: &ConfigResource, values: &ConfigValues) -> Result<(), String> {
        match resource.kind {
            ResourceKind::TOPIC => check_topic(values),
            ResourceKind::BROKER => check_broker(resource, values),
            _ => Ok(()),
        }
    }

    fn default_list(&self, resource: &ConfigResource, key: &str) -> DefaultList<'_> {
        let found = match resource.kind {
            ResourceKind::TOPIC => topic_keys::find(key).map(|row| (row.kind, row.default)),
            ResourceKind::BROKER => keys::find(key).map(|row| (row.kind, row.default.unwrap_or_default())),
            _ => None,
        };
        match found {
            Some((Kind::List, default)) => DefaultList::Of(default),
            Some(_) => DefaultList::NoList,
            None => DefaultList::Unknown,
        }
    }
}

fn check_topic(values: &ConfigValues) -> Result<(), String> {
    for (name, value) in values {
        let Some(row) = topic_keys::find(name) else {
            return Err(format!("Unknown topic config name: {name}"));
        };
        topic_keys::check(row, value).map_err(|error| error.to_string())?;
    }
    check_compaction_lag(values)?;
    match values.get("remote.storage.enable").and_then(|value| value::parse_bool(value)) {
        Some(true) => {
            Err("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with \
             remote log storage."
                .to_owned())
        }
        _ => Ok(()),
    }
}

fn check_compaction_lag(values: &ConfigValues) -> Result<(), String> {
    let number = |key: &str| {
        let given = values.get(key).map(|value| &**value);
        given.or_else(|| topic_keys::find(key).map(|row| row.default))?.trim().parse::<i64>().ok()
    };
    match (number("min.compaction.lag.ms"), number("max.compaction.lag.ms")) {
        (Some(min), Some(max)) if min > max => Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        )),
        _ => Ok(()),
    }
}

/// A key that is not in the table may be one of a plugin, so Kafka takes it; so do we.
fn check_broker(resource: &ConfigResource, values: &ConfigValues) -> Result<(), String> {
    let with_mode = |mode: Mode| {
        let names = values.keys().filter(|name| keys::find(name).is_some_and(|row| row.mode == mode));
        names.map(|name| &**name).collect::<Vec<_>>()
    };
    let mut fixed = with_mode(Mode::ReadOnly);
    // Sockets are opened once, at the start.
    fixed.extend(
        values.keys().map(|name| &**name).filter(|name| !resource.name.is_empty() && *name == "listeners"),
    );
    if !fixed.is_empty() {
        return Err(format!("Cannot update these configs dynamically: [{}]", fixed.join(", ")));
    }
    let of_one = with_mode(Mode::PerBroker);
    if resource.name.is_empty() && !of_one.is_empty() {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: [{}]",
            of_one.join(", ")
        ));
    }
    for (name, value) in values {
        let Some(row) = keys::find(name) else { continue };
        value::check(row.name, value, row.kind, row.range).map_err(|error| error.to_string())?;
    }
    requirements::check(|key| values.get(key).map(|value| &**value)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(pairs: &[(&str, &str)]) -> Result<(), String> {
        let values = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        KnownKeys.check(&ConfigResource::topic("t"), &values)
    }

    #[test]
    fn a_topic_takes_the_keys_and_values_that_kafka_takes() {
        let taken: [&[(&str, &str)]; 6] = [
            &[("segment.bytes", "1048576")],
            &[("cleanup.policy", "compact,delete")],
            &[("cleanup.policy", "")],
            &[("retention.bytes", " 5 ")],
            &[("preallocate", "TRUE")],
            &[("min.compaction.lag.ms", "10000000000000")],
        ];
        for pairs in taken {
            assert_eq!(topic(pairs), Ok(()), "{pairs:?}");
        }
        let refused = [
            ("foo", "1"),
            ("segment.bytes", "x"),
            ("segment.bytes", "13"),
            ("cleanup.policy", "bad"),
            ("retention.ms", "-2"),
            ("min.insync.replicas", "0"),
            ("compression.type", "lz5"),
            ("message.timestamp.type", "x"),
            ("unclean.leader.election.enable", "maybe"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("max.compaction.lag.ms", "0"),
            ("remote.storage.enable", "true"),
            ("compression.gzip.level", "0"),
            ("max.message.bytes", "99999999999"),
        ];
        for pair in refused {
            assert!(topic(&[pair]).is_err(), "{pair:?}");
        }
    }

    #[test]
    fn two_keys_that_contradict_each_other_are_refused_together() {
        let both = [("min.compaction.lag.ms", "100"), ("max.compaction.lag.ms", "50")];
        let text = "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)";
        assert_eq!(topic(&both), Err(text.to_owned()));
    }
}
