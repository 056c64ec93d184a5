//! Small programs of two or three threads over the real types. Each is run in every order; what it asserts holds in all.
//!
//! What takes part in a log's order of publication beside these types is under one lock, the log's:
//! [`reservations_are_published_in_order_and_before_they_are_answered`] has it as a queue. The committer's lanes and the files
//! that a segment keeps open are guarded by a lock each and built on threads, rings and files, which no model of memory runs:
//! `tests/proof` disturbs those.

use std::collections::VecDeque;

use log_engine::Offset;
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::bell::Bell;
use crate::offsets::{LogOffsets, SharedOffsets};
use crate::ticket::{Abandoned, Resolver, Ticket};

const fn at(raw: i64) -> Offset {
    Offset::new(raw)
}

fn ends(log_start: i64, high_watermark: i64, log_end: i64) -> Arc<SharedOffsets> {
    Arc::new(SharedOffsets::new(at(log_start), at(high_watermark), at(log_end)))
}

fn in_order(offsets: LogOffsets) -> LogOffsets {
    let LogOffsets { log_start, last_stable, high_watermark, log_end, durable_end } = offsets;
    assert!(
        log_start <= last_stable && last_stable <= high_watermark && high_watermark <= log_end,
        "{offsets:?}"
    );
    assert!(durable_end <= log_end, "{offsets:?}");
    offsets
}

/// An append opens a transaction, is published and committed, while somebody reads.
pub fn records_of_an_open_transaction_never_look_stable() {
    loom::model(|| {
        let ends = ends(0, 20, 20);
        let appender = {
            let ends = Arc::clone(&ends);
            thread::spawn(move || {
                ends.publish(at(30), Some(at(22)));
                ends.raise_durable_end(at(30));
                ends.raise_high_watermark(at(30));
            })
        };
        let seen = in_order(ends.snapshot());
        assert!(seen.last_stable <= at(22), "{seen:?}");
        appender.join().expect("no panic");
        assert!(ends.has_unstable());
        assert_eq!((ends.high_watermark(), ends.durable_end()), (at(30), at(30)));
    });
}

/// The replica that moves the high watermark is another thread than the one that publishes.
pub fn a_high_watermark_never_passes_the_end() {
    loom::model(|| {
        let ends = ends(0, 10, 20);
        let replica = {
            let ends = Arc::clone(&ends);
            thread::spawn(move || ends.raise_high_watermark(at(25)))
        };
        let appender = {
            let ends = Arc::clone(&ends);
            thread::spawn(move || ends.publish(at(30), None))
        };
        let seen = in_order(ends.snapshot());
        assert!(seen.high_watermark <= at(25), "{seen:?}");
        replica.join().expect("no panic");
        appender.join().expect("no panic");
        assert!([at(20), at(25)].contains(&ends.high_watermark()));
    });
}

/// A log with an open transaction is cut below it.
pub fn a_cut_shows_no_end_before_a_start_and_nothing_unstable() {
    loom::model(|| {
        let ends = ends(0, 20, 20);
        ends.set_first_unstable(Some(at(12)));
        ends.raise_durable_end(at(20));
        let cutter = {
            let ends = Arc::clone(&ends);
            thread::spawn(move || ends.truncate(at(7), None))
        };
        let seen = in_order(ends.snapshot());
        assert!(seen.last_stable <= at(12), "{seen:?}");
        cutter.join().expect("no panic");
        assert_eq!(in_order(ends.snapshot()).log_end, at(7));
    });
}

/// Records are deleted up to behind the high watermark that a reader may still have seen.
pub fn a_start_that_moves_pushes_the_other_ends_along() {
    loom::model(|| {
        let ends = ends(0, 5, 20);
        let deleter = {
            let ends = Arc::clone(&ends);
            thread::spawn(move || ends.raise_log_start(at(15)))
        };
        let seen = in_order(ends.snapshot());
        assert!([at(0), at(15)].contains(&seen.log_start), "{seen:?}");
        assert!(deleter.join().expect("no panic"));
        assert_eq!(ends.log_start(), at(15));
    });
}

/// A replica throws its log away and begins again further up.
pub fn a_log_that_begins_again_shows_no_end_before_a_start() {
    loom::model(|| {
        let ends = ends(0, 20, 20);
        let replica = {
            let ends = Arc::clone(&ends);
            thread::spawn(move || ends.restart(at(100)))
        };
        in_order(ends.snapshot());
        replica.join().expect("no panic");
        assert_eq!(ends.log_end(), at(100));
    });
}

