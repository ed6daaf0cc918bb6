//! Counters: how much of what was used just now, shared by all component instances.
//!
//! Three kinds by name: rates (GCRA, `gcra`), fixed windows (`windows`), places (`gauges`); the
//! kinds do not share names. Knows no tenant and no plan: names and limits come from a component.
//! Always: each call is atomic, a refused one costs nothing, and no kind holds more than
//! [`NAMES_MAX`] names; a name for which there is no room is refused, since to forget one that is
//! in use would allow more than was promised.

mod gauges;
mod gcra;
mod shards;
#[cfg(test)]
mod tests;
mod windows;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::store::{QuotaWindow, Store, StoreError};

pub use gauges::Held;
pub use gcra::Rate;
pub use windows::Window;

/// Names of one kind that are in use at the same time. Protects the host's memory (about 100
/// bytes each) from a component that counts by something its clients make up.
pub const NAMES_MAX: usize = 1 << 18;

/// What a counter said; the fields are those of `postern:policy/counters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    /// How many more of cost 1 would be allowed now.
    pub remaining: u64,
    /// Until a call like this one is allowed; 0 when it was, `u64::MAX` when it never is.
    pub retry_after_ms: u64,
    /// Until the counter is as if never used.
    pub reset_after_ms: u64,
}

/// See the module. One per host, shared by reference.
#[derive(Debug, Default)]
pub struct Counters {
    rates: gcra::Rates,
    windows: windows::Windows,
    gauges: gauges::Gauges,
}

impl Verdict {
    /// For a name that there is no room for during the next `wait_ms`.
    fn no_room(wait_ms: u64) -> Self {
        Self { allowed: false, remaining: 0, retry_after_ms: wait_ms, reset_after_ms: wait_ms }
    }
}

impl Counters {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `cost` from the rate `name`; `now` is monotonic time. After a change of the rate the
    /// time already taken stays taken.
    #[must_use]
    pub fn take(&self, name: &str, rate: Rate, cost: u32, now: Duration) -> Verdict {
        self.rates.take(name, rate, cost, now)
    }

    /// Counts `cost` in the present window of `name`; `now` is wall time. A clock that goes back
    /// gives nothing back.
    #[must_use]
    pub fn count(&self, name: &str, window: Window, cost: u32, now: Timestamp) -> Verdict {
        self.windows.count(name, window, cost, now)
    }

    /// One place of `limit`; dropping it gives it back. `None`: all are taken.
    #[must_use]
    pub fn hold(&self, name: &str, limit: u32) -> Option<Held> {
        self.gauges.hold(name, limit)
    }

    /// How many places of `name` are taken.
    #[must_use]
    pub fn held(&self, name: &str) -> u32 {
        self.gauges.held(name)
    }

    /// The windows that changed since the last call; they count as saved from now on.
    #[must_use]
    pub fn take_dirty(&self) -> Vec<QuotaWindow> {
        self.windows.take_dirty()
    }

    /// Takes in stored windows, at start. Where a name is known, the later window or the larger
    /// use wins.
    pub fn import(&self, windows: &[QuotaWindow]) {
        self.windows.import(windows);
    }

    /// Saves what changed and returns how many windows that were. Run every two seconds, and once
    /// at the end: a kill loses what was counted since.
    ///
    /// # Errors
    /// The store's; what was not saved is tried again by the next flush.
    ///
    /// # Cancel safety
    /// A flush dropped half-way leaves windows unsaved until they change again.
    pub async fn flush(&self, store: &dyn Store) -> Result<usize, StoreError> {
        let dirty = self.take_dirty();
        if dirty.is_empty() {
            return Ok(0);
        }
        let saved = store.save_quotas(dirty.clone()).await;
        if saved.is_err() {
            self.windows.mark_dirty(&dirty);
        }
        saved.map(|()| dirty.len())
    }
}
