//! Many pieces of work that mostly wait for the disk, some of them at a time: flushes that wait side by side share what the
//! file system commits.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Fewer pieces than this for a thread are not worth one.
const LEAST_OF_A_THREAD: usize = 8;
/// So many flushes wait at a time.
const THREADS_MAX: usize = 8;

/// Does `work` for each item, and answers what came of them in the order of the items.
pub(crate) fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = (items.len() / LEAST_OF_A_THREAD).min(THREADS_MAX);
    let Some(threads) = NonZero::new(threads).filter(|threads| threads.get() > 1) else {
        return items.iter().map(work).collect();
    };
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        while let Some((index, item)) = numbered(items, next.fetch_add(1, Ordering::Relaxed)) {
            done.push((index, work(item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.get()).map(|_| scope.spawn(some)).collect();
        let mut done = some();
        // A panic of theirs is one of ours.
        others.into_iter().for_each(|other| match other.join() {
            Ok(of_other) => done.extend(of_other),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn numbered<T>(items: &[T], index: usize) -> Option<(usize, &T)> {
    items.get(index).map(|item| (index, item))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Barrier, thread};

    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_answers_are_in_their_order() {
        for len in [0, 1, 7, 16, 1000] {
            let items: Vec<usize> = (0..len).collect();
            assert_eq!(
                side_by_side(&items, |item| item * 2),
                (0..len).map(|item| item * 2).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn many_items_wait_beside_each_other_and_few_do_not() {
        let ids = |len: usize, all: usize| {
            let barrier = Barrier::new(all);
            let ids = side_by_side(&vec![(); len], |()| {
                barrier.wait();
                thread::current().id()
            });
            ids.into_iter().map(|id| format!("{id:?}")).collect::<BTreeSet<_>>().len()
        };
        // Each waits until as many wait as threads there are.
        assert_eq!(ids(64, THREADS_MAX), THREADS_MAX);
        assert_eq!(ids(2 * LEAST_OF_A_THREAD - 1, 1), 1);
    }
}