type AppendTicket = Ticket<i64, Abandoned>;

/// One append on its way: its end, and whom to tell.
type Reserved = (i64, Resolver<i64, Abandoned>);

/// Two appenders reserve under the log's lock; whoever commits publishes in that order, then answers.
pub fn reservations_are_published_in_order_and_before_they_are_answered() {
    // Three threads with locks: all orders in which a thread is interrupted at most twice.
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(2);
    bounded.check(|| {
        let ends = ends(0, 0, 0);
        let pending: Arc<Mutex<(i64, VecDeque<Reserved>)>> = Arc::default();
        let append = |pending: &Mutex<(i64, VecDeque<Reserved>)>| {
            let (ticket, resolver) = AppendTicket::new();
            let mut pending = pending.lock().expect("no panic");
            pending.0 += 10;
            let end = pending.0;
            pending.1.push_back((end, resolver));
            ticket
        };
        let appender = {
            let (ends, pending) = (Arc::clone(&ends), Arc::clone(&pending));
            thread::spawn(move || {
                let end = append(&pending).wait().expect("it is committed");
                assert!(ends.log_end() >= at(end), "who holds an answer finds the records");
            })
        };
        let own = append(&pending);
        let committer = {
            let (ends, pending) = (Arc::clone(&ends), Arc::clone(&pending));
            thread::spawn(move || {
                let mut committed = 0;
                while committed < 2 {
                    let mut queue = pending.lock().expect("no panic");
                    let Some((end, resolver)) = queue.1.pop_front() else {
                        drop(queue);
                        thread::yield_now();
                        continue;
                    };
                    assert_eq!(ends.log_end(), at(end - 10), "in the order of reservation");
                    ends.publish(at(end), None);
                    drop(queue);
                    resolver.resolve(Ok(end));
                    committed += 1;
                }
            })
        };
        let end = own.wait().expect("it is committed");
        assert!(ends.log_end() >= at(end), "who holds an answer finds the records");
        appender.join().expect("no panic");
        committer.join().expect("no panic");
    });
}

/// A thread waits while the answer comes.
pub fn a_thread_that_waits_is_always_woken() {
    loom::model(|| {
        let (ticket, resolver) = AppendTicket::new();
        let answer = thread::spawn(move || resolver.resolve(Ok(7)));
        assert_eq!(ticket.wait(), Ok(7));
        answer.join().expect("no panic");
    });
}

/// A thread waits at the bell of its group, which is rung after the answer.
pub fn a_thread_that_waits_at_a_bell_is_always_woken() {
    loom::model(|| {
        let bell = Arc::new(Bell::default());
        let (ticket, resolver) = AppendTicket::new();
        let ticket = ticket.announced_by(Some(Arc::clone(&bell)));
        let committer = thread::spawn(move || {
            resolver.resolve(Ok(7));
            bell.ring_if_wanted();
        });
        assert_eq!(ticket.wait(), Ok(7));
        committer.join().expect("no panic");
    });
}

/// The engine is torn down under a thread that waits at a bell.
pub fn nobody_is_left_waiting_at_a_bell() {
    loom::model(|| {
        let (ticket, resolver) = AppendTicket::new();
        let torn_down = thread::spawn(move || drop(resolver));
        assert_eq!(ticket.announced_by(Some(Arc::new(Bell::default()))).wait(), Err(Abandoned));
        torn_down.join().expect("no panic");
    });
}

/// A task awaits while the answer comes.
pub fn a_task_that_awaits_is_always_woken() {
    loom::model(|| {
        let (ticket, resolver) = AppendTicket::new();
        let answer = thread::spawn(move || resolver.resolve(Ok(7)));
        assert_eq!(loom::future::block_on(ticket), Ok(7));
        answer.join().expect("no panic");
    });
}

/// The engine is torn down under a ticket; another was looked at in passing.
pub fn a_ticket_that_nobody_answers_says_so() {
    loom::model(|| {
        let (ticket, resolver) = AppendTicket::new();
        let torn_down = thread::spawn(move || drop(resolver));
        let result = ticket.try_take().unwrap_or_else(AppendTicket::wait);
        assert_eq!(result, Err(Abandoned));
        torn_down.join().expect("no panic");
    });
}
