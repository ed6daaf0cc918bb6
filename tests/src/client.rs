//! A client as a customer writes one: requests, answers, problems, jobs.
//!
//! Owns what a test may take for granted about an answer: a problem is always checked as a whole
//! (status, code, field, media type, request id). Knows no types of the host.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::patience::until;

/// A client with or without a key.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: String,
    key: Option<String>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// A client of the host at `address`, without a key.
    #[must_use]
    pub fn new(address: &str) -> Self {
        // Connections are not kept: a host that was killed leaves none behind that look good.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        let http = http.build().expect("there is no TLS that could be missing");
        Self { http, address: address.to_owned(), key: None }
    }

    /// The same with this key or token.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// Where the host listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// A request to be completed by the test, with the key as `Bearer`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// `POST /v1/echo`, which answers when it is done.
    pub async fn echo(&self, body: &Value) -> Answer {
        self.post("/v1/echo", body).await
    }

    /// `POST /v1/vision/analyze` with a form.
    pub async fn analyze(&self, form: Form) -> Answer {
        send(self.request(Method::POST, "/v1/vision/analyze").multipart(form)).await
    }

    /// Submits an echo that is not waited for, and gives the job's id.
    pub async fn submit(&self, body: &Value) -> String {
        let request = self.request(Method::POST, "/v1/echo").header("prefer", "wait=0");
        send(request.json(body)).await.accepted()
    }

    /// The job as it is now.
    pub async fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).await.ok()
    }

    /// The job once it is in one of these states.
    pub async fn job_in(&self, id: &str, states: &[&str]) -> Value {
        until(&format!("job {id} is {states:?}"), async || {
            let job = self.job(id).await;
            let is_final = FINAL.iter().any(|state| job["state"] == **state);
            let is_wanted = states.iter().any(|state| job["state"] == **state);
            assert!(is_wanted || !is_final, "the job ended otherwise: {job}");
            is_wanted.then_some(job)
        })
        .await
    }

    /// The job once its run has begun on the sidecar, in an attempt after that one.
    pub async fn job_begun(&self, id: &str, after: u64) -> Value {
        until(&format!("job {id} runs after attempt {after}"), async || {
            let job = self.job(id).await;
            assert!(FINAL.iter().all(|state| job["state"] != **state), "it has ended: {job}");
            let begun = job["attempt"].as_u64() > Some(after) && job["progress"]["stage"] != "";
            (job["state"] == "running" && begun).then_some(job)
        })
        .await
    }
}

/// States that never change.
const FINAL: [&str; 4] = ["succeeded", "failed", "canceled", "expired"];

/// Sends a request and reads the whole answer.
///
/// # Panics
/// When there is no answer.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("the host answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.expect("the answer is whole");
    Answer { status, headers, body }
}

/// A file part of a form.
#[must_use]
pub fn file(name: &'static str, bytes: impl Into<Bytes>) -> Part {
    let bytes: Bytes = bytes.into();
    let length = bytes.len() as u64;
    Part::stream_with_length(bytes, length).file_name(name)
}

/// Bytes as JSON carries them.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Checks that the answer is a 200 and gives its JSON.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The `result` of a job that succeeded while its request waited.
    #[track_caller]
    pub fn result(&self) -> Value {
        let mut job = self.ok();
        assert_eq!(job["state"], "succeeded", "{job}");
        job["result"].take()
    }

    /// The job's id of a 202.
    #[track_caller]
    #[must_use]
    pub fn accepted(&self) -> String {
        assert_eq!(self.status, 202, "{}", self.text());
        let job = self.json();
        let id = job["id"].as_str().expect("a job has an id");
        let location = format!("/v1/jobs/{id}");
        assert_eq!(self.header("location"), Some(location.as_str()));
        assert_eq!(job["links"]["self"], location);
        id.to_owned()
    }

    /// Checks a refusal or failure as a whole and gives its JSON.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str, field: Option<&str>) -> Value {
        let said = self.text();
        assert_eq!(self.status, status, "{said}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{said}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{said}");
        assert_eq!(problem["status"], status, "{said}");
        assert_eq!(problem["field"].as_str(), field, "{said}");
        for text in ["type", "title", "detail"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{text}: {said}");
        }
        let id = self.header("x-request-id").expect("every answer has a request id");
        assert_eq!(problem["request_id"], id);
        problem
    }

    /// The whole seconds of `Retry-After`.
    #[track_caller]
    #[must_use]
    pub fn retry_after_secs(&self) -> u64 {
        let header = self.header("retry-after").expect("it says when to come back");
        header.parse().expect("whole seconds")
    }
}
