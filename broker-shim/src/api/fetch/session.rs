//! Incremental fetch sessions (KIP-227): the broker remembers which partitions a client fetches and what it last told it,
//! so that requests and responses carry only what changed.
//!
//! Rules are those of Kafka's FetchSession and FetchManager. Reads nothing; the handler does.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use log_engine::types::TopicId;
use wire::ErrorCode;

/// How a request names a topic: by id from version 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    Name(Arc<str>),
    Id(TopicId),
}

/// What a client wants of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) fetch_offset: i64,
    pub(crate) max_bytes: i32,
}

/// The part of a request that sessions are about.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) uses_topic_ids: bool,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

/// Why a request does not fit its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// No such session, or no longer.
    IdNotFound,
    /// A request of this session was lost or repeated.
    InvalidEpoch,
    /// The session named topics the other way.
    TopicIdMismatch,
}

impl SessionError {
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::IdNotFound => ErrorCode::FetchSessionIdNotFound,
            Self::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
            Self::TopicIdMismatch => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

/// What the client was, or is being, told of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) has_records: bool,
    pub(crate) is_error: bool,
}

/// Which partitions to read, and how to answer.
#[derive(Debug)]
pub(crate) enum FetchContext {
    /// Nothing is remembered.
    Sessionless(Vec<Wanted>),
    /// A session was begun: everything is told once.
    Full(Vec<Wanted>, Arc<Mutex<Session>>),
    /// A session goes on: only changes are told.
    Incremental(Vec<Wanted>, Arc<Mutex<Session>>),
}

const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;
/// A session that was unused for so long may make room for another.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// All sessions.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    sessions: HashMap<i32, Entry>,
    drawn: u64,
    random: RandomState,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Mutex<Session>>,
    used: Instant,
}

/// One client's memory.
#[derive(Debug)]
pub(crate) struct Session {
    id: i32,
    next_epoch: i32,
    uses_topic_ids: bool,
    /// In the order in which partitions are read; one that gave records goes to the end, so that all get their turn.
    order: BTreeMap<u64, Remembered>,
    places: HashMap<(TopicKey, i32), u64>,
    next_place: u64,
}

#[derive(Debug)]
struct Remembered {
    wanted: Wanted,
    told: Option<Told>,
}

impl FetchSessions {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, cache: Mutex::default() }
    }

    /// Finds or begins the session of a request.
    pub(crate) fn open(&self, request: SessionRequest, now: Instant) -> Result<FetchContext, SessionError> {
        let mut cache = lock(&self.cache);
        if matches!(request.epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            cache.sessions.remove(&request.id);
            if request.epoch == FINAL_EPOCH {
                return Ok(FetchContext::Sessionless(request.wanted));
            }
            return Ok(cache.begin(self.slots, request, now));
        }
        cache.go_on(request, now)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.cache).sessions.len()
    }
}

impl Cache {
    fn begin(&mut self, slots: usize, request: SessionRequest, now: Instant) -> FetchContext {
        if request.wanted.is_empty() || !self.make_room(slots, now) {
            return FetchContext::Sessionless(request.wanted);
        }
        let id = self.draw_id();
        let session = Arc::new(Mutex::new(Session::new(id, &request)));
        self.sessions.insert(id, Entry { session: Arc::clone(&session), used: now });
        FetchContext::Full(request.wanted, session)
    }

    fn make_room(&mut self, slots: usize, now: Instant) -> bool {
        if self.sessions.len() < slots {
            return true;
        }
        let oldest = self.sessions.iter().min_by_key(|(_, entry)| entry.used);
        let evictable = oldest
            .filter(|(_, entry)| now.saturating_duration_since(entry.used) > EVICTABLE_AFTER)
            .map(|(id, _)| *id);
        evictable.is_some_and(|id| self.sessions.remove(&id).is_some())
    }

