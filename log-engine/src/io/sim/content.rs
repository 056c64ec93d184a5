//! One simulated file: what a reader sees, what the platter holds, and what lies between. Pure.

use super::Seeded;

/// A disk writes these whole or not at all.
const SECTOR_LEN: usize = 512;

/// The bytes of a file.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last flush, oldest first.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Content {
    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, position: usize, bytes: &[u8]) {
        self.change(Change::Write { position, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.change(Change::SetLen(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What Linux does: the failed pages are marked clean. Readers still see them, a later flush succeeds, and they
    /// never reach the disk.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.retain(|change| matches!(change, Change::SetLen(_)));
    }

    /// After the process died and the machine did not.
    pub(super) fn after_kill(&self) -> Self {
        self.clone()
    }

    /// After a power loss: what was flushed, and of the rest whatever the seed decides.
    pub(super) fn after_power_loss(&self, random: &mut Seeded) -> Self {
        let survived = match random.below(5) {
            0 => self.durable.clone(),
            1 => self.durable_with(self.unsynced.len()),
            2 => self.torn_in_order(random),
            _ => self.torn_out_of_order(random),
        };
        Self { live: survived.clone(), durable: survived, unsynced: Vec::new() }
    }

    fn durable_with(&self, changes: usize) -> Vec<u8> {
        let mut image = self.durable.clone();
        self.unsynced[..changes].iter().for_each(|change| change.apply(&mut image));
        image
    }

    /// Some changes arrived in order, of the next one some sectors from its start.
    fn torn_in_order(&self, random: &mut Seeded) -> Vec<u8> {
        if self.unsynced.is_empty() {
            return self.durable.clone();
        }
        let whole = random.below(self.unsynced.len() as u64) as usize;
        let mut image = self.durable_with(whole);
        if let Change::Write { position, bytes } = &self.unsynced[whole] {
            let first_boundary = SECTOR_LEN - position % SECTOR_LEN;
            let sectors = random.below((bytes.len() / SECTOR_LEN + 1) as u64) as usize;
            let len = if sectors == 0 { 0 } else { first_boundary + (sectors - 1) * SECTOR_LEN };
            let bytes = bytes[..len.min(bytes.len())].to_vec();
            Change::Write { position: *position, bytes }.apply(&mut image);
        }
        image
    }

    /// Each sector arrived or did not, and the length arrived apart from them. A sector inside the new length that
    /// never arrived reads as zeros, or, as on a file system that does not order data before metadata, as whatever
    /// lay there before.
    fn torn_out_of_order(&self, random: &mut Seeded) -> Vec<u8> {
        let len = match random.below(3) {
            0 => self.durable.len(),
            1 => self.live.len(),
            _ => {
                let (short, long) = ordered(self.durable.len(), self.live.len());
                short + random.below((long - short + 1) as u64) as usize
            }
        };
        let stale = random.one_in(4);
        let mut image = vec![0; len];
        for (index, sector) in image.chunks_mut(SECTOR_LEN).enumerate() {
            let start = index * SECTOR_LEN;
            let arrived = if random.one_in(2) { &self.live } else { &self.durable };
            let known = arrived.get(start..).unwrap_or_default();
            let known = &known[..known.len().min(sector.len())];
            let never_written = known.is_empty() && start >= self.durable.len();
            if never_written && stale {
                sector.iter_mut().for_each(|byte| *byte = random.next() as u8);
            }
            sector[..known.len()].copy_from_slice(known);
        }
        image
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => image.resize(*len, 0),
            Self::Write { position, bytes } => {
                let end = position + bytes.len();
                if !bytes.is_empty() && image.len() < end {
                    image.resize(end, 0);
                }
                if let Some(place) = image.get_mut(*position..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    if a <= b { (a, b) } else { (b, a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced_then(prefix: &[u8], rest: &[&[u8]]) -> Content {
        let mut content = Content::default();
        content.write(0, prefix);
        content.sync();
        for bytes in rest {
            content.write(content.live.len(), bytes);
        }
        content
    }

    #[test]
    fn what_was_flushed_survives_every_power_loss() {
        let content = synced_then(&[1; 3000], &[&[2; 1000], &[3; 5000]]);
        for seed in 0..500 {
            let after = content.after_power_loss(&mut Seeded::new(seed));
            assert_eq!(after.live()[..3000], [1; 3000], "seed {seed}");
        }
    }

    #[test]
    fn what_was_not_flushed_is_lost_kept_cut_reordered_and_filled_with_zeros_in_some_seeds() {
        let content = synced_then(&[1; 1024], &[&[2; 2048], &[3; 2048]]);
        let images: Vec<Vec<u8>> =
            (0..500).map(|seed| content.after_power_loss(&mut Seeded::new(seed)).live().to_vec()).collect();
        let seen = |what: &dyn Fn(&[u8]) -> bool| images.iter().any(|image| what(image));
        assert!(seen(&|image| image.len() == 1024), "all lost");
        assert!(seen(&|image| image == content.live()), "all kept");
        assert!(seen(&|image| image.len() > 1024 && image.len() < 5120), "cut");
        assert!(
            seen(&|image| image.contains(&3) && image[1024..].contains(&0)),
            "a later write before an earlier one"
        );
        assert!(seen(&|image| image[1024..].iter().any(|byte| *byte > 3)), "stale bytes");
    }

    #[test]
    fn sectors_are_torn_only_at_their_boundaries() {
        let content = synced_then(&[1; 512], &[&[2; 5120]]);
        for seed in 0..500 {
            let image = content.after_power_loss(&mut Seeded::new(seed)).live().to_vec();
            for sector in image[512..].chunks_exact(512) {
                let whole = [0, 2].iter().any(|byte| sector.iter().all(|other| other == byte));
                let stale = sector.iter().any(|byte| *byte > 2);
                assert!(whole || stale, "seed {seed}");
            }
        }
    }

    #[test]
    fn after_a_failed_flush_a_second_one_succeeds_and_the_bytes_are_gone_nevertheless() {
        let mut content = synced_then(b"durable", &[b"lost"]);
        content.fail_sync();
        assert_eq!(content.live(), b"durablelost");
        content.sync();
        for seed in 0..100 {
            assert_eq!(content.after_power_loss(&mut Seeded::new(seed)).live()[..7], *b"durable");
        }
        assert_eq!(content.durable, b"durable");
    }

    #[test]
    fn a_killed_process_loses_nothing_that_it_wrote() {
        let content = synced_then(b"a", &[b"b", b"c"]);
        assert_eq!(content.after_kill().live(), b"abc");
    }
}
