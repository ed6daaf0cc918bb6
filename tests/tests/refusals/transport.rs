//! Bodies that are too large and clients that are too slow.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use postern_tests::client::{Client, send};
use postern_tests::gate::{Gate, Key, Setup};
use postern_tests::patience::until;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{BODY_BYTES_MAX, GATE};

/// A gate that loses its patience after a second.
static STRICT: LazyLock<Gate> = LazyLock::new(|| {
    let settings = "[server]\nhead_secs_max = 1\nbody_idle_secs_max = 1\n".to_owned();
    Gate::start_with(Setup { settings, ..Setup::default() })
});

/// How fast a slow client drips: well within the patience for each byte.
const DRIP: Duration = Duration::from_millis(100);

fn post(client: &Client, body: Body) -> RequestBuilder {
    let request = client.request(Method::POST, "/v1/vision/analyze");
    request.header("content-type", "application/json").body(body)
}

fn chunked(bytes: usize) -> Body {
    let piece = Bytes::from_static(&[b' '; 4096]);
    let pieces = (0..bytes.div_ceil(piece.len())).map(move |_| Ok::<_, io::Error>(piece.clone()));
    Body::wrap_stream(stream::iter(pieces))
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_or_without_its_length() {
    let client = GATE.tenant("heavy").await;
    let announced = Body::from(vec![b' '; BODY_BYTES_MAX + 1]);
    send(post(&client, announced)).await.problem(413, "body_too_large", None);
    let unannounced = chunked(BODY_BYTES_MAX + 4096);
    send(post(&client, unannounced)).await.problem(413, "body_too_large", None);
    // Within the limit it is read to its end, and found to be no JSON.
    send(post(&client, chunked(64 << 10))).await.problem(422, "json_invalid", None);
}

#[tokio::test]
async fn a_large_body_without_a_good_key_is_not_read() {
    let answer = send(post(&GATE.client(), chunked(2 * BODY_BYTES_MAX))).await;
    answer.problem(401, "credential_missing", None);
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let head = "GET /livez HTTP/1.1\r\nhost: gate\r\nx-slow: ";
    let answer = drip(&STRICT, head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let client = GATE.tenant("verbose").await;
    let request = client.request(Method::GET, "/v1/jobs").header("x-long", "x".repeat(40_000));
    send(request).await.problem(431, "headers_too_large", None);
    let number = |request: RequestBuilder, number| request.header(format!("x-{number}"), "x");
    let request = (0..200).fold(client.request(Method::GET, "/v1/jobs"), number);
    send(request).await.problem(431, "headers_too_large", None);
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let key = key_of("stalled").await;
    let answer = stall(&STRICT, &head(&key, 1000), "{\"mess").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
    // The next request finds the gate as it was.
    STRICT.client().with_key(&key.text).echo(&json!({})).await.ok();
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_body_leaves_nothing_behind() {
    let key = key_of("leaver").await;
    let mut socket = TcpStream::connect(STRICT.address()).await.expect("it listens");
    let part = format!("{}{}", head(&key, 10_000_000), " ".repeat(1_000_000));
    socket.write_all(part.as_bytes()).await.expect("it reads");
    drop(socket);
    let temp = STRICT.data().join("temp");
    until("the half body is gone", async || {
        let left = std::fs::read_dir(&temp).expect("the host's folder").count();
        (left == 0).then_some(())
    })
    .await;
    STRICT.client().with_key(&key.text).echo(&json!({})).await.ok();
}

async fn key_of(tenant: &str) -> Key {
    STRICT.tenant(tenant).await;
    let key = STRICT.key(tenant, &[]);
    STRICT.client_with(&key).await;
    key
}

/// The head of an echo whose body is said to have so many bytes.
fn head(key: &Key, bytes: usize) -> String {
    format!(
        "POST /v1/echo HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n",
        key.text
    )
}

/// Sends a head and the start of a body, and reads until the host closes the connection.
async fn stall(gate: &Gate, head: &str, start: &str) -> String {
    let mut socket = TcpStream::connect(gate.address()).await.expect("it listens");
    socket.write_all(format!("{head}{start}").as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    // A reset after the answer is as good an end.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends the start of a head, then a byte now and then, and reads until the connection is closed.
async fn drip(gate: &Gate, start: &str) -> String {
    let socket = TcpStream::connect(gate.address()).await.expect("it listens");
    let (mut reader, mut writer) = socket.into_split();
    writer.write_all(start.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    let dripping = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
        // Closed for writing; the reader sees the end.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = reader.read_to_end(&mut answer) => {}
        () = dripping => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}
