//! Which APIs exist, and THE table of their versions.

use std::fmt;

use crate::message::Versions;

/// Where the versions of an API with compact lengths begin; `never` is above them all.
const NEVER: i16 = i16::MAX;

macro_rules! api_keys {
    ($($key:literal $name:ident: $first:literal ..= $last:literal, flexible $flexible:tt, $advertised:ident $(
        $advertised_first:literal ..= $advertised_last:literal)?;)*) => {
        /// A kind of request.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("Kafka's `", stringify!($name), "`.")]
                $name = $key,
            )*
        }

        impl ApiKey {
            /// All of them, by rising key.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The API with this key.
            pub const fn from_code(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The versions whose bytes are defined.
            pub const fn versions(self) -> Versions {
                match self {
                    $(Self::$name => Versions::new($first, $last),)*
                }
            }

            /// The versions that a broker says it has.
            pub const fn advertised(self) -> Option<Versions> {
                match self {
                    $(Self::$name => api_keys!(@ $advertised $($advertised_first, $advertised_last)?),)*
                }
            }

            /// The first version with compact lengths and tagged fields (KIP-482).
            const fn flexible_from(self) -> i16 {
                match self {
                    $(Self::$name => api_keys!(@ flexible $flexible),)*
                }
            }
        }
    };
    (@ advertised $first:literal, $last:literal) => { Some(Versions::new($first, $last)) };
    (@ unadvertised) => { None };
    (@ flexible never) => { NEVER };
    (@ flexible $first:literal) => { $first };
}

