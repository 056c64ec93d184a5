//! One life of the engine after the other, and what each leaves to the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use log_engine::io::Disk;
use log_engine::io::sim::{Fault, Seeded, SimDisk};
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    CleanerConfig, CleanupPolicy, Clock, DiskChoice, Engine, EngineConfig, Isolation, Log, LogConfig,
    ManualClock, ReadRequest, TimestampMs, TopicId, TopicPartition, Upkeep,
};

use crate::check::Expected;
use crate::model::Timeline;
use crate::planted::Plant;

use super::{Counts, chance};

pub(super) const NOW: i64 = 1_700_000_000_000;
const DIR: &str = "/data";
/// Lines of the story that are told when a promise was broken.
const STORY_LINES: usize = 60;

/// What an operation that did not end may have done.
#[derive(Clone, Debug)]
pub(super) enum InFlight {
    /// Nothing that can be seen.
    Nothing,
    /// What the timeline was to be.
    Becomes(Timeline),
    /// Records from there on may be gone.
    CutTo(i64),
    /// All records may be gone, and the log begin anywhere.
    StartsOver,
    /// The log may start later, at most here.
    StartMoves(i64),
    /// A leader epoch may have begun.
    Epoch(i32),
}

/// The engine, its disk, and the model.
pub(super) struct World {
    pub(super) random: Seeded,
    plant: Option<Plant>,
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) config: LogConfig,
    pub(super) engine: Option<Engine>,
    pub(super) log: Option<Arc<Log>>,
    pub(super) timeline: Timeline,
    /// What must survive a power loss ends here.
    pub(super) durable: i64,
    /// The log has started here at the latest.
    pub(super) log_start: i64,
    /// Compaction may have taken records before this.
    pub(super) compacted_to: i64,
    /// The log's end when it was compacted last.
    pub(super) compacted_at: i64,
    /// The log has started here at the most: of what ended or began before it need not know any more.
    pub(super) highest_start: i64,
    pub(super) epoch: i32,
    pub(super) in_flight: InFlight,
    /// A disk operation has failed.
    disk_failed: bool,
    /// Power was lost since the log was looked at.
    lost_power: bool,
    pub(super) counts: Counts,
    pub(super) story: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut random = Seeded::new(seed);
        let disk = SimDisk::new();
        let config = config(&mut random);
        let mut world = Self {
            random,
            plant,
            disk,
            clock: Arc::new(ManualClock::starting_at(TimestampMs::new(NOW))),
            config,
            engine: None,
            log: None,
            timeline: Timeline::default(),
            durable: 0,
            log_start: 0,
            compacted_to: 0,
            compacted_at: 0,
            highest_start: 0,
            epoch: 0,
            in_flight: InFlight::Nothing,
            disk_failed: false,
            lost_power: false,
            counts: Counts::default(),
            story: Vec::new(),
        };
        world.format();
        world
    }

    fn format(&mut self) {
        let meta = MetaProperties { cluster_id: "proof".into(), node_id: 1, directory_id: None };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        disk.create_dir_all(Path::new("/")).expect("the disk is new");
        log_dir::format(&disk, Path::new(DIR), &meta, TimestampMs::new(NOW)).expect("the disk is new");
        let engine = Engine::open(self.engine_config()).expect("the directory is formatted");
        engine
            .create_log(&partition(), TopicId::new([7; 16]), self.config.clone(), None)
            .expect("the directory is empty");
        // As the controller tells a new leader.
        let log = engine.log(&partition()).expect("it was just created");
        log.begin_epoch(log_engine::LeaderEpoch::new(0)).expect("the disk works");
        self.timeline.note_epoch(0, 0);
        self.disk = self.disk.kill();
    }

    fn engine_config(&self) -> EngineConfig {
        let mut config = EngineConfig::new([PathBuf::from(DIR)], 1);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        config.disk = DiskChoice::Given(match self.plant {
            Some(plant) => Arc::new(plant.disk_over(disk)),
            None => disk,
        });
        config.clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        config.log_defaults = self.config.clone();
        config.cleaner =
            CleanerConfig { dedupe_buffer_bytes: 1 << 16, io_buffer_bytes: 1 << 14, ..config.cleaner };
        config.retention_interval_ms = 1;
        config.recovery_point_interval_ms = 5_000;
        config.recovery_threads = 1;
        config.upkeep = Upkeep::Caller;
        config
    }

    /// From a start to whatever ends it.
    pub(super) fn live(&mut self) -> Result<(), String> {
        self.come_up()?;
        // As the controller tells a leader after a start.
        self.begin_epoch()?;
        if !self.timeline.said_before.is_empty() {
            // Who was interrupted while starting over does it again.
            self.start_over()?;
        }
        let operations = 5 + self.random.below(25);
        let fails = chance(&mut self.random, 2);
        for index in 0..operations {
            if fails && index + 8 == operations {
                let after = self.random.below(60);
                self.tell(format!("power fails after {after} disk operations"));
                self.disk.power_off_after(after);
            }
            self.in_flight = InFlight::Nothing;
            self.counts.operations += 1;
            let done = self.step();
            if self.is_off() {
                break;
            }
            done?;
            self.in_flight = InFlight::Nothing;
        }
        self.end()
    }

    /// A long life in which one disk operation fails. Answers whether it came to that operation.
    pub(super) fn live_with(&mut self, faults: Vec<Fault>, operations: u64) -> Result<bool, String> {
        self.come_up()?;
        self.begin_epoch()?;
        self.tell(format!("{faults:?}"));
        faults.into_iter().for_each(|fault| self.disk.inject(fault));
        for _ in 0..operations {
            self.in_flight = InFlight::Nothing;
            self.counts.operations += 1;
            let done = self.step();
            self.disk_failed = self.disk.faults_struck() > 0;
            match done {
                Ok(()) => {}
                // What came of an append that failed is nothing, as long as the directory serves.
                Err(error) if self.disk_failed => {
                    self.tell(error);
                    if matches!(self.in_flight, InFlight::Becomes(_)) && self.is_serving() {
                        self.look()?;
                    }
                    break;
                }
                Err(error) => return Err(error),
            }
            self.in_flight = InFlight::Nothing;
        }
        self.disk.clear_faults();
        let struck = self.disk_failed;
        self.end()?;
        self.come_up()?;
        Ok(struck)
    }

    fn is_serving(&self) -> bool {
        let from = self.log().offsets().log_start;
        let request = ReadRequest { from, ..ReadRequest::from_start(Isolation::LogEnd) };
        self.log().read(&request).is_ok()
    }

    fn is_off(&self) -> bool {
        self.disk.metadata(Path::new(DIR)).is_err()
    }

    fn end(&mut self) -> Result<(), String> {
        let stops_cleanly = !self.is_off() && chance(&mut self.random, 4);
        if stops_cleanly {
            let closed = self.engine.as_ref().map_or(Ok(()), Engine::close);
            match closed {
                Ok(()) => {
                    self.durable = self.timeline.end;
                    self.tell("a clean stop");
                }
                // After a failure of the disk it may have to be refused.
                Err(error) if self.is_off() || self.disk_failed => self.tell(error.to_string()),
                Err(error) => return Err(format!("a clean stop fails: {error}")),
            }
        }
        let power_is_lost = chance(&mut self.random, 2);
        self.next_machine(power_is_lost, stops_cleanly);
        Ok(())
    }

    fn next_machine(&mut self, power_is_lost: bool, after_a_stop: bool) {
        let next = match power_is_lost {
            true => self.disk.crash(self.random.next()),
            false => self.disk.kill(),
        };
        if power_is_lost {
            self.tell("power is lost");
            self.counts.power_losses += 1;
        } else {
            if !after_a_stop {
                self.tell("killed");
                self.counts.kills += 1;
            }
        }
        self.lost_power |= power_is_lost;
        self.log = None;
        self.engine = None;
        self.disk = next;
    }

    /// Opens the engine, perhaps after starts in which the power failed, and looks at what is there.
    pub(super) fn come_up(&mut self) -> Result<(), String> {
        while chance(&mut self.random, 4) {
            let after = self.random.below(120);
            self.disk.power_off_after(after);
            let opened = Engine::open(self.engine_config());
            if !self.is_off() {
                self.tell("the power did not fail after all");
                drop(opened);
                self.disk = self.disk.kill();
                break;
            }
            drop(opened);
            self.tell(format!("power fails {after} disk operations into opening"));
            self.counts.while_opening += 1;
            let power_is_lost = chance(&mut self.random, 2);
            self.next_machine(power_is_lost, false);
        }
        let engine = Engine::open(self.engine_config()).map_err(|error| format!("no start: {error}"))?;
        let log = engine.log(&partition()).ok_or("the log is gone")?;
        log.update_config(self.config.clone());
        engine.start_retention();
        self.engine = Some(engine);
        self.log = Some(log);
        self.adopt()?;
        self.look()
    }

    // What a crash left becomes what the log is told, if it may be.
    fn adopt(&mut self) -> Result<(), String> {
        let offsets = self.log().offsets();
        let (start, end) = (offsets.log_start.get(), offsets.log_end.get());
        self.tell(format!("up with {start}..{end}"));
        let lost_power = std::mem::take(&mut self.lost_power);
        let mut must = if lost_power { self.durable } else { self.timeline.end };
        match std::mem::replace(&mut self.in_flight, InFlight::Nothing) {
            InFlight::Nothing => {}
            InFlight::Becomes(next) if end > self.timeline.end => self.timeline = next,
            InFlight::Becomes(_) => {}
            InFlight::CutTo(to) => must = must.min(to),
            InFlight::StartMoves(most) => {
                self.highest_start = self.highest_start.max(most);
                self.log_start = self.log_start.max(start);
            }
            InFlight::Epoch(epoch) => {
                if self.log().latest_epoch().is_some_and(|latest| latest.get() == epoch) {
                    self.timeline.note_epoch(epoch, self.timeline.end);
                }
            }
            InFlight::StartsOver if start == end => {
                let said_before = self.timeline.producers();
                self.timeline = Timeline { start, end, said_before, ..Timeline::default() };
                (must, self.log_start, self.compacted_to, self.highest_start) = (start, start, start, start);
                self.compacted_at = start;
            }
            InFlight::StartsOver => {
                (must, self.log_start) = (start, self.log_start.max(start));
                self.highest_start = self.highest_start.max(start);
            }
        }
        if end < must {
            return Err(format!("the log ends at {end}, but was acknowledged to {must}"));
        }
        if end > self.timeline.end || !(self.timeline.is_boundary(end) || end == self.log_start) {
            return Err(format!("the log ends at {end}, which it never did"));
        }
        if start > self.log_start {
            return Err(format!("the log starts at {start}, but was told {}", self.log_start));
        }
        self.log_start = start;
        self.timeline.cut(end);
        self.durable = if lost_power { end } else { self.durable.min(end) };
        Ok(())
    }

    /// Compares everything.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let max_bytes = 100 + self.random.below(3_000) as usize;
        self.counts.comparisons += 1;
        let log = Arc::clone(self.log());
        let Self { compacted_to, highest_start, .. } = *self;
        let expected = Expected { timeline: &self.timeline, compacted_to, highest_start };
        expected.check(&log, max_bytes)
    }

    pub(super) fn start_at(&mut self, start: i64) {
        self.log_start = start;
        self.highest_start = self.highest_start.max(start);
    }

    pub(super) fn log(&self) -> &Arc<Log> {
        self.log.as_ref().expect("the engine is up")
    }

    pub(super) fn tell(&mut self, line: impl Into<String>) {
        if self.story.len() == STORY_LINES {
            self.story.remove(0);
        }
        self.story.push(line.into());
    }
}

pub(super) fn partition() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// A configuration that makes a short story an eventful one.
pub(super) fn config(random: &mut Seeded) -> LogConfig {
    let compact = chance(random, 3);
    LogConfig {
        segment_bytes: 1_200 + random.below(1_000) as u32,
        index_interval_bytes: random.below(300) as u32,
        cleanup_policy: CleanupPolicy { delete: !compact || chance(random, 2), compact },
        delete_retention_ms: random.below(3_000) as i64,
        retention_ms: if chance(random, 2) { 5_000 + random.below(60_000) as i64 } else { -1 },
        retention_bytes: if chance(random, 3) { 1_000 + random.below(5_000) as i64 } else { -1 },
        file_delete_delay_ms: random.below(2_000) as i64,
        message_timestamp_after_max_ms: i64::MAX,
        ..LogConfig::default()
    }
}
