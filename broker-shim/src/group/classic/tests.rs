//! The rules of classic groups, each by its name. Time is given; answers arrive or do not.
#![expect(clippy::unwrap_used, reason = "tests")]

use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use super::*;
use crate::coordinator::Ticks;
use log_engine::TimestampMs;

const REBALANCE_MS: i64 = 60_000;
const SESSION_MS: i64 = 10_000;
const DELAY_MS: i64 = 3_000;

/// A group, its clock and its settings.
struct World {
    group: ClassicGroup,
    timers: Timers<GroupTimer>,
    config: GroupConfig,
    now: i64,
    joined: u32,
}

type Joining = Receiver<JoinAnswer>;

/// What a member asks, as most do.
fn request<'a>(member: &'a str, unique: &'a str) -> JoinRequest<'a> {
    JoinRequest {
        version: 9,
        group: "g",
        member,
        instance: None,
        client: ClientFacts { id: "c", host: "/127.0.0.1" },
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer",
        protocols: vec![
            ("range".into(), Bytes::from_static(b"r")),
            ("sticky".into(), Bytes::from_static(b"s")),
        ],
        unique,
    }
}

impl World {
    fn new() -> Self {
        let config = GroupConfig {
            offset_metadata_max_bytes: 4096,
            initial_rebalance_delay_ms: DELAY_MS,
            min_session_timeout_ms: 6000,
            max_session_timeout_ms: 1_800_000,
            max_size: usize::MAX,
            offsets_retention_ms: 1000,
            expiry_check_interval_ms: 1000,
        };
        let now = Moment { wall: TimestampMs::new(0), ticks: Ticks::new(0) };
        let group = ClassicGroup::new("g".into(), now);
        Self { group, timers: Timers::default(), config, now: 0, joined: 0 }
    }

