//! A publisher for tests: one file behind HTTP, which answers as a script says.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use tokio::runtime::Runtime;

/// What the shelf does with its next request instead of serving the file.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Breaks the connection after so many bytes.
    CutAfter(usize),
    Status(u16),
    /// From now on it has these bytes under another tag; the request is answered with them.
    Change(Vec<u8>),
    /// Sends the rest of something else to whoever asks for a range.
    WrongRange,
}

#[derive(Debug)]
struct Shelved {
    bytes: Vec<u8>,
    version: u32,
    script: VecDeque<Act>,
    ranges: Vec<Option<String>>,
}

/// The publisher; it closes when this is dropped.
pub(super) struct Shelf {
    shelved: Arc<Mutex<Shelved>>,
    address: String,
    _runtime: Runtime,
}

impl Shelf {
    pub(super) fn with(bytes: &[u8], script: impl IntoIterator<Item = Act>) -> Self {
        let shelved = Shelved {
            bytes: bytes.to_vec(),
            version: 1,
            script: script.into_iter().collect(),
            ranges: Vec::new(),
        };
        let shelved = Arc::new(Mutex::new(shelved));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}/model.bin", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shelved));
        drop(runtime.spawn(async move { axum::serve(listener, router).await }));
        Self { shelved, address, _runtime: runtime }
    }

    pub(super) fn url(&self) -> String {
        self.address.clone()
    }

    /// The `Range` headers of all requests so far.
    pub(super) fn ranges(&self) -> Vec<Option<String>> {
        self.shelved.lock().unwrap().ranges.clone()
    }

    pub(super) fn then(&self, acts: impl IntoIterator<Item = Act>) {
        self.shelved.lock().unwrap().script.extend(acts);
    }
}

async fn answer(State(shelved): State<Arc<Mutex<Shelved>>>, headers: HeaderMap) -> Response {
    let mut shelved = shelved.lock().unwrap();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let range = text(header::RANGE);
    shelved.ranges.push(range.clone());
    let act = shelved.script.pop_front();
    if let Some(Act::Status(status)) = act {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, [(header::RETRY_AFTER, "0")], "no").into_response();
    }
    if let Some(Act::Change(bytes)) = &act {
        shelved.bytes.clone_from(bytes);
        shelved.version += 1;
    }
    let tag = format!("\"v{}\"", shelved.version);
    let total = shelved.bytes.len();
    let begin = range.filter(|_| text(header::IF_RANGE).as_deref() == Some(tag.as_str()));
    let begin =
        begin.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let begin: usize = begin.unwrap_or(0);
    let rest = shelved.bytes[begin..].to_vec();
    let length = rest.len();
    let body = match act {
        Some(Act::CutAfter(count)) => {
            let sent = Bytes::from(rest[..count].to_vec());
            Body::from_stream(stream::iter([Ok(sent), Err(io::Error::other("cut"))]))
        }
        _ => Body::from(rest),
    };
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    fields.insert(header::ETAG, tag.parse().unwrap());
    fields.insert(header::CONTENT_LENGTH, length.into());
    if begin > 0 {
        let shown = if matches!(act, Some(Act::WrongRange)) { begin + 1 } else { begin };
        let range = format!("bytes {shown}-{}/{total}", total - 1);
        fields.insert(header::CONTENT_RANGE, range.parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}
