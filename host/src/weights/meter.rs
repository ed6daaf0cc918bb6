//! How far a pull is, on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::clock::Clock;

/// Between two lines where there is no terminal.
const LINES_PERIOD: Duration = Duration::from_secs(5);

/// One file's meter.
pub(super) enum Meter {
    Bar(ProgressBar),
    Lines { name: String, clock: Clock, said: Duration, bytes: u64, total: Option<u64> },
}

impl Meter {
    /// Nothing is shown before [`Meter::begin`].
    pub(super) fn new(name: &str, clock: &Clock) -> Self {
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::no_length().with_message(name.to_owned());
            let style = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(style).unwrap_or_else(|_| {
                // The template is ours; were it wrong, a plain bar would do.
                ProgressStyle::default_bar()
            });
            return Self::Bar(bar.with_style(style));
        }
        let (name, clock, said) = (name.to_owned(), clock.clone(), clock.monotonic());
        Self::Lines { name, clock, said, bytes: 0, total: None }
    }

    /// `bytes` are there already, of `total`.
    pub(super) fn begin(&mut self, bytes: u64, total: Option<u64>) {
        match self {
            Self::Bar(bar) => {
                total.into_iter().for_each(|total| bar.set_length(total));
                bar.set_position(bytes);
                bar.reset_eta();
            }
            Self::Lines { bytes: now, total: of, .. } => (*now, *of) = (bytes, total),
        }
    }

    pub(super) fn add(&mut self, count: u64) {
        match self {
            Self::Bar(bar) => bar.inc(count),
            Self::Lines { name, clock, said, bytes, total } => {
                *bytes += count;
                let now = clock.monotonic();
                if now.saturating_sub(*said) >= LINES_PERIOD {
                    *said = now;
                    let of = total.map(|total| format!(" of {}", HumanBytes(total)));
                    tell(&format!("{name}: {}{}", HumanBytes(*bytes), of.unwrap_or_default()));
                }
            }
        }
    }

    /// A line of its own.
    pub(super) fn say(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| tell(text)),
            Self::Lines { .. } => tell(text),
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

#[expect(clippy::print_stderr, reason = "the meter of a command line")]
fn tell(text: &str) {
    eprintln!("{text}");
}