    fn turn(&mut self) -> Turn<'_> {
        let now = Moment { wall: TimestampMs::new(self.now), ticks: Ticks::new(self.now) };
        Turn { group: &mut self.group, timers: &mut self.timers, config: &self.config, now }
    }

    fn join(&mut self, request: JoinRequest<'_>) -> (Joining, Effect) {
        let (reply, told) = Reply::new();
        let effect = self.turn().join(request, reply);
        (told, effect)
    }

    /// A dynamic member from its first request on; its id and where its answer will arrive.
    fn new_member(&mut self) -> (Arc<str>, Joining) {
        self.joined += 1;
        let unique = self.joined.to_string();
        let (mut told, _) = self.join(request("", &unique));
        let answer = told.try_recv().unwrap();
        assert_eq!(answer.error, ErrorCode::MemberIdRequired);
        let (told, _) = self.join(request(&answer.member, ""));
        (answer.member, told)
    }

    /// Lets time pass, with all that it brings.
    fn pass(&mut self, ms: i64) -> Vec<Effect> {
        let until = self.now + ms;
        let mut effects = Vec::new();
        while let Some(at) = self.timers.earliest().filter(|at| at.get() <= until) {
            self.now = self.now.max(at.get());
            let timer = self.timers.take_due(at).unwrap();
            let mut turn = self.turn();
            effects.push(match timer {
                GroupTimer::Session(_, member) => turn.session_time_up(&member),
                GroupTimer::Join(_) => turn.join_time_up(),
                GroupTimer::Sync(_) => turn.sync_time_up(),
                GroupTimer::Expiry => Effect::default(),
            });
        }
        self.now = until;
        effects
    }

    fn sync(
        &mut self,
        member: &str,
        assignments: &[(&Arc<str>, &'static str)],
    ) -> (Receiver<SyncAnswer>, Effect) {
        let assignments = assignments.iter();
        let request = SyncRequest {
            group: "g",
            generation: self.group.generation,
            member,
            instance: None,
            protocol_type: Some("consumer"),
            protocol: self.group.protocol.clone().as_deref().map(|_| "range"),
            assignments: assignments
                .map(|(id, part)| (Arc::clone(id), Bytes::from_static(part.as_bytes())))
                .collect(),
        };
        let (reply, told) = Reply::new();
        let effect = self.turn().sync(request, reply);
        (told, effect)
    }

    /// What was to be written is written.
    fn written(&mut self, effect: Effect) {
        match effect.after {
            Some(After::Assigned { generation, assignments }) => {
                self.turn().settle_assigned(generation, &assignments, Ok(()));
            }
            Some(After::Replaced(replaced)) => self.turn().settle_replaced(*replaced, Ok(())),
            Some(After::Created) | None => {}
        }
    }

    fn heartbeat(&mut self, member: &str) -> ErrorCode {
        let generation = self.group.generation;
        self.turn().heartbeat(member, None, generation)
    }

    /// A stable group of so many dynamic members, the leader first.
    fn stable(members: usize) -> (Self, Vec<Arc<str>>) {
        let mut world = Self::new();
        let joined: Vec<_> = (0..members).map(|_| world.new_member()).collect();
        world.pass(DELAY_MS);
        world.pass(DELAY_MS);
        let ids: Vec<Arc<str>> = joined.into_iter().map(|(id, _)| id).collect();
        let leader = world.group.leader.clone().unwrap();
        let (_, effect) = world.sync(&leader, &[(&ids[0], "part")]);
        world.written(effect);
        for id in &ids {
            let (mut told, _) = world.sync(id, &[]);
            assert_eq!(told.try_recv().unwrap().error, ErrorCode::None);
        }
        assert_eq!(world.group.state, State::Stable);
        (world, ids)
    }
}

/// Whether the answer is yet to come.
fn waits<T>(told: &mut Receiver<T>) -> bool {
    matches!(told.try_recv(), Err(TryRecvError::Empty))
}

#[test]
fn a_member_without_an_id_is_told_one_and_joins_with_it() {
    let mut world = World::new();
    let (mut told, effect) = world.join(request("", "1"));
    let answer = told.try_recv().unwrap();
    assert_eq!((answer.error, &*answer.member), (ErrorCode::MemberIdRequired, "c-1"));
    assert!(effect.records.is_empty() && world.group.members.is_empty());
    let (mut told, _) = world.join(request("c-1", ""));
    assert!(waits(&mut told));
    assert_eq!(world.group.state, State::PreparingRebalance);
    // Before version 4 nobody asks twice.
    let mut world = World::new();
    let (mut told, _) = world.join(JoinRequest { version: 3, ..request("", "1") });
    assert!(waits(&mut told) && world.group.members.contains_key("c-1"));
}

#[test]
fn an_id_that_was_given_out_and_not_used_is_forgotten_with_its_session() {
    let mut world = World::new();
    world.join(request("", "1"));
    world.pass(SESSION_MS);
    let (mut told, _) = world.join(request("c-1", ""));
    assert_eq!(told.try_recv().unwrap().error, ErrorCode::UnknownMemberId);
}

#[test]
fn the_first_rebalance_waits_for_more_members_as_long_as_some_come_and_no_longer_than_their_time() {
    let mut world = World::new();
    let (_, mut first) = world.new_member();
    world.pass(DELAY_MS - 1);
    let (_, mut second) = world.new_member();
    world.pass(1);
    assert!(waits(&mut first), "somebody came: it is put off once more");
    world.pass(DELAY_MS);
    let (first, second) = (first.try_recv().unwrap(), second.try_recv().unwrap());
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!((first.members.len(), second.members.len()), (2, 0), "only the leader is told of all");
    assert_eq!(
        (first.protocol.as_deref(), first.protocol_type.as_deref()),
        (Some("range"), Some("consumer"))
    );
    // Somebody comes again and again: at the end of the rebalance timeout it is enough.
    let mut world = World::new();
    let (_, mut first) = world.new_member();
    let mut waited = 0;
    while waits(&mut first) {
        world.new_member();
        world.pass(1000);
        waited += 1000;
        assert!(waited <= REBALANCE_MS, "it must end");
    }
    assert_eq!(waited, REBALANCE_MS);
}

#[test]
fn the_leaders_assignment_is_handed_out_once_it_is_written() {
    let mut world = World::new();
    let (leader, _) = world.new_member();
    let (other, _) = world.new_member();
    world.pass(2 * DELAY_MS);
    let (mut other_told, effect) = world.sync(&other, &[]);
    assert!(effect.records.is_empty());
    let (mut leader_told, effect) = world.sync(&leader, &[(&leader, "A"), (&other, "B")]);
    assert_eq!(effect.records.len(), 1);
    assert!(waits(&mut other_told) && waits(&mut leader_told));
    world.written(effect);
    assert_eq!(leader_told.try_recv().unwrap().assignment, "A");
    assert_eq!(other_told.try_recv().unwrap().assignment, "B");
    assert_eq!(world.group.state, State::Stable);
    let (mut again, _) = world.sync(&other, &[]);
    assert_eq!(again.try_recv().unwrap().assignment, "B");
}

#[test]
fn an_assignment_that_could_not_be_written_makes_the_members_join_again() {
    let mut world = World::new();
    let (leader, _) = world.new_member();
    world.pass(DELAY_MS);
    let (mut told, effect) = world.sync(&leader, &[(&leader, "A")]);
    let Some(After::Assigned { generation, assignments }) = effect.after else {
        panic!("it is to be written")
    };
    world.turn().settle_assigned(generation, &assignments, Err(ErrorCode::NotCoordinator));
    assert_eq!(told.try_recv().unwrap(), SyncAnswer::error(ErrorCode::NotCoordinator));
    assert_eq!(world.group.state, State::PreparingRebalance);
}

#[test]
fn a_sync_that_does_not_fit_is_refused() {
    let (mut world, ids) = World::stable(1);
    let base = |member, generation, protocol_type, protocol| SyncRequest {
        group: "g",
        generation,
        member,
        instance: None,
        protocol_type,
        protocol,
        assignments: Vec::new(),
    };
    let rows = [
        (base("x", 1, None, None), ErrorCode::UnknownMemberId),
        (base(&ids[0], 2, None, None), ErrorCode::IllegalGeneration),
        (base(&ids[0], 1, Some("connect"), None), ErrorCode::InconsistentGroupProtocol),
        (base(&ids[0], 1, Some("consumer"), Some("sticky")), ErrorCode::InconsistentGroupProtocol),
        (base(&ids[0], 1, None, None), ErrorCode::None),
    ];
    for (request, error) in rows {
        let text = format!("{request:?}");
        let (reply, mut told) = Reply::new();
        world.turn().sync(request, reply);
        assert_eq!(told.try_recv().unwrap().error, error, "{text}");
    }
}

#[test]
fn heartbeats_keep_a_member_and_silence_removes_it() {
    let (mut world, ids) = World::stable(2);
    for _ in 0..5 {
        world.pass(SESSION_MS - 1);
        assert_eq!(world.heartbeat(&ids[0]), ErrorCode::None);
        assert_eq!(world.heartbeat(&ids[1]), ErrorCode::None);
    }
    world.pass(SESSION_MS - 1);
    assert_eq!(world.heartbeat(&ids[1]), ErrorCode::None);
    world.pass(1);
    assert_eq!(world.heartbeat(&ids[0]), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&ids[1]), ErrorCode::RebalanceInProgress);
    assert_eq!(world.turn().heartbeat(&ids[1], None, 7), ErrorCode::IllegalGeneration);
}

