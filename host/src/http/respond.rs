//! Answers: problems and JSON in their HTTP form.
//!
//! Owns the turning of a [`Problem`] into a response. A handler gives back the problem; the front
//! layer renders it, because only it knows the request id.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::ids::RequestId;
use crate::problem::{self, Problem};
use crate::store::StoreError;

/// What a handler gives back.
pub(super) type Answer = Result<Response, Problem>;

/// Headers that a component may not set: they belong to the connection or to the front layer.
const HOST_HEADERS: [&str; 8] = [
    "connection",
    "content-length",
    "date",
    "server",
    "set-cookie",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Exists(_) | StoreError::InUse(_) => {
                Self::new(problem::CONFLICT, error.to_string())
            }
            StoreError::Missing(_) => Self::new(problem::NOT_FOUND, error.to_string()),
            StoreError::Engine(cause) => {
                tracing::error!(%error, %cause, "store failed");
                Self::new(problem::INTERNAL, "the store did not answer")
            }
        }
    }
}

/// The response of a problem.
pub(super) fn problem(problem: &Problem, request_id: &RequestId, head: bool) -> Response {
    let body = problem.to_json(request_id.as_str());
    let body = if head { Body::empty() } else { Body::from(body) };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in &problem.headers {
        add_header(headers, name, value);
    }
    if let Some(span) = problem.retry_after {
        let secs = span.as_millis().div_ceil(1000).max(1);
        add_header(headers, "retry-after", &secs.to_string());
    }
    response
}

/// JSON with a status.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    (status, Json(value)).into_response()
}

/// Adds a header that a component asked for; one that it may not set, or that is none, is left out.
pub(super) fn add_header(headers: &mut HeaderMap, name: &str, value: &str) {
    let (Ok(name), Ok(value)) =
        (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
    else {
        tracing::warn!("a component's header is none");
        return;
    };
    if !HOST_HEADERS.contains(&name.as_str()) {
        headers.insert(name, value);
    }
}

/// For axum's own routes.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(problem::METHOD_NOT_ALLOWED, "this path does not take that method")
}
