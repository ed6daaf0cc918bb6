//! The logs of all gates of this process, shown when a test fails.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

/// Of each log; the cause is rarely further away.
const LINES_SHOWN_MAX: usize = 60;
/// In a line about a request that went well: those are mostly tests that wait for something.
const GOOD_REQUEST: &str = "request answered status=20";

static LOGS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

pub(super) fn add(log: &Path) {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            show();
        }));
    });
    locked().push(log.to_owned());
}

pub(super) fn remove(log: &Path) {
    locked().retain(|known| known != log);
}

#[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
fn show() {
    for log in locked().iter() {
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains(GOOD_REQUEST)).collect();
        let first = lines.len().saturating_sub(LINES_SHOWN_MAX);
        eprintln!("--- the end of {}\n{}", log.display(), lines[first..].join("\n"));
    }
}

fn locked() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    LOGS.lock().unwrap_or_else(PoisonError::into_inner)
}
