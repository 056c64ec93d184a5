//! The numbers of a log, each with a type of its own, so that none is taken for another.
//!
//! Nothing here reads or writes a file. Raw values go in through `new` and out through `get`; arithmetic that has a
//! meaning in Kafka (the next offset, an offset relative to a segment) is a method with a name.

use std::fmt;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name($raw);

        impl $name {
            /// Gives a raw value its meaning.
            #[must_use]
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// The raw value, for layouts and messages.
            #[must_use]
            pub const fn get(self) -> $raw {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The position of a record in its partition, counted from the first one ever written.
    Offset(i64)
}
number! {
    /// An offset counted from the base offset of its segment, as the index files store it: at most 2^31 - 1.
    RelativeOffset(u32)
}
number! {
    /// A byte position in a `.log` file.
    FilePosition(u64)
}
number! {
    /// Counts the leaderships of a partition.
    LeaderEpoch(i32)
}
number! {
    /// Names an idempotent or transactional producer.
    ProducerId(i64)
}
number! {
    /// Counts the incarnations of one producer id; the newest fences the others.
    ProducerEpoch(i16)
}
number! {
    /// The number a producer gives each record, per partition; after 2^31 - 1 comes 0.
    Sequence(i32)
}
number! {
    /// Milliseconds since 1970-01-01 UTC.
    TimestampMs(i64)
}

impl Offset {
    /// The first offset of a partition.
    pub const ZERO: Self = Self(0);

    /// The offset after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The offset `n` records further on. Saturates: offsets of a file may be anything.
    #[must_use]
    pub const fn plus(self, n: i64) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// This offset as an index of the segment at `base` stores it; `None` where an index cannot hold it.
    /// The only place that knows the limit of 2^31.
    #[must_use]
    pub const fn relative_to(self, base: Self) -> Option<RelativeOffset> {
        match self.0.checked_sub(base.0) {
            Some(delta) if delta >= 0 && delta <= i32::MAX as i64 => Some(RelativeOffset(delta as u32)),
            _ => None,
        }
    }
}

impl LeaderEpoch {
    /// What a batch carries that no leader has stamped yet.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// A batch without a producer id.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// A batch without a producer id, or a producer of which no epoch is known.
    pub const NONE: Self = Self(-1);
}

impl Sequence {
    /// A batch without a sequence: no producer id, or a control batch.
    pub const NONE: Self = Self(-1);

    /// That of a producer's first record.
    pub const FIRST: Self = Self(0);

    /// The sequence `n` records further on, over the wrap from 2^31 - 1 to 0.
    #[must_use]
    pub const fn plus(self, n: i32) -> Self {
        Self::wrapped(self.0 as i64 + n as i64)
    }

    /// The sequence `n` records before, over the wrap.
    #[must_use]
    pub const fn minus(self, n: i32) -> Self {
        Self::wrapped(self.0 as i64 - n as i64)
    }

    const fn wrapped(raw: i64) -> Self {
        Self(raw.rem_euclid(1 << 31) as i32)
    }
}

impl TimestampMs {
    /// A record or batch without a timestamp.
    pub const NONE: Self = Self(-1);
}

/// The identity of a topic, which a topic of the same name created later does not share.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId([u8; 16]);

/// Text that is no topic id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a topic id: expected 22 characters of URL-safe base64, got {text:?}")]
pub struct ParseTopicIdError {
    text: String,
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl TopicId {
    /// The id of topics that have none.
    pub const ZERO: Self = Self([0; 16]);

    /// An id from its 16 bytes, most significant first.
    #[must_use]
    pub const fn new(raw: [u8; 16]) -> Self {
        Self(raw)
    }

    /// The 16 bytes, most significant first.
    #[must_use]
    pub const fn get(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(22);
        for chunk in self.0.chunks(3) {
            let mut group = [0u8; 4];
            group[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(group);
            for i in 0..=chunk.len() {
                let six = (bits >> (18 - 6 * i)) & 0x3f;
                text.push(char::from(BASE64_URL[six as usize]));
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

impl std::str::FromStr for TopicId {
    type Err = ParseTopicIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseTopicIdError { text: text.to_owned() };
        // Kafka's Uuid.fromString: 16 bytes are 22 characters; padding may follow.
        let digits = text.strip_suffix("==").unwrap_or(text).as_bytes();
        if digits.len() != 22 {
            return Err(refused());
        }
        let mut bits: u128 = 0;
        for (i, digit) in digits.iter().enumerate() {
            let six = BASE64_URL.iter().position(|c| c == digit).ok_or_else(refused)? as u128;
            // The last character carries 2 bits of the id; its other 4 are padding.
            bits = if i == 21 { (bits << 2) | (six >> 4) } else { (bits << 6) | six };
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

/// One partition of one topic, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number within the topic.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_relative_offset_exists_only_within_two_to_the_thirty_first_after_the_base() {
        let base = Offset::new(10);
        for (offset, expected) in [
            (10, Some(0)),
            (9, None),
            (10 + i64::from(i32::MAX), Some(i32::MAX as u32)),
            (11 + i64::from(i32::MAX), None),
            (i64::MAX, None),
        ] {
            assert_eq!(Offset::new(offset).relative_to(base).map(RelativeOffset::get), expected, "{offset}");
        }
        assert_eq!(Offset::new(i64::MAX).relative_to(Offset::new(-1)), None);
    }

    #[test]
    fn a_sequence_wraps_from_its_last_value_to_zero_and_back() {
        for (from, n, to) in [(0, 0, 0), (0, 5, 5), (i32::MAX, 1, 0), (i32::MAX - 1, 3, 1), (7, i32::MAX, 6)]
        {
            assert_eq!(Sequence::new(from).plus(n), Sequence::new(to), "{from} + {n}");
            assert_eq!(Sequence::new(to).minus(n), Sequence::new(from), "{to} - {n}");
        }
    }

    #[test]
    fn a_topic_id_is_written_as_kafka_writes_it() {
        // org.apache.kafka.common.Uuid: ZERO_UUID, METADATA_TOPIC_ID (0, 1) and one of arbitrary bits.
        let mut metadata = [0; 16];
        metadata[15] = 1;
        for (raw, text) in [
            ([0; 16], "AAAAAAAAAAAAAAAAAAAAAA"),
            (metadata, "AAAAAAAAAAAAAAAAAAAAAQ"),
            ([0xff; 16], "_____________________w"),
        ] {
            assert_eq!(TopicId::new(raw).to_string(), text);
            assert_eq!(text.parse::<TopicId>().unwrap().get(), raw);
        }
        for text in
            ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA*", "AAAAAAAAAAAAAAAAAAAAAAA", "ü2345678901234567890123"]
        {
            assert!(text.parse::<TopicId>().is_err(), "{text}");
        }
    }
}
