//! Time: the only place in the sidecar that reads a clock.
//!
//! Owns the monotonic clock, for deadlines and durations. The hour of the day tells one start of
//! the process from another, and people when a model was loaded.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// This moment on the monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since the Unix epoch.
#[must_use]
pub(crate) fn wall_nanos() -> u128 {
    since_epoch().as_nanos()
}

/// Time since the Unix epoch, to be shown.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
