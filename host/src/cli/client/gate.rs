//! The gate as its clients see it: an address, a key, and answers or faults.
//!
//! Owns the HTTP client and what its answers mean. Knows no route. Always: the key goes to the
//! address that was given and nowhere else (no redirect is followed); an answer that is not taken
//! whole within its time is a fault; only what is safe to ask twice is asked twice.

use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::request::Builder;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::secret::Secret;

/// A host that is there answers a connection at once; this is for one that is far away.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// For the head of an answer to a question without a long body, and for its whole text.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Longest JSON that is read: ten thousand frames with their figures are 3 MB.
const JSON_BYTES_MAX: usize = 256 << 20;
/// The first pause after a fault, and the longest without a `Retry-After`.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Codes of what an operator has to install.
const ABSENT: [&str; 2] = ["pipeline_unavailable", "weights_missing"];

/// What is sent.
pub(in crate::cli) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a call came to nothing; each is an exit code of its own.
#[derive(Debug)]
pub(in crate::cli) enum Fault {
    /// What was asked for on the command line makes no sense.
    Usage(String),
    /// The gate said no.
    Refused(Box<Refusal>),
    /// No connection, or one that broke.
    Unreachable(String),
    /// A file here cannot be read or written.
    Files(String),
    /// Ctrl-C, before there was a job.
    Interrupted,
}

/// An answer that is a problem.
#[derive(Debug)]
pub(in crate::cli) struct Refusal {
    pub(in crate::cli) status: StatusCode,
    /// As the gate sent it (RFC 9457), or made of the status when something in between answered.
    pub(in crate::cli) problem: Value,
    retry_after: Option<Duration>,
}

/// Where the gate is and who asks.
#[derive(Debug)]
pub(in crate::cli) struct Gate {
    http: Client<HttpConnector, Body>,
    /// `http://127.0.0.1:8080`, with the path of a mount if there is one, without `/` at its end.
    base: String,
    authorization: Option<HeaderValue>,
    clock: Clock,
    /// For how long faults that may pass are waited out.
    patience: Duration,
}

impl Gate {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// `Usage` for an address that is none, or a key that no header can carry.
    pub(in crate::cli) fn new(
        url: &str,
        key: Option<&Secret<String>>,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_nodelay(true);
        let authorization = key.map(|key| bearer(key.expose())).transpose()?;
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            base: base(url)?,
            authorization,
            clock: Clock::system(),
            patience,
        })
    }

    /// A request to be completed; `path` begins with `/`.
    pub(in crate::cli) fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    /// Sends a request and gives the answer once its head is there, whatever its status.
    ///
    /// # Errors
    /// `Unreachable`.
    pub(in crate::cli) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Fault> {
        self.http.request(request).await.map_err(|error| self.unreachable(&error))
    }

    /// The same with a limit on the wait, for requests without a long body.
    pub(in crate::cli) async fn ask(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Fault> {
        let answer = tokio::time::timeout(ANSWER_MAX, self.send(request)).await;
        answer.unwrap_or_else(|_| Err(self.silent()))
    }

    /// The JSON of a path, asked again while faults pass.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(in crate::cli) async fn get(&self, path: &str) -> Result<(HeaderMap, Value), Fault> {
        let mut patience = self.patience();
        loop {
            match self.once(Method::GET, path).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => patience.wait(fault).await?,
            }
        }
    }

    /// The JSON of one request without a body.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(in crate::cli) async fn once(
        &self,
        method: Method,
        path: &str,
    ) -> Result<(HeaderMap, Value), Fault> {
        let request = finished(self.request(method, path), empty())?;
        self.json(self.ask(request).await?).await
    }

    /// The JSON of an answer.
    ///
    /// # Errors
    /// `Refused` for any status but those of success.
    pub(in crate::cli) async fn json(
        &self,
        answer: Response<Incoming>,
    ) -> Result<(HeaderMap, Value), Fault> {
        let (head, body) = answer.into_parts();
        let whole = Limited::new(body, JSON_BYTES_MAX).collect();
        let whole = tokio::time::timeout(ANSWER_MAX, whole).await.map_err(|_| self.silent())?;
        let bytes = whole.map_err(|error| self.unreachable(&*error))?.to_bytes();
        let value = serde_json::from_slice::<Value>(&bytes);
        if head.status.is_success() {
            let value = value.map_err(|error| {
                let text = format!("{} answered no JSON ({error}); is it a gate?", self.base);
                Fault::Unreachable(text)
            })?;
            return Ok((head.headers, value));
        }
        let problem = value.ok().filter(|value| value["code"].is_string());
        let problem = problem.unwrap_or_else(|| {
            let detail = "something between here and the gate answered";
            let code = format!("http_{}", head.status.as_u16());
            json!({ "code": code, "detail": detail, "status": head.status.as_u16() })
        });
        let retry_after = retry_after(&head.headers);
        Err(Fault::Refused(Box::new(Refusal { status: head.status, problem, retry_after })))
    }

    pub(in crate::cli) fn patience(&self) -> Patience<'_> {
        Patience { gate: self, began: self.clock.monotonic(), pause: PAUSES.0 }
    }

    /// The cause of the causes says it: `connection refused`.
    pub(in crate::cli) fn unreachable(&self, error: &(dyn Error + 'static)) -> Fault {
        let mut deepest = error;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        Fault::Unreachable(format!("{}: {deepest}", self.base))
    }

    fn silent(&self) -> Fault {
        let secs = ANSWER_MAX.as_secs();
        Fault::Unreachable(format!("{}: no answer for {secs} seconds", self.base))
    }
}

