//! Background tasks: the one place that starts them, so that none is lost and all of them end.
//!
//! Owns the tracker and the signal to stop. Always: after [`Tasks::stop`] no new task starts, and
//! the process ends when those that run have ended or the grace is over.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// The host's tasks. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts a task that ends by itself or when [`Self::stopping`] is ready.
    #[expect(clippy::disallowed_methods, reason = "the one home of spawned tasks")]
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(self.tracker.track_future(task)));
    }

    /// As [`Self::spawn`], on another runtime than the caller's.
    pub fn spawn_on(&self, runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        drop(runtime.spawn(self.tracker.track_future(task)));
    }

    /// Runs `work` every `period` until the host stops.
    pub fn every<F>(&self, period: Duration, mut work: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let stop = self.stop.clone();
        self.spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
                work().await;
            }
        });
    }

    /// Ready once the host stops.
    pub fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.stop.cancelled()
    }

    /// A token that is cancelled once the host stops.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every task to end and waits up to `grace`. False when some did not.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}
