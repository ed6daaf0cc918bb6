//! Waiting for a condition, never for a time.
//!
//! Owns the one bound on every wait, far beyond what a loaded machine needs: reaching it means that
//! the condition does not come.

use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// Looks before a wait is given up: two minutes and more.
const LOOKS_MAX: u32 = 12_000;

/// Waits until `look` gives something.
///
/// # Panics
/// When it never does; `what` says what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("waited in vain until {what}");
}

/// The same without a runtime.
///
/// # Panics
/// When the condition never comes.
pub fn until_blocking<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("waited in vain until {what}");
}