    fn draw_id(&mut self) -> i32 {
        loop {
            self.drawn += 1;
            let id = (self.random.hash_one(self.drawn) & 0x7fff_ffff) as i32;
            if id != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    fn go_on(&mut self, request: SessionRequest, now: Instant) -> Result<FetchContext, SessionError> {
        let entry = self.sessions.get_mut(&request.id).ok_or(SessionError::IdNotFound)?;
        let handle = Arc::clone(&entry.session);
        let mut session = lock(&handle);
        if session.next_epoch != request.epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(SessionError::TopicIdMismatch);
        }
        session.update(request.wanted, &request.forgotten);
        if session.order.is_empty() {
            self.sessions.remove(&session.id);
            return Ok(FetchContext::Sessionless(Vec::new()));
        }
        entry.used = now;
        session.next_epoch = next_epoch(session.next_epoch);
        let wanted = session.order.values().map(|remembered| remembered.wanted.clone()).collect();
        drop(session);
        Ok(FetchContext::Incremental(wanted, handle))
    }
}

/// 0 and -1 mean something else, so epochs wrap from the largest number to 1.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    fn new(id: i32, request: &SessionRequest) -> Self {
        let mut session = Self {
            id,
            next_epoch: next_epoch(INITIAL_EPOCH),
            uses_topic_ids: request.uses_topic_ids,
            order: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
        };
        session.update(request.wanted.clone(), &[]);
        session
    }

    fn update(&mut self, wanted: Vec<Wanted>, forgotten: &[(TopicKey, i32)]) {
        for wanted in wanted {
            let key = (wanted.topic.clone(), wanted.partition);
            match self.places.get(&key).and_then(|place| self.order.get_mut(place)) {
                Some(remembered) => remembered.wanted = wanted,
                None => self.append(key, Remembered { wanted, told: None }),
            }
        }
        for key in forgotten {
            if let Some(place) = self.places.remove(key) {
                self.order.remove(&place);
            }
        }
    }

    fn append(&mut self, key: (TopicKey, i32), remembered: Remembered) {
        self.places.insert(key, self.next_place);
        self.order.insert(self.next_place, remembered);
        self.next_place += 1;
    }

    /// Remembers what a partition's client is told; whether that is news.
    fn tell(&mut self, topic: &TopicKey, partition: i32, told: Told) -> bool {
        let key = (topic.clone(), partition);
        let Some(place) = self.places.get(&key).copied() else { return told.has_records || told.is_error };
        let Some(remembered) = self.order.get_mut(&place) else { return true };
        let news = told.has_records || told.is_error || remembered.told != Some(told);
        // After an error the next good answer is news, whatever it says.
        remembered.told = (!told.is_error).then_some(Told { has_records: false, ..told });
        if told.has_records
            && let Some(remembered) = self.order.remove(&place)
        {
            self.append(key, remembered);
        }
        news
    }
}

impl FetchContext {
    /// What is to be read, in order.
    pub(crate) fn wanted(&self) -> &[Wanted] {
        match self {
            Self::Sessionless(wanted) | Self::Full(wanted, _) | Self::Incremental(wanted, _) => wanted,
        }
    }

    /// The session's id for the response; 0 for none.
    pub(crate) fn session_id(&self) -> i32 {
        match self {
            Self::Sessionless(_) => 0,
            Self::Full(_, session) | Self::Incremental(_, session) => lock(session).id,
        }
    }

    /// The same, but 0 for a session that has just begun.
    pub(crate) fn ongoing_id(&self) -> i32 {
        match self {
            Self::Sessionless(_) | Self::Full(..) => 0,
            Self::Incremental(_, session) => lock(session).id,
        }
    }

    /// Takes note of what is told of each wanted partition, in their order: which of them the response carries.
    pub(crate) fn tell(&self, told: &[Told]) -> Vec<bool> {
        match self {
            Self::Sessionless(wanted) => vec![true; wanted.len()],
            Self::Full(wanted, session) => {
                tell_all(wanted, session, told);
                vec![true; wanted.len()]
            }
            Self::Incremental(wanted, session) => tell_all(wanted, session, told),
        }
    }
}

