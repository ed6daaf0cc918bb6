//! Problems: every refusal and failure as the client sees it, RFC 9457 with a stable code.
//!
//! Owns the host's codes: public and permanent, never given another meaning; `docs/contracts/`
//! holds the list and `cargo xtask tidy` compares it. Components bring codes of their own. Knows
//! nothing of who makes a problem; `http/respond.rs` turns one into an answer.

use std::borrow::Cow;
use std::time::Duration;

use crate::engine::bindings::imports::postern::types as wit;
use crate::store::JobError;

/// One code of the host: name, status, title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub name: &'static str,
    pub status: u16,
    pub title: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $constant:ident = $status:literal $name:literal $title:literal;)*) => {
        $($(#[$doc])* pub const $constant: Code =
            Code { name: $name, status: $status, title: $title };)*

        /// Every code of the host, for the contract file.
        pub const CODES: &[Code] = &[$($constant),*];
    };
}

codes! {
    /// The request line, a header or a parameter is not what the route takes.
    BAD_REQUEST = 400 "bad_request" "The request cannot be understood";
    /// The admin API without, or with a wrong, operator's key.
    ADMIN_KEY = 401 "admin_key_required" "An operator's key is required";
    NOT_FOUND = 404 "not_found" "There is nothing here";
    METHOD_NOT_ALLOWED = 405 "method_not_allowed" "The method does not fit the path";
    JOB_NOT_FOUND = 404 "job_not_found" "There is no such job";
    OUTPUT_NOT_FOUND = 404 "output_not_found" "The job has no such output";
    /// The body did not arrive in time.
    BODY_TIMEOUT = 408 "body_timeout" "The body came too slowly";
    CONFLICT = 409 "conflict" "It is in the way of something that exists";
    JOB_ACTIVE = 409 "job_active" "The job is not finished";
    BODY_TOO_LARGE = 413 "body_too_large" "The body is too large";
    ENCODING_UNSUPPORTED = 415 "encoding_unsupported" "The content encoding is not supported";
    /// As policy components say it; of a pipeline, which cannot read an input on its machine.
    MEDIA_TYPE_UNSUPPORTED = 415 "media_type_unsupported" "The media type is not supported";
    RANGE = 416 "range_not_satisfiable" "The range lies outside of the bytes";
    /// An operator's input on the admin API.
    FIELD_INVALID = 422 "field_invalid" "A field is not valid";
    HEADERS_TOO_LARGE = 431 "headers_too_large" "The head is too large";
    TOO_MANY_JOBS = 429 "too_many_jobs" "Too many unfinished jobs";
    /// A run was cancelled before it finished.
    CANCELED = 409 "canceled" "The job was canceled";
    /// The request id and the log say more.
    INTERNAL = 500 "internal" "A fault of ours";
    COMPONENT_FAILED = 500 "component_failed" "A component failed";
    CRASHED_WORKER = 500 "crashed_worker" "The worker died twice while it ran this job";
    PIPELINE_FAILED = 500 "pipeline_failed" "The pipeline failed";
    OVERLOADED = 503 "overloaded" "The gate is at its limit";
    QUEUE_FULL = 503 "queue_full" "The queue is full";
    SIDECAR_DOWN = 503 "sidecar_unavailable" "The sidecar is not running";
    PIPELINE_UNAVAILABLE = 503 "pipeline_unavailable" "The pipeline cannot run here";
    DEVICE_FAILED = 503 "device_failed" "The device failed";
    RESOURCE = 507 "resource_exhausted" "Memory, disk or time ran out";
}

/// Longest detail that is passed on.
const DETAIL_BYTES_MAX: usize = 2048;

/// One problem, ready to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    pub code: Cow<'static, str>,
    pub title: Cow<'static, str>,
    pub detail: String,
    pub field: Option<String>,
    pub retry_after: Option<Duration>,
    pub headers: Vec<(String, String)>,
}

impl Problem {
    /// A problem of the host's own.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            status: code.status,
            code: Cow::Borrowed(code.name),
            title: Cow::Borrowed(code.title),
            detail: detail.into(),
            field: None,
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// The same, naming the field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same, with `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, span: Duration) -> Self {
        self.retry_after = Some(span);
        self
    }

    /// The body, `application/problem+json`.
    #[must_use]
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        // `/docs` lists the host's codes; for a component's, RFC 9457 has "nothing more to read".
        let known = CODES.iter().any(|code| code.name == self.code);
        let link = if known { format!("/docs#{}", self.code) } else { "about:blank".into() };
        let mut body = serde_json::json!({
            "type": link,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        });
        if let (Some(field), Some(object)) = (&self.field, body.as_object_mut()) {
            object.insert("field".into(), field.as_str().into());
        }
        serde_json::to_vec(&body).expect("strings and numbers always serialise")
    }
}

impl From<wit::problems::Problem> for Problem {
    fn from(problem: wit::problems::Problem) -> Self {
        let known = (400..600).contains(&problem.status);
        let status = if known { problem.status } else { 500 };
        let title = http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Problem");
        Self {
            status,
            code: Cow::Owned(cut(problem.code, 64)),
            title: Cow::Borrowed(title),
            detail: cut(problem.detail, DETAIL_BYTES_MAX),
            field: problem.field.map(|field| cut(field, 256)),
            retry_after: problem.retry_after_secs.map(|secs| Duration::from_secs(secs.into())),
            headers: problem.headers.into_iter().map(|h| (h.name, h.value)).collect(),
        }
    }
}

impl From<Problem> for wit::problems::Problem {
    fn from(problem: Problem) -> Self {
        let secs = |span: Duration| u32::try_from(span.as_secs().max(1)).unwrap_or(u32::MAX);
        let header = |(name, value)| wit::http::Header { name, value };
        Self {
            status: problem.status,
            code: problem.code.into_owned(),
            detail: problem.detail,
            field: problem.field,
            retry_after_secs: problem.retry_after.map(secs),
            headers: problem.headers.into_iter().map(header).collect(),
        }
    }
}

impl From<&JobError> for Problem {
    fn from(error: &JobError) -> Self {
        let known = CODES.iter().find(|code| code.name == error.code);
        let reason = http::StatusCode::from_u16(error.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or("Problem");
        Self {
            status: error.status,
            code: Cow::Owned(error.code.clone()),
            title: Cow::Borrowed(known.map_or(reason, |code| code.title)),
            detail: error.detail.clone(),
            field: error.field.clone(),
            retry_after: (error.status == 503).then(|| Duration::from_secs(5)),
            headers: Vec::new(),
        }
    }
}

impl From<Problem> for JobError {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status,
            code: problem.code.into_owned(),
            detail: problem.detail,
            field: problem.field,
        }
    }
}

/// `text` up to `bytes_max`, at a character's end.
#[must_use]
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_lower_case() {
        let mut names: Vec<_> = CODES.iter().map(|code| code.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|n| n.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
    }

    #[test]
    fn a_component_cannot_answer_success_as_a_problem() {
        let problem = wit::problems::Problem {
            status: 200,
            code: "x".into(),
            detail: "ä".repeat(5000),
            field: None,
            retry_after_secs: None,
            headers: Vec::new(),
        };
        let problem = Problem::from(problem);
        assert_eq!(problem.status, 500);
        assert!(problem.detail.len() <= DETAIL_BYTES_MAX);
    }
}
