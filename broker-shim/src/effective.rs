//! The value of a key that is in force, and every place that gives one: a topic's own configuration, what was configured
//! while the broker ran (for it, then for all brokers), what it was started with, the default.

use std::collections::BTreeMap;

use log_engine::{CleanerConfig, LogConfig};

use crate::{
    config::{
        Config,
        keys::{self, Key},
        topic_keys::{TOPIC_KEYS, TopicKey},
        value,
    },
    metadata::{Image, image::ConfigValues, record::ConfigResource},
    quota::Quota,
};

/// Where a value comes from, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Source {
    Topic = 1,
    Broker = 2,
    DefaultBroker = 3,
    Static = 4,
    Default = 5,
}

impl Source {
    pub(crate) fn code(self) -> i8 {
        self as i8
    }
}

/// One place that gives a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: Source,
}

/// All that configures a broker, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layers<'a> {
    config: &'a Config,
    broker: Option<&'a ConfigValues>,
    default_broker: Option<&'a ConfigValues>,
}

impl<'a> Layers<'a> {
    pub(crate) fn of(config: &'a Config, image: &'a Image) -> Self {
        let layer = |resource| image.config(&resource).map(|values| &**values);
        Self {
            config,
            broker: layer(ConfigResource::broker(config.node_id)),
            default_broker: layer(ConfigResource::broker_default()),
        }
    }

    /// What was set for all brokers.
    pub(crate) fn default_broker(&self, key: &Key) -> Option<Given> {
        given(key, value_in(self.default_broker, key.name), Source::DefaultBroker)
    }

    /// Every place that gives a broker key a value, the one that counts first.
    pub(crate) fn broker_chain(&self, key: &Key) -> Vec<Given> {
        [
            given(key, value_in(self.broker, key.name), Source::Broker),
            self.default_broker(key),
            given(key, self.config.given(key.name), Source::Static),
            given(key, key.default, Source::Default),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The value of a broker key that is a number.
    pub(crate) fn broker_number(&self, key: &str) -> i64 {
        // Only what was configured by another version is not a number that was checked.
        self.broker_value(key)
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_else(|| self.config.number(key))
    }

    fn broker_value(&self, key: &str) -> Option<String> {
        keys::find(key).and_then(|row| self.broker_chain(row).into_iter().next()).map(|given| given.value)
    }

    /// How logs are compacted.
    pub(crate) fn cleaner(&self) -> CleanerConfig {
        let defaults = CleanerConfig::default();
        let size = |key| self.broker_number(key).max(0).unsigned_abs();
        let fraction = |key, default| {
            self.broker_value(key).and_then(|text| value::parse_double(text.trim())).unwrap_or(default)
        };
        let threads = usize::try_from(size("log.cleaner.threads")).unwrap_or(defaults.threads);
        CleanerConfig {
            threads: if self.config.flag("log.cleaner.enable") { threads } else { 0 },
            dedupe_buffer_bytes: size("log.cleaner.dedupe.buffer.size"),
            load_factor: fraction("log.cleaner.io.buffer.load.factor", defaults.load_factor),
            io_buffer_bytes: u32::try_from(size("log.cleaner.io.buffer.size"))
                .unwrap_or(defaults.io_buffer_bytes),
            io_max_bytes_per_second: fraction(
                "log.cleaner.io.max.bytes.per.second",
                defaults.io_max_bytes_per_second,
            ),
            backoff_ms: size("log.cleaner.backoff.ms"),
        }
    }

    /// How many connections there may be.
    pub(crate) fn connection_quota(&self) -> Quota {
        let size = |key| usize::try_from(self.broker_number(key)).unwrap_or(0);
        let overrides = self.broker_value("max.connections.per.ip.overrides").unwrap_or_default();
        Quota {
            total: size("max.connections"),
            per_ip: size("max.connections.per.ip"),
            per_ip_overrides: value::list(&overrides).filter_map(host_and_number).collect(),
            per_second: self.broker_number("max.connection.creation.rate"),
        }
    }

    /// The same for a boolean key.
    pub(crate) fn broker_flag(&self, key: &str) -> bool {
        self.broker_value(key)
            .and_then(|text| value::parse_bool(&text))
            .unwrap_or_else(|| self.config.flag(key))
    }

    /// The same for a topic key: the topic itself, then the broker keys behind it. The first value is in the topic key's
    /// unit, the others as they were given.
    pub(crate) fn topic_chain(&self, key: &TopicKey, own: Option<&str>) -> Vec<Given> {
        let mut chain: Vec<Given> = own
            .map(|value| Given { name: key.name, value: value.to_owned(), source: Source::Topic })
            .into_iter()
            .collect();
        for synonym in key.synonyms {
            let behind = keys::find(synonym.key).map(|row| self.broker_chain(row)).unwrap_or_default();
            let first = chain.len();
            chain.extend(behind);
            if first == 0
                && let Some(counts) = chain.first_mut()
            {
                counts.value = in_topic_units(&counts.value, synonym.factor);
            }
        }
        if chain.is_empty() {
            chain.push(Given { name: key.name, value: key.default.to_owned(), source: Source::Default });
        }
        chain
    }

    /// The whole configuration of a topic to which these values were given.
    pub(crate) fn topic(&self, own: &BTreeMap<&str, &str>) -> Vec<(&'static TopicKey, Given)> {
        TOPIC_KEYS
            .iter()
            .filter_map(|key| {
                Some((key, self.topic_chain(key, own.get(key.name).copied()).into_iter().next()?))
            })
            .collect()
    }

    /// The configuration of a topic's logs.
    pub(crate) fn log_config(&self, own: Option<&ConfigValues>) -> LogConfig {
        let own = own.map(pairs).unwrap_or_default();
        let mut config = LogConfig::default();
        for (key, given) in self.topic(&own) {
            if LogConfig::keys().any(|known| known == key.name) {
                set(&mut config, key.name, &given.value);
            }
        }
        config
    }
}

/// `host:number`; the number may be below zero, which is none.
fn host_and_number(entry: &str) -> Option<(String, usize)> {
    let (host, number) = entry.rsplit_once(':')?;
    let number: i64 = number.trim().parse().ok()?;
    Some((host.trim().to_owned(), usize::try_from(number).unwrap_or(0)))
}

fn set(config: &mut LogConfig, key: &str, value: &str) {
    if let Err(error) = config.set(key, value) {
        // The value was checked when it was given; a directory of another version may still hold one that is not ours.
        tracing::warn!(%error, "a configured value has no effect");
    }
}

fn value_in<'a>(values: Option<&'a ConfigValues>, key: &str) -> Option<&'a str> {
    values.and_then(|values| values.get(key)).map(|value| &**value)
}

