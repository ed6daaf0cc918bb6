//! Time: the only place in the sidecar that reads a clock.
//!
//! Owns the monotonic clock, for deadlines and durations. The hour of the day only tells one start
//! of the process from another.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// This moment on the monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since the Unix epoch.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub(crate) fn wall_nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
