//! Offsets that no record has: behind a cut inside a batch, and in what a replica is sent of a log that was compacted.
//! Where a segment ends before such a gap and the next one begins behind it, nothing in the two tells that no record is
//! missing.

use std::io;

use super::crash::{config_on, formatted, opened};
use super::*;
use crate::batch::stamp_base_offset;
use crate::io::sim::SimDisk;
use crate::io::{Disk, OpenMode};

fn stored(log: &Arc<Log>, mut request: AppendRequest) -> Appended {
    request.durability = Some(Durability::Sync);
    log.append(request).unwrap().wait().unwrap()
}

/// What a crash leaves: the next machine's disk.
fn crashed(disk: &SimDisk, seed: u64) -> SimDisk {
    if seed == 0 { disk.kill() } else { disk.crash(seed) }
}

#[test]
fn what_follows_a_cut_inside_a_batch_survives_every_crash() {
    for (end, seed) in (1..30).flat_map(|end| [0, 7].map(|seed| (end, seed))) {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, small_segments());
        for _ in 0..10 {
            append(&log, &[b"one", b"two", b"three"]);
        }
        log.truncate_to(Offset::new(end)).unwrap();
        // Larger than what any segment has room for.
        let large = vec![b'x'; 850];
        for offset in end..end + 5 {
            let request = AppendRequest::from_client(batch_of(&[&large], NOW), LeaderEpoch::new(0));
            assert_eq!(stored(&log, request).first_offset.get(), offset);
        }
        let whole = end / 3 * 3;
        let expected: Vec<i64> = (0..whole).chain(end..end + 5).collect();
        let found =
            |log: &Log| -> Vec<i64> { values_from(log, 0).into_iter().map(|(offset, _)| offset).collect() };
        assert_eq!(found(&log), expected, "cut at {end}");
        let (_engine, log) = opened(&crashed(&disk, seed));
        assert_eq!(found(&log), expected, "cut at {end}, seed {seed}");
    }
}

#[test]
fn what_a_replica_was_sent_with_gaps_survives_every_crash() {
    for seed in 0..10 {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, small_segments());
        let offsets: Vec<i64> = (0..12).map(|number| number * 10).collect();
        for &offset in &offsets {
            let mut batch = batch_of(&[&[b'x'; 400]], NOW);
            stamp_base_offset(&mut batch, Offset::new(offset));
            let request = AppendRequest::from_leader(batch, LeaderEpoch::new(0));
            assert_eq!(stored(&log, request).first_offset.get(), offset);
        }
        let bases: Vec<i64> = log.segments_info().iter().map(|segment| segment.base_offset.get()).collect();
        assert_eq!(bases, [0, 20, 40, 60, 80, 100], "segments begin behind gaps");
        let (_engine, log) = opened(&crashed(&disk, seed));
        let found: Vec<i64> = values_from(&log, 0).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(found, offsets, "seed {seed}");
    }
}

#[test]
fn a_log_that_cannot_note_a_gap_takes_nothing_behind_it_and_goes_on_once_it_can() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..8);
    let request = || {
        let mut batch = batch_of(&[&[b'x'; 700]], NOW);
        stamp_base_offset(&mut batch, Offset::new(20));
        AppendRequest::from_leader(batch, LeaderEpoch::new(0))
    };
    disk.set_full(true);
    let refused = log.append(request()).map(|ticket| ticket.wait());
    assert!(refused.is_err_and(|error| error.is_full()));
    disk.set_full(false);
    assert_eq!(stored(&log, request()).first_offset.get(), 20);
    let (_engine, log) = opened(&disk.kill());
    assert_eq!(values_from(&log, 0).last().map(|(offset, _)| *offset), Some(20));
}

/// What is appended in place of lost records was believed by the start after the next power loss, torn or not, since the
/// checkpoint said that records up to there were durable.
#[test]
fn a_start_that_finds_less_than_was_durable_says_so_before_it_takes_records() -> io::Result<()> {
    for seed in 1..60 {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, LogConfig::default());
        append_numbered(&log, 0..20);
        log.flush()?;
        crate::engine::write_checkpoints(log.home(), &engine.logs())?;
        let disk = disk.kill();
        let file = disk.open(Path::new("/data/orders-0/00000000000000000000.log"), OpenMode::ReadWrite)?;
        file.set_len(0)?;
        file.sync_data()?;
        let (engine, log) = opened(&disk);
        assert_eq!(log.offsets().log_end.get(), 0);
        append_numbered(&log, 0..20);
        let successor = disk.crash(seed);
        drop((log, engine));
        let (_engine, log) = opened(&successor);
        let end = log.offsets().log_end.get();
        assert_eq!(values_from(&log, 0), numbered(0..end), "seed {seed}");
    }
    Ok(())
}
