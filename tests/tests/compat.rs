//! The routes of an earlier service, `/vision/trigger_analysis` and `…_gpu`: answered at once.

use std::sync::LazyLock;

use postern_tests::client::{Answer, Client, base64, file, send};
use postern_tests::clip::{FRAMES, MOVING};
use postern_tests::gate::Gate;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

static GATE: LazyLock<Gate> = LazyLock::new(Gate::start);

const PATHS: [&str; 2] = ["/vision/trigger_analysis", "/vision/trigger_analysis_gpu"];

async fn upload(client: &Client, path: &str, form: Form) -> Answer {
    send(client.request(Method::POST, path).multipart(form)).await
}

fn clip_form() -> Form {
    Form::new().part("video", file("clip.mp4", MOVING.clone()))
}

/// Checks the answer, follows the address that it gives, and returns the answer and the job.
async fn followed(client: &Client, answer: Answer) -> (Value, Value) {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let said = answer.json();
    let id = said["job_id"].as_str().expect("an id");
    assert_eq!(said["status_url"], format!("/v1/jobs/{id}"));
    assert_eq!(answer.header("location"), said["status_url"].as_str());
    assert!(answer.retry_after_secs() > 0);
    assert!(["queued", "processing"].contains(&said["status"].as_str().expect("a word")), "{said}");
    let job = client.job_in(id, &["succeeded"]).await;
    (said, job)
}

#[tokio::test]
async fn an_upload_is_answered_at_once_and_its_job_can_be_asked_for() {
    let client = GATE.tenant("upload").await;
    let by_service = client.analyze(clip_form().text("item_type", "comic")).await.result();
    for path in PATHS {
        let form = clip_form().text("scanId", "0042").text("itemType", "Comic");
        let request = client.request(Method::POST, path).header("prefer", "wait=30");
        let answer = send(request.multipart(form)).await;
        let (said, job) = followed(&client, answer).await;
        assert_eq!((&said["scanId"], &said["itemType"]), (&json!("0042"), &json!("comic")));
        assert_eq!(job["result"]["frames"], by_service["frames"], "{path}");
        assert_eq!(job["result"]["frames"].as_array().map(Vec::len), usize::try_from(FRAMES).ok());
        assert!(["cpu", "cuda"].contains(&job["device"].as_str().expect("it ran")), "{job}");
    }
}

#[tokio::test]
async fn json_brings_the_bytes_as_base64_or_as_a_data_url() {
    let client = GATE.tenant("bytes").await;
    let url = format!("data:video/mp4;base64,{}", base64(&MOVING));
    for body in [
        json!({ "video": base64(&MOVING), "videoUrl": null, "scanId": 42 }),
        json!({ "videoUrl": url, "scanId": 42 }),
    ] {
        let answer = client.post(PATHS[0], &body).await;
        let (said, job) = followed(&client, answer).await;
        assert_eq!(said["scanId"], 42);
        assert_eq!(job["result"]["frames"].as_array().map(Vec::len), usize::try_from(FRAMES).ok());
    }
}

#[tokio::test]
async fn an_address_is_not_fetched_and_the_answer_says_what_to_do() {
    let client = GATE.tenant("address").await;
    for path in PATHS {
        let body =
            json!({ "videoUrl": "https://example.org/a.mp4", "scanId": "s", "itemType": "comic" });
        let answer = client.post(path, &body).await;
        let problem = answer.problem(422, "url_not_fetched", Some("videoUrl"));
        assert!(
            problem["detail"].as_str().expect("a text").contains("send the bytes"),
            "{problem}"
        );
        let form = Form::new().text("videoUrl", "http://127.0.0.1/a.mp4");
        let answer = upload(&client, path, form).await;
        answer.problem(422, "url_not_fetched", Some("videoUrl"));
    }
    assert_eq!(client.get("/v1/jobs").await.ok()["data"], json!([]), "no job was made");
}

#[tokio::test]
async fn what_is_not_known_is_passed_over() {
    let client = GATE.tenant("unknown").await;
    let form = clip_form().text("itemType", "vase").text("userId", "u").text("a.b", "c");
    let form = form.part("thumbnail", file("t.bin", vec![255; 100_000]));
    let (said, _) = followed(&client, upload(&client, PATHS[0], form).await).await;
    assert_eq!((&said["scanId"], &said["itemType"]), (&Value::Null, &json!("generic")));
    let body = json!({ "video": base64(&MOVING), "webhook": {"url": 1}, "itemType": "" });
    let (said, _) = followed(&client, client.post(PATHS[1], &body).await).await;
    assert_eq!(said["itemType"], "generic");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let client = GATE.tenant("wrong").await;
    let post = async |body: Value| client.post(PATHS[0], &body).await;
    post(json!({})).await.problem(422, "field_missing", Some("video"));
    let long = json!({ "video": base64(&MOVING), "scanId": "x".repeat(129) });
    post(long).await.problem(422, "field_invalid", Some("scanId"));
    let odd = json!({ "video": base64(&MOVING), "scanId": "a\nb" });
    post(odd).await.problem(422, "field_invalid", Some("scanId"));
    let text = json!({ "video": base64(b"no video at all") });
    post(text).await.problem(422, "video_invalid", Some("video"));
    let picture = json!({ "videoUrl": format!("data:image/gif;base64,{}", base64(b"GIF89a")) });
    post(picture).await.problem(422, "video_invalid", Some("videoUrl"));
    client.get(PATHS[0]).await.problem(405, "method_not_allowed", None);
    GATE.client().post(PATHS[1], &json!({})).await.problem(401, "credential_missing", None);
    let scoped = GATE.key("wrong", &["--scope", "echo"]);
    let scoped = GATE.client_with(&scoped).await;
    scoped.post(PATHS[0], &json!({})).await.problem(403, "scope_missing", None);
}
