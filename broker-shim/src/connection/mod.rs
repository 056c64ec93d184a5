//! One socket: frames in, dispatched in order, answered in order.
//!
//! Reading goes on while earlier answers wait, so that a client that pipelines produce requests keeps the disk busy; what
//! must be alone on its connection (everything whose effect may come later) stops the reading until it is answered.
//! Knows frames and answers; what is in them is the [`Service`]'s affair.

mod budget;
mod frame;
mod response;

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};
use wire::frame::FrameError;

use budget::{Acquiring, Asked, Room};
pub(crate) use budget::{Budget, Patience};
use frame::FrameBuffer;
use response::Sender;
pub(crate) use response::{Piece, Response};

use crate::quota::ThreadTime;

/// What a request comes to.
pub(crate) enum Outcome {
    /// The answer.
    Answer(Response),
    /// The request wants none (acks=0).
    Silent,
    /// The connection is to be closed.
    Close(String),
    /// From here on the client decides for how long it waits: as [`Dispatched::Parked`].
    Parked(Pending),
    /// The client used what is limited.
    Limited(Limited),
}

/// What a request comes to where something that it uses is limited.
pub(crate) struct Limited {
    /// The answer, where the request wants one.
    pub(crate) response: Option<Response>,
    /// For how long nothing more is received on the connection (Kafka's muted channel).
    pub(crate) mute: Duration,
    /// Who counts what threads spend on sending it.
    pub(crate) time: Option<Arc<ThreadTime>>,
}

/// An outcome that is not there yet.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What dispatching a frame gives at once.
pub(crate) enum Dispatched {
    /// The outcome.
    Done(Outcome),
    /// It comes later, but the request has already taken effect: the next one may be dispatched.
    Pipelined(Pending),
    /// It comes later, and so may its effect: the next request waits for it.
    Alone(Pending),
    /// As `Alone`, but nothing of the frame is left, and the client decides for how long it waits.
    Parked(Pending),
}

/// What frames are for.
pub(crate) trait Service: Send + Sync + 'static {
    /// What the service keeps for each connection.
    type Session: Send;

    /// A connection begins.
    fn session(&self, listener: &Arc<str>, address: SocketAddr) -> Self::Session;

    /// Starts a request. Called in the order in which frames arrive.
    fn dispatch(self: &Arc<Self>, session: &mut Self::Session, frame: BytesMut) -> Dispatched;

    /// Whether the request may be dispatched while earlier ones wait for their answers.
    fn may_overtake(&self, frame: &[u8]) -> bool;
}

/// Bounds and budgets that connections share.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Largest frame.
    pub(crate) frame_bytes: usize,
    /// Silence after which a connection is closed.
    pub(crate) idle: Option<Duration>,
    /// Room for large frames.
    pub(crate) budget: Budget,
    /// How slow a client may be.
    pub(crate) patience: Patience,
}

/// Requests of one connection that may wait for their answers at a time.
const IN_FLIGHT_MAX: usize = 64;
/// Bytes of requests of one connection that may wait for their answers at a time.
const IN_FLIGHT_BYTES_MAX: usize = 8 << 20;
/// How long a silent connection keeps its buffer.
const BUFFER_KEPT: Duration = Duration::from_secs(1);
/// Longer than any timer needs to be set.
const FAR: Duration = Duration::from_secs(24 * 3600);
/// Most bytes of small answers that one write gathers.
const GATHERED_MAX: usize = 16 << 10;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the client")]
    ByClient,
    #[error("silent for too long")]
    Idle,
    #[error("the broker stops")]
    Stopping,
    #[error("a frame stopped arriving half way")]
    Stalled,
    #[error("a large frame arrived too slowly")]
    Slow,
    #[error("{0} (socket.request.max.bytes)")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Request(String),
    #[error("{0}")]
    Socket(#[from] io::Error),
}

struct Waiting {
    outcome: Pending,
    /// Size of the frame, which lives as long as the request.
    bytes: usize,
    room: Option<Room>,
}

struct Connection<S: Service> {
    stream: TcpStream,
    service: Arc<S>,
    session: S::Session,
    limits: Arc<Limits>,
    buffer: FrameBuffer,
    /// Room for the frame that is arriving or held.
    room: Option<Room>,
    /// Until there is room, nothing is received or dispatched.
    acquiring: Option<Acquiring>,
    /// Has arrived, and waits until everything before it is answered.
    held: Option<BytesMut>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The last of `waiting` must be answered before anything else is dispatched.
    alone: bool,
    /// It waits for as long as the client likes.
    parked: bool,
    /// The client has used more than it may: until then nothing is received or dispatched.
    muted_until: Option<Instant>,
    /// Small answers of the frames that arrived together: they share a write.
    answers: Vec<u8>,
    active_at: Instant,
}

