//! A job from its request to its final state: upload, follow, cancel.
//!
//! Owns what is asked of the gate for one job. Always: a request that may have been accepted is
//! not sent again (it would be a second job); a job that is known is followed through broken
//! connections; after the first Ctrl-C it is cancelled and followed to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};
use hyper::body::Incoming;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::form::{Request, Sending};
use super::gate::{self, Body, Fault, Gate};
use super::progress::Line;
use super::route::Route;

/// The first pause between two looks at a job, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often an upload is looked at.
const TICK: Duration = Duration::from_millis(250);
/// Looks at an upload that does not move before it is given up: three minutes. The gate may search
/// a body of a gigabyte before it answers.
const STILL_TICKS_MAX: u32 = 720;
/// States that never change.
const FINAL: [&str; 4] = ["succeeded", "failed", "canceled", "expired"];

/// What a request came to.
#[derive(Debug)]
pub(in crate::cli) enum Accepted {
    /// A job; this is its path.
    Job(String),
    /// The answer itself: the service was done before it could say that it will be.
    Answer(Value),
}

/// What a job works with.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Context<'a> {
    pub(in crate::cli) gate: &'a Gate,
    /// Cancelled by the first Ctrl-C.
    pub(in crate::cli) stop: &'a CancellationToken,
    pub(in crate::cli) line: &'a Line,
}

/// The path of a job.
pub(in crate::cli) fn path(id: &str) -> String {
    format!("/v1/jobs/{id}")
}

/// Sends a request until the gate has taken it or refused it for good.
///
/// # Errors
/// Any [`Fault`].
pub(in crate::cli) async fn submit(
    context: Context<'_>,
    route: &Route,
    request: &Request,
) -> Result<Accepted, Fault> {
    let mut patience = context.gate.patience();
    loop {
        let sending = Arc::new(Sending::default());
        let answer = match upload(context, route, request, &sending).await {
            Ok(answer) => context.gate.json(answer).await,
            Err(fault) => Err(fault),
        };
        let fault = match answer {
            Ok((headers, body)) => return Ok(accepted(&headers, body)),
            Err(fault) => fault,
        };
        if let Some(text) = sending.fault() {
            return Err(Fault::Files(text));
        }
        let is_broken = matches!(fault, Fault::Unreachable(_));
        if is_broken && sending.sent() >= request.bytes() {
            let Fault::Unreachable(text) = fault else { unreachable!("matched above") };
            let text = format!("{text}; all was sent: look among your jobs before you try again");
            return Err(Fault::Unreachable(text));
        }
        if fault.may_pass() {
            context.line.set("waits to try again");
        }
        tokio::select! {
            waited = patience.wait(fault) => waited?,
            () = context.stop.cancelled() => return Err(Fault::Interrupted),
        }
    }
}

/// One try: the answer's head. Ctrl-C ends it unless all has been sent, because then there may be
/// a job, and only the answer tells which.
async fn upload(
    context: Context<'_>,
    route: &Route,
    request: &Request,
    sending: &Arc<Sending>,
) -> Result<Response<Incoming>, Fault> {
    let (content_type, body): (String, Body) = match request {
        Request::Form(form) => (form.content_type(), form.body(sending)),
        Request::Json(value) => {
            ("application/json".into(), gate::bytes(Bytes::from(value.to_string())))
        }
    };
    let bytes = request.bytes();
    let head = context.gate.request(Method::POST, &route.path);
    let mut head = head.header(header::CONTENT_TYPE, content_type);
    if bytes > 0 {
        head = head.header(header::CONTENT_LENGTH, bytes);
    }
    let head = head.header("prefer", "respond-async");
    let mut answer = std::pin::pin!(context.gate.send(gate::finished(head, body)?));
    let (mut before, mut still) = (0, 0);
    context.line.share("uploading", 0.0);
    loop {
        let is_sent = sending.sent() >= bytes;
        tokio::select! {
            answer = &mut answer => return answer,
            () = context.stop.cancelled(), if !is_sent => return Err(Fault::Interrupted),
            () = tokio::time::sleep(TICK) => {}
        }
        let sent = sending.sent();
        still = if sent == before { still + 1 } else { 0 };
        before = sent;
        if still > STILL_TICKS_MAX {
            return Err(Fault::Unreachable("the upload does not move any more".into()));
        }
        context.line.share("uploading", sent as f64 / bytes.max(1) as f64);
    }
}

fn accepted(headers: &HeaderMap, body: Value) -> Accepted {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let own = body["links"]["self"].as_str();
    match location.or(own).filter(|path| path.starts_with('/')) {
        Some(path) => Accepted::Job(path.to_owned()),
        None => Accepted::Answer(body),
    }
}

/// Follows a job to its final state. After Ctrl-C it is asked to stop.
///
/// # Errors
/// `Refused`, `Unreachable`.
pub(in crate::cli) async fn follow(context: Context<'_>, path: &str) -> Result<Value, Fault> {
    let mut pause = PAUSES.0;
    let mut is_canceled = false;
    loop {
        if context.stop.is_cancelled() && !is_canceled {
            is_canceled = true;
            pause = PAUSES.0;
            cancel(context, path).await?;
        }
        let (headers, job) = context.gate.get(path).await?;
        show(context.line, &job);
        if FINAL.iter().any(|state| job["state"] == *state) {
            return Ok(job);
        }
        let rest = pause.max(gate::retry_after(&headers).unwrap_or_default());
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = context.stop.cancelled(), if !is_canceled => {}
        }
        pause = pause.mul_f64(1.5).min(PAUSES.1);
    }
}

/// Idempotent, so that it may be asked twice.
async fn cancel(context: Context<'_>, path: &str) -> Result<(), Fault> {
    let path = format!("{path}/cancel");
    let mut patience = context.gate.patience();
    loop {
        match context.gate.once(Method::POST, &path).await {
            Ok(_) => return Ok(()),
            Err(fault) => patience.wait(fault).await?,
        }
    }
}

fn show(line: &Line, job: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let progress = &job["progress"];
    let (state, stage, detail) =
        (text(&job["state"]), text(&progress["stage"]), text(&progress["detail"]));
    let mut words = vec![state];
    if let Some(count) = progress["queue_position"].as_u64() {
        words.push(format!("({count} before it)"));
    }
    words.extend([stage, detail].into_iter().filter(|word| !word.is_empty()));
    let words = words.join(" ");
    match progress["fraction"].as_f64().filter(|_| job["state"] == "running") {
        Some(fraction) => line.share(&words, fraction),
        None => line.set(&words),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_with_an_address_is_a_job() {
        let mut headers = HeaderMap::new();
        let job = json!({"links": {"self": "/v1/jobs/job_1"}});
        assert!(matches!(accepted(&headers, job), Accepted::Job(path) if path == "/v1/jobs/job_1"));
        assert!(matches!(accepted(&headers, json!({"a": 1})), Accepted::Answer(_)));
        headers.insert(header::LOCATION, "/v1/jobs/job_2".parse().unwrap());
        let found = accepted(&headers, json!({}));
        assert!(matches!(found, Accepted::Job(path) if path == "/v1/jobs/job_2"));
        headers.insert(header::LOCATION, "http://elsewhere/v1/jobs/job_2".parse().unwrap());
        assert!(matches!(accepted(&headers, json!({})), Accepted::Answer(_)));
    }
}
