//! Progress on standard error: one line that changes on a terminal, plain lines elsewhere.
//!
//! Owns what is said while a call runs. Nothing here goes to standard output.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use parking_lot::Mutex;

/// Columns of the changing line; a longer one would wrap and could not be erased.
const COLUMNS_MAX: usize = 79;
/// Elsewhere than on a terminal a share is told again when it has risen by so much.
const STEP: f64 = 0.1;

/// Where and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Style {
    Silent,
    Lines,
    Terminal,
}

/// What all jobs of one call do.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Board {
    style: Style,
    rows: Arc<Mutex<Vec<Row>>>,
}

/// The place of one job on the board; gone when it is dropped.
#[derive(Debug)]
pub(in crate::cli) struct Line {
    board: Board,
    name: String,
}

#[derive(Debug)]
struct Row {
    name: String,
    text: String,
    share: Option<f64>,
}

impl Style {
    pub(in crate::cli) fn of(is_quiet: bool) -> Self {
        match (is_quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Silent,
            (false, true) => Self::Terminal,
            (false, false) => Self::Lines,
        }
    }
}

impl Board {
    pub(in crate::cli) fn new(style: Style) -> Self {
        Self { style, rows: Arc::default() }
    }

    pub(in crate::cli) fn line(&self, name: &str) -> Line {
        Line { board: self.clone(), name: name.to_owned() }
    }

    /// A line of its own, above what changes.
    pub(in crate::cli) fn say(&self, text: &str) {
        if self.style == Style::Terminal {
            eprint!("\r\x1b[2K");
        }
        eprintln!("{text}");
        self.draw(&self.rows.lock());
    }

    /// Erases what changes, so that standard output may be written to.
    pub(in crate::cli) fn clear(&self) {
        if self.style == Style::Terminal {
            eprint!("\r\x1b[2K");
        }
    }

    fn put(&self, name: &str, text: &str, share: Option<f64>) {
        let mut rows = self.rows.lock();
        let index = match rows.iter().position(|row| row.name == name) {
            Some(index) => index,
            None => {
                rows.push(Row { name: name.to_owned(), text: String::new(), share: None });
                rows.len() - 1
            }
        };
        let row = &mut rows[index];
        let is_news = row.text != text || has_risen(row.share, share);
        if is_news || self.style == Style::Terminal {
            text.clone_into(&mut row.text);
            row.share = share;
        }
        match self.style {
            Style::Lines if is_news => eprintln!("{}", told(row)),
            _ => self.draw(&rows),
        }
    }

    fn draw(&self, rows: &[Row]) {
        if self.style != Style::Terminal || rows.is_empty() {
            return;
        }
        let all: Vec<String> = rows.iter().map(told).collect();
        eprint!("\r\x1b[2K{}", cut(&all.join(" | ")));
        // A terminal that is gone is no reason to give up the job.
        let _ = std::io::stderr().flush();
    }
}

impl Line {
    pub(in crate::cli) fn set(&self, text: &str) {
        self.board.put(&self.name, text, None);
    }

    /// `share` is from 0 to 1.
    pub(in crate::cli) fn share(&self, text: &str, share: f64) {
        self.board.put(&self.name, text, Some(share));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.board.rows.lock().retain(|row| row.name != self.name);
        self.board.clear();
        self.board.draw(&self.board.rows.lock());
    }
}

fn has_risen(before: Option<f64>, now: Option<f64>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => now - before >= STEP || now < before,
        (before, now) => before.is_some() != now.is_some(),
    }
}

fn told(row: &Row) -> String {
    match row.share {
        Some(share) => format!("{}: {:.0} % {}", row.name, share * 100.0, row.text),
        None => format!("{}: {}", row.name, row.text),
    }
}

fn cut(text: &str) -> String {
    // What a pipeline says is shown, not obeyed.
    text.chars().filter(|c| !c.is_control()).take(COLUMNS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_again_when_it_has_risen_enough() {
        assert!(has_risen(None, Some(0.0)));
        assert!(!has_risen(Some(0.1), Some(0.15)));
        assert!(has_risen(Some(0.1), Some(0.25)));
        assert!(has_risen(Some(0.9), Some(0.0)), "another attempt begins from the beginning");
        assert!(!has_risen(None, None));
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(cut("a\x1b[2Jb\nc"), "a[2Jbc");
        assert_eq!(cut(&"é".repeat(200)).chars().count(), COLUMNS_MAX);
    }
}