fn tell_all(wanted: &[Wanted], session: &Mutex<Session>, told: &[Told]) -> Vec<bool> {
    let mut session = lock(session);
    wanted
        .iter()
        .zip(told)
        .map(|(wanted, told)| session.tell(&wanted.topic, wanted.partition, *told))
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const QUIET: Told = Told { high_watermark: 5, log_start_offset: 0, has_records: false, is_error: false };

    fn wanted(partition: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            topic: TopicKey::Name("t".into()),
            partition,
            current_leader_epoch: -1,
            fetch_offset,
            max_bytes: 1,
        }
    }

    fn request(id: i32, epoch: i32, partitions: &[i32]) -> SessionRequest {
        let wanted = partitions.iter().map(|partition| wanted(*partition, 0)).collect();
        SessionRequest { id, epoch, uses_topic_ids: false, wanted, forgotten: Vec::new() }
    }

    fn begun(sessions: &FetchSessions, partitions: &[i32]) -> i32 {
        let context = sessions.open(request(0, 0, partitions), Instant::now()).unwrap();
        context.tell(&vec![QUIET; partitions.len()]);
        context.session_id()
    }

    fn read(context: &FetchContext) -> Vec<i32> {
        context.wanted().iter().map(|wanted| wanted.partition).collect()
    }

    #[test]
    fn a_request_without_session_is_answered_whole_and_forgotten() {
        let sessions = FetchSessions::new(10);
        let context = sessions.open(request(0, -1, &[0, 1]), Instant::now()).unwrap();
        assert_eq!((context.session_id(), context.tell(&[QUIET; 2])), (0, vec![true, true]));
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn an_incremental_request_reads_everything_and_tells_only_news() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, &[0, 1, 2]);
        let context = sessions.open(request(id, 1, &[]), Instant::now()).unwrap();
        assert_eq!(read(&context), [0, 1, 2]);
        let moved = Told { high_watermark: 6, ..QUIET };
        let records = Told { has_records: true, ..moved };
        assert_eq!(context.tell(&[records, QUIET, moved]), [true, false, true]);
        let context = sessions.open(request(id, 2, &[]), Instant::now()).unwrap();
        assert_eq!(read(&context), [1, 2, 0], "who gave records stands last");
        assert_eq!(context.tell(&[QUIET, moved, moved]), [false, false, false]);
    }

    #[test]
    fn an_error_and_its_end_are_news() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, &[0]);
        let error = Told { is_error: true, ..QUIET };
        for (epoch, told, news) in [(1, error, true), (2, error, true), (3, QUIET, true), (4, QUIET, false)] {
            let context = sessions.open(request(id, epoch, &[]), Instant::now()).unwrap();
            assert_eq!(context.tell(&[told]), [news], "epoch {epoch}");
        }
    }

    #[test]
    fn partitions_are_added_changed_and_forgotten() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, &[0, 1]);
        let mut change = request(id, 1, &[2]);
        change.wanted.push(wanted(1, 77));
        change.forgotten.push((TopicKey::Name("t".into()), 0));
        let context = sessions.open(change, Instant::now()).unwrap();
        assert_eq!(read(&context), [1, 2]);
        assert_eq!(context.wanted()[0].fetch_offset, 77);
    }

    #[test]
    fn a_session_without_partitions_ends() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, &[0]);
        let mut change = request(id, 1, &[]);
        change.forgotten.push((TopicKey::Name("t".into()), 0));
        assert_eq!(sessions.open(change, Instant::now()).unwrap().session_id(), 0);
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn requests_that_do_not_fit_their_session_are_refused() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, &[0]);
        let mut by_id = request(id, 1, &[]);
        by_id.uses_topic_ids = true;
        let rows = [
            (request(id + 1, 1, &[]), SessionError::IdNotFound),
            (request(id, 2, &[]), SessionError::InvalidEpoch),
            (by_id, SessionError::TopicIdMismatch),
        ];
        for (request, error) in rows {
            assert_eq!(sessions.open(request, Instant::now()).unwrap_err(), error);
        }
    }

    #[test]
    fn a_full_cache_gives_no_session_until_one_is_old() {
        let sessions = FetchSessions::new(1);
        let start = Instant::now();
        assert_ne!(sessions.open(request(0, 0, &[0]), start).unwrap().session_id(), 0);
        assert_eq!(sessions.open(request(0, 0, &[0]), start).unwrap().session_id(), 0);
        let later = start + EVICTABLE_AFTER + Duration::from_secs(1);
        assert_ne!(sessions.open(request(0, 0, &[0]), later).unwrap().session_id(), 0);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn a_final_request_ends_the_session() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, &[0]);
        sessions.open(request(id, -1, &[0]), Instant::now()).unwrap();
        assert_eq!(sessions.len(), 0);
    }
}
