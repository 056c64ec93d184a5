//! What the child said, kept outside of it.

/// Partitions that the child writes to.
pub(super) const PARTITIONS: usize = 3;

/// What is known.
#[derive(Debug)]
pub(super) struct Ledger {
    partitions: [Known; PARTITIONS],
    /// Whether what is acknowledged survives a power loss.
    is_durable: bool,
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
}

/// What is known of one partition since it was read back last.
#[derive(Clone, Default, Debug)]
pub(super) struct Known {
    /// Acknowledged batches: first offset, number of the first record, how many.
    pub(super) batches: Vec<(i64, u64, i64)>,
    /// What must survive a power loss ends here.
    pub(super) durable: i64,
    /// What was read back ends here.
    pub(super) read_to: i64,
    /// The largest number that was read back.
    pub(super) number: u64,
}

impl Ledger {
    pub(super) fn new(is_durable: bool) -> Self {
        Self { partitions: Default::default(), is_durable, acknowledged: 0, lost: 0 }
    }

    pub(super) fn partition(&mut self, partition: usize) -> &mut Known {
        &mut self.partitions[partition]
    }

    /// A line of the child: `a PARTITION OFFSET NUMBER COUNT .`, or `f PARTITION OFFSET .` for a flush up to an offset.
    ///
    /// After the power was taken (`is_off`) nothing counts as durable any more: a real machine would not have come to say
    /// it, and a flush that the ioctl overtakes may succeed without having written.
    pub(super) fn note(&mut self, line: &str, is_off: bool) -> Result<(), String> {
        let nonsense = || format!("the child says {line:?}");
        let mut words = line.split(' ');
        let kind = words.next().ok_or_else(nonsense)?;
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(nonsense);
        let (partition, offset) = (number()? as usize, number()? as i64);
        let known = self.partitions.get_mut(partition).ok_or_else(nonsense)?;
        match kind {
            "a" => {
                let (first, count) = (number()?, number()? as i64);
                known.batches.push((offset, first, count));
                if self.is_durable && !is_off {
                    known.durable = known.durable.max(offset + count);
                }
                self.acknowledged += 1;
                Ok(())
            }
            "f" => {
                if !is_off {
                    known.durable = known.durable.max(offset);
                }
                Ok(())
            }
            _ => Err(nonsense()),
        }
    }
}
