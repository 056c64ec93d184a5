//! Record batches inside messages: bytes that this crate never looks into.

/// Record batches in a request, and where they stand in the frame.
///
/// The position lets the owner of the frame cut the records out of its buffer without copying them.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct RecordsRef<'a> {
    /// The batches.
    pub bytes: &'a [u8],
    /// Where they begin, counted from the begin of the frame.
    pub position: usize,
}

impl<'a> RecordsRef<'a> {
    /// Batches that are to be sent. They stand in no frame yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Where the batches stand in the frame.
    pub fn range_in_frame(&self) -> std::ops::Range<usize> {
        self.position..self.position + self.bytes.len()
    }
}

/// Record batches in a response.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum ResponseRecords<'a> {
    /// Batches in memory, written into the response.
    Inline(&'a [u8]),
    /// Batches that lie elsewhere, for instance in a file. The response leaves out their bytes and says where
    /// they belong ([`Encoded::pieces`](super::Encoded::pieces)).
    Elsewhere {
        /// The sender's own number for them.
        slot: usize,
        /// How many bytes they have.
        len: usize,
    },
}

impl ResponseRecords<'_> {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Elsewhere { len, .. } => *len,
        }
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are in memory.
    pub fn inline(&self) -> Option<&[u8]> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Elsewhere { .. } => None,
        }
    }
}

impl Default for ResponseRecords<'_> {
    fn default() -> Self {
        Self::Inline(&[])
    }
}

impl<'a> From<RecordsRef<'a>> for ResponseRecords<'a> {
    fn from(records: RecordsRef<'a>) -> Self {
        Self::Inline(records.bytes)
    }
}
