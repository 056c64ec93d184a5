//! Where the batches of a segment lie whose keys count, so that they can be read from the last to the first.

use crate::batch::BatchHeader;

/// Batches of a segment, in their order.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) batches: Vec<Lying>,
    /// How many records they have.
    pub(super) records: u64,
}

/// A batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Lying {
    pub(super) position: u64,
    pub(super) size: u32,
}

impl Lying {
    pub(super) fn end(&self) -> u64 {
        self.position + u64::from(self.size)
    }
}

impl Outline {
    pub(super) fn add(&mut self, position: u64, header: &BatchHeader<'_>) {
        // A size comes from a length field of 31 bits.
        self.batches.push(Lying { position, size: header.size_in_bytes() as u32 });
        self.records += u64::from(header.record_count().unsigned_abs());
    }

    /// Neighbours that fit a buffer of `room` bytes, or one batch that does not, from the last to the first.
    pub(super) fn stretches_from_the_last(&self, room: usize) -> impl Iterator<Item = &[Lying]> {
        let mut rest = &self.batches[..];
        std::iter::from_fn(move || {
            let end = rest.last()?.end();
            let first = rest.partition_point(|lying| end - lying.position > room as u64).min(rest.len() - 1);
            let (before, stretch) = rest.split_at(first);
            rest = before;
            Some(stretch)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(sizes: &[u32]) -> Outline {
        let mut position = 100;
        let mut outline = Outline::default();
        for &size in sizes {
            outline.batches.push(Lying { position, size });
            position += u64::from(size);
        }
        outline
    }

    #[test]
    fn a_stretch_is_as_many_neighbours_as_there_is_room_for_and_one_batch_at_least() {
        let outline = outline(&[10, 10, 10, 200, 10, 10]);
        let stretches: Vec<Vec<u32>> = outline
            .stretches_from_the_last(25)
            .map(|stretch| stretch.iter().map(|lying| lying.size).collect())
            .collect();
        assert_eq!(stretches, [vec![10, 10], vec![200], vec![10, 10], vec![10]]);
        assert_eq!(Outline::default().stretches_from_the_last(25).count(), 0);
    }
}
