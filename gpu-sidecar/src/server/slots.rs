//! Slots: which runs are in flight, and how many may be.
//!
//! Owns the table of running runs. Knows ids and flags; not pipelines. Always: at most `runs_max`
//! entries, one per id. [`Slots::claim`] alone adds, dropping a [`Slot`] alone removes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::memory;
use crate::pipeline::{Cancel, Cause};

/// The table.
pub(super) struct Slots {
    runs_max: usize,
    state: Mutex<State>,
    /// Told whenever a slot becomes free.
    freed: Notify,
    /// Whether [`rest`] is on its way.
    rests: AtomicBool,
}

#[derive(Default)]
struct State {
    runs: HashMap<String, Arc<Cancel>>,
    closed: bool,
}

/// Why a run was not taken on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Duplicate,
    Closed,
}

/// A claim on one place in the table. Dropping it frees the place.
#[must_use]
pub(super) struct Slot {
    slots: Arc<Slots>,
    run_id: String,
}

impl Slots {
    pub(super) fn new(runs_max: usize) -> Self {
        Self { runs_max, state: Mutex::default(), freed: Notify::new(), rests: false.into() }
    }

    pub(super) fn runs_max(&self) -> usize {
        self.runs_max
    }

    pub(super) fn running(&self) -> usize {
        self.lock().runs.len()
    }

    /// Takes a place for `run_id`, whose flag is `cancel`.
    pub(super) fn claim(
        self: &Arc<Self>,
        run_id: &str,
        cancel: &Arc<Cancel>,
    ) -> Result<Slot, Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.runs.contains_key(run_id) {
            return Err(Refusal::Duplicate);
        }
        if state.runs.len() >= self.runs_max {
            return Err(Refusal::Full);
        }
        state.runs.insert(run_id.to_owned(), Arc::clone(cancel));
        assert!(state.runs.len() <= self.runs_max, "never more runs than slots");
        Ok(Slot { slots: Arc::clone(self), run_id: run_id.to_owned() })
    }

    /// Sets the flag of one run; false when it is not running.
    pub(super) fn cancel(&self, run_id: &str) -> bool {
        let found = self.lock().runs.get(run_id).map(Arc::clone);
        found.inspect(|cancel| cancel.set(Cause::Caller)).is_some()
    }

    /// Takes on nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Sets the flag of every run.
    pub(super) fn cancel_all(&self, cause: Cause) {
        for cancel in self.lock().runs.values() {
            cancel.set(cause);
        }
    }

    /// Waits until nothing runs.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn idle(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no change is missed.
            freed.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().runs.remove(&self.run_id);
        self.slots.freed.notify_waiters();
        rest(&self.slots);
    }
}

/// Has memory given back once nothing has begun for a second. Outside of a server nobody waits.
fn rest(slots: &Arc<Slots>) {
    const REST: Duration = Duration::from_secs(1);
    let Ok(runtime) = Handle::try_current() else { return };
    if slots.running() > 0 || slots.rests.swap(true, Ordering::Relaxed) {
        return;
    }
    let slots = Arc::clone(slots);
    runtime.spawn(async move {
        tokio::time::sleep(REST).await;
        slots.rests.store(false, Ordering::Relaxed);
        if slots.running() == 0 {
            // It waits for the system: up to some 100 ms for gigabytes.
            let _ = tokio::task::spawn_blocking(memory::give_back).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_its_run_ends() {
        let slots = Arc::new(Slots::new(1));
        let cancel = Arc::new(Cancel::default());
        let first = slots.claim("a", &cancel).map_err(drop).expect("one is free");
        assert_eq!(slots.claim("a", &cancel).map(drop), Err(Refusal::Duplicate));
        assert_eq!(slots.claim("b", &cancel).map(drop), Err(Refusal::Full));
        drop(first);
        assert!(slots.claim("b", &cancel).is_ok());
        slots.close();
        assert_eq!(slots.claim("c", &cancel).map(drop), Err(Refusal::Closed));
    }
}
