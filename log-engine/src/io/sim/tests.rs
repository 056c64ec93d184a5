//! The simulated disk does what it is told, and only that.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::io::{atomic_replace, conformance::tree};

fn disk_with_dir() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

#[test]
fn the_same_history_and_seed_leave_the_same_disk() {
    let history = || {
        let disk = disk_with_dir();
        for index in 0..10 {
            let file = disk.open(Path::new(&format!("/d/{index}")), OpenMode::CreateNew).unwrap();
            file.write_all_at(&vec![index; 3000], 0).unwrap();
        }
        disk
    };
    let images: Vec<_> = (0..50).map(|seed| tree(&history().crash(seed), Path::new("/d"))).collect();
    let again: Vec<_> = (0..50).map(|seed| tree(&history().crash(seed), Path::new("/d"))).collect();
    assert!(images == again);
    assert!(images.iter().any(|image| *image != images[0]), "seeds differ");
}

#[test]
fn a_replaced_file_is_old_or_new_and_whole_after_every_crash_at_every_operation() {
    let path = Path::new("/d/checkpoint");
    let prepared = || {
        let disk = disk_with_dir();
        atomic_replace(&disk, path, &[1; 2000]).unwrap();
        disk
    };
    let disk = prepared();
    let before = disk.operations();
    atomic_replace(&disk, path, &[2; 900]).unwrap();
    let operations = disk.operations() - before;
    let (mut old, mut new) = (0, 0);
    for power_off in 0..=operations {
        for seed in 0..40 {
            let disk = prepared();
            disk.power_off_after(power_off);
            let finished = atomic_replace(&disk, path, &[2; 900]).is_ok();
            let image = tree(&disk.crash(seed), Path::new("/d"));
            match image.get(Path::new("checkpoint")) {
                Some(Some(bytes)) if *bytes == [1; 2000] && !finished => old += 1,
                Some(Some(bytes)) if *bytes == [2; 900] => new += 1,
                other => panic!("power off after {power_off}, seed {seed}: {other:?}"),
            }
        }
    }
    assert!(old > 0 && new > 0, "{old} {new}");
}

#[test]
fn a_crashed_disk_answers_nothing_any_more() {
    let disk = disk_with_dir();
    let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    let next = disk.kill();
    assert!(file.write_all_at(b"x", 0).is_err() && file.sync_data().is_err() && file.len().is_err());
    assert!(disk.open(Path::new("/d/f"), OpenMode::Read).is_err());
    assert_eq!(tree(&next, Path::new("/d"))[Path::new("f")], Some(b"abc".to_vec()));
}

#[test]
fn a_full_disk_takes_what_fits_and_later_the_rest() {
    let disk = disk_with_dir();
    let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"abcdef", 0).unwrap();
    disk.set_full(true);
    let short = file.write_vectored_all_at(&[IoSlice::new(b"XYZ")], 5).unwrap_err();
    assert_eq!((short.written, short.error.raw_os_error()), (1, Some(libc::ENOSPC)));
    file.write_all_at(b"overwritten is no growth"[..5].into(), 0).unwrap();
    disk.set_full(false);
    file.write_all_at(b"XYZ", 5).unwrap();
    assert_eq!(file.len().unwrap(), 8);
}

#[test]
fn a_short_write_is_continued_and_ends_with_the_error_that_meets_the_rest() {
    let disk = disk_with_dir();
    let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew).unwrap();
    disk.inject(Fault::next(Operation::Write, libc::EIO).arriving(2));
    file.write_all_at(b"abcdef", 0).unwrap();
    disk.inject(Fault::next(Operation::Write, libc::EIO).arriving(4));
    disk.inject(Fault::next(Operation::Write, libc::ENOSPC));
    let short = file.write_vectored_all_at(&[IoSlice::new(b"ABC"), IoSlice::new(b"DEF")], 0).unwrap_err();
    assert_eq!((short.written, short.error.raw_os_error()), (4, Some(libc::ENOSPC)));
    assert_eq!(tree(&disk, Path::new("/d"))[Path::new("f")], Some(b"ABCDef".to_vec()));
}

#[test]
fn a_lock_dies_with_its_machine() {
    let disk = disk_with_dir();
    let path = Path::new("/d/.lock");
    let held = disk.lock(path).unwrap();
    assert_eq!(disk.lock(path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let next = disk.kill();
    next.lock(path).unwrap();
    drop(held);
}
