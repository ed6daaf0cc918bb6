//! A client of a running gate, over HTTP as any other: what `call` and `batch` share.
//!
//! Owns where the gate is and whose key is used; the modules below have the connection, bodies,
//! routes, jobs and files. Knows no service and no route: what a service takes is asked of the
//! gate.

pub(in crate::cli) mod form;
pub(in crate::cli) mod gate;
pub(in crate::cli) mod job;
pub(in crate::cli) mod progress;
pub(in crate::cli) mod route;
pub(in crate::cli) mod save;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::gate::{Fault, Gate};
use crate::secret::Secret;

/// The environment's key. Not an option: what is on a command line stands in `ps` for everyone.
const KEY_VARIABLE: &str = "POSTERN_API_KEY";
/// A key has 84 characters; a token may have 16 KiB.
const KEY_BYTES_MAX: u64 = 32 << 10;

/// The state whose outputs are fetched.
pub(in crate::cli) const SUCCEEDED: &str = "succeeded";

/// Where the gate is, and who asks.
#[derive(Debug, Args)]
pub(in crate::cli) struct Connection {
    /// Where the gate is.
    #[arg(long, env = "POSTERN_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file that holds the key (`-`: standard input); without it POSTERN_API_KEY does.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Connection {
    /// The gate; nothing is sent yet.
    ///
    /// # Errors
    /// `Usage`, `Files`.
    pub(in crate::cli) fn gate(&self, patience: Duration) -> Result<Gate, Fault> {
        Gate::new(&self.url, self.key()?.as_ref(), patience)
    }

    /// The key, from where it does not show.
    fn key(&self) -> Result<Option<Secret<String>>, Fault> {
        let Some(path) = &self.key_file else { return Ok(key_of_environment()) };
        let wrong = |error| Fault::Files(format!("{}: {error}", path.display()));
        let mut text = String::new();
        let read = if path == Path::new("-") {
            std::io::stdin().take(KEY_BYTES_MAX).read_to_string(&mut text)
        } else {
            let file = std::fs::File::open(path).map_err(wrong)?;
            file.take(KEY_BYTES_MAX).read_to_string(&mut text)
        };
        read.map_err(wrong)?;
        let key = Secret::new(text.trim().to_owned());
        drop(Secret::new(text));
        if key.expose().is_empty() {
            return Err(Fault::Usage(format!("{} holds no key", path.display())));
        }
        Ok(Some(key))
    }
}

#[expect(clippy::disallowed_methods, reason = "as a clap option the key would show in `ps`")]
fn key_of_environment() -> Option<Secret<String>> {
    let text = std::env::var(KEY_VARIABLE).ok()?;
    let key = text.trim().to_owned();
    drop(Secret::new(text));
    (!key.is_empty()).then(|| Secret::new(key))
}

/// Cancels `stop` at the first SIGINT or SIGTERM, after saying what happens; returns at the second.
pub(in crate::cli) async fn interrupts(stop: &CancellationToken, say: impl Fn(&str), text: &str) {
    let heard = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut int), Ok(mut term)) = heard else {
        say("stop signals cannot be heard");
        return std::future::pending().await;
    };
    for is_first in [true, false] {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        if is_first {
            say(text);
            stop.cancel();
        }
    }
}
