//! Room for large frames: taken before one is received, out of a budget that all connections share, and not for longer than
//! a frame of its length needs.

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
    fn default() -> Self {
        Self { pause: Duration::from_secs(30), bytes_per_second: 64 << 10 }
    }
}

impl Patience {
    fn with_a_frame_of(self, bytes: u32) -> Duration {
        self.pause + Duration::from_secs(1) * bytes / self.bytes_per_second.max(1)
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

pub(super) fn ask(budget: &Arc<Semaphore>, length: usize, patience: Patience) -> Asked {
    if length < BUDGETED_FROM {
        return Asked::NotNeeded;
    }
    let bytes = u32::try_from(length).unwrap_or(u32::MAX);
    let room = move |permit| Room { by: Instant::now() + patience.with_a_frame_of(bytes), _permit: permit };
    match Arc::clone(budget).try_acquire_many_owned(bytes) {
        Ok(permit) => Asked::Given(room(permit)),
        Err(_) => {
            let acquiring = Arc::clone(budget).acquire_many_owned(bytes);
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
