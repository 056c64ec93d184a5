//! What every message has, and what can be wrong with one.

use std::fmt;

use crate::ApiKey;
use crate::primitives::{Reader, Writer};

/// A range of versions, both ends included.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest version.
    pub first: i16,
    /// The highest version.
    pub last: i16,
}

impl Versions {
    /// From `first` to `last`, both included.
    pub const fn new(first: i16, last: i16) -> Self {
        Self { first, last }
    }

    /// Whether `version` is in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    /// Every version of the range.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> {
        self.first..=self.last
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A request, a response, a header or an internal record.
pub trait Message {
    /// Kafka's name of the message.
    const NAME: &'static str;
    /// The versions that exist.
    const VERSIONS: Versions;
    /// The first version with compact lengths and tagged fields (KIP-482), if there is any.
    const FLEXIBLE_FROM: Option<i16>;
}

/// A message that can be read in this build.
pub trait Decode<'a>: Message + Sized {
    /// Reads what stands next.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;
}

/// A message that can be written in this build.
pub trait Encode: Message {
    /// Writes the message as `version` has it.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// One half of an API.
pub trait ApiMessage: Message {
    /// The API.
    const KEY: ApiKey;
}

/// A request, which knows its response.
pub trait RequestMessage: ApiMessage {
    /// What answers it.
    type Response<'r>: ApiMessage;
}

/// A response.
pub trait ResponseMessage: ApiMessage {
    /// For how long the client is asked to send nothing; `None` where the response has no field to say so.
    fn throttle_time_ms(&mut self) -> Option<&mut i32>;
}

/// Why bytes are not the message that they should be. Positions count from the begin of the frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the bytes end at {at}, where {needed} more are needed")]
    UnexpectedEnd {
        /// Where the bytes end.
        at: usize,
        /// How many are missing at least.
        needed: usize,
    },
    /// A length below what stands for null.
    #[error("length {length} at byte {at}")]
    NegativeLength {
        /// Where the length stands.
        at: usize,
        /// The length.
        length: i32,
    },
    /// A null where this version has none.
    #[error("{field} must not be null")]
    UnexpectedNull {
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// An array says that it has more elements than the rest of the frame can hold.
    #[error("{count} elements at byte {at}, where at most {possible} fit into the rest of the frame")]
    CountTooLarge {
        /// Where the first element would stand.
        at: usize,
        /// The count.
        count: usize,
        /// How many could stand there.
        possible: usize,
    },
    /// Holding the message takes more memory than the budget has.
    #[error("the message needs {needed} bytes at byte {at}, where the budget has {left} left")]
    OverBudget {
        /// Where the value stands.
        at: usize,
        /// What the value needs.
        needed: usize,
        /// What the budget has left.
        left: usize,
    },
    /// A variable-length number of more than five bytes.
    #[error("the variable-length number before byte {at} has no end")]
    EndlessVarint {
        /// Where reading stopped.
        at: usize,
    },
    /// A tagged field took more or fewer bytes than it said.
    #[error("the tagged field before byte {at} has another size than it says")]
    TaggedFieldSize {
        /// Where the field was read to.
        at: usize,
    },
    /// A tag that the schema knows, but not in this version.
    #[error("tag {tag} does not exist in version {version}")]
    TagNotInVersion {
        /// The tag.
        tag: u32,
        /// The version.
        version: i16,
    },
    /// A version that the message does not have.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Kafka's name of the message.
        message: &'static str,
        /// The version.
        version: i16,
    },
    /// A number that stands for no API.
    #[error("no API has the key {key}")]
    UnknownApiKey {
        /// The number.
        key: i16,
    },
    /// An API whose schema is not expanded in this build.
    #[error("the messages of {key} are not known here")]
    NotExpanded {
        /// The API.
        key: ApiKey,
    },
    /// A metadata record of a type that the schemas do not have.
    #[error("no metadata record has the type {key}")]
    UnknownRecord {
        /// The number.
        key: u32,
    },
    /// A metadata record in a frame of a version that does not exist.
    #[error("no metadata record has the frame version {version}")]
    UnknownRecordFrame {
        /// The number.
        version: u32,
    },
}

/// Why a message cannot be written in a version. Kafka refuses the same ones.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field holds a value that the version cannot carry and that must not be dropped.
    #[error("{field} has a value, but does not exist in version {version}")]
    FieldNotInVersion {
        /// Kafka's name of the field.
        field: &'static str,
        /// The version.
        version: i16,
    },
    /// A null where the version has none.
    #[error("{field} must not be null")]
    Null {
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// Longer than the length field before it can say.
    #[error("{length} bytes or elements are more than the length field can say")]
    TooLong {
        /// Bytes of a string, elements of an array.
        length: usize,
    },
    /// A version that the message does not have.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Kafka's name of the message.
        message: &'static str,
        /// The version.
        version: i16,
    },
}

pub(crate) fn check_decoded_version<M: Message>(version: i16) -> Result<(), DecodeError> {
    if M::VERSIONS.contains(version) {
        return Ok(());
    }
    Err(DecodeError::UnsupportedVersion { message: M::NAME, version })
}

pub(crate) fn check_encoded_version<M: Message>(version: i16) -> Result<(), EncodeError> {
    if M::VERSIONS.contains(version) {
        return Ok(());
    }
    Err(EncodeError::UnsupportedVersion { message: M::NAME, version })
}
