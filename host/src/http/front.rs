//! What surrounds every request: its id and trace on the way in, headers and figures on the way
//! out.
//!
//! Owns [`Context`], the one thing that handlers know about the request beside its parts. A
//! client's own `x-request-id` is not taken over: ids are ours, so that they are unique in the log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use parking_lot::Mutex;
use tracing::Instrument;

use super::App;
use super::respond;
use crate::engine::Call;
use crate::engine::bindings::imports::postern::types::http::Header;
use crate::ids::RequestId;
use crate::problem::Problem;
use crate::trace::TraceContext;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: RequestId,
    trace: TraceContext,
    /// The service whose route was asked; empty for the host's own.
    service: Mutex<Arc<str>>,
    /// Headers that the chain wants on the answer, whatever it is.
    headers: Mutex<Vec<Header>>,
    timings: Mutex<Vec<(&'static str, f64)>>,
    /// Keeps the places in gauges until the answer's head is ready.
    call: Mutex<Option<Arc<Call>>>,
}

impl Context {
    pub(super) fn request_id(&self) -> &RequestId {
        &self.0.request_id
    }

    /// For the sidecar and the answer.
    pub(super) fn traceparent(&self) -> String {
        self.0.trace.to_string()
    }

    pub(super) fn set_service(&self, service: Arc<str>) {
        *self.0.service.lock() = service;
    }

    pub(super) fn add_headers(&self, headers: Vec<Header>) {
        self.0.headers.lock().extend(headers);
    }

    pub(super) fn keep(&self, call: Arc<Call>) {
        *self.0.call.lock() = Some(call);
    }

    /// For `Server-Timing`: a step of the chain and its milliseconds.
    pub(super) fn timing(&self, step: &'static str, millis: f64) {
        self.0.timings.lock().push((step, millis));
    }
}

/// The outermost layer.
pub(super) async fn surround(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = app.clock.monotonic();
    let incoming = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let trace = match incoming.and_then(TraceContext::parse) {
        Some(parent) => parent.child(),
        None => TraceContext::new(),
    };
    let context = Context(Arc::new(Inner {
        request_id: RequestId::new(),
        trace,
        service: Mutex::new("".into()),
        headers: Mutex::default(),
        timings: Mutex::default(),
        call: Mutex::default(),
    }));
    let span = crate::telemetry::request_span(
        request.method().as_str(),
        context.request_id(),
        &trace,
        incoming.is_some(),
    );
    let head = request.method() == http::Method::HEAD;
    request.extensions_mut().insert(context.clone());
    app.metrics.http_started();
    let guard = Finished { app: app.clone(), context: context.clone(), began, status: 499 };
    let response = next.run(request).instrument(span.clone()).await;
    let response = finish(response, &context, head);
    guard.with(response.status().as_u16());
    let (status, service) = (response.status().as_u16(), context.0.service.lock().clone());
    span.in_scope(|| tracing::debug!(status, service = &*service, "request answered"));
    response
}

/// Counts a request when it ends, also when the client leaves before the answer (499, as nginx).
struct Finished {
    app: Arc<App>,
    context: Context,
    began: std::time::Duration,
    status: u16,
}

impl Finished {
    fn with(mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        let took = self.app.clock.monotonic().saturating_sub(self.began);
        let service = self.context.0.service.lock().clone();
        self.app.metrics.http_finished(&service, self.status, took);
    }
}

fn finish(response: Response, context: &Context, head: bool) -> Response {
    let mut response = match response.extensions().get::<Problem>() {
        Some(problem) => respond::problem(&problem.clone(), context.request_id(), head),
        None => response,
    };
    let headers = response.headers_mut();
    for Header { name, value } in context.0.headers.lock().drain(..) {
        respond::add_header(headers, &name, &value);
    }
    set(headers, REQUEST_ID, context.request_id().as_str());
    set(headers, TRACEPARENT, &context.traceparent());
    let timings = context.0.timings.lock();
    if !timings.is_empty() {
        let entry = |(step, millis): &(&str, f64)| format!("{step};dur={millis:.3}");
        let text: Vec<String> = timings.iter().map(entry).collect();
        set(headers, SERVER_TIMING, &text.join(", "));
    }
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    *context.0.call.lock() = None;
    response
}

fn set(headers: &mut http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