// What a broker of Kafka 4.3 advertises to clients. Three rows differ from the versions that are defined:
// Produce is advertised from 0, although 0 to 2 are refused, because some clients judge the age of a broker by
// it (KIP-896); the newest InitProducerId is not yet stable; telemetry exists only with a receiver for it.
// Unadvertised APIs are spoken between brokers and controllers.
api_keys! {
    0 Produce: 3..=13, flexible 9, advertised 0..=13;
    1 Fetch: 4..=18, flexible 12, advertised 4..=18;
    2 ListOffsets: 1..=11, flexible 6, advertised 1..=11;
    3 Metadata: 0..=13, flexible 9, advertised 0..=13;
    8 OffsetCommit: 2..=10, flexible 8, advertised 2..=10;
    9 OffsetFetch: 1..=10, flexible 6, advertised 1..=10;
    10 FindCoordinator: 0..=6, flexible 3, advertised 0..=6;
    11 JoinGroup: 0..=9, flexible 6, advertised 0..=9;
    12 Heartbeat: 0..=4, flexible 4, advertised 0..=4;
    13 LeaveGroup: 0..=5, flexible 4, advertised 0..=5;
    14 SyncGroup: 0..=5, flexible 4, advertised 0..=5;
    15 DescribeGroups: 0..=6, flexible 5, advertised 0..=6;
    16 ListGroups: 0..=5, flexible 3, advertised 0..=5;
    17 SaslHandshake: 0..=1, flexible never, advertised 0..=1;
    18 ApiVersions: 0..=4, flexible 3, advertised 0..=4;
    19 CreateTopics: 2..=7, flexible 5, advertised 2..=7;
    20 DeleteTopics: 1..=6, flexible 4, advertised 1..=6;
    21 DeleteRecords: 0..=2, flexible 2, advertised 0..=2;
    22 InitProducerId: 0..=6, flexible 2, advertised 0..=5;
    23 OffsetForLeaderEpoch: 2..=4, flexible 4, advertised 2..=4;
    24 AddPartitionsToTxn: 0..=5, flexible 3, advertised 0..=5;
    25 AddOffsetsToTxn: 0..=4, flexible 3, advertised 0..=4;
    26 EndTxn: 0..=5, flexible 3, advertised 0..=5;
    27 WriteTxnMarkers: 1..=2, flexible 1, advertised 1..=2;
    28 TxnOffsetCommit: 0..=5, flexible 3, advertised 0..=5;
    29 DescribeAcls: 1..=3, flexible 2, advertised 1..=3;
    30 CreateAcls: 1..=3, flexible 2, advertised 1..=3;
    31 DeleteAcls: 1..=3, flexible 2, advertised 1..=3;
    32 DescribeConfigs: 1..=4, flexible 4, advertised 1..=4;
    33 AlterConfigs: 0..=2, flexible 2, advertised 0..=2;
    34 AlterReplicaLogDirs: 1..=2, flexible 2, advertised 1..=2;
    35 DescribeLogDirs: 1..=5, flexible 2, advertised 1..=5;
    36 SaslAuthenticate: 0..=2, flexible 2, advertised 0..=2;
    37 CreatePartitions: 0..=3, flexible 2, advertised 0..=3;
    38 CreateDelegationToken: 1..=3, flexible 2, advertised 1..=3;
    39 RenewDelegationToken: 1..=2, flexible 2, advertised 1..=2;
    40 ExpireDelegationToken: 1..=2, flexible 2, advertised 1..=2;
    41 DescribeDelegationToken: 1..=3, flexible 2, advertised 1..=3;
    42 DeleteGroups: 0..=2, flexible 2, advertised 0..=2;
    43 ElectLeaders: 0..=2, flexible 2, advertised 0..=2;
    44 IncrementalAlterConfigs: 0..=1, flexible 1, advertised 0..=1;
    45 AlterPartitionReassignments: 0..=1, flexible 0, advertised 0..=1;
    46 ListPartitionReassignments: 0..=0, flexible 0, advertised 0..=0;
    47 OffsetDelete: 0..=0, flexible never, advertised 0..=0;
    48 DescribeClientQuotas: 0..=1, flexible 1, advertised 0..=1;
    49 AlterClientQuotas: 0..=1, flexible 1, advertised 0..=1;
    50 DescribeUserScramCredentials: 0..=0, flexible 0, advertised 0..=0;
    51 AlterUserScramCredentials: 0..=0, flexible 0, advertised 0..=0;
    52 Vote: 0..=2, flexible 0, unadvertised;
    53 BeginQuorumEpoch: 0..=1, flexible 1, unadvertised;
    54 EndQuorumEpoch: 0..=1, flexible 1, unadvertised;
    55 DescribeQuorum: 0..=2, flexible 0, advertised 0..=2;
    56 AlterPartition: 2..=3, flexible 0, unadvertised;
    57 UpdateFeatures: 0..=2, flexible 0, advertised 0..=2;
    58 Envelope: 0..=0, flexible 0, unadvertised;
    59 FetchSnapshot: 0..=1, flexible 0, unadvertised;
    60 DescribeCluster: 0..=2, flexible 0, advertised 0..=2;
    61 DescribeProducers: 0..=0, flexible 0, advertised 0..=0;
    62 BrokerRegistration: 0..=4, flexible 0, unadvertised;
    63 BrokerHeartbeat: 0..=2, flexible 0, unadvertised;
    64 UnregisterBroker: 0..=0, flexible 0, advertised 0..=0;
    65 DescribeTransactions: 0..=0, flexible 0, advertised 0..=0;
    66 ListTransactions: 0..=2, flexible 0, advertised 0..=2;
    67 AllocateProducerIds: 0..=0, flexible 0, unadvertised;
    68 ConsumerGroupHeartbeat: 0..=1, flexible 0, advertised 0..=1;
    69 ConsumerGroupDescribe: 0..=1, flexible 0, advertised 0..=1;
    70 ControllerRegistration: 0..=0, flexible 0, unadvertised;
    71 GetTelemetrySubscriptions: 0..=0, flexible 0, unadvertised;
    72 PushTelemetry: 0..=0, flexible 0, unadvertised;
    73 AssignReplicasToDirs: 0..=0, flexible 0, unadvertised;
    74 ListConfigResources: 0..=1, flexible 0, advertised 0..=1;
    75 DescribeTopicPartitions: 0..=0, flexible 0, advertised 0..=0;
    76 ShareGroupHeartbeat: 1..=1, flexible 0, advertised 1..=1;
    77 ShareGroupDescribe: 1..=1, flexible 0, advertised 1..=1;
    78 ShareFetch: 1..=2, flexible 0, advertised 1..=2;
    79 ShareAcknowledge: 1..=2, flexible 0, advertised 1..=2;
    80 AddRaftVoter: 0..=1, flexible 0, advertised 0..=1;
    81 RemoveRaftVoter: 0..=0, flexible 0, advertised 0..=0;
    82 UpdateRaftVoter: 0..=0, flexible 0, unadvertised;
    83 InitializeShareGroupState: 0..=0, flexible 0, advertised 0..=0;
    84 ReadShareGroupState: 0..=0, flexible 0, advertised 0..=0;
    85 WriteShareGroupState: 0..=1, flexible 0, advertised 0..=1;
    86 DeleteShareGroupState: 0..=0, flexible 0, advertised 0..=0;
    87 ReadShareGroupStateSummary: 0..=1, flexible 0, advertised 0..=1;
    88 StreamsGroupHeartbeat: 0..=0, flexible 0, advertised 0..=0;
    89 StreamsGroupDescribe: 0..=0, flexible 0, advertised 0..=0;
    90 DescribeShareGroupOffsets: 0..=1, flexible 0, advertised 0..=1;
    91 AlterShareGroupOffsets: 0..=0, flexible 0, advertised 0..=0;
    92 DeleteShareGroupOffsets: 0..=0, flexible 0, advertised 0..=0;
}

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether a broker accepts the version: it is advertised, and its bytes are defined.
    pub fn accepts(self, version: i16) -> bool {
        self.versions().contains(version) && self.advertised().is_some_and(|range| range.contains(version))
    }

    /// Whether the version has compact lengths and tagged fields.
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// The version of the header of a request.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header of a response. A client that asks for the versions cannot know yet which
    /// header the broker can write, so that answer always has the first one (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self, Self::ApiVersions) { 1 } else { 0 }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_produce_is_advertised_with_versions_that_are_refused() {
        for key in ApiKey::ALL {
            let Some(advertised) = key.advertised() else { continue };
            let refused: Vec<i16> = advertised.iter().filter(|version| !key.accepts(*version)).collect();
            let expected: &[i16] = if *key == ApiKey::Produce { &[0, 1, 2] } else { &[] };
            assert_eq!(refused, expected, "{key}");
        }
    }

    #[test]
    fn the_answer_about_versions_always_has_the_first_header() {
        for version in ApiKey::ApiVersions.versions().iter() {
            assert_eq!(ApiKey::ApiVersions.response_header_version(version), 0);
        }
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::Metadata.response_header_version(8), 0);
        assert_eq!(ApiKey::Metadata.response_header_version(9), 1);
    }
}
