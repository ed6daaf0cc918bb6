//! A service's request: route, chain, body, validation, shaping, answer.
//!
//! Owns the order of these steps and the two translations between HTTP and WIT.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;

use super::front::Context;
use super::respond::{self, Answer};
use super::{App, body, output, page};
use crate::engine::Call;
use crate::engine::bindings::imports::postern::types::http::{Head, Header};
use crate::gate::{self, Admitted, AnswerBody, Found, Match};
use crate::problem::{self, Problem};

/// Most headers that a component is shown.
const HEADERS_MAX: usize = 128;
/// Longest head, names and values together.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Everything that is not one of the host's own routes.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let found = match app.gate.routes().find(parts.method.as_str(), parts.uri.path()) {
        Match::Found(found) => found,
        Match::Page(service, shown) => {
            context.set_service(service.name.clone());
            return Ok(page::show(&app, &service, &shown));
        }
        Match::OtherMethods(methods) => {
            let methods = methods.join(", ");
            let detail = format!("this path takes {methods}");
            let mut problem = Problem::new(problem::METHOD_NOT_ALLOWED, detail);
            problem.headers.push(("allow".into(), methods));
            return Err(problem);
        }
        Match::None => {
            let detail = "no such path; /docs lists what there is";
            return Err(Problem::new(problem::NOT_FOUND, detail));
        }
    };
    context.set_service(found.service.name.clone());
    answer(&app, &context, (parts, body), found).await
}

async fn answer(
    app: &App,
    context: &Context,
    (parts, body): (Parts, Body),
    found: Found,
) -> Answer {
    let mut clock = Stopwatch::start(app);
    let mut head = head(&parts, context)?;
    let wait_ms = wait_ms(&parts.headers, found.route.wait_secs, app.limits.wait_secs_max)?;
    let admitted = admit(app, context, &mut head, found.service.name.clone()).await?;
    clock.lap(context, "admit");
    let body = body::receive(app, &parts.headers, body).await?;
    clock.lap(context, "body");
    let request = gate::Request { head, found, body, wait_ms };
    app.gate.check(&admitted, &request).await?;
    clock.lap(context, "validate");
    let answer = app.gate.handle(&admitted, request).await?;
    clock.lap(context, "shape");
    // Conditions and ranges are about what is there, not about what a `POST` has just made.
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    render(answer, is_read.then_some(&parts.headers))
}

/// Runs `auth` and `rate-limit` for `scope` (empty: the host's own routes), and sees to it that the
/// chain's headers reach the answer.
pub(super) async fn admit(
    app: &App,
    context: &Context,
    head: &mut Head,
    scope: Arc<str>,
) -> Result<Admitted, Problem> {
    let call = Call {
        request_id: context.request_id().clone(),
        tenant: None,
        key: None,
        service: scope,
        traceparent: Some(context.traceparent()),
        wait_ms_max: app.limits.wait_secs_max.saturating_mul(1000),
        held: Mutex::default(),
    };
    let mut admitted = app.gate.admit(head, call).await?;
    context.add_headers(std::mem::take(&mut admitted.headers));
    context.keep(admitted.call.clone());
    Ok(admitted)
}

/// The head as components see it.
pub(super) fn head(parts: &Parts, context: &Context) -> Result<Head, Problem> {
    let bytes: usize =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if parts.headers.len() > HEADERS_MAX || bytes > HEAD_BYTES_MAX {
        let detail = format!("at most {HEADERS_MAX} headers and {HEAD_BYTES_MAX} bytes");
        return Err(Problem::new(problem::HEADERS_TOO_LARGE, detail));
    }
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        let value = std::str::from_utf8(value.as_bytes()).ok()?.to_owned();
        Some(Header { name: name.as_str().to_owned(), value })
    };
    Ok(Head {
        request_id: context.request_id().to_string(),
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers.iter().filter_map(header).collect(),
    })
}

/// `Prefer: wait=N` (RFC 7240), or the route's default, under the operator's cap.
fn wait_ms(headers: &HeaderMap, default_secs: u32, secs_max: u32) -> Result<u32, Problem> {
    let mut secs = default_secs;
    for value in headers.get_all("prefer") {
        let Ok(text) = value.to_str() else { continue };
        for preference in text.split([',', ';']).map(str::trim) {
            if preference.eq_ignore_ascii_case("respond-async") {
                secs = 0;
            }
            let Some((name, wanted)) = preference.split_once('=') else { continue };
            if name.trim().eq_ignore_ascii_case("wait") {
                secs = wanted.trim().trim_matches('"').parse().map_err(|_| {
                    let detail = "`wait` is a number of seconds";
                    Problem::new(problem::BAD_REQUEST, detail).field("prefer")
                })?;
            }
        }
    }
    Ok(secs.min(secs_max).saturating_mul(1000))
}

/// A service's answer in HTTP. `asked`: the request's headers, where they may choose a part.
fn render(answer: gate::Answer, asked: Option<&HeaderMap>) -> Answer {
    let status = match StatusCode::from_u16(answer.status) {
        Ok(status) if (200..600).contains(&answer.status) => status,
        _ => {
            tracing::error!(status = answer.status, "a service answered with no status");
            return Err(Problem::new(problem::COMPONENT_FAILED, "the service gave no status"));
        }
    };
    let mut response = match answer.body {
        AnswerBody::Empty => Response::new(Body::empty()),
        AnswerBody::Bytes(bytes) => Response::new(Body::from(bytes)),
        AnswerBody::Blob(blob) if status == StatusCode::OK => {
            output::stream(blob, asked.unwrap_or(&HeaderMap::new()))?
        }
        AnswerBody::Blob(blob) => Response::new(output::body(blob)),
    };
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    let headers = response.headers_mut();
    for Header { name, value } in &answer.headers {
        respond::add_header(headers, name, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// Measures the steps of one request.
struct Stopwatch<'a> {
    app: &'a App,
    last: Duration,
}

impl<'a> Stopwatch<'a> {
    fn start(app: &'a App) -> Self {
        Self { app, last: app.clock.monotonic() }
    }

    fn lap(&mut self, context: &Context, step: &'static str) {
        let now = self.app.clock.monotonic();
        context.timing(step, now.saturating_sub(self.last).as_secs_f64() * 1000.0);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(prefer: &str) -> Result<u32, String> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", prefer.parse().unwrap());
        wait_ms(&headers, 30, 60).map_err(|problem| problem.code.into_owned())
    }

    #[test]
    fn prefer_wait_is_read_capped_and_checked() {
        assert_eq!(wait("wait=5"), Ok(5_000));
        assert_eq!(wait("handling=lenient, wait=0"), Ok(0));
        assert_eq!(wait("respond-async, wait=7"), Ok(7_000));
        assert_eq!(wait("respond-async"), Ok(0));
        assert_eq!(wait("return=minimal"), Ok(30_000));
        assert_eq!(wait("wait=9999"), Ok(60_000));
        assert_eq!(wait("wait=soon"), Err("bad_request".into()));
        assert_eq!(wait("wait=-1"), Err("bad_request".into()));
    }
}
