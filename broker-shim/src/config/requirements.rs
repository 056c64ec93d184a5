//! What Kafka asks of broker keys beyond their table (`KafkaConfig.validateValues`), in its words.

/// A requirement that is not met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// A key has a value that its table cannot exclude.
    #[error("requirement failed: {key} must be {wanted}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The two names of the node's number are given with different ones.
    #[error("You must set `node.id` to the same value as `broker.id`.")]
    NodeIds,
    /// `log.cleaner.threads` is 0, by which Kafka divides the memory for keys.
    #[error("/ by zero")]
    NoCleanerThreads,
    /// An entry of `max.connections.per.ip.overrides` has no colon. The numbers are those of a Java text that is cut
    /// at a place that is not there.
    #[error("Error parsing configuration property '{PER_IP_OVERRIDES}': begin 0, end -1, length {0}")]
    NoColon(usize),
    /// An entry of `max.connections.per.ip.overrides` ends with no number.
    #[error("For input string: \"{0}\"")]
    NoNumber(String),
}

/// Kafka's default of `log.cleaner.dedupe.buffer.size`.
const DEDUPE_BYTES: i64 = 128 << 20;

const PER_IP_OVERRIDES: &str = "max.connections.per.ip.overrides";

/// Checks the values that were given; `given` answers their text, which is of the key's type.
pub fn check<'a>(given: impl Fn(&str) -> Option<&'a str>) -> Result<(), Unmet> {
    let number = |key| given(key).and_then(|text| text.trim().parse::<i64>().ok());
    if number("node.id") != number("broker.id") {
        return Err(Unmet::NodeIds);
    }
    let retention = number("log.retention.ms")
        .or_else(|| number("log.retention.minutes"))
        .or_else(|| number("log.retention.hours"));
    let threads = number("log.cleaner.threads").unwrap_or(1);
    let bytes_per_thread =
        number("log.cleaner.dedupe.buffer.size").unwrap_or(DEDUPE_BYTES).checked_div(threads);
    let unlimited_or_positive = "unlimited (-1) or, greater than or equal to 1";
    for (key, refused, wanted) in [
        ("log.roll.ms", number("log.roll.ms").is_some_and(|ms| ms < 1), "greater than or equal to 1"),
        (
            "log.roll.jitter.ms",
            number("log.roll.jitter.ms").is_some_and(|ms| ms < 0),
            "greater than or equal to 0",
        ),
        ("log.retention.ms", retention == Some(0), unlimited_or_positive),
        (
            "log.cleaner.dedupe.buffer.size",
            bytes_per_thread.is_some_and(|bytes| bytes <= 1 << 20),
            "at least 1MB per cleaner thread.",
        ),
    ] {
        if refused {
            return Err(Unmet::Value { key, wanted });
        }
    }
    if bytes_per_thread.is_none() {
        return Err(Unmet::NoCleanerThreads);
    }
    given(PER_IP_OVERRIDES).into_iter().flat_map(super::value::list).try_for_each(check_override)
}

/// What is wrong with another number of compacting threads, as it is told to who changes it while the broker runs: it
/// changes by no more than a factor of two at a time (`LogCleaner.validateReconfiguration`).
pub fn check_cleaner_threads(current: i64, wanted: i64) -> Option<String> {
    let reason = match wanted {
        ..1 => return None, // Refused by the table, or by `check`.
        _ if wanted < current / 2 => "reduced to less than half",
        _ if wanted > current.saturating_mul(2) => "increased to more than double",
        _ => return None,
    };
    Some(format!(
        "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be {reason} the \
         current value {current} for configuration Invalid dynamic configuration"
    ))
}

fn check_override(entry: &str) -> Result<(), Unmet> {
    let (_, number) = entry.rsplit_once(':').ok_or(Unmet::NoColon(entry.len()))?;
    let number = number.trim();
    number.parse::<i32>().map(drop).map_err(|_| Unmet::NoNumber(number.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacting_threads_are_halved_or_doubled_at_most() {
        for (current, wanted, reason) in [
            (1, 2, None),
            (1, 3, Some("increased to more than double the current value 1 ")),
            (8, 4, None),
            (8, 3, Some("reduced to less than half the current value 8 ")),
            (8, 16, None),
        ] {
            let found = check_cleaner_threads(current, wanted);
            assert_eq!(found.is_some(), reason.is_some(), "{current} to {wanted}");
            assert!(found.unwrap_or_default().contains(reason.unwrap_or_default()));
        }
    }

    #[test]
    fn threads_share_the_memory_for_keys() {
        let with = |threads: &'static str| check(|key| (key == "log.cleaner.threads").then_some(threads));
        assert_eq!(with("127"), Ok(()));
        assert!(matches!(with("128"), Err(Unmet::Value { key: "log.cleaner.dedupe.buffer.size", .. })));
        assert_eq!(with("0"), Err(Unmet::NoCleanerThreads));
    }
}