impl Refusal {
    /// The same of a problem that came in another way: a job's error.
    pub(in crate::cli) fn of(problem: &Value) -> Self {
        let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, problem: problem.clone(), retry_after: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| self.problem[name].as_str().unwrap_or_default();
        let field = self.problem["field"].as_str();
        let field = field.map(|field| format!(" {field}:")).unwrap_or_default();
        let (status, code, detail) = (self.status.as_u16(), text("code"), text("detail"));
        write!(f, "refused: {status} {code}:{field} {detail} ({})", text("request_id"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Unreachable(text) | Self::Files(text) => f.write_str(text),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Interrupted => f.write_str("stopped"),
        }
    }
}

impl Fault {
    /// What the program ends with.
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Files(_) => 5,
            Self::Interrupted => 130,
        }
    }

    /// May the same request fare better a little later?
    pub(in crate::cli) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(refusal) => {
                matches!(refusal.status.as_u16(), 429 | 502 | 503 | 504)
                    && !is_absent(&refusal.problem)
            }
            Self::Usage(_) | Self::Files(_) | Self::Interrupted => false,
        }
    }
}

/// Is something not installed? It does not come by waiting.
pub(in crate::cli) fn is_absent(problem: &Value) -> bool {
    ABSENT.iter().any(|code| problem["code"] == *code)
}

/// Waits between tries: longer each time, as long as the gate says, and not for ever.
#[derive(Debug)]
pub(in crate::cli) struct Patience<'a> {
    gate: &'a Gate,
    began: Duration,
    pause: Duration,
}

impl Patience<'_> {
    /// Returns when it is time for another try.
    ///
    /// # Errors
    /// The fault itself when another try is not worth it, or the time is up.
    pub(in crate::cli) async fn wait(&mut self, fault: Fault) -> Result<(), Fault> {
        let asked = match &fault {
            Fault::Refused(refusal) => refusal.retry_after,
            _ => None,
        };
        let pause = self.pause.max(asked.unwrap_or_default());
        let waited = self.gate.clock.monotonic().saturating_sub(self.began);
        if !fault.may_pass() || waited + pause > self.gate.patience {
            return Err(fault);
        }
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }

    /// Something went forward: the time starts anew.
    pub(in crate::cli) fn renew(&mut self) {
        self.began = self.gate.clock.monotonic();
        self.pause = PAUSES.0;
    }
}

pub(in crate::cli) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(in crate::cli) fn bytes(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A request with its body; a path that the gate gave and that is none shows only here.
pub(in crate::cli) fn finished(request: Builder, body: Body) -> Result<Request<Body>, Fault> {
    let odd = |error| Fault::Unreachable(format!("the gate gave an odd address: {error}"));
    request.body(body).map_err(odd)
}

/// `Retry-After` in seconds; the form with a date is not used by the gate.
pub(in crate::cli) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn bearer(key: &str) -> Result<HeaderValue, Fault> {
    let value = HeaderValue::from_str(&format!("Bearer {key}"));
    let mut value = value.map_err(|_| Fault::Usage("the key has odd characters".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Checks `--url`.
fn base(url: &str) -> Result<String, Fault> {
    let wrong = |why: &str| Fault::Usage(format!("--url {url}: {why}"));
    let uri: Uri = url.parse().map_err(|_| wrong("is no address; http://127.0.0.1:8080 is one"))?;
    if uri.scheme() == Some(&Scheme::HTTPS) {
        let why = "https is not spoken yet; use http on a trusted network, or a tunnel";
        return Err(wrong(why));
    }
    let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP));
    let authority = authority.ok_or_else(|| wrong("must begin with http://"))?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(wrong("may have a host, a port and a path, nothing else"));
    }
    Ok(format!("http://{authority}{}", uri.path().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        assert_eq!(base("http://gate:8080").unwrap(), "http://gate:8080");
        assert_eq!(base("http://gate/a/b/").unwrap(), "http://gate/a/b");
        for (url, why) in [
            ("https://gate", "https is not spoken yet"),
            ("gate:8080", "must begin with http://"),
            ("http://user:secret@gate", "nothing else"),
            ("http://gate/?key=1", "nothing else"),
            ("nonsense at all", "is no address"),
        ] {
            let fault = base(url).unwrap_err();
            assert!(matches!(&fault, Fault::Usage(text) if text.contains(why)), "{fault:?}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status| {
            let problem = Value::Null;
            Fault::Refused(Box::new(Refusal { status, problem, retry_after: None }))
        };
        assert!(refused(StatusCode::TOO_MANY_REQUESTS).may_pass());
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).may_pass());
        let absent = Refusal::of(&json!({ "code": "weights_missing", "status": 503 }));
        assert_eq!(absent.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!Fault::Refused(Box::new(absent)).may_pass());
        assert!(!refused(StatusCode::UNAUTHORIZED).may_pass());
        assert!(!refused(StatusCode::INTERNAL_SERVER_ERROR).may_pass());
        assert!(Fault::Unreachable(String::new()).may_pass());
        assert!(!Fault::Interrupted.may_pass());
    }
}
