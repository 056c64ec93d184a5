//! Transactions as a cleaning walks over them: which batches belong to aborted ones, and which markers still end
//! something. Kafka's `CleanedTransactionMetadata`.
//!
//! A marker may go only after every batch of its transaction has gone. Whether one is left is known when the walk comes
//! to the marker: it has passed all of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::batch::control::{ControlError, ControlRecordType};
use crate::batch::{BatchHeader, BatchView, DecompressionCap, RecordError};
use crate::segment::txn_index::AbortedTransaction;
use crate::types::{Offset, ProducerId};

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    // Those ahead of the walk, by their first offset.
    ahead: BinaryHeap<Reverse<(Offset, Offset, ProducerId, Offset)>>,
    // Those that the walk is in, and whether a batch of theirs was passed.
    aborted: HashMap<ProducerId, (AbortedTransaction, bool)>,
    committed: HashSet<ProducerId>,
}

/// What a control batch is worth.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct MarkerFate {
    /// Nothing of its transaction is left.
    pub(crate) may_go: bool,
    /// The transaction that it aborted, where batches of it are left: the new segment's index has to tell.
    pub(crate) aborted: Option<AbortedTransaction>,
}

impl Transactions {
    /// Takes in aborted transactions of the records to come.
    pub(crate) fn announce(&mut self, transactions: &[AbortedTransaction]) {
        self.ahead.extend(transactions.iter().map(|txn| {
            Reverse((txn.first_offset, txn.last_offset, txn.producer_id, txn.last_stable_offset))
        }));
    }

    /// Passes a batch of records. Answers whether they belong to an aborted transaction, and go.
    pub(crate) fn pass_data(&mut self, batch: &BatchHeader<'_>) -> bool {
        self.enter_up_to(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&batch.producer_id()) {
            Some((_, seen)) => {
                *seen = true;
                true
            }
            None => {
                self.committed.insert(batch.producer_id());
                false
            }
        }
    }

    /// Passes a control batch.
    pub(crate) fn pass_control(&mut self, batch: &BatchView<'_>) -> Result<MarkerFate, ControlError> {
        self.enter_up_to(batch.last_offset());
        let producer = batch.producer_id();
        Ok(match kind_of(batch)? {
            // Emptied before: nothing but its place was kept.
            None => MarkerFate { may_go: true, aborted: None },
            Some(ControlRecordType::Abort) => match self.aborted.remove(&producer) {
                Some((transaction, true)) => MarkerFate { may_go: false, aborted: Some(transaction) },
                _ => MarkerFate { may_go: true, aborted: None },
            },
            Some(ControlRecordType::Commit) => {
                MarkerFate { may_go: !self.committed.remove(&producer), aborted: None }
            }
            Some(_) => MarkerFate { may_go: false, aborted: None },
        })
    }

    fn enter_up_to(&mut self, offset: Offset) {
        while let Some(Reverse((first_offset, last_offset, producer_id, last_stable_offset))) =
            self.ahead.peek().copied()
            && first_offset <= offset
        {
            self.ahead.pop();
            let transaction =
                AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset };
            self.aborted.entry(producer_id).or_insert((transaction, false));
        }
    }
}

fn kind_of(batch: &BatchView<'_>) -> Result<Option<ControlRecordType>, ControlError> {
    let mut records = batch.records(DecompressionCap::default()).map_err(RecordError::from)?;
    match records.next_record() {
        None => Ok(None),
        Some(record) => ControlRecordType::of_key(record?.key).map(Some),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::batch::control::{EndTxnMarker, TxnOutcome};
    use crate::batch::{BatchBuilder, Compression, NewRecord, stamp_base_offset};
    use crate::types::{ProducerEpoch, Sequence, TimestampMs};

    fn data(producer: i64, offset: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None)
            .base_offset(Offset::new(offset))
            .producer(ProducerId::new(producer), ProducerEpoch::new(0), Sequence::new(0))
            .transactional();
        builder.append(&NewRecord { value: Some(b"v"), ..NewRecord::default() }).unwrap();
        builder.finish().unwrap()
    }

    fn marker(producer: i64, outcome: TxnOutcome, offset: i64) -> Vec<u8> {
        let marker = EndTxnMarker { outcome, coordinator_epoch: 0 };
        let mut bytes =
            marker.to_batch(ProducerId::new(producer), ProducerEpoch::new(0), TimestampMs::new(1)).unwrap();
        stamp_base_offset(&mut bytes, Offset::new(offset));
        bytes
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId::new(producer),
            first_offset: Offset::new(first),
            last_offset: Offset::new(last),
            last_stable_offset: Offset::new(last + 1),
        }
    }

    #[test]
    fn data_of_aborted_transactions_goes_and_a_marker_waits_for_the_data() {
        let mut walk = Transactions::default();
        walk.announce(&[aborted(1, 0, 3), aborted(1, 6, 8)]);
        let pass = |walk: &mut Transactions, bytes: &[u8]| walk.pass_data(&BatchView::read(bytes).unwrap());
        let end = |walk: &mut Transactions, bytes: &[u8]| {
            let fate = walk.pass_control(&BatchView::read(bytes).unwrap()).unwrap();
            (fate.may_go, fate.aborted.map(|txn| txn.first_offset.get()))
        };
        assert!(pass(&mut walk, &data(1, 0)));
        assert!(!pass(&mut walk, &data(2, 1)), "another producer's transaction, which will commit");
        // The next segment announces what reaches into it once more.
        walk.announce(&[aborted(1, 0, 3), aborted(1, 6, 8)]);
        assert_eq!(end(&mut walk, &marker(1, TxnOutcome::Abort, 3)), (false, Some(0)));
        assert_eq!(end(&mut walk, &marker(2, TxnOutcome::Commit, 4)), (false, None));
        assert_eq!(end(&mut walk, &marker(2, TxnOutcome::Commit, 5)), (true, None), "nothing of it is left");
        assert_eq!(end(&mut walk, &marker(1, TxnOutcome::Abort, 8)), (true, None), "its data went before");
        assert!(
            !pass(&mut walk, &data(1, 9)),
            "after its end the producer's next transaction is no aborted one"
        );
    }
}
