//! The runtime with a small state of its own, numbers by name, on a log of the engine.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::HashMap, sync::Arc, time::Duration};

use log_engine::{
    Engine, EngineConfig, LogConfig, SystemClock,
    batch::{Compression, control::TxnOutcome},
    log_dir::{self, MetaProperties},
    types::{LeaderEpoch, TopicId, TopicPartition},
};
use tempfile::TempDir;

use super::*;
use crate::partition::Partition;

/// Adds numbers; a negative key is none that it knows.
#[derive(Default)]
struct Sums {
    sums: HashMap<String, u8>,
    fired: Vec<&'static str>,
    settled: Vec<(u8, Result<(), ErrorCode>)>,
    timers: Timers<&'static str>,
}

impl CoordinatorState for Sums {
    type Timer = &'static str;
    type After = u8;

    fn replay(&mut self, record: &LogRecord<'_>) -> Result<(), ReplayError> {
        let key = String::from_utf8_lossy(record.key.ok_or(ReplayError::NoKey)?).into_owned();
        match record.value {
            Some([number]) => *self.sums.entry(key).or_default() += number,
            _ => return Err(ReplayError::UnknownType(-1)),
        }
        Ok(())
    }

    fn replay_marker(&mut self, marker: EndMarker) {
        assert_eq!(marker.outcome, TxnOutcome::Commit);
    }

    fn loaded(&mut self, _now: Moment) {}

    fn settled(&mut self, after: u8, outcome: Result<(), ErrorCode>, _now: Moment) {
        self.settled.push((after, outcome));
    }

    fn timers(&mut self) -> &mut Timers<&'static str> {
        &mut self.timers
    }

    fn fired(&mut self, timer: &'static str, _now: Moment) -> Decision<Self> {
        self.fired.push(timer);
        Decision::records(vec![add(timer, 1)], ())
    }
}

fn add(key: &str, number: u8) -> Record {
    Record { key: key.as_bytes().to_vec(), value: Some(vec![number]) }
}

/// One partition of a topic.
struct OnePartition(Arc<Partition>);

impl Led for OnePartition {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn partitions(&self) -> i32 {
        1
    }

    fn existing(&self) -> Vec<i32> {
        vec![0]
    }

    fn led(&self, number: i32) -> Result<Arc<Partition>, ErrorCode> {
        if number == 0 { Ok(Arc::clone(&self.0)) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }

    fn compression(&self) -> Compression {
        Compression::None
    }
}

struct Home {
    _dir: TempDir,
    _engine: Engine,
    partition: Arc<Partition>,
}

impl Home {
    fn new(config: LogConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine_config = EngineConfig::new([dir.path().to_owned()], 1);
        let meta = MetaProperties { cluster_id: "c".into(), node_id: 1, directory_id: None };
        log_dir::format(&engine_config.open_disk(), dir.path(), &meta, TimestampMs::new(0)).unwrap();
        let engine = Engine::open(engine_config).unwrap();
        let id = TopicPartition::new("sums", 0);
        let log = engine.create_log(&id, TopicId::new([7; 16]), config, None).unwrap();
        let partition = Arc::new(Partition::lead(log, LeaderEpoch::new(0)).unwrap());
        Self { _dir: dir, _engine: engine, partition }
    }

