//! Memory: little at rest, and no more for a large body or a long clip.
//!
//! One gate, one test after another: each looks at the peak of whole processes.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use postern_tests::client::{Client, file, send};
use postern_tests::clip::{self, H264, MOVING};
use postern_tests::gate::Gate;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::Value;

const MIB: u64 = 1 << 20;
/// What the host may take when it does nothing.
const AT_REST_BYTES_MAX: u64 = 80 * MIB;
/// How much a large body may add to its peak.
const UPLOAD_BYTES_MAX: u64 = 32 * MIB;
/// How much a clip ten times as long may add to the sidecar's peak.
const CLIP_BYTES_MAX: u64 = 16 * MIB;

#[tokio::test]
async fn memory_depends_neither_on_a_bodys_nor_on_a_clips_length() {
    let gate = Gate::start();
    let host = gate.host();
    let at_rest = host.memory_bytes("VmRSS");
    assert!(at_rest <= AT_REST_BYTES_MAX, "{} MiB at rest", at_rest / MIB);

    let client = gate.tenant("large").await;
    client.analyze(Form::new().part("video", file("clip.mp4", MOVING.clone()))).await.result();
    let before = host.memory_bytes("VmHWM");
    let result = upload_padded(&client, 256 * MIB).await;
    assert_eq!(result["frames"].as_array().map(Vec::len), Some(20));
    let growth = host.memory_bytes("VmHWM") - before;
    assert!(growth <= UPLOAD_BYTES_MAX, "{} MiB more for 256", growth / MIB);

    let sidecar = gate.sidecar().expect("it is ready");
    analyse(&client, 4).await;
    let before = sidecar.memory_bytes("VmHWM");
    analyse(&client, 40).await;
    assert_eq!(gate.sidecar(), Some(sidecar), "it did not die meanwhile");
    let growth = sidecar.memory_bytes("VmHWM") - before;
    assert!(growth <= CLIP_BYTES_MAX, "{} MiB more for ten times the frames", growth / MIB);
}

/// Sends a real clip with so many bytes of padding, which neither side holds at once.
async fn upload_padded(client: &Client, bytes: u64) -> Value {
    let (head, padding) = clip::padded(&MOVING, u32::try_from(bytes).expect("a box's length"));
    let length = head.len() as u64 + padding;
    let piece = Bytes::from(vec![0; 64 << 10]);
    let pieces = padding.div_ceil(piece.len() as u64);
    let zeros = stream::iter(0..pieces).map(move |index| {
        let left = padding - index * piece.len() as u64;
        let end = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        Ok::<_, io::Error>(piece.slice(..end))
    });
    let body = Body::wrap_stream(stream::iter([Ok(head)]).chain(zeros));
    let part = Part::stream_with_length(body, length).file_name("clip.mp4");
    client.analyze(Form::new().part("video", part)).await.result()
}

async fn analyse(client: &Client, seconds: u32) {
    let clip = clip::encode("clip.mkv", &format!("{} {H264}", clip::source(320, 240, seconds)));
    let fast = r#"{"farneback": {"levels": 1, "iterations": 1}}"#;
    let form = Form::new().part("video", file("clip.mkv", clip)).text("params", fast);
    let request = client.request(Method::POST, "/v1/vision/analyze");
    let request = request.header("prefer", "wait=0").multipart(form);
    let id = send(request).await.accepted();
    let job = client.job_in(&id, &["succeeded"]).await;
    let frames = job["result"]["frames"].as_array().map(Vec::len);
    assert_eq!(frames, Some(usize::try_from(seconds).expect("small") * 10));
}