#[test]
fn a_group_that_has_lost_its_last_member_is_empty_and_written_so() {
    let (mut world, _) = World::stable(1);
    let effects = world.pass(SESSION_MS);
    assert_eq!(effects.iter().map(|effect| effect.records.len()).sum::<usize>(), 1);
    assert_eq!((world.group.state, world.group.generation), (State::Empty, 2));
    assert_eq!((world.group.protocol.clone(), world.group.protocol_type()), (None, "consumer"));
    assert!(world.group.leader.is_none() && world.timers.earliest().is_none());
}

#[test]
fn members_that_do_not_join_in_time_are_left_out() {
    let (mut world, ids) = World::stable(3);
    let (_, mut newcomer) = world.new_member();
    assert_eq!(world.heartbeat(&ids[0]), ErrorCode::RebalanceInProgress);
    let (mut again, _) = world.join(request(&ids[1], ""));
    for _ in 0..REBALANCE_MS / 5000 {
        world.pass(5000);
        world.heartbeat(&ids[0]);
        world.heartbeat(&ids[2]);
    }
    let answers = (again.try_recv().unwrap(), newcomer.try_recv().unwrap());
    assert_eq!((answers.0.generation, answers.1.generation), (2, 2));
    assert_eq!(world.group.members.len(), 2);
    assert_eq!(world.group.leader.as_deref(), Some(&*ids[1]), "a member that has joined leads");
    assert_eq!(world.heartbeat(&ids[0]), ErrorCode::UnknownMemberId);
}