/// Serves a connection until it ends.
pub(crate) async fn run<S: Service>(
    stream: TcpStream,
    address: SocketAddr,
    listener: Arc<str>,
    service: Arc<S>,
    limits: Arc<Limits>,
    mut stop: watch::Receiver<bool>,
) {
    let session = service.session(&listener, address);
    let mut connection = Connection::new(stream, service, session, limits);
    let end = match connection.serve(&mut stop).await {
        Err(end) => end,
        Ok(never) => match never {},
    };
    match end {
        End::ByClient | End::Idle | End::Stopping => {
            tracing::debug!(%address, %listener, reason = %end, "connection ended");
        }
        End::Socket(error) if is_reset(&error) => {
            tracing::debug!(%address, %listener, reason = %error, "connection ended");
        }
        end => tracing::warn!(%address, %listener, reason = %end, "connection closed"),
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// What happened while the connection waited.
enum Event {
    Received(usize),
    Answered(Outcome),
    Room(Option<Room>),
    Stopping,
    TimeUp,
}

impl<S: Service> Connection<S> {
    fn new(stream: TcpStream, service: Arc<S>, session: S::Session, limits: Arc<Limits>) -> Self {
        Self {
            stream,
            service,
            session,
            buffer: FrameBuffer::new(limits.frame_bytes),
            limits,
            room: None,
            acquiring: None,
            held: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            alone: false,
            parked: false,
            muted_until: None,
            answers: Vec::new(),
            active_at: Instant::now(),
        }
    }

    async fn serve(&mut self, stop: &mut watch::Receiver<bool>) -> Result<std::convert::Infallible, End> {
        let timer = sleep_until(self.deadline());
        tokio::pin!(timer);
        loop {
            self.dispatch_arrived().await?;
            if *stop.borrow() {
                return self.finish(End::Stopping).await;
            }
            self.ask_for_room()?;
            if self.deadline() < timer.deadline() {
                timer.as_mut().reset(self.deadline());
            }
            match self.next_event(stop, timer.as_mut()).await? {
                Event::Received(0) if self.buffer.is_inside_frame() => return Err(End::Stalled),
                Event::Received(0) => return self.finish(End::ByClient).await,
                Event::Received(taken) => {
                    self.buffer.received(taken);
                    self.active_at = Instant::now();
                }
                Event::Answered(outcome) => {
                    self.front_answered(outcome).await?;
                    self.active_at = Instant::now();
                }
                Event::Room(room) => {
                    self.acquiring = None;
                    self.room = room;
                    self.active_at = Instant::now();
                }
                Event::Stopping => {}
                Event::TimeUp => {
                    self.time_up()?;
                    timer.as_mut().reset(self.deadline());
                }
            }
        }
    }

    /// Dispatches the frames that are complete, as far as earlier ones allow, and sends the answers that are ready, also if
    /// one of the frames ends the connection.
    async fn dispatch_arrived(&mut self) -> Result<(), End> {
        let dispatched = self.dispatch_all().await;
        self.send_answers().await?;
        dispatched
    }

    async fn dispatch_all(&mut self) -> Result<(), End> {
        while self.may_dispatch() {
            let Some(frame) = self.next_frame()? else { break };
            self.dispatch(frame).await?;
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// The next frame, if it has arrived and may be dispatched.
    fn next_frame(&mut self) -> Result<Option<BytesMut>, End> {
        let next = match self.held.take() {
            None => self.take_with_room()?,
            held => held,
        };
        if self.waiting.is_empty() || next.as_ref().is_none_or(|frame| self.service.may_overtake(frame)) {
            return Ok(next);
        }
        self.held = next;
        Ok(None)
    }

    /// A frame that arrived whole behind another one has not been asked room for yet.
    fn take_with_room(&mut self) -> Result<Option<BytesMut>, End> {
        if self.buffer.missing()? == 0 {
            self.ask_for_room()?;
        }
        if self.acquiring.is_some() { Ok(None) } else { Ok(self.buffer.take()?) }
    }

    fn may_dispatch(&self) -> bool {
        !self.alone
            && self.muted_until.is_none()
            && self.acquiring.is_none()
            && (self.held.is_none() || self.waiting.is_empty())
            && self.waiting.len() < IN_FLIGHT_MAX
            && self.waiting_bytes < IN_FLIGHT_BYTES_MAX
    }

    async fn dispatch(&mut self, frame: BytesMut) -> Result<(), End> {
        let bytes = frame.len();
        let mut room = self.room.take();
        let (outcome, alone) = match self.service.dispatch(&mut self.session, frame) {
            Dispatched::Done(outcome) if self.waiting.is_empty() => {
                drop(room);
                self.buffer.release_excess();
                return self.answer(outcome).await;
            }
            Dispatched::Done(outcome) => (Box::pin(std::future::ready(outcome)) as Pending, false),
            Dispatched::Pipelined(pending) => (pending, false),
            Dispatched::Alone(pending) => (pending, true),
            Dispatched::Parked(pending) => {
                room = None;
                self.parked = true;
                (pending, true)
            }
        };
        self.alone = alone;
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting { outcome, bytes, room });
        self.answer_ready().await
    }

    /// Gathers what is answered at the front of the queue.
    async fn answer_ready(&mut self) -> Result<(), End> {
        while let Some(outcome) = self.poll_front().await {
            self.answer(outcome).await?;
        }
        Ok(())
    }

    /// Gathers a small answer, sends any other behind those that were gathered.
    async fn answer(&mut self, outcome: Outcome) -> Result<(), End> {
        match outcome {
            Outcome::Answer(Response::Bytes(bytes)) if self.answers.len() + bytes.len() <= GATHERED_MAX => {
                self.answers.extend_from_slice(&bytes);
                Ok(())
            }
            Outcome::Answer(response) => {
                self.send_answers().await?;
                Ok(self.sender().send(response).await?)
            }
            Outcome::Silent => Ok(()),
            Outcome::Limited(limited) => {
                self.send_answers().await?;
                self.answer_limited(limited).await
            }
            Outcome::Close(reason) => Err(End::Request(reason)),
            Outcome::Parked(outcome) => {
                self.parked = true;
                self.alone = true;
                self.waiting.push_front(Waiting { outcome, bytes: 0, room: None });
                Ok(())
            }
        }
    }

    /// The answer says for how long the client is to wait; for as long it is not heard either.
    async fn answer_limited(&mut self, limited: Limited) -> Result<(), End> {
        let Limited { response, mute, time } = limited;
        match (response, time) {
            (Some(response), Some(time)) => {
                Arc::clone(&time).count(self.sender().send(response)).await?;
                time.charge();
            }
            (Some(response), None) => self.sender().send(response).await?,
            (None, _) => {}
        }
        if !mute.is_zero() {
            let until = Instant::now() + mute.min(FAR);
            self.muted_until = Some(self.muted_until.map_or(until, |before| before.max(until)));
            // What is arriving cannot go on before.
            if let Some(room) = &mut self.room {
                room.by += mute.min(FAR);
            }
        }
        Ok(())
    }

    async fn send_answers(&mut self) -> Result<(), End> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let answers = std::mem::take(&mut self.answers);
        self.sender().send_bytes(&answers).await?;
        Ok(())
    }

    /// The front's outcome if it is there.
    async fn poll_front(&mut self) -> Option<Outcome> {
        let front = self.waiting.front_mut()?;
        match poll_fn(|cx| Poll::Ready(front.outcome.as_mut().poll(cx))).await {
            Poll::Ready(outcome) => {
                self.remove_front();
                Some(outcome)
            }
            Poll::Pending => None,
        }
    }

    fn remove_front(&mut self) {
        if let Some(front) = self.waiting.pop_front() {
            self.waiting_bytes -= front.bytes;
        }
        if self.waiting.is_empty() {
            self.alone = false;
            self.parked = false;
            self.buffer.release_excess();
        }
    }

    async fn front_answered(&mut self, outcome: Outcome) -> Result<(), End> {
        self.remove_front();
        self.answer(outcome).await?;
        self.answer_ready().await?;
        self.send_answers().await
    }

    /// A client that does not take its answers must not hold room that others wait for.
    fn sender(&self) -> Sender<'_> {
        let holds_room = self.room.is_some() || self.waiting.iter().any(|waiting| waiting.room.is_some());
        let pause = holds_room.then_some(self.limits.patience.pause);
        let stall = pause.into_iter().chain(self.limits.idle).min();
        Sender { stream: &self.stream, stall }
    }

    /// A large frame is received, or dispatched if it arrived behind another one, only once the shared budget has room for
    /// it. A connection that waits for it holds none of
    /// it, so that waiting connections cannot block each other.
    fn ask_for_room(&mut self) -> Result<(), End> {
        if self.room.is_some() || !self.may_dispatch() {
            return Ok(());
        }
        let Some(announced) = self.buffer.announced()? else { return Ok(()) };
        match budget::ask(&self.limits.budget, announced, self.limits.patience) {
            Asked::NotNeeded => {}
            Asked::Given(room) => self.room = Some(room),
            Asked::Queued(acquiring) => self.acquiring = Some(acquiring),
        }
        Ok(())
    }

    async fn answer_all(&mut self) -> Result<(), End> {
        while !self.parked
            && let Some(front) = self.waiting.front_mut()
        {
            let outcome = front.outcome.as_mut().await;
            self.remove_front();
            self.answer(outcome).await?;
        }
        self.send_answers().await
    }

    async fn next_event(
        &mut self,
        stop: &mut watch::Receiver<bool>,
        timer: Pin<&mut Sleep>,
    ) -> Result<Event, End> {
        let reading = self.may_dispatch();
        let missing = self.buffer.missing()?;
        let acquiring = self.acquiring.as_mut();
        let queued = acquiring.is_some();
        let answering = !self.waiting.is_empty();
        let between_frames = !self.buffer.is_inside_frame();
        let looks_for_the_end = self.parked || self.muted_until.is_some();
        let front = self.waiting.front_mut();
        // What is announced takes memory only once there is room for it.
        let room = if reading { Some(self.buffer.room()?) } else { None };
        let stream = &mut self.stream;
        let arrival = async {
            if let Some(room) = room {
                return stream.read_buf(room).await;
            }
            if queued {
                return budget::given_up(stream, missing).await.map(|()| 0);
            }
            // Nobody is left to answer: what waits for more records need not wait any longer.
            if looks_for_the_end && between_frames && matches!(stream.peek(&mut [0]).await, Ok(0) | Err(_)) {
                return Ok(0);
            }
            std::future::pending().await
        };
        Ok(tokio::select! {
            biased;
            outcome = async { front.expect("the branch is off while nothing waits").outcome.as_mut().await }, if answering => {
                Event::Answered(outcome)
            }
            room = async { acquiring.expect("the branch is off while none is wanted").as_mut().await }, if queued => {
                Event::Room(room)
            }
            received = arrival => Event::Received(received?),
            _ = stop.changed() => Event::Stopping,
            () = timer => Event::TimeUp,
        })
    }

    /// When the connection must be looked at although nothing happens on it.
    fn deadline(&self) -> Instant {
        if let Some(until) = self.muted_until {
            return until;
        }
        let idle = self.limits.idle.unwrap_or(FAR).min(FAR);
        let after = if !self.waiting.is_empty() || self.acquiring.is_some() {
            FAR
        } else if self.buffer.is_inside_frame() {
            idle.min(self.limits.patience.pause)
        } else if self.buffer.holds_spare_memory() {
            idle.min(BUFFER_KEPT)
        } else {
            idle
        };
        let silent = self.active_at + after;
        self.arrives_by().map_or(silent, |by| silent.min(by))
    }

    /// When the large frame that is arriving must be there.
    fn arrives_by(&self) -> Option<Instant> {
        self.room.as_ref().filter(|_| self.held.is_none()).map(|room| room.by)
    }

    fn time_up(&mut self) -> Result<(), End> {
        if let Some(until) = self.muted_until {
            if until <= Instant::now() {
                self.muted_until = None;
                self.active_at = Instant::now();
            }
            return Ok(());
        }
        if self.arrives_by().is_some_and(|by| by <= Instant::now()) {
            return Err(End::Slow);
        }
        let silent = self.active_at.elapsed();
        if !self.waiting.is_empty() || self.acquiring.is_some() {
            return Ok(());
        }
        let pause = self.limits.patience.pause.min(self.limits.idle.unwrap_or(FAR));
        if self.buffer.is_inside_frame() && silent >= pause {
            return Err(End::Stalled);
        }
        if self.limits.idle.is_some_and(|idle| silent >= idle) {
            return Err(End::Idle);
        }
        if silent >= BUFFER_KEPT {
            self.buffer.release();
        }
        Ok(())
    }

    /// What was accepted is answered before the broker stops, or where the client has nothing more to send; what waits for
    /// more data is not. (Kafka's processors close
    /// their sockets at once, and the answers of requests in progress are lost.)
    async fn finish(&mut self, end: End) -> Result<std::convert::Infallible, End> {
        self.answer_all().await?;
        Err(end)
    }
}

#[cfg(test)]
mod tests;
