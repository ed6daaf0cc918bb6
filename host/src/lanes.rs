//! Lanes: one thread per processor that carries connections, each with a runtime of its own.
//!
//! Owns the threads. What a request starts stays on the lane of its connection: waking another
//! thread costs more than most requests do. Knows no HTTP. What serves no connection (supervisor,
//! expiry, the store's threads) stays on the process's main runtime, outside of every lane. Always:
//! a lane runs until [`Lanes::stop`], so that a job outlives the connection that brought it.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// More threads than this serve no host better. Bounds what is kept per lane elsewhere.
const LANES_MAX: usize = 64;
/// A blocking read that hangs must not keep a stopped process alive.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// How many places something needs that is kept once per lane, and once for the main runtime.
#[must_use]
pub fn places() -> usize {
    1 + lanes()
}

/// Which of the [`places`] this thread uses; 0 outside of every lane.
#[must_use]
pub fn place() -> usize {
    CURRENT.get()
}

fn lanes() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(LANES_MAX))
}

/// All lanes.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Lane {
    handle: Handle,
    /// What was sent here and has not ended.
    load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// One piece of work on a lane, however it ends.
struct Load(Arc<AtomicUsize>);

impl Load {
    fn add(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    /// Starts one per processor.
    ///
    /// # Errors
    /// A thread or a runtime cannot be made.
    pub fn start() -> io::Result<Self> {
        let stop = CancellationToken::new();
        let lanes = (1..places()).map(|place| Lane::start(place, stop.clone()));
        Ok(Self { lanes: lanes.collect::<io::Result<_>>()?, stop })
    }

    /// Runs what `make` makes on the lane with the least to do; `tasks` own it.
    pub fn spawn<F>(&self, tasks: &Tasks, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let load = |lane: &&Lane| lane.load.load(Ordering::Relaxed);
        let lane = self.lanes.iter().min_by_key(load).expect("there is at least one processor");
        let load = Load::add(&lane.load);
        tasks.spawn_on(&lane.handle, async move {
            make().await;
            drop(load);
        });
    }

    /// Ends the threads, and what still runs on them.
    pub fn stop(self) {
        self.stop.cancel();
        for lane in self.lanes {
            // A lane that panicked has ended, too.
            let _ = lane.thread.join();
        }
    }
}

impl Lane {
    fn start(place: usize, stop: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new().name(format!("lane-{place}")).spawn(move || {
            CURRENT.set(place);
            runtime.block_on(stop.cancelled());
            runtime.shutdown_timeout(BLOCKING_GRACE);
        })?;
        Ok(Self { handle, load: Arc::default(), thread })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_is_spread_and_stays_where_it_began() {
        let (lanes, tasks) = (Lanes::start().unwrap(), Tasks::default());
        let count = places() - 1;
        let (sender, mut places) = mpsc::channel(count);
        for _ in 0..count {
            let (sender, inner) = (sender.clone(), tasks.clone());
            lanes.spawn(&tasks, move || async move {
                let before = place();
                let (done, child) = tokio::sync::oneshot::channel();
                inner.spawn(async move { done.send(place()).unwrap() });
                sender.send((before, child.await.unwrap())).await.unwrap();
                // Held, so that the next one goes elsewhere.
                inner.stopping().await;
            });
        }
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let (before, after) = places.recv().await.unwrap();
            assert_eq!(before, after);
            seen.insert(before);
        }
        assert_eq!(seen, (1..=count).collect());
        assert_eq!(place(), 0, "a test is on no lane");
        assert!(tasks.stop(Duration::from_secs(5)).await);
        lanes.stop();
    }
}
