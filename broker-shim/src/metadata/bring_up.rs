//! Taking the lead of the metadata log and bringing the broker up, a step at a time. Each step is done once. One that
//! finds the disk full is tried again until there is room; meanwhile what is stored can be read.
//!
//! ```text
//! quorum-state    the new epoch, durable before anything is appended under it
//! epoch           LeaderChange, and the voters where they are new
//! log in order    an unfinished transaction ends, an empty log gets its first records
//! controller      registers
//! broker          the run before is fenced, this one registers, says where its logs lie, and leads
//! ```
//!
//! A crash between any two leaves a log that the next start, or Kafka, goes on from: it begins a later epoch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use log_engine::io::Disk;
use tokio::sync::mpsc;

use super::{
    codec::MetadataVersion,
    controller::{ChangeError, ControllerConfig, Event, Leader, StartError, encode_failure, placement},
    fold::Delta,
    ids::IncarnationId,
    leadership, ops,
    quorum_state::QuorumState,
    raft::{self, ControlRecord},
    record_log::LogFailure,
};

/// How often it is looked for room.
const REMIND: Duration = Duration::from_millis(200);

/// What is left to do.
pub(super) struct BringUp {
    disk: Arc<dyn Disk>,
    config: ControllerConfig,
    with_voters: bool,
    open_transaction: bool,
    next: Step,
    /// Why it was not done, once that was said.
    failure: Option<LogFailure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    QuorumState,
    Epoch,
    Transaction,
    Bootstrap,
    Controller,
    Fence,
    Register,
    Place,
    Unfence,
}

impl Step {
    fn next(self) -> Option<Self> {
        Some(match self {
            Self::QuorumState => Self::Epoch,
            Self::Epoch => Self::Transaction,
            Self::Transaction => Self::Bootstrap,
            Self::Bootstrap => Self::Controller,
            Self::Controller => Self::Fence,
            Self::Fence => Self::Register,
            Self::Register => Self::Place,
            Self::Place => Self::Unfence,
            Self::Unfence => return None,
        })
    }
}

impl BringUp {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        config: ControllerConfig,
        with_voters: bool,
        open_transaction: bool,
    ) -> Self {
        Self { disk, config, with_voters, open_transaction, next: Step::QuorumState, failure: None }
    }

    /// What those are told who want a change meanwhile.
    pub(super) fn refusal(&self) -> ChangeError {
        self.failure.clone().map_or(ChangeError::Stopped, ChangeError::Log)
    }
}

