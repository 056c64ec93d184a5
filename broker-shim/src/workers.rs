//! The threads that serve connections: each has an event loop of its own, and a connection stays on the thread it was
//! given.
//!
//! A runtime whose threads share their tasks passes a connection from the thread that waits for the network to another
//! one each time something arrives, and such a wake-up costs as much as a small append (docs/adr/0009). What is known to
//! wait for the disk does not wait on these threads. What an append writes without asking for a flush does, where the
//! kernel holds it up: its records, a page of index entries every 512 entries, and where a segment ends, the files of the
//! next one. That is one thread in each data directory for the records, and whoever waits for the same log: there is one
//! thread more than directories, and a new connection that its thread does not take up goes to another.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

/// How long connections may take to answer what they have accepted.
const GRACE: Duration = Duration::from_secs(5);

/// How long a thread may take to take up a new connection before another one is asked.
const PATIENCE: Duration = Duration::from_millis(100);

/// Tasks of one thread's connections that may wait for the disk at a time; others wait for them.
const WAITING_FOR_DISK_MAX: usize = 64;

/// What serves a connection. Made on the connection's thread, so that its socket is watched by that thread's event loop.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;
type Begin = Box<dyn FnOnce() -> Serving + Send>;

/// A new connection: taken up by the first thread that comes by.
type Offer = Arc<Mutex<Option<Begin>>>;

fn take(offer: &Offer) -> Option<Begin> {
    offer.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The threads. They end once this is stopped and their connections have ended.
#[derive(Debug)]
pub(crate) struct Workers {
    inboxes: Vec<Inbox>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inbox {
    offers: UnboundedSender<Offer>,
    /// Connections that were offered here first and have not ended.
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// As many threads as the machine has processors, and more than there are data directories.
    pub(crate) fn number_for(directories: usize) -> usize {
        thread::available_parallelism().map_or(1, usize::from).max(directories + 1)
    }

    /// Starts so many threads.
    pub(crate) fn start(number: usize) -> io::Result<Self> {
        let (mut inboxes, mut threads) = (Vec::with_capacity(number), Vec::with_capacity(number));
        for index in 0..number {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(WAITING_FOR_DISK_MAX)
                .build()?;
            let (offers, inbox) = mpsc::unbounded_channel();
            let name = format!("connections-{index}");
            threads.push(thread::Builder::new().name(name).spawn(move || work(runtime, inbox))?);
            inboxes.push(Inbox { offers, connections: Arc::default() });
        }
        Ok(Self { inboxes, threads })
    }

    /// Offers a connection to the thread that has the fewest, and to the others should that one be held up.
    pub(crate) fn serve<F>(&self, begin: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut inboxes: Vec<&Inbox> = self.inboxes.iter().collect();
        inboxes.sort_by_key(|inbox| inbox.connections.load(Ordering::Relaxed));
        let Some((first, others)) = inboxes.split_first() else { return };
        let counted = Counted::one_more(&first.connections);
        let begin: Begin = Box::new(move || {
            let serving = begin();
            Box::pin(async move {
                serving.await;
                drop(counted);
            })
        });
        let offer: Offer = Arc::new(Mutex::new(Some(begin)));
        // A thread that has ended drops the connection, and so closes it: the broker stops.
        drop(first.offers.send(Arc::clone(&offer)));
        let others: Vec<_> = others.iter().map(|inbox| inbox.offers.downgrade()).collect();
        tokio::spawn(async move {
            for offers in others {
                sleep(PATIENCE).await;
                let waits = offer.lock().unwrap_or_else(PoisonError::into_inner).is_some();
                match offers.upgrade() {
                    Some(offers) if waits => drop(offers.send(Arc::clone(&offer))),
                    _ => return,
                }
            }
        });
    }

    /// Takes no more connections, and waits until those there are have ended or the grace is over.
    pub(crate) async fn stop(self) {
        let Self { inboxes, threads } = self;
        drop(inboxes);
        let ended = spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("a thread that served connections ended abnormally");
        }
    }
}

/// A connection in its thread's count.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_more(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn work(runtime: Runtime, mut inbox: UnboundedReceiver<Offer>) {
    runtime.block_on(async {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                offer = inbox.recv() => match offer {
                    Some(offer) => {
                        if let Some(begin) = take(&offer) {
                            connections.spawn(begin());
                        }
                    }
                    None => break,
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, drained).await.is_err() {
            tracing::warn!("connections did not end in time and are cut");
        }
    });
    // What still waits for a disk that stands still is not waited for: dropping the runtime would.
    runtime.shutdown_background();
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::HashSet;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn connections_are_spread_over_the_threads_and_waited_for() {
        let number = 2;
        let workers = Workers::start(number).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut releases = Vec::new();
        for _ in 0..2 * number {
            let (release, released) = oneshot::channel::<()>();
            let seen = Arc::clone(&seen);
            releases.push(release);
            workers.serve(move || async move {
                released.await.unwrap();
                seen.lock().unwrap().push(thread::current().id());
            });
        }
        assert!(workers.inboxes.iter().all(|inbox| inbox.connections.load(Ordering::Relaxed) == 2));
        let stopping = tokio::spawn(workers.stop());
        releases.into_iter().for_each(|release| release.send(()).unwrap());
        stopping.await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2 * number);
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), number);
    }

    #[tokio::test]
    async fn a_connection_whose_thread_is_held_up_is_served_by_another() {
        let number = 3;
        let workers = Workers::start(number).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (stuck, is_stuck) = oneshot::channel();
        workers.serve(move || async move {
            stuck.send(()).unwrap();
            let _ = held.recv();
        });
        is_stuck.await.unwrap();
        // Offered to the free threads first, until each of them has more than the one that is held up.
        for _ in 0..2 * number {
            let (done, is_done) = oneshot::channel();
            workers.serve(move || async move {
                done.send(()).unwrap();
                std::future::pending().await
            });
            tokio::time::timeout(Duration::from_secs(20), is_done).await.unwrap().unwrap();
        }
        drop(release);
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_a_disk_that_stands_still() {
        let workers = Workers::start(1).unwrap();
        let (thaw, frozen) = std::sync::mpsc::channel::<()>();
        let (stuck, is_stuck) = oneshot::channel();
        workers.serve(move || async move {
            drop(spawn_blocking(move || {
                stuck.send(()).unwrap();
                let _ = frozen.recv();
            }));
        });
        is_stuck.await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), workers.stop()).await.unwrap();
        drop(thaw);
    }
}
