//! Room for large frames: taken before one is received, out of a budget that all connections share, and not for longer than
//! a frame of its length needs.
//!
//! Room is given for the length that a frame announces, in the order of asking. A client that announces the largest frame
//! and sends it slowly could thus keep everybody out; so frames of the size that producers send by default have a part of
//! the budget of their own.

use std::{future::Future, io, os::fd::AsFd as _, pin::Pin, sync::Arc, time::Duration};

use rustix::io::ioctl_fionread;
use tokio::{
    io::Interest,
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Smaller frames are not counted: there are at most `IN_FLIGHT_MAX` of them per connection.
const BUDGETED_FROM: usize = 64 << 10;

/// How slow a client may be while it holds what others wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long nothing may happen.
    pub(crate) pause: Duration,
    /// A frame that was given room has the pause, and beside it the time of this rate, to arrive.
    pub(crate) bytes_per_second: u32,
}

impl Default for Patience {
    /// The pause is what clients wait for an answer by default (`request.timeout.ms`).
    fn default() -> Self {
        Self { pause: Duration::from_secs(30), bytes_per_second: 1 << 20 }
    }
}

impl Patience {
    fn with_a_frame_of(self, bytes: u32) -> Duration {
        self.pause + Duration::from_secs(1) * bytes / self.bytes_per_second.max(1)
    }
}

/// Frames up to twice the `max.request.size` that producers have by default.
const ORDINARY_MAX: usize = 2 << 20;

/// Bytes of large frames in memory, over all connections.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// Kept for frames up to `ORDINARY_MAX`.
    pub(super) ordinary: Arc<Semaphore>,
    /// For all.
    pub(super) large: Arc<Semaphore>,
}

impl Budget {
    /// A budget of which everything beyond one largest frame is kept for ordinary ones, if it is enough for one of them.
    pub(crate) fn new(bytes: usize, largest_frame: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        let beside = bytes.saturating_sub(largest_frame);
        if beside < ORDINARY_MAX {
            let all = Arc::new(Semaphore::new(bytes));
            return Self { ordinary: Arc::clone(&all), large: all };
        }
        Self { ordinary: Arc::new(Semaphore::new(beside)), large: Arc::new(Semaphore::new(bytes - beside)) }
    }
}

/// Part of the budget, held by one frame.
#[derive(Debug)]
pub(super) struct Room {
    /// When the frame must have arrived.
    pub(super) by: Instant,
    _permit: OwnedSemaphorePermit,
}

/// Room that is not there yet.
pub(super) type Acquiring = Pin<Box<dyn Future<Output = Option<Room>> + Send>>;

/// What asking for room gives at once.
pub(super) enum Asked {
    NotNeeded,
    Given(Room),
    /// In the order in which connections ask.
    Queued(Acquiring),
}

pub(super) fn ask(budget: &Budget, length: usize, patience: Patience) -> Asked {
    if length < BUDGETED_FROM {
        return Asked::NotNeeded;
    }
    let bytes = u32::try_from(length).unwrap_or(u32::MAX);
    let room = move |permit| Room { by: Instant::now() + patience.with_a_frame_of(bytes), _permit: permit };
    let own = if length <= ORDINARY_MAX { &budget.ordinary } else { &budget.large };
    let at_once =
        [own, &budget.large].into_iter().find_map(|part| part.clone().try_acquire_many_owned(bytes).ok());
    match at_once {
        Some(permit) => Asked::Given(room(permit)),
        None => {
            let acquiring = Arc::clone(own).acquire_many_owned(bytes);
            Asked::Queued(Box::pin(async move { acquiring.await.ok().map(room) }))
        }
    }
}

/// Until the client has gone and left less than the rest of the frame behind. Nothing is read meanwhile, so the end shows
/// only in the state of the socket; a second registration sees it without taking anything from the first.
pub(super) async fn given_up(stream: &TcpStream, missing: usize) -> io::Result<()> {
    let watched = TcpStream::from_std(stream.as_fd().try_clone_to_owned()?.into())?;
    while !watched.ready(Interest::READABLE).await?.is_read_closed() {
        // Not until something new arrives.
        let _ = watched.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
    if ioctl_fionread(&watched)? < missing as u64 {
        return Ok(());
    }
    std::future::pending().await
}