/// Has the controller try again until it is up or gone.
#[allow(clippy::disallowed_methods, reason = "nothing tells that a disk has room again")]
pub(super) fn remind(queue: &mpsc::Sender<Event>, is_up: &Arc<AtomicBool>) -> std::io::Result<()> {
    // Holds no sender: the controller ends when nobody can ask it for anything any more.
    let (queue, is_up) = (queue.downgrade(), Arc::clone(is_up));
    let run = move || {
        while !is_up.load(Ordering::Acquire) {
            thread::sleep(REMIND);
            let Some(queue) = queue.upgrade() else { return };
            if queue.blocking_send(Event::TakeTheLead).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("controller-room".to_owned()).spawn(run).map(drop)
}

impl Leader {
    /// Goes on with what is left. A full disk is no failure: what is left stays so.
    pub(super) fn take_the_lead(&mut self) -> Result<(), StartError> {
        let Some(mut left) = self.bring_up.take() else { return Ok(()) };
        loop {
            match self.carry_out(&left) {
                Ok(()) => match left.next.next() {
                    Some(next) => left.next = next,
                    None => break,
                },
                Err(error) if error.is_full() => {
                    self.go_on_reading(&mut left, &error)?;
                    self.bring_up = Some(left);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if left.failure.is_some() {
            tracing::info!("there is room on the disk of the metadata again: records are taken");
        }
        Ok(())
    }

    fn carry_out(&mut self, left: &BringUp) -> Result<(), StartError> {
        let node_id = self.rules.node_id;
        let config = &left.config;
        match left.next {
            Step::QuorumState => {
                let state = QuorumState::led_by(node_id, self.epoch);
                Ok(state.write(&left.disk, &config.dir, self.quorum.kraft_version, &[node_id])?)
            }
            Step::Epoch => self.begin_epoch(left.with_voters),
            Step::Transaction if left.open_transaction => Ok(self.commit(&leadership::abort_transaction())?),
            Step::Transaction => Ok(()),
            Step::Bootstrap => self.bootstrap(config),
            Step::Controller => {
                let incarnation = IncarnationId::random()?;
                let records = leadership::register_controller(&self.image(), &config.identity, incarnation);
                Ok(self.commit(&records)?)
            }
            Step::Fence => Ok(self.commit(&leadership::fence(&self.image(), node_id))?),
            Step::Register => {
                let records = leadership::register_broker(
                    &self.image(),
                    &config.identity,
                    IncarnationId::random()?,
                    self.log.end_offset().get(),
                    config.previous_broker_epoch,
                );
                Ok(self.commit(&records)?)
            }
            // What an operator moved while the broker was down, or what never said where it is, before it may lead.
            Step::Place => {
                let found = placement(&self.image(), &config.placed);
                Ok(self.commit(&ops::assign_directories(&self.image(), node_id, &found))?)
            }
            Step::Unfence => self.unfence(),
        }
    }

    /// The control batch that begins the epoch. The first one of a log, and one of a controller that listens elsewhere
    /// than before, also carries the voters.
    fn begin_epoch(&mut self, with_voters: bool) -> Result<(), StartError> {
        self.log.begin_epoch(self.epoch)?;
        let node_id = self.rules.node_id;
        let mut records = vec![ControlRecord::LeaderChange { leader_id: node_id, voters: vec![node_id] }];
        if with_voters {
            records.extend(self.quorum.records());
        }
        let (base, now) = (self.log.end_offset(), self.clock.now());
        let batch = raft::control_batch(&records, base, self.epoch, now).map_err(encode_failure)?;
        if let Err(error) = self.log.append(batch)?.wait() {
            self.log.forget_failed();
            return Err(error.into());
        }
        let mut image = (*self.image()).clone();
        image.stamp(self.log.end_offset(), self.epoch, now);
        self.publish(image, &Delta::default());
        Ok(())
    }

    /// An empty log gets the records that a cluster begins with.
    fn bootstrap(&mut self, config: &ControllerConfig) -> Result<(), StartError> {
        if self.image().metadata_version().0 == 0 {
            self.commit(&leadership::bootstrap(config.bootstrap.clone(), &config.min_insync_replicas))?;
        }
        let level = self.image().metadata_version();
        if level < MetadataVersion::MIN {
            return Err(StartError::MetadataVersion { dir: config.dir.clone(), level: level.0 });
        }
        Ok(())
    }

    /// The broker leads what it can reach; from now on requests see what the log says.
    fn unfence(&mut self) -> Result<(), StartError> {
        self.is_up.store(true, Ordering::Release);
        let records = leadership::unfence(&self.image(), self.rules.node_id);
        self.commit(&records).inspect_err(|_| self.is_up.store(false, Ordering::Release))?;
        Ok(())
    }

    /// Says so once, and has what is stored served.
    fn go_on_reading(&mut self, left: &mut BringUp, error: &StartError) -> Result<(), StartError> {
        if left.failure.is_some() {
            return Ok(());
        }
        tracing::error!(
            "no room for the metadata: what is stored is served, and nothing is taken until there is room: {error}"
        );
        left.failure = Some(LogFailure::new(error.to_string()));
        let image = leadership::readable(&self.image(), &left.config.identity, IncarnationId::random()?);
        let image = Arc::new(image);
        self.published.store(Arc::clone(&image));
        if let Some(listener) = &self.listener {
            listener.readable(&image);
        }
        Ok(())
    }
}