    fn coordinator(&self) -> Arc<Coordinator<Sums>> {
        let topic = Arc::new(OnePartition(Arc::clone(&self.partition)));
        Coordinator::over(topic, Arc::new(SystemClock), Handle::current(), |_| Sums::default())
    }
}

async fn add_to(coordinator: &Arc<Coordinator<Sums>>, key: &str, number: u8) -> Result<u8, ErrorCode> {
    let decide = |state: &mut Sums, _| {
        let before = state.sums.get(key).copied().unwrap_or_default();
        Ok(Decision { after: Some(number), ..Decision::records(vec![add(key, number)], before) })
    };
    coordinator.write(0, decide).await
}

async fn loaded<R>(coordinator: &Arc<Coordinator<Sums>>, look: impl Fn(&mut Sums) -> R) -> R {
    for _ in 0..1000 {
        match coordinator.read(0, |state, _| look(state)) {
            Err(ErrorCode::CoordinatorLoadInProgress) => tokio::time::sleep(Duration::from_millis(5)).await,
            result => return result.unwrap(),
        }
    }
    panic!("the shard is not loaded");
}

#[test]
fn keys_go_to_the_partitions_that_java_sends_them_to() {
    // What `Utils.abs(key.hashCode()) % 50` gives in Java; the last has a surrogate pair, the one before hashes to the
    // smallest number.
    let rows = [("", 0), ("g", 3), ("console-consumer-1", 24), ("polygenelubricants", 0), ("\u{1F600}", 49)];
    for (key, partition) in rows {
        assert_eq!(partition_for(key, 50), partition, "{key}");
    }
}

#[tokio::test]
async fn what_was_written_is_there_at_the_next_start() {
    let home = Home::new(LogConfig::default());
    let coordinator = home.coordinator();
    assert_eq!(add_to(&coordinator, "a", 2).await, Ok(0));
    assert_eq!(add_to(&coordinator, "a", 3).await, Ok(2));
    assert_eq!(coordinator.read(0, |state, _| state.settled.clone()), Ok(vec![(2, Ok(())), (3, Ok(()))]));
    coordinator.stop();
    assert_eq!(add_to(&coordinator, "a", 3).await, Err(ErrorCode::NotCoordinator));
    assert_eq!(loaded(&home.coordinator(), |state| state.sums["a"]).await, 5);
}

#[tokio::test]
async fn while_it_is_loaded_a_shard_says_so() {
    let home = Home::new(LogConfig::default());
    assert_eq!(add_to(&home.coordinator(), "a", 2).await, Ok(0));
    let coordinator = home.coordinator();
    assert_eq!(add_to(&coordinator, "a", 2).await, Err(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(loaded(&coordinator, |state| state.sums["a"]).await, 2);
    assert_eq!(coordinator.read(1, |_, _| ()), Err(ErrorCode::NotCoordinator));
}

#[tokio::test]
async fn a_record_that_is_refused_has_changed_nothing_and_the_state_hears_of_it() {
    let home = Home::new(LogConfig { max_message_bytes: 200, ..LogConfig::default() });
    let coordinator = home.coordinator();
    let long = "k".repeat(200);
    assert_eq!(add_to(&coordinator, &long, 2).await, Err(ErrorCode::UnknownServerError));
    assert_eq!(add_to(&coordinator, "a", 1).await, Ok(0));
    let seen = coordinator.read(0, |state, _| (state.sums.len(), state.settled.clone())).unwrap();
    assert_eq!(seen, (1, vec![(2, Err(ErrorCode::UnknownServerError)), (1, Ok(()))]));
}

#[tokio::test]
async fn a_record_that_nobody_understands_is_passed_over() {
    let home = Home::new(LogConfig::default());
    let coordinator = home.coordinator();
    let bad = Record { key: b"bad".to_vec(), value: Some(Vec::new()) };
    let write = coordinator.write(0, |_, _| Ok(Decision::records(vec![bad, add("a", 1)], ())));
    assert_eq!(write.await, Ok(()));
    assert_eq!(loaded(&home.coordinator(), |state| state.sums.clone()).await, [("a".to_owned(), 1)].into());
}

#[tokio::test]
async fn deadlines_fire_in_the_order_of_their_time_and_what_they_write_counts() {
    let home = Home::new(LogConfig::default());
    let coordinator = home.coordinator();
    coordinator.load();
    let set = |state: &mut Sums, now: Moment| {
        state.timers.set("later", now.ticks.plus_ms(20));
        state.timers.set("sooner", now.ticks.plus_ms(10));
        state.timers.set("never", now.ticks.plus_ms(5));
        state.timers.cancel(&"never");
    };
    coordinator.read(0, set).unwrap();
    for _ in 0..1000 {
        if coordinator.read(0, |state, _| state.sums.len()) == Ok(2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fired = coordinator.read(0, |state, _| (state.fired.clone(), state.sums["later"])).unwrap();
    assert_eq!(fired, (vec!["sooner", "later"], 1));
    coordinator.stop();
}

#[tokio::test]
async fn a_write_whose_client_went_away_is_ended() {
    let home = Home::new(LogConfig { flush_messages: 1, ..LogConfig::default() });
    let coordinator = home.coordinator();
    {
        let mut write = std::pin::pin!(add_to(&coordinator, "a", 2));
        let waker = std::task::Waker::noop();
        // Begun, and dropped whether or not the disk was faster.
        let _ = write.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    assert_eq!(add_to(&coordinator, "a", 1).await, Ok(2));
}
