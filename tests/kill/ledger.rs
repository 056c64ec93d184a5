//! What was acknowledged, kept outside the broker's process.

use std::sync::{Mutex, PoisonError};

/// The name of the one topic.
pub(crate) const TOPIC: &str = "ledger";

/// One acknowledged batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Offset of its first record, as the broker said.
    pub(crate) offset: i64,
    /// Number of its first record among all that were ever sent to the partition.
    pub(crate) first: u64,
    /// How many records it has.
    pub(crate) count: u64,
}

/// What is known of each partition.
pub(crate) struct Ledger {
    seed: u64,
    partitions: Vec<Mutex<Partition>>,
}

#[derive(Default)]
pub(crate) struct Partition {
    /// Acknowledged batches in the order of sending.
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Number of the next record to send. Numbers of batches that were never acknowledged are not used again.
    pub(crate) next: u64,
    /// Everything below this offset was read back once.
    pub(crate) verified: i64,
}

impl Ledger {
    pub(crate) fn new(partitions: i32, seed: u64) -> Self {
        Self { seed, partitions: (0..partitions).map(|_| Mutex::default()).collect() }
    }

    pub(crate) fn partitions(&self) -> i32 {
        self.partitions.len() as i32
    }

    /// Runs `action` on what is known of a partition.
    pub(crate) fn with<T>(&self, partition: i32, action: impl FnOnce(&mut Partition) -> T) -> T {
        let partition = &self.partitions[partition as usize];
        action(&mut partition.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Batches acknowledged in all partitions.
    pub(crate) fn acknowledged(&self) -> u64 {
        (0..self.partitions()).map(|p| self.with(p, |partition| partition.acknowledged.len() as u64)).sum()
    }

    /// The value of a record: its number, then bytes that follow from seed, partition and number alone.
    pub(crate) fn value(&self, partition: i32, number: u64) -> Vec<u8> {
        let mut state = self.seed ^ (partition as u64) << 56 ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let len = 40 + number as usize % 400;
        let mut value = number.to_be_bytes().to_vec();
        while value.len() < len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            value.extend_from_slice(&state.to_be_bytes());
        }
        value
    }

    /// The number of the record that a value says it is, if the value is the one sent under that number.
    pub(crate) fn number_of(&self, partition: i32, value: &[u8]) -> Option<u64> {
        let number = u64::from_be_bytes(value.get(..8)?.try_into().ok()?);
        (self.value(partition, number) == value).then_some(number)
    }
}
