//! Refusals: how a component says no.
//!
//! Codes are the components' own (each names its list in its header); this file only builds them.
//! A `Fault` is a refusal of a value somewhere inside a body: it gains its path on the way out.

use std::fmt::Write as _;

use crate::bindings::postern::types::http::Header;
use crate::bindings::postern::types::problems::Problem;

impl Problem {
    /// A problem without field, time or headers.
    #[must_use]
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            detail: detail.into(),
            field: None,
            retry_after_secs: None,
            headers: Vec::new(),
        }
    }

    /// Names the parameter or part at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when another try is worth it: milliseconds, rounded up to whole seconds, at least 1.
    #[must_use]
    pub fn with_retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_secs = Some(seconds_up(milliseconds).max(1));
        self
    }

    /// Adds one header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.to_owned(), value: value.into() });
        self
    }
}

/// Whole seconds that cover `milliseconds`; `u32::MAX` for more than a century.
#[must_use]
pub fn seconds_up(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds.div_ceil(1_000)).unwrap_or(u32::MAX)
}

/// A refused value, and where it stands. The path is put together from the inside out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub status: u16,
    pub code: &'static str,
    pub detail: String,
    /// `canny.low`, `frames[3]`; empty for the whole body.
    pub path: String,
}

impl Fault {
    /// 422 at the place where it is found.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { status: 422, code, detail: detail.into(), path: String::new() }
    }

    /// Another status than 422.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The value was the member `name` of an object.
    #[must_use]
    pub fn in_member(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        // A client chose the name: a long one is cut, the answer need not repeat it.
        let cut: String = name.chars().take(FIELD_NAME_CHARS_MAX).collect();
        self.path.insert_str(0, &format!("{cut}{dot}"));
        self
    }

    /// The value was item `index` of an array.
    #[must_use]
    pub fn in_item(mut self, index: usize) -> Self {
        let mut head = String::new();
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        write!(head, "[{index}]{dot}").expect("writing to a String cannot fail");
        self.path.insert_str(0, &head);
        self
    }
}

/// Keeps problem texts small whatever a client calls its fields.
const FIELD_NAME_CHARS_MAX: usize = 100;

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let mut problem = Self::new(fault.status, fault.code, fault.detail);
        if !fault.path.is_empty() {
            problem.field = Some(fault.path);
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_built_from_the_inside_out() {
        let fault = Fault::new("field_invalid", "").in_member("b").in_item(3).in_member("a");
        assert_eq!(fault.path, "a[3].b");
        let fault = Fault::new("field_invalid", "").in_item(0).in_item(3).in_member("a");
        assert_eq!(fault.path, "a[3][0]");
        assert_eq!(Problem::from(Fault::new("x", "")).field, None);
    }

    #[test]
    fn seconds_are_rounded_up_and_never_zero_in_a_problem() {
        assert_eq!([0, 1, 1_000, 1_001].map(seconds_up), [0, 1, 1, 2]);
        assert_eq!(seconds_up(u64::MAX), u32::MAX);
        let problem = Problem::new(429, "x", "").with_retry_after_ms(0);
        assert_eq!(problem.retry_after_secs, Some(1));
    }
}
