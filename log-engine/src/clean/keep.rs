//! What stays of a batch? Pure decisions with the rules of Kafka's `Cleaner.cleanInto` and `MemoryRecords.filterTo`.

use crate::batch::BatchHeader;
use crate::producer::ProducerEntry;
use crate::types::{Offset, ProducerEpoch, TimestampMs};

/// What becomes of a batch before its records are looked at.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct BatchFate {
    /// None of its records stays.
    pub(super) drops_records: bool,
    /// Its header stays when no record does.
    pub(super) keeps_header: bool,
    /// Its marker may go once the delete horizon has passed, which begins now where it has not begun.
    pub(super) is_spent_marker: bool,
}

/// What the log remembers of a producer that is not expired.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct LastOfProducer {
    epoch: ProducerEpoch,
    data: Option<Offset>,
}

impl LastOfProducer {
    pub(super) fn of(entry: &ProducerEntry) -> Self {
        let data = entry.last_batch().map(|batch| batch.last_offset).filter(|offset| offset.get() >= 0);
        Self { epoch: entry.producer_epoch, data }
    }

    // A producer is known by the batch with its last sequence or, where it has none, by the marker with its epoch.
    fn is_in(&self, batch: &BatchHeader<'_>) -> bool {
        match self.data {
            Some(offset) => batch.last_offset() == offset,
            None => batch.is_control() && batch.producer_epoch() == self.epoch,
        }
    }
}

/// `may_go`: the batch belongs to an aborted transaction, or is a marker that ends nothing any more. `upper` is the end of
/// what is cleaned: the batch before it stays, so that the offset is not lost.
pub(super) fn fate_of(
    batch: &BatchHeader<'_>,
    may_go: bool,
    last: Option<&LastOfProducer>,
    upper: Offset,
    now: TimestampMs,
) -> BatchFate {
    let horizon_passed = batch.delete_horizon().is_some_and(|horizon| horizon <= now);
    let is_last = batch.has_producer_id() && last.is_some_and(|last| last.is_in(batch));
    BatchFate {
        drops_records: may_go && (!batch.is_control() || horizon_passed),
        keeps_header: is_last || batch.next_offset() == upper,
        is_spent_marker: may_go && batch.is_control(),
    }
}

/// Whether a tombstone of this batch stays: until the horizon, which is set when it is first met.
pub(super) fn keeps_tombstones(batch: &BatchHeader<'_>, now: TimestampMs) -> bool {
    batch.delete_horizon().is_none_or(|horizon| now < horizon)
}

/// Whether a record of a data batch stays. `is_superseded`: its key was met again, which is known of records up to
/// `mapped_to`.
pub(super) fn keeps_record(
    offset: Offset,
    has_key: bool,
    has_value: bool,
    keeps_tombstones: bool,
    mapped_to: Option<Offset>,
    is_superseded: impl FnOnce() -> bool,
) -> bool {
    if mapped_to.is_none_or(|end| offset > end) {
        return true;
    }
    has_key && (has_value || keeps_tombstones) && !is_superseded()
}

/// The delete horizon of a batch that is written: that which it has, or a new one where tombstones or a spent marker
/// begin to wait.
pub(super) fn horizon_of(
    batch: &BatchHeader<'_>,
    waits: bool,
    now: TimestampMs,
    delete_retention_ms: i64,
) -> Option<TimestampMs> {
    batch
        .delete_horizon()
        .or_else(|| waits.then(|| TimestampMs::new(now.get().saturating_add(delete_retention_ms))))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::batch::{BatchBuilder, BatchView, Compression, NewRecord};
    use crate::types::{ProducerId, Sequence};

    const NOW: TimestampMs = TimestampMs::new(1_000);

    #[test]
    fn the_last_value_of_a_key_stays_and_a_tombstone_until_its_horizon() {
        let table = [
            ("superseded", (5, true, true, true, Some(9), Some(7)), false),
            ("the last of its key", (7, true, true, true, Some(9), Some(7)), true),
            ("later than what is mapped of its key", (8, true, true, true, Some(9), Some(7)), true),
            ("of a key that was not mapped", (5, true, true, true, Some(9), None), true),
            ("behind what is mapped", (10, true, true, true, Some(9), Some(7)), true),
            ("behind what is mapped, without key", (10, false, true, true, Some(9), None), true),
            ("without key", (5, false, true, true, Some(9), None), false),
            ("a tombstone before its horizon", (7, true, false, true, Some(9), Some(7)), true),
            ("a tombstone past its horizon", (7, true, false, false, Some(9), Some(7)), false),
            ("nothing is mapped", (0, true, true, true, None, None), true),
        ];
        for (name, (offset, key, value, tombstones, mapped, latest), expected) in table {
            let keeps =
                keeps_record(Offset::new(offset), key, value, tombstones, mapped.map(Offset::new), || {
                    latest.is_some_and(|latest| offset < latest)
                });
            assert_eq!(keeps, expected, "{name}");
        }
    }

    fn batch(control: bool) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None)
            .base_offset(Offset::new(10))
            .producer(ProducerId::new(1), ProducerEpoch::new(3), Sequence::new(0))
            .transactional();
        if control {
            builder = builder.control();
        }
        builder.append(&NewRecord { key: Some(b"k"), ..NewRecord::default() }).unwrap();
        builder.finish().unwrap()
    }

    #[test]
    fn a_producer_is_known_by_its_last_batch_or_by_the_marker_of_its_epoch() {
        let (data, marker) = (batch(false), batch(true));
        let (data, marker) = (BatchView::read(&data).unwrap(), BatchView::read(&marker).unwrap());
        let last = |offset: Option<i64>, epoch| LastOfProducer {
            epoch: ProducerEpoch::new(epoch),
            data: offset.map(Offset::new),
        };
        let far = Offset::new(100);
        let keeps = |batch: &BatchView<'_>, last: Option<LastOfProducer>, upper| {
            fate_of(batch, true, last.as_ref(), upper, NOW).keeps_header
        };
        assert!(keeps(&data, Some(last(Some(10), 3)), far));
        assert!(!keeps(&data, Some(last(Some(11), 3)), far), "not its last batch");
        assert!(!keeps(&data, Some(last(None, 3)), far), "no marker");
        assert!(keeps(&marker, Some(last(None, 3)), far));
        assert!(!keeps(&marker, Some(last(None, 4)), far), "an older epoch");
        assert!(!keeps(&data, None, far), "expired");
        assert!(keeps(&data, None, Offset::new(11)), "the last batch of what is cleaned");
    }

    #[test]
    fn data_of_an_aborted_transaction_goes_at_once_and_a_marker_only_past_its_horizon() {
        let (data, marker) = (batch(false), batch(true));
        let (data, marker) = (BatchView::read(&data).unwrap(), BatchView::read(&marker).unwrap());
        let far = Offset::new(100);
        let aborted = fate_of(&data, true, None, far, NOW);
        assert!(aborted.drops_records && !aborted.is_spent_marker);
        let spent = fate_of(&marker, true, None, far, NOW);
        assert!(!spent.drops_records && spent.is_spent_marker);
        assert_eq!(horizon_of(&marker, true, NOW, 50), Some(TimestampMs::new(1_050)));
        assert_eq!(horizon_of(&marker, false, NOW, 50), None);
    }
}
