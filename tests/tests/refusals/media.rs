//! Media that cannot be analysed: broken, empty, absurdly large, or bombs.

use bytes::Bytes;
use postern_tests::archive::{gzip_bomb, zip_bomb};
use postern_tests::client::{Answer, base64, file, send};
use postern_tests::clip::{self, H264, HEIGHT, MOVING, WIDTH};
use postern_tests::picture;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::json;

use crate::GATE;

const ANALYZE: &str = "/v1/vision/analyze";

async fn video(tenant: &str, bytes: impl Into<Bytes>) -> Answer {
    let client = GATE.tenant(tenant).await;
    client.analyze(Form::new().part("video", file("clip.mp4", bytes))).await
}

async fn frame(tenant: &str, bytes: impl Into<Bytes>) -> Answer {
    let client = GATE.tenant(tenant).await;
    let first = file("frame.png", picture::square(64, 64, 0));
    let second = file("frame.png", bytes);
    client.analyze(Form::new().part("frame", first).part("frame", second)).await
}

#[tokio::test]
async fn a_text_that_is_called_a_video_is_refused() {
    let answer = video("texts", "this is no video\n".repeat(100)).await;
    answer.problem(422, "video_invalid", Some("video"));
    let answer = video("nothing", Bytes::new()).await;
    answer.problem(422, "video_invalid", Some("video"));
    // A list of files to read instead: what would make a decoder open others' files.
    let answer = video("lists", "ffconcat version 1.0\nfile /etc/passwd\n").await;
    answer.problem(422, "video_invalid", Some("video"));
}

#[tokio::test]
async fn a_broken_video_is_refused() {
    let mut garbage = MOVING[..64].to_vec();
    garbage.extend((0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8));
    let answer = video("broken", garbage).await;
    answer.problem(422, "video_undecodable", Some("video"));
}

#[tokio::test]
async fn a_video_without_frames_is_refused() {
    let sound = clip::encode("sound.mp4", "-f lavfi -i sine=duration=1 -c:a aac");
    video("silent", sound).await.problem(422, "video_has_no_frames", Some("video"));
}

#[tokio::test]
async fn a_clip_whose_end_is_missing_is_refused_or_analysed_up_to_there() {
    // An MP4 has its index at the end: without it nothing can be found.
    let half = MOVING.slice(..MOVING.len() / 2);
    video("cut-mp4", half).await.problem(422, "video_undecodable", Some("video"));
    // A transport stream needs none: what is there is analysed, and the answer says so.
    let source = clip::source(WIDTH, HEIGHT, 2);
    let stream = clip::encode("clip.ts", &format!("{source} {H264} -bf 0 -g 5"));
    let result = video("cut-ts", stream.slice(..stream.len() / 2)).await.result();
    let count = result["frames"].as_array().expect("frames").len();
    assert!((1..20).contains(&count), "{count} frames of half a clip");
}

#[tokio::test]
async fn an_absurdly_large_picture_is_refused_from_its_header() {
    let bomb = picture::claiming(100_000, 100_000);
    let answer = frame("huge", bomb.clone()).await;
    answer.problem(422, "image_too_large", Some("frame[1]"));
    let client = GATE.tenant("huge-json").await;
    let body = json!({ "frames": [base64(&bomb)] });
    client.post(ANALYZE, &body).await.problem(422, "image_too_large", Some("frames[0]"));
    let wide = picture::claiming(1_000_000, 1);
    frame("wide", wide).await.problem(422, "image_too_large", Some("frame[1]"));
}

#[tokio::test]
async fn a_broken_picture_is_refused() {
    let cut = picture::square(64, 64, 0);
    let answer = frame("cut-png", cut.slice(..cut.len() / 2)).await;
    answer.problem(422, "image_undecodable", Some("frame[1]"));
    let answer = frame("no-png", "no picture").await;
    answer.problem(422, "picture_invalid", Some("frame[1]"));
    let answer = frame("other-size", picture::square(64, 48, 0)).await;
    answer.problem(422, "frame_size_differs", Some("frame[1]"));
}

#[tokio::test]
async fn a_video_of_absurd_size_is_refused() {
    let source = "-f lavfi -i color=size=8200x16:rate=10:duration=0.2";
    let wide = clip::encode("wide.mkv", &format!("{source} -c:v ffv1"));
    video("wide-video", wide).await.problem(422, "video_too_large", Some("video"));
}

#[tokio::test]
async fn an_archive_is_never_unpacked() {
    for (tenant, bomb) in [("gzip", gzip_bomb()), ("zip", zip_bomb())] {
        let answer = video(tenant, bomb.clone()).await;
        answer.problem(422, "archive_not_allowed", Some("video"));
        let answer = frame(&format!("{tenant}-frame"), bomb).await;
        answer.problem(422, "archive_not_allowed", Some("frame[1]"));
    }
}

#[tokio::test]
async fn a_compressed_body_is_not_inflated() {
    let client = GATE.tenant("inflated").await;
    let request = client.request(Method::POST, ANALYZE).header("content-encoding", "gzip");
    let request = request.header("content-type", "application/json");
    send(request.body(gzip_bomb())).await.problem(
        415,
        "encoding_unsupported",
        Some("content-encoding"),
    );
}

#[tokio::test]
async fn base64_that_is_none_is_refused() {
    let client = GATE.tenant("base64").await;
    for video in ["%%%%", "data:video/mp4;base64,%%%%"] {
        let answer = client.post(ANALYZE, &json!({ "video": video })).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert_eq!(answer.json()["field"], "video");
    }
}
