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
    /// An entry of `max.connections.per.ip.overrides` has no colon. The numbers are those of a Java text that is cut
    /// at a place that is not there.
    #[error("Error parsing configuration property '{PER_IP_OVERRIDES}': begin 0, end -1, length {0}")]
    NoColon(usize),
    /// An entry of `max.connections.per.ip.overrides` ends with no number.
    #[error("For input string: \"{0}\"")]
    NoNumber(String),
}

const PER_IP_OVERRIDES: &str = "max.connections.per.ip.overrides";

/// Checks the values that were given; `given` answers their text, which is of the key's type.
pub fn check<'a>(given: impl Fn(&str) -> Option<&'a str>) -> Result<(), Unmet> {
    let number = |key| given(key).and_then(|text| text.trim().parse::<i64>().ok());
    let retention = number("log.retention.ms")
        .or_else(|| number("log.retention.minutes"))
        .or_else(|| number("log.retention.hours"));
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
            number("log.cleaner.dedupe.buffer.size")
                .is_some_and(|bytes| bytes / number("log.cleaner.threads").unwrap_or(1).max(1) <= 1 << 20),
            "at least 1MB per cleaner thread.",
        ),
    ] {
        if refused {
            return Err(Unmet::Value { key, wanted });
        }
    }
    given(PER_IP_OVERRIDES).into_iter().flat_map(super::value::list).try_for_each(check_override)
}

fn check_override(entry: &str) -> Result<(), Unmet> {
    let (_, number) = entry.rsplit_once(':').ok_or(Unmet::NoColon(entry.len()))?;
    let number = number.trim();
    number.parse::<i32>().map(drop).map_err(|_| Unmet::NoNumber(number.to_owned()))
}
