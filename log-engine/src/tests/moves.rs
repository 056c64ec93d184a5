//! Logs that are moved between data directories: nothing is lost, whoever appends, reads or pulls the plug meanwhile.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::io::Disk;
use crate::io::sim::{Fault, Operation, SimDisk};

const EIO: i32 = 5;

fn two_directories() -> SimDisk {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    shared.create_dir_all(Path::new("/")).unwrap();
    let meta = MetaProperties { cluster_id: "test".into(), node_id: 1, directory_id: None };
    for dir in ["/a", "/b"] {
        log_dir::format(&shared, Path::new(dir), &meta, TimestampMs::new(NOW)).unwrap();
    }
    disk
}

fn config_on(disk: &SimDisk) -> EngineConfig {
    let mut config = EngineConfig::new([PathBuf::from("/a"), PathBuf::from("/b")], 1);
    config.disk = DiskChoice::Given(Arc::new(disk.clone()));
    config.clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW)));
    config.log_defaults = small_segments();
    config
}

fn create_in_a(engine: &Engine) -> Arc<Log> {
    let config = LogConfig { file_delete_delay_ms: 0, ..small_segments() };
    engine.create_log(&orders(), TopicId::new([7; 16]), config, Some(Path::new("/a"))).unwrap()
}

fn wait_for_moves(engine: &Engine) {
    for _ in 0..4000 {
        if engine.moves().is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the move does not end: {:?}", engine.moves());
}

fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    let entries = disk.list(Path::new(dir)).unwrap();
    let mut names: Vec<String> = entries.iter().filter_map(|entry| entry.name().map(str::to_owned)).collect();
    names.retain(|name| name.starts_with("orders"));
    names.sort();
    names
}

#[test]
fn a_log_is_moved_while_it_is_written_and_read() {
    let disk = two_directories();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create_in_a(&engine);
    append_numbered(&log, 0..200);
    log.set_high_watermark(Offset::new(200));
    log.delete_records_before(Offset::new(5)).unwrap();
    let moved = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut next = 200;
            // Holds the log of before the move, as a connection may.
            while !moved.load(Ordering::Acquire) || next < 300 {
                append_numbered(&log, next..next + 1);
                next += 1;
            }
            next
        });
        let reader = scope.spawn(|| {
            while !moved.load(Ordering::Acquire) {
                let now = engine.log(&orders()).unwrap();
                assert_eq!(values_from(&now, 5)[..100], numbered(5..105));
            }
        });
        engine.move_log(&orders(), Path::new("/b")).unwrap();
        wait_for_moves(&engine);
        moved.store(true, Ordering::Release);
        reader.join().unwrap();
        writer.join().unwrap()
    });
    let now = engine.log(&orders()).unwrap();
    assert_eq!(now.data_directory(), Path::new("/b"));
    assert_eq!(values_from(&now, 5), numbered(5..written));
    assert_eq!(now.offsets().log_start, Offset::new(5));
    assert_eq!(names(&disk, "/b"), ["orders-0"]);
    assert!(names(&disk, "/a").iter().all(|name| name.ends_with("-delete")));
    drop((log, now));
    engine.close().unwrap();
    drop(engine);

    let engine = Engine::open(config_on(&disk)).unwrap();
    assert!(engine.open_report().is_clean());
    let log = engine.log(&orders()).unwrap();
    assert_eq!(values_from(&log, 5), numbered(5..written));
    append_numbered(&log, written..written + 10);
}

#[test]
fn after_a_power_loss_or_a_kill_at_any_moment_of_a_move_there_is_one_log_and_it_is_whole() {
    let prepared = |disk: &SimDisk| {
        let engine = Engine::open(config_on(disk)).unwrap();
        let log = create_in_a(&engine);
        append_numbered(&log, 0..30);
        log.flush().unwrap();
        (engine, log)
    };
    let disk = two_directories();
    let (engine, log) = prepared(&disk);
    let before = disk.operations();
    engine.move_log(&orders(), Path::new("/b")).unwrap();
    wait_for_moves(&engine);
    let operations = disk.operations() - before;
    assert!(operations > 20, "{operations}");
    drop((engine, log));

    let mut places = [0, 0];
    for operation in 0..operations + 3 {
        for killed in [false, true] {
            let disk = two_directories();
            let (engine, log) = prepared(&disk);
            disk.power_off_after(operation);
            engine.move_log(&orders(), Path::new("/b")).unwrap();
            wait_for_moves(&engine);
            let disk = if killed { disk.kill() } else { disk.crash(operation) };
            drop((engine, log));
            let what = format!("operation {operation}, killed {killed}");

            let engine = Engine::open(config_on(&disk)).unwrap_or_else(|error| panic!("{what}: {error}"));
            let log = engine.log(&orders()).unwrap_or_else(|| panic!("{what}: there is no log"));
            assert_eq!(values_from(&log, 0), numbered(0..30), "{what}");
            let plain = |dir| names(&disk, dir).iter().filter(|name| *name == "orders-0").count();
            assert_eq!(plain("/a") + plain("/b"), 1, "{what}");
            places[usize::from(log.data_directory() == Path::new("/b"))] += 1;
            append_numbered(&log, 30..31);
            // What was begun is begun again.
            engine.resume_moves();
            wait_for_moves(&engine);
            assert!(names(&disk, "/b").iter().all(|name| !name.ends_with("-future")), "{what}");
            let log = engine.log(&orders()).unwrap();
            assert_eq!(values_from(&log, 0), numbered(0..31), "{what}");
        }
    }
    assert!(places.iter().all(|count| *count > 2), "both outcomes were seen: {places:?}");
}

#[test]
fn a_directory_that_fails_while_a_log_is_moved_to_it_leaves_the_log_where_it_is() {
    let disk = two_directories();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create_in_a(&engine);
    append_numbered(&log, 0..100);
    disk.inject(Fault::next(Operation::Write, EIO).on("-future/").after(3));
    engine.move_log(&orders(), Path::new("/b")).unwrap();
    wait_for_moves(&engine);
    assert_eq!(engine.log(&orders()).unwrap().data_directory(), Path::new("/a"));
    append_numbered(&log, 100..110);
    assert_eq!(values_from(&log, 0), numbered(0..110));
    assert_eq!(names(&disk, "/b"), Vec::<String>::new(), "what was copied is gone");
}

#[test]
fn a_move_is_given_up_where_it_is_no_longer_wanted() {
    let disk = two_directories();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create_in_a(&engine);
    append_numbered(&log, 0..100);
    engine.set_move_rate(1);
    engine.move_log(&orders(), Path::new("/b")).unwrap();
    let moves = engine.moves();
    assert_eq!((moves.len(), &*moves[0].directory), (1, Path::new("/b")));
    engine.move_log(&orders(), Path::new("/a")).unwrap();
    assert_eq!(engine.moves(), []);
    engine.set_move_rate(u64::MAX);
    engine.move_log(&orders(), Path::new("/b")).unwrap();
    wait_for_moves(&engine);
    assert_eq!(engine.log(&orders()).unwrap().data_directory(), Path::new("/b"));
    assert_eq!(values_from(&log, 0), numbered(0..100), "who holds the old log reads on");
    engine.move_log(&orders(), Path::new("/b")).unwrap();
    assert_eq!(engine.moves(), [], "it is there");
    assert!(engine.move_log(&orders(), Path::new("/c")).is_err());
}
