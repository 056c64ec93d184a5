//! Keys of Kafka's that have no row of their own, because what they are about is not there or works by itself: whoever
//! gives one is told so. With the rows of [`super::keys`] these are all that Kafka has.

/// Some keys and why they have no effect.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// A whole name, or what names begin with, up to a dot.
    pub keys: &'static str,
    /// Why none of them has an effect.
    pub reason: &'static str,
}

impl Absent {
    fn covers(self, name: &str) -> bool {
        name.strip_prefix(self.keys).is_some_and(|rest| rest.is_empty() || self.keys.ends_with('.'))
    }
}

/// Why a key of Kafka's has no effect here.
pub fn find(name: &str) -> Option<&'static Absent> {
    ABSENT.iter().find(|absent| absent.covers(name))
}

const fn absent(keys: &'static str, reason: &'static str) -> Absent {
    Absent { keys, reason }
}

const METRICS: &str = "there are no metrics reporters";
const ONE_NODE: &str = "one node is its own controller and has no followers";
const PURGATORY: &str = "nothing that waits has to be purged";
const SECURITY: &str = "the classes of Java that it names cannot be loaded";
const TIERED: &str = "there is no tiered storage";

/// The table, in alphabetical order.
#[rustfmt::skip]
pub const ABSENT: &[Absent] = &[
    absent("alter.log.dirs.replication.quota.window.", "the rate of moves between data directories is held without windows"),
    absent("client.quota.callback.class", SECURITY),
    absent("config.providers", "values are taken as they are written"),
    absent("connection.failed.authentication.delay.ms", "connections are not authenticated"),
    absent("connections.max.reauth.ms", "connections are not authenticated"),
    absent("controller.", ONE_NODE),
    absent("cordoned.log.dirs", "every data directory takes new partitions"),
    absent("delegation.token.", "there are no delegation tokens"),
    absent("delete.records.purgatory.purge.interval.requests", PURGATORY),
    absent("early.start.listeners", "all listeners are opened at once"),
    absent("fetch.purgatory.purge.interval.requests", PURGATORY),
    absent("follower.fetch.last.tiered.offset.enable", TIERED),
    absent("group.consumer.", "the values that Kafka ships are in force where such groups are served"),
    absent("group.coordinator.", "each group is served by the thread of the connection that asks"),
    absent("group.share.", "there are no share groups"),
    absent("group.streams.", "there are no streams groups"),
    absent("initial.broker.registration.timeout.ms", ONE_NODE),
    absent("internal.metadata.", "it is for Kafka's own tests"),
    absent("kafka.metrics.", METRICS),
    absent("leader.imbalance.check.interval.seconds", ONE_NODE),
    absent("log.initial.task.delay.ms", "background work begins at the start"),
    absent("metadata.max.idle.interval.ms", "the metadata log gets no records for the sake of its followers"),
    absent("metric.reporters", METRICS),
    absent("metrics.", METRICS),
    absent("num.replica.alter.log.dirs.threads", "each move between data directories has a thread of its own"),
    absent("offsets.commit.timeout.ms", "a commit is answered once it is stored"),
    absent("offsets.load.buffer.size", "a partition is loaded a megabyte at a time"),
    absent("principal.builder.class", SECURITY),
    absent("producer.purgatory.purge.interval.requests", PURGATORY),
    absent("remote.", TIERED),
    absent("replica.", ONE_NODE),
    absent("replication.quota.window.", ONE_NODE),
    absent("sasl.", "no listener authenticates in these ways"),
    absent("security.providers", SECURITY),
    absent("server.max.startup.time.ms", "the start takes the time that it takes"),
    absent("share.coordinator.", "there are no share groups"),
    absent("share.fetch.purgatory.purge.interval.requests", PURGATORY),
    absent("socket.connection.setup.timeout.", "the broker opens no connections"),
    absent("ssl.", "there is no TLS"),
    absent("telemetry.max.bytes", "clients' metrics are not asked for"),
    absent("transaction.state.log.load.buffer.size", "a partition is loaded a megabyte at a time"),
    absent("transaction.two.phase.commit.enable", "no transaction is prepared for another system"),
    absent("unclean.leader.election.interval.ms", ONE_NODE),
    absent("unstable.", "nothing unstable is offered"),
];

#[cfg(test)]
mod tests {
    use super::super::{keys, value::Kind};
    use super::*;

    /// Name and type of every key that Kafka 4.3 has, as its own class prints them: see `BrokerKeys.java`.
    const KAFKAS: &str = include_str!("kafka_keys.txt");

    #[test]
    fn every_key_of_kafkas_has_a_row_with_its_type_or_a_reason_why_it_has_no_effect() {
        let mut rows = 0;
        for (name, kind) in KAFKAS.lines().map(|line| line.split_once(' ').expect("two words")) {
            match (keys::find(name), find(name)) {
                (Some(row), _) => {
                    assert_eq!(Kind::name(row.kind), kind, "{name}");
                    rows += 1;
                }
                (None, absent) => assert!(absent.is_some(), "{name} is in no table"),
            }
        }
        assert!(rows > 100 && KAFKAS.lines().count() > 350, "{rows} rows");
    }

    #[test]
    fn the_table_names_only_what_kafka_has_and_nothing_twice() {
        for (index, absent) in ABSENT.iter().enumerate() {
            let names = KAFKAS.lines().filter_map(|line| line.split(' ').next());
            assert!(names.into_iter().any(|name| absent.covers(name)), "{} is no key", absent.keys);
            assert!(ABSENT[..index].iter().all(|before| before.keys < absent.keys), "{}", absent.keys);
        }
    }
}