#[test]
fn members_that_do_not_ask_for_their_assignment_in_time_are_left_out() {
    let mut world = World::new();
    let (leader, _) = world.new_member();
    let (silent, _) = world.new_member();
    world.pass(2 * DELAY_MS);
    let (_, effect) = world.sync(&leader, &[]);
    world.written(effect);
    for _ in 0..REBALANCE_MS / 5000 {
        world.pass(5000);
        world.heartbeat(&leader);
        world.heartbeat(&silent);
    }
    assert_eq!(world.heartbeat(&silent), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&leader), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody_and_the_leader_does() {
    let (mut world, ids) = World::stable(2);
    let leader = world.group.leader.clone().unwrap();
    let follower = ids.iter().find(|id| **id != leader).unwrap();
    let (mut told, _) = world.join(request(follower, ""));
    let answer = told.try_recv().unwrap();
    assert_eq!((answer.error, answer.generation, answer.members.len()), (ErrorCode::None, 1, 0));
    let (mut told, _) = world.join(request(&leader, ""));
    assert!(waits(&mut told));
    assert_eq!(world.group.state, State::PreparingRebalance);
}

#[test]
fn a_member_that_supports_other_protocols_than_the_group_is_refused() {
    let (mut world, ids) = World::stable(1);
    let other = || vec![("roundrobin".into(), Bytes::new())];
    let rows = [
        JoinRequest { protocol_type: "connect", ..request("", "1") },
        JoinRequest { protocols: other(), ..request("", "1") },
        JoinRequest { protocols: Vec::new(), ..request("", "1") },
    ];
    for request in rows {
        let text = format!("{request:?}");
        let (mut told, _) = world.join(request);
        assert_eq!(told.try_recv().unwrap().error, ErrorCode::InconsistentGroupProtocol, "{text}");
    }
    assert_eq!(world.group.members.keys().collect::<Vec<_>>(), [&ids[0]]);
    // An empty group takes every protocol that has a name.
    let mut world = World::new();
    let (mut told, _) = world.join(JoinRequest { protocol_type: "", ..request("", "1") });
    assert_eq!(told.try_recv().unwrap().error, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn the_protocol_is_the_one_that_most_like_best_of_those_that_all_support() {
    let named = |names: &[&str]| names.iter().map(|name| ((*name).into(), Bytes::new())).collect::<Vec<_>>();
    let rows: [(&[&[&str]], &str); 4] = [
        (&[&["range", "sticky"], &["sticky", "range"], &["sticky", "range"]], "sticky"),
        (&[&["range", "sticky"], &["roundrobin", "sticky"]], "sticky"),
        (&[&["cooperative-sticky", "range"], &["cooperative-sticky", "range"]], "cooperative-sticky"),
        // As many votes for each: Java's map has "sticky" in its bucket 8, "range" in the next.
        (&[&["range", "sticky"], &["sticky", "range"]], "sticky"),
    ];
    for (members, elected) in rows {
        let mut world = World::new();
        for (at, protocols) in members.iter().enumerate() {
            let unique = at.to_string();
            world.join(JoinRequest { version: 3, protocols: named(protocols), ..request("", &unique) });
        }
        assert_eq!(world.group.elected_protocol().as_deref(), Some(elected), "{members:?}");
    }
}

#[test]
fn a_full_group_takes_nobody_but_those_it_knows() {
    let (mut world, ids) = World::stable(2);
    world.config.max_size = 2;
    let (mut told, _) = world.join(request("", "9"));
    let answer = told.try_recv().unwrap();
    assert_eq!((answer.error, &*answer.member), (ErrorCode::GroupMaxSizeReached, ""));
    let leader = world.group.leader.clone().unwrap();
    let (mut told, _) = world.join(request(&leader, ""));
    assert!(waits(&mut told));
    assert_eq!(ids.len(), world.group.members.len());
}

fn named<'a>(instance: &'a str, unique: &'a str) -> JoinRequest<'a> {
    JoinRequest { instance: Some(instance), ..request("", unique) }
}

/// A stable group of one static member `i`, with the id `i-1`.
fn stable_of_one_static() -> World {
    let mut world = World::new();
    world.join(named("i", "1"));
    world.pass(DELAY_MS);
    let (_, effect) = world.sync("i-1", &[(&"i-1".into(), "A")]);
    world.written(effect);
    world
}

#[test]
fn a_static_member_comes_back_to_its_assignment_without_a_rebalance() {
    let mut world = stable_of_one_static();
    let (mut told, effect) = world.join(named("i", "2"));
    assert!(waits(&mut told), "not before it is written");
    assert_eq!(effect.records.len(), 1);
    world.written(effect);
    let answer = told.try_recv().unwrap();
    assert_eq!((answer.generation, &*answer.member, &*answer.leader), (1, "i-2", "i-2"));
    assert!(answer.skip_assignment && answer.members.len() == 1);
    assert_eq!(world.group.members["i-2"].assignment, "A");
    // Whoever goes on under the old id is fenced.
    assert_eq!(world.turn().heartbeat("i-1", Some("i"), 1), ErrorCode::FencedInstanceId);
    assert_eq!(world.turn().heartbeat("i-1", None, 1), ErrorCode::UnknownMemberId);
    assert_eq!(world.turn().heartbeat("i-2", Some("j"), 1), ErrorCode::UnknownMemberId);
    assert_eq!(world.turn().heartbeat("i-2", Some("i"), 1), ErrorCode::None);
}

#[test]
fn an_older_static_member_is_told_of_the_old_leader_so_that_it_does_not_assign() {
    let mut world = stable_of_one_static();
    let (mut told, effect) = world.join(JoinRequest { version: 8, ..named("i", "2") });
    world.written(effect);
    let answer = told.try_recv().unwrap();
    assert_eq!((&*answer.leader, answer.skip_assignment, answer.members.len()), ("i-1", false, 0));
}

#[test]
fn a_static_member_whose_return_could_not_be_written_keeps_its_old_id() {
    let mut world = stable_of_one_static();
    let (mut told, effect) = world.join(named("i", "2"));
    let Some(After::Replaced(replaced)) = effect.after else { panic!("it is to be written") };
    world.turn().settle_replaced(*replaced, Err(ErrorCode::NotCoordinator));
    let answer = told.try_recv().unwrap();
    assert_eq!((answer.error, &*answer.member), (ErrorCode::NotCoordinator, ""));
    assert_eq!(world.turn().heartbeat("i-1", Some("i"), 1), ErrorCode::None);
}

#[test]
fn a_static_member_that_waits_is_fenced_by_one_of_the_same_name() {
    let mut world = World::new();
    let (mut first, _) = world.join(named("i", "1"));
    let (mut second, _) = world.join(named("i", "2"));
    assert_eq!(first.try_recv().unwrap().error, ErrorCode::FencedInstanceId);
    assert!(waits(&mut second));
    world.pass(DELAY_MS);
    assert_eq!(&*second.try_recv().unwrap().member, "i-2");
}

#[test]
fn a_static_member_that_is_late_for_a_rebalance_stays_until_its_session_ends() {
    let mut world = stable_of_one_static();
    let (_, mut other) = world.new_member();
    world.pass(SESSION_MS - 1);
    assert!(waits(&mut other));
    world.pass(1);
    assert_eq!(other.try_recv().unwrap().generation, 2);
    assert_eq!(world.group.members.len(), 1);
}

#[test]
fn members_leave_by_id_by_name_and_before_they_have_joined() {
    let mut world = stable_of_one_static();
    let (dynamic, _) = world.new_member();
    world.join(request("", "9"));
    let leaving = |member, instance| Leaving { member, instance, reason: None };
    let all = [
        leaving(&dynamic, None),
        leaving("", Some("i")),
        leaving("c-9", None),
        leaving("c-9", None),
        leaving("", Some("j")),
        leaving("", None),
    ];
    let (answer, effect) = world.turn().leave(&all);
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(answer, [ErrorCode::None, ErrorCode::None, ErrorCode::None, unknown, unknown, unknown]);
    assert_eq!((world.group.state, effect.records.len()), (State::Empty, 1));
}

#[test]
fn a_member_that_leaves_makes_the_others_join_again() {
    let (mut world, ids) = World::stable(2);
    let (answer, effect) =
        world.turn().leave(&[Leaving { member: &ids[0], instance: None, reason: Some("done") }]);
    assert_eq!((answer, effect.records.len()), (vec![ErrorCode::None], 0));
    assert_eq!(world.heartbeat(&ids[1]), ErrorCode::RebalanceInProgress);
    let (mut told, _) = world.join(request(&ids[1], ""));
    assert_eq!(told.try_recv().unwrap().members.len(), 1);
}

#[test]
fn a_group_is_restored_from_its_record() {
    use crate::{coordinator::LogRecord, group::records::GroupRecord};
    let mut world = World::new();
    let (leader, _) = world.new_member();
    world.join(named("i", "1"));
    world.pass(2 * DELAY_MS);
    let (_, effect) = world.sync(&leader, &[(&leader, "A"), (&"i-1".into(), "B")]);
    let record = effect.records[0].clone();
    let offset = log_engine::Offset::new(0);
    let (key, value) = (Some(&record.key[..]), record.value.as_deref());
    let read = GroupRecord::decode(&LogRecord { offset, transaction: None, key, value }).unwrap();
    let GroupRecord::Group(key, Some(value)) = read else { panic!("a group") };
    let restored = ClassicGroup::from_record(key.group.as_ref().into(), &value);
    world.written(effect);
    let of = |group: &ClassicGroup| {
        let described = group.describe();
        (described, group.generation, group.leader.clone(), group.instances.clone())
    };
    assert_eq!(of(&restored), of(&world.group));
    world.group = restored;
    world.timers = Timers::default();
    world.turn().loaded();
    assert_eq!(world.heartbeat(&leader), ErrorCode::None);
    world.pass(SESSION_MS);
    assert_eq!(world.group.state, State::Empty, "its members have a session's time to be heard of");
}

#[test]
fn subscriptions_are_read_in_every_version() {
    let subscription = |version: i16| {
        let value = wire::records::ConsumerProtocolSubscription {
            topics: vec!["a".into(), "b".into()],
            ..Default::default()
        };
        wire::records::encode_versioned(&value, version).unwrap()
    };
    for version in 0..=3 {
        let mut world = World::new();
        let protocols = vec![("range".into(), Bytes::from(subscription(version)))];
        world.join(JoinRequest { version: 3, protocols, ..request("", "1") });
        world.pass(DELAY_MS);
        assert!(world.group.is_subscribed("a") && !world.group.is_subscribed("c"), "version {version}");
    }
    // Of what cannot be read, everything is assumed.
    let (world, _) = World::stable(1);
    assert!(world.group.is_subscribed("c"));
}
