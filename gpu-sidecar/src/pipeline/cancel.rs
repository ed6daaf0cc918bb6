//! Cancelling: one flag per run, set by the caller, a deadline or the end of the process.
//!
//! Owns the flag and its cause. Always: the first cause stays; a run that was cancelled never
//! becomes running again.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::RunError;
use crate::clock;

/// Why a run has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// `Cancel` was called, or nobody listens to the run any more.
    Caller,
    /// The run's time limit has passed.
    TimedOut,
    /// The sidecar is going down.
    Stopping,
}

/// A run's flag. The pipeline looks at it between stages and waits on it instead of sleeping.
#[derive(Debug, Default)]
pub struct Cancel {
    cause: Mutex<Option<Cause>>,
    changed: Condvar,
    deadline: Option<Instant>,
}

impl Cancel {
    /// A flag that sets itself after `limit`; `None`: never.
    #[must_use]
    pub fn after(limit: Option<Duration>) -> Self {
        let deadline = limit.and_then(|limit| clock::now().checked_add(limit));
        Self { deadline, ..Self::default() }
    }

    /// Asks the run to stop. A second cause is ignored.
    pub fn set(&self, cause: Cause) {
        let mut current = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        current.get_or_insert(cause);
        drop(current);
        self.changed.notify_all();
    }

    /// Why the run has to stop; `None` while it may go on.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        let current = *self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        current.or_else(|| self.past_deadline().then_some(Cause::TimedOut))
    }

    /// Fails when the run has to stop.
    ///
    /// # Errors
    /// `Canceled`, or `Resource` with `timed_out`.
    pub fn check(&self) -> Result<(), RunError> {
        self.cause().map_or(Ok(()), |cause| Err(cause.into()))
    }

    /// Waits for `span`, or until the run has to stop.
    ///
    /// # Errors
    /// Those of [`Cancel::check`], at once when the flag is set.
    pub fn sleep(&self, span: Duration) -> Result<(), RunError> {
        let end = clock::now() + span;
        let wake = self.deadline.map_or(end, |deadline| deadline.min(end));
        let mut current = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        while current.is_none() {
            let left = wake.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(current, left);
            current = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(current);
        self.check()
    }

    fn past_deadline(&self) -> bool {
        self.deadline.is_some_and(|deadline| clock::now() >= deadline)
    }
}

impl From<Cause> for RunError {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Caller => Self::canceled("canceled", "the run was cancelled"),
            Cause::TimedOut => Self::resource(
                "timed_out",
                "the run took longer than it may; send less, or ask for a longer limit",
            ),
            Cause::Stopping => Self::canceled("sidecar_stopping", "the sidecar is shutting down"),
        }
    }
}
