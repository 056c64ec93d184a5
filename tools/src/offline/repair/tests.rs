//! A repair that ends anywhere: what it leaves can be opened, and the next one finishes it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use log_engine::{Engine, EngineConfig, TopicPartition};
use tempfile::TempDir;

use super::*;
use crate::offline::verify::{
    damage::{Damage, Findings, Told},
    verify,
};

const PARTITION: &str = "rolled-0";
const LOG: &str = "rolled-0/00000000000000000124.log";

/// A data directory with one partition: a batch in the middle is damaged, and so are an index, a checkpoint and the topic's id.
fn damaged() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().expect("a directory");
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/stopped");
    let dir = temporary.path().join("data");
    fs::create_dir(&dir).expect("made");
    for name in [PARTITION, "__cluster_metadata-0"] {
        let copied = Command::new("cp").arg("-r").arg(from.join(name)).arg(&dir).status().expect("cp runs");
        assert!(copied.success());
    }
    fs::copy(from.join("meta.properties"), dir.join("meta.properties")).expect("copied");
    fs::write(dir.join("recovery-point-offset-checkpoint"), "0\n1\nrolled 0 200\n").expect("written");
    fs::write(dir.join("replication-offset-checkpoint"), "0\n1\nrolled 0 900\n").expect("written");
    fs::write(dir.join(".kafka_cleanshutdown"), "").expect("written");
    fs::write(dir.join(PARTITION).join("partition.metadata"), "?").expect("written");
    fs::write(dir.join(PARTITION).join("00000000000000000061.timeindex"), "?").expect("written");
    let mut bytes = fs::read(dir.join(LOG)).expect("read");
    bytes[200] ^= 1;
    fs::write(dir.join(LOG), bytes).expect("written");
    (temporary, dir)
}

fn plan(dir: &Path) -> Plan {
    let target = Target::read(dir).expect("nobody works in it");
    Plan::make(&target, progress::bar(0)).expect("it can be read")
}

fn execute(steps: &[Step]) {
    let disk = NativeDisk::new(BackendChoice::Threads);
    steps.iter().for_each(|step| carry_out::carry_out(&disk, step).expect("the disk is whole"));
}

struct All(Vec<Damage>);

impl Told for All {
    fn damage(&mut self, damage: Damage) -> io::Result<()> {
        self.0.push(damage);
        Ok(())
    }
}

fn damages(dir: &Path) -> Vec<Damage> {
    let mut all = All(Vec::new());
    let target = Target::read(dir).expect("nobody works in it");
    verify(&target, true, &mut Findings::new(&mut all, progress::bar(0))).expect("it can be read");
    all.0
}

#[test]
fn a_repair_that_was_cut_short_after_any_step_leaves_what_opens_and_is_finished_by_the_next() {
    let count = plan(&damaged().1).steps.len();
    assert!(count > 10, "{count} steps");
    for done in 0..=count {
        let (_temporary, dir) = damaged();
        let steps = plan(&dir).steps;
        execute(&steps[..done]);

        // The start may mend something itself: on a copy.
        let copy = tempfile::tempdir().expect("a directory");
        let copied = Command::new("cp").arg("-r").arg(&dir).arg(copy.path()).status().expect("cp runs");
        assert!(copied.success());
        let engine = Engine::open(EngineConfig::new([copy.path().join("data")], 1)).expect("it opens");
        let log = engine.log(&TopicPartition::new("rolled", 0)).expect("the log is there");
        assert!(log.offsets().log_end.get() >= 124, "{done} steps: {:?}", log.offsets());
        drop((log, engine));

        execute(&plan(&dir).steps);
        assert!(plan(&dir).steps.is_empty(), "{done} steps: {:?}", plan(&dir).steps);
        let left = damages(&dir);
        assert!(left.is_empty(), "{done} steps: {left:?}");
        assert!(fs::metadata(dir.join(LOG).with_extension("log.aside")).is_ok(), "the original is kept");
    }
}
