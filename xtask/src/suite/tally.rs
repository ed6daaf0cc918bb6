//! How many passed, how many failed.

use std::fmt;

/// A sum of checks and tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// One check.
    pub(crate) fn of(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed) }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// What libtest says at the end of one binary; `None` for every other line.
    pub(crate) fn of_result_line(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |word: &str| {
            let part = counts.split("; ").find(|part| part.ends_with(word))?;
            part.split(' ').next()?.parse().ok()
        };
        Some(Self { passed: count(" passed")?, failed: count(" failed")? })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_of_libtest_are_read_and_no_others() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out";
        assert_eq!(Tally::of_result_line(line), Some(Tally { passed: 12, failed: 3 }));
        for line in ["test a ... ok", "test result: ok", "12 passed; 3 failed"] {
            assert_eq!(Tally::of_result_line(line), None, "{line}");
        }
    }

    #[test]
    fn the_closing_line_is_what_ci_reads() {
        let mut tally = Tally::of(true);
        tally.add(Tally::of(false));
        assert_eq!(tally.to_string(), "1 passed, 1 failed");
    }
}
