//! `KAFKA_*` environment variables in the convention of Kafka's Docker image.
//!
//! `KAFKA_LOG_DIRS` is `log.dirs`: one underscore is a dot, two are a dash, three are an underscore.

/// Variables of that prefix which the image's scripts read themselves and which are no broker keys.
const NOT_KEYS: [&str; 10] = [
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
];

/// The image's one variable without the prefix: the id with which a fresh directory is formatted.
const CLUSTER_ID: &str = "CLUSTER_ID";

/// The broker key that an environment variable sets, if it sets one.
pub(super) fn key_of(variable: &str) -> Option<String> {
    if variable == CLUSTER_ID {
        return Some(super::keys::CLUSTER_ID.to_owned());
    }
    if NOT_KEYS.contains(&variable) {
        return None;
    }
    variable.strip_prefix("KAFKA_").filter(|rest| !rest.is_empty()).map(decode)
}

fn decode(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(start) = rest.find('_') {
        key.push_str(&rest[..start].to_ascii_lowercase());
        let run = rest[start..].bytes().take_while(|byte| *byte == b'_').count();
        match run {
            1 => key.push('.'),
            2 => key.push('-'),
            _ => key.push('_'),
        }
        rest = &rest[start + run..];
    }
    key.push_str(&rest.to_ascii_lowercase());
    key
}

#[cfg(test)]
mod tests {
    use super::key_of;

    #[test]
    fn underscores_stand_for_dots_dashes_and_underscores() {
        let rows = [
            ("KAFKA_LOG_DIRS", Some("log.dirs")),
            ("KAFKA_NUM_NETWORK_THREADS", Some("num.network.threads")),
            ("KAFKA_A__B", Some("a-b")),
            ("KAFKA_A___B", Some("a_b")),
            ("KAFKA_A___B__C_D", Some("a_b-c.d")),
            ("CLUSTER_ID", Some("klamm.cluster.id")),
            ("KAFKA_HEAP_OPTS", None),
            ("KAFKA_", None),
            ("PATH", None),
        ];
        for (variable, key) in rows {
            assert_eq!(key_of(variable).as_deref(), key, "{variable}");
        }
    }
}
