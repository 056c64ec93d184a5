//! Frames of a stranger: random bytes, and messages of Kafka that were damaged.
//!
//! Decoding must come back with a message or an error, and take no memory for what a frame only claims. This is a
//! program of its own with one test, so that nobody else's memory is counted. The seed is printed; `KLAMM_SEED` sets
//! another one.

#[path = "../codec/samples.rs"]
mod samples;

use samples::{Kind, Sample, samples};
use wire::header::IncomingHeader;
use wire::messages::{EXPANDED, Request, Response};
use wire::primitives::Reader;
use wire::records::MetadataRecord;

const FRAMES: usize = 100_000;

/// What decoding may add to the address space of the process, touched or only reserved. Each message is freed before
/// the next one, so that this bounds the largest single one.
const GROWTH_MAX_BYTES: usize = 2 * 1024 * 1024;

#[test]
fn a_hundred_thousand_damaged_frames_neither_panic_nor_take_memory() {
    let mut random = Random::seeded();
    let samples: Vec<Sample> = samples().into_iter().filter(|sample| sample.kind != Kind::Default).collect();
    let before = peak_memory_bytes();
    decode_damaged(&mut random, &samples);
    decode_random(&mut random);
    decode_filled();
    let growth = peak_memory_bytes() - before;
    assert!(growth <= GROWTH_MAX_BYTES, "memory grew by {growth} bytes");
}

fn decode_damaged(random: &mut Random, samples: &[Sample]) {
    let mut accepted = 0;
    for _ in 0..FRAMES {
        let sample = &samples[random.below(samples.len())];
        let mut bytes = sample.bytes.clone();
        for _ in 0..=random.below(3) {
            random.damage(&mut bytes);
        }
        accepted += usize::from(decode_like(sample, &bytes));
    }
    // Damage to a number leaves a message, damage to a length rarely does: both kinds of end must occur.
    assert!(accepted > FRAMES / 20 && accepted < FRAMES * 19 / 20, "{accepted} of {FRAMES} were messages");
}

fn decode_random(random: &mut Random) {
    for _ in 0..FRAMES {
        let length = random.below(64);
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let mut r = Reader::new(&bytes);
        let Ok(header) = IncomingHeader::decode(&mut r) else { continue };
        let _ = Request::decode(&mut r, header.key, header.version);
    }
}

/// The same byte all over, for every version: the largest lengths, nulls, endless numbers.
fn decode_filled() {
    for key in EXPANDED {
        for version in key.versions().iter() {
            for fill in 0..=u8::MAX {
                let bytes = [fill; 40];
                let _ = Request::decode(&mut Reader::new(&bytes), *key, version);
                let _ = Response::decode(&mut Reader::new(&bytes), *key, version);
            }
        }
    }
}

fn decode_like(sample: &Sample, bytes: &[u8]) -> bool {
    if !sample.json.is_empty() {
        return MetadataRecord::decode(&mut Reader::new(bytes)).is_ok();
    }
    let api = |suffix| EXPANDED.iter().find(|key| sample.name.strip_suffix(suffix) == Some(key.name()));
    let mut r = Reader::new(bytes);
    if let Some(key) = api("Request") {
        Request::decode(&mut r, *key, sample.version).is_ok()
    } else {
        let key = api("Response").expect("a sample is a request, a response or a record");
        Response::decode(&mut r, *key, sample.version).is_ok()
    }
}

/// The largest address space that the process ever had.
fn peak_memory_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells about the process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmPeak:"))
        .expect("a line with the largest address space");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let named = std::env::var("KLAMM_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = named.unwrap_or(20_261_121);
        println!("KLAMM_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Flips, cuts, repeats, or puts a length that hurts somewhere.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        const LENGTHS: [&[u8]; 7] = [
            &[0x7f, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
            &[0x80, 0x00],
            &[0x00, 0x10, 0x00, 0x00],
            &[0xff, 0x01],
        ];
        let at = self.below(bytes.len());
        match self.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_within(at..),
            2 => {
                let length = LENGTHS[self.below(LENGTHS.len())];
                let end = bytes.len().min(at + length.len());
                bytes.splice(at..end, length.iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }
}
