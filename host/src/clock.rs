//! Time: the only place that reads a clock, so that everything else can be tested at any hour.
//!
//! Owns the two clocks: wall time for records that outlive the process, monotonic time for limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus `span`; the end of time when that does not fit.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// From `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As file times are given.
    #[must_use]
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

/// A source of both times. Cheap to clone; all clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System { start: Instant },
    Manual { now_ms: AtomicU64 },
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one home of the clocks")]
    pub fn system() -> Self {
        Self(Arc::new(Source::System { start: Instant::now() }))
    }

    /// A clock that stands still until [`Clock::advance`], for tests. Starts at `now`.
    #[must_use]
    pub fn manual(now: Timestamp) -> Self {
        let now_ms = AtomicU64::new(u64::try_from(now.0).unwrap_or(0));
        Self(Arc::new(Source::Manual { now_ms }))
    }

    /// Moves a manual clock; the machine's clock does not listen.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual { now_ms } = &*self.0 {
            now_ms.fetch_add(u64::try_from(span.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Wall time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one home of the clocks")]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Manual { now_ms } => {
                Timestamp(i64::try_from(now_ms.load(Ordering::SeqCst)).unwrap_or(i64::MAX))
            }
        }
    }

    /// Time since some fixed moment; never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &*self.0 {
            Source::System { start } => start.elapsed(),
            Source::Manual { now_ms } => Duration::from_millis(now_ms.load(Ordering::SeqCst)),
        }
    }
}