fn given(key: &Key, value: Option<&str>, source: Source) -> Option<Given> {
    value.map(|value| Given { name: key.name, value: value.to_owned(), source })
}

/// Values by name.
pub(crate) fn pairs(values: &ConfigValues) -> BTreeMap<&str, &str> {
    values.iter().map(|(key, value)| (&**key, &**value)).collect()
}

/// Minutes and hours become milliseconds; below zero is "for ever" in every unit.
fn in_topic_units(value: &str, factor: i64) -> String {
    match value.trim().parse::<i64>() {
        Ok(number) if factor != 1 && number >= 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::topic_keys;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Config::from_pairs(&pairs).unwrap()
    }

    fn chain(config: &Config, key: &str, own: Option<&str>) -> Vec<(&'static str, String, Source)> {
        let image = Image::empty("cluster");
        let layers = Layers::of(config, &image);
        let chain = layers.topic_chain(topic_keys::find(key).unwrap(), own);
        chain.into_iter().map(|given| (given.name, given.value, given.source)).collect()
    }

    #[test]
    fn the_scheduler_interval_is_the_flush_interval_where_that_is_not_given() {
        // What `KafkaConfig.extractLogConfigMap` answers for flush.ms.
        let never = i64::MAX;
        for (pairs, flush_ms) in [
            (&[][..], never),
            (&[("log.flush.scheduler.interval.ms", "1000")], 1000),
            (&[("log.flush.interval.ms", "500")], 500),
            (&[("log.flush.scheduler.interval.ms", "1000"), ("log.flush.interval.ms", "500")], 500),
            (&[("log.flush.scheduler.interval.ms", "0")], 0),
        ] {
            let (config, image) = (config(pairs), Image::empty("cluster"));
            assert_eq!(Layers::of(&config, &image).log_config(None).flush_ms, flush_ms, "{pairs:?}");
        }
    }

    #[test]
    fn the_topic_comes_before_the_broker_and_the_broker_before_the_default() {
        let config = config(&[("message.max.bytes", "5000")]);
        assert_eq!(
            chain(&config, "max.message.bytes", Some("7")),
            [
                ("max.message.bytes", "7".to_owned(), Source::Topic),
                ("message.max.bytes", "5000".to_owned(), Source::Static),
                ("message.max.bytes", "1048588".to_owned(), Source::Default),
            ]
        );
    }

    #[test]
    fn a_value_in_hours_counts_in_milliseconds() {
        assert_eq!(
            chain(&config(&[]), "retention.ms", None),
            [("log.retention.hours", "604800000".to_owned(), Source::Default)]
        );
        assert_eq!(chain(&config(&[("log.retention.hours", "-1")]), "retention.ms", None)[0].1, "-1");
    }

    #[test]
    fn a_given_key_of_a_coarser_unit_yields_to_a_given_finer_one() {
        let config = config(&[("log.retention.ms", "9"), ("log.retention.minutes", "2")]);
        assert_eq!(chain(&config, "retention.ms", None)[0].1, "9");
    }

    #[test]
    fn compaction_is_configured_by_what_was_set_last_nearest_to_the_broker() {
        let config =
            config(&[("log.cleaner.backoff.ms", "5"), ("log.cleaner.io.max.bytes.per.second", "1e6")]);
        let image = Image::empty("cluster");
        let cleaner = Layers::of(&config, &image).cleaner();
        assert_eq!((cleaner.threads, cleaner.backoff_ms), (1, 5));
        assert_eq!(cleaner.io_max_bytes_per_second, 1e6);
        let broker: ConfigValues = [("log.cleaner.threads".into(), "2".into())].into();
        let all: ConfigValues = [
            ("log.cleaner.threads".into(), "4".into()),
            ("log.cleaner.io.buffer.load.factor".into(), "0.5f".into()),
        ]
        .into();
        let layers = Layers { config: &config, broker: Some(&broker), default_broker: Some(&all) };
        assert_eq!((layers.cleaner().threads, layers.cleaner().load_factor), (2, 0.5));
    }

    #[test]
    fn a_log_is_configured_as_its_topic_and_the_broker_say() {
        let config = config(&[("log.segment.bytes", "2097152"), ("klamm.flush.policy", "sync")]);
        let image = Image::empty("cluster");
        let own: ConfigValues = [("retention.ms".into(), "1000".into())].into();
        let log = Layers::of(&config, &image).log_config(Some(&own));
        assert_eq!((log.segment_bytes, log.retention_ms), (2_097_152, 1000));
        assert_eq!(log.flush_policy(), log_engine::FlushPolicy::Sync);
        let own: ConfigValues = [("klamm.flush.policy".into(), "group".into())].into();
        let log = Layers::of(&config, &image).log_config(Some(&own));
        assert_eq!(log.flush_policy(), log_engine::FlushPolicy::Group);
    }
}
