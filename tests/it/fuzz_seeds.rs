//! The targets of `log-engine/fuzz` on their seeds, and on seeds that were damaged a little: what a fuzzer on a nightly compiler found
//! once stays mended on the stable one. An input that broke something becomes a seed.

use std::fs;
use std::path::{Path, PathBuf};

use klamm_tests::binaries::workspace;
use log_engine::io::sim::Seeded;

use crate::fuzz_targets::TARGETS;

/// Damaged copies that are made of each seed.
const COPIES: usize = 30;

fn fuzz() -> PathBuf {
    workspace().join("log-engine/fuzz")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn damage(bytes: &mut Vec<u8>, random: &mut Seeded) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => bytes.extend_from_within(..at),
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
}

#[test]
fn every_target_comes_back_from_its_seeds_and_from_damaged_ones() {
    for (name, target) in TARGETS {
        let seeds = files(&fuzz().join("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (number, seed) in seeds.into_iter().enumerate() {
            let bytes = fs::read(&seed).expect("a seed is a file");
            println!("{}", seed.display());
            target(&bytes);
            let mut random = Seeded::new(number as u64);
            for _ in 0..COPIES {
                let mut copy = bytes.clone();
                damage(&mut copy, &mut random);
                println!("{copy:?}");
                target(&copy);
            }
        }
    }
}

#[test]
fn every_target_is_one_of_the_fuzzers() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("it is in the tree");
    let programs: Vec<String> = files(&fuzz().join("fuzz_targets"))
        .iter()
        .map(|path| path.file_stem().expect("it has a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(programs, TARGETS.map(|(name, _)| name));
    for name in programs {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
