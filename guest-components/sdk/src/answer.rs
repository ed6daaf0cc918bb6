//! Answers of shaping components: finished, accepted for later, or refused by the host.

use crate::bindings::postern::pipelines::runs::{Refusal, Run};
use crate::bindings::postern::types::http::{Head, Header};
use crate::bindings::postern::types::problems::Problem;

/// An answer with a JSON body; each component turns it into its own `response`.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<Header>,
    pub body: String,
}

impl Answer {
    /// JSON with a status.
    #[must_use]
    pub fn json(status: u16, body: String) -> Self {
        let headers = vec![header("content-type", "application/json")];
        Self { status, headers, body }
    }

    /// 202: the job goes on without its client. `location` says where it is.
    #[must_use]
    pub fn accepted(run: &Run) -> Self {
        let mut answer = Self::json(202, run.resource_json());
        answer.headers.push(header("location", format!("/v1/jobs/{}", run.id())));
        answer.headers.push(header("retry-after", "1"));
        answer
    }

    /// Says which `wait` was kept, when the client asked for one (RFC 7240).
    #[must_use]
    pub fn with_preference(mut self, head: &Head, wait_ms: u32) -> Self {
        if head.header("prefer").is_some_and(asks_to_wait) {
            let applied = format!("wait={}", wait_ms / 1_000);
            self.headers.push(header("preference-applied", applied));
        }
        self
    }
}

fn asks_to_wait(prefer: &str) -> bool {
    prefer.split([',', ';']).any(|preference| {
        let name = preference.split('=').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("wait")
    })
}

fn header(name: &str, value: impl Into<String>) -> Header {
    Header { name: name.to_owned(), value: value.into() }
}

/// A call that the host did not accept, as the client sees it. Codes: `pipeline_unavailable`,
/// `sidecar_unavailable`, `queue_full`, `too_many_jobs`, `call_invalid`.
#[must_use]
pub fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Unavailable(detail) => Problem::new(503, "pipeline_unavailable", detail),
        Refusal::Down(wait_ms) => {
            let detail = "the models are being restarted; try again after the time in Retry-After";
            Problem::new(503, "sidecar_unavailable", detail).with_retry_after_ms(wait_ms.into())
        }
        Refusal::QueueFull(wait_ms) => {
            let detail = "the queue is full; try again after the time in Retry-After";
            Problem::new(503, "queue_full", detail).with_retry_after_ms(wait_ms.into())
        }
        Refusal::Busy(wait_ms) => {
            let detail = "you have as many unfinished jobs as your plan allows; \
                          wait for one of them or cancel it";
            Problem::new(429, "too_many_jobs", detail).with_retry_after_ms(wait_ms.into())
        }
        Refusal::Invalid(detail) => Problem::new(500, "call_invalid", detail),
    }
}

/// `object` (the text of a JSON object) with one more member, `value` being JSON. Nothing is
/// parsed: numbers keep their digits and members their order.
#[must_use]
pub fn with_member(object: &str, name: &str, value: &str) -> String {
    let open = object.trim_end().strip_suffix('}').unwrap_or("{").trim_end();
    let comma = if open.ends_with('{') { "" } else { "," };
    format!("{open}{comma}\"{name}\":{value}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_appended_to_any_object() {
        assert_eq!(with_member("{ }", "a", "1"), r#"{"a":1}"#);
        assert_eq!(with_member("{\"b\": {}}\n", "a", "[]"), r#"{"b": {},"a":[]}"#);
        assert_eq!(with_member("", "a", "1"), r#"{"a":1}"#);
    }

    #[test]
    fn wait_is_found_among_preferences() {
        assert!(asks_to_wait("respond-async, Wait=5"));
        assert!(!asks_to_wait("respond-async; waiting=5"));
    }

    #[test]
    fn refusals_keep_their_meaning() {
        let problem = refused(Refusal::QueueFull(1_200));
        assert_eq!((problem.status, problem.retry_after_secs), (503, Some(2)));
        let problem = refused(Refusal::Busy(0));
        assert_eq!((problem.status, problem.retry_after_secs), (429, Some(1)));
        assert_eq!(refused(Refusal::Invalid("x".into())).status, 500);
        assert_eq!(refused(Refusal::Unavailable("x".into())).status, 503);
    }
}
