//! The ids that name directories and runs of a process: Kafka's `Uuid`, one type for each meaning.

use std::{fmt, fs::File, io, io::Read, str::FromStr};

use log_engine::types::TopicId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
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

        // All of Kafka's ids have one text form.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&TopicId::new(self.0), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = <TopicId as FromStr>::Err;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<TopicId>().map(|id| Self(id.get()))
            }
        }
    };
}

id! {
    /// The identity of a data directory, kept in its `meta.properties`.
    DirectoryId
}
id! {
    /// The identity of one run of a broker or controller process.
    IncarnationId
}

impl DirectoryId {
    /// Stands in partition records that were written before directories had ids (`DirectoryId.MIGRATING`).
    pub const MIGRATING: Self = Self::reserved(0);
    /// No directory was chosen yet (`DirectoryId.UNASSIGNED`).
    pub const UNASSIGNED: Self = Self::reserved(1);
    /// The directory is offline and its id unknown (`DirectoryId.LOST`).
    pub const LOST: Self = Self::reserved(2);

    /// Whether this stands for no particular directory.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        [Self::MIGRATING, Self::UNASSIGNED, Self::LOST].contains(&self)
    }

    /// Whether a replica that lies here can be reached on a broker that registered these directories. One that was not
    /// placed yet can: it will be placed. As Kafka's `DirectoryId.isOnline`.
    #[must_use]
    pub fn is_online(self, registered: &[Self]) -> bool {
        match self {
            Self::UNASSIGNED | Self::MIGRATING => true,
            Self::LOST => false,
            // None at all are registered under a metadata.version from before directories had ids.
            _ => registered.is_empty() || registered.contains(&self),
        }
    }

    const fn reserved(last: u8) -> Self {
        let mut raw = [0; 16];
        raw[15] = last;
        Self(raw)
    }

    /// A new id.
    ///
    /// # Errors
    /// Fails where the system has no random bytes to give.
    pub fn random() -> io::Result<Self> {
        random_id().map(Self)
    }
}

impl IncarnationId {
    /// A new id.
    ///
    /// # Errors
    /// Fails where the system has no random bytes to give.
    pub fn random() -> io::Result<Self> {
        random_id().map(Self)
    }
}

/// The id of a new topic.
///
/// # Errors
/// Fails where the system has no random bytes to give.
pub fn random_topic_id() -> io::Result<TopicId> {
    random_id().map(TopicId::new)
}

/// The id of a new cluster, in its text form.
///
/// # Errors
/// Fails where the system has no random bytes to give.
pub fn random_cluster_id() -> io::Result<String> {
    random_id().map(|id| TopicId::new(id).to_string())
}

/// A version 4 UUID as Java writes it.
///
/// # Errors
/// Fails where the system has no random bytes to give.
pub(crate) fn random_uuid() -> io::Result<String> {
    let id = u128::from_be_bytes(random_id()?);
    let part = |from: u32, digits: usize| {
        let bits = (id >> from) & ((1 << (4 * digits)) - 1);
        format!("{bits:0digits$x}")
    };
    Ok([part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12)].join("-"))
}

/// A version 4 UUID. As Kafka's `Uuid.randomUuid`: none whose text begins with a dash, which command lines would take
/// for an option.
fn random_id() -> io::Result<[u8; 16]> {
    let mut source = File::open("/dev/urandom")?;
    loop {
        let mut raw = [0; 16];
        source.read_exact(&mut raw)?;
        raw[6] = raw[6] & 0x0f | 0x40;
        raw[8] = raw[8] & 0x3f | 0x80;
        if !TopicId::new(raw).to_string().starts_with('-') {
            return Ok(raw);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_reserved_directory_ids_read_as_kafka_prints_them() {
        assert_eq!(DirectoryId::MIGRATING.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(DirectoryId::UNASSIGNED.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(DirectoryId::LOST.to_string(), "AAAAAAAAAAAAAAAAAAAAAg");
    }

    #[test]
    fn a_directory_is_online_where_the_broker_registered_it_or_where_none_was_chosen_yet() {
        let (here, there) = (DirectoryId::new([1; 16]), DirectoryId::new([2; 16]));
        let table = [
            (here, &[here][..], true),
            (there, &[here], false),
            (there, &[], true),
            (DirectoryId::UNASSIGNED, &[here], true),
            (DirectoryId::MIGRATING, &[here], true),
            (DirectoryId::LOST, &[here], false),
            (DirectoryId::LOST, &[], false),
        ];
        for (id, registered, online) in table {
            assert_eq!(id.is_online(registered), online, "{id} among {registered:?}");
        }
    }

    #[test]
    fn a_random_id_is_a_version_4_uuid_and_never_begins_with_a_dash() {
        for _ in 0..200 {
            let id = DirectoryId::random().unwrap();
            assert_eq!(id.get()[6] >> 4, 4);
            assert_eq!(id.get()[8] >> 6, 0b10);
            assert!(!id.to_string().starts_with('-'));
            assert_eq!(id.to_string().parse::<DirectoryId>().unwrap(), id);
        }
    }
}
