//! Requests that are not well-formed: paths, media types, fields and parts.

use postern_tests::client::{base64, file, send};
use postern_tests::clip::MOVING;
use postern_tests::picture;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::GATE;

const ANALYZE: &str = "/v1/vision/analyze";

fn clip_form() -> Form {
    Form::new().part("video", file("clip.mp4", MOVING.clone()))
}

#[tokio::test]
async fn a_path_or_method_that_does_not_exist_is_told_so() {
    let client = GATE.tenant("lost").await;
    client.get("/v1/nothing").await.problem(404, "not_found", None);
    client.get("/v1/jobs/nonsense").await.problem(404, "job_not_found", None);
    let job = format!("/v1/jobs/job_{}", "0".repeat(32));
    client.get(&job).await.problem(404, "job_not_found", None);
    for (method, path, allow) in [
        (Method::GET, ANALYZE, "POST"),
        (Method::PUT, "/v1/echo", "POST"),
        (Method::PUT, "/v1/jobs", "GET"),
        (Method::POST, "/livez", "GET"),
    ] {
        let answer = send(client.request(method, path)).await;
        answer.problem(405, "method_not_allowed", None);
        let allowed = answer.header("allow").expect("a 405 says what is allowed");
        assert!(allowed.split(',').any(|method| method.trim() == allow), "{path}: {allowed}");
    }
}

#[tokio::test]
async fn a_media_type_that_the_route_does_not_take_is_refused() {
    let client = GATE.tenant("typed").await;
    for media_type in ["text/plain", "application/zip", "application/x-www-form-urlencoded"] {
        for path in [ANALYZE, "/v1/echo"] {
            let request = client.request(Method::POST, path).header("content-type", media_type);
            let answer = send(request.body("{}")).await;
            answer.problem(415, "media_type_unsupported", None);
        }
    }
    let untyped = client.request(Method::POST, ANALYZE).body("{}");
    send(untyped).await.problem(415, "media_type_unsupported", None);
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_refused() {
    let client = GATE.tenant("garbled").await;
    let post = |media_type: &'static str, body: &'static str| {
        let request = client.request(Method::POST, ANALYZE).header("content-type", media_type);
        send(request.body(body))
    };
    post("application/json", "{\"video\": ").await.problem(422, "json_invalid", None);
    post("application/json", "").await.problem(422, "body_missing", None);
    let form = "multipart/form-data; boundary=x";
    post(form, "no form at all").await.problem(422, "multipart_invalid", None);
    let cut = "--x\r\ncontent-disposition: form-data; name=\"video\"\r\n\r\nhalf";
    post(form, cut).await.problem(422, "multipart_invalid", None);
}

/// As deep as JSON may be, a component's stack suffices; deeper is refused and traps nothing.
#[tokio::test]
async fn json_may_be_nested_126_deep_and_no_deeper() {
    let client = GATE.tenant("nested").await;
    let post = async |depth: usize| {
        let message = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let request = client.request(Method::POST, "/v1/echo");
        let request = request.header("content-type", "application/json");
        send(request.body(format!("{{\"message\":{message}}}"))).await
    };
    let answer = post(126).await;
    assert_eq!(answer.status, 200, "{:?}", answer.text());
    for depth in [127, 10_000] {
        post(depth).await.problem(422, "json_invalid", None);
    }
}

#[tokio::test]
async fn a_parameter_out_of_range_is_named_wherever_it_stands() {
    let client = GATE.tenant("ranged").await;
    for (field, value) in [
        ("max_frames", json!(0)),
        ("key_frames", json!(65)),
        ("every_n", json!(0)),
        ("sample_fps", json!(0)),
        ("farneback.winsize", json!(2)),
        ("farneback.pyr_scale", json!(1)),
        ("farneback.poly_n", json!(6)),
        ("canny.aperture", json!(4)),
        ("canny.low", json!(-1)),
        ("morphology.op", json!("melt")),
    ] {
        let by_form = clip_form().text(field, value.to_string().trim_matches('"').to_owned());
        client.analyze(by_form).await.problem(422, "field_invalid", Some(field));
        let mut body = json!({ "video": base64(&MOVING) });
        *nested(&mut body, field) = value;
        client.post(ANALYZE, &body).await.problem(422, "field_invalid", Some(field));
    }
}

/// The member at a dotted path.
fn nested<'a>(body: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(body, |value, name| &mut value[name])
}

#[tokio::test]
async fn a_field_of_the_wrong_type_or_name_is_named() {
    let client = GATE.tenant("named").await;
    let text = clip_form().text("every_n", "many");
    client.analyze(text).await.problem(422, "field_invalid", Some("every_n"));
    let body = json!({ "video": base64(&MOVING), "every_n": "2" });
    client.post(ANALYZE, &body).await.problem(422, "field_invalid", Some("every_n"));
    let body = json!({ "video": base64(&MOVING), "canny": { "lwo": 1 } });
    client.post(ANALYZE, &body).await.problem(422, "field_unknown", Some("canny.lwo"));
    let body = json!({ "video": base64(&MOVING), "frame_rate": 1 });
    client.post(ANALYZE, &body).await.problem(422, "field_unknown", Some("frame_rate"));
    let form = clip_form().text("canny.lwo", "1");
    client.analyze(form).await.problem(422, "field_unknown", Some("canny.lwo"));
    let form = clip_form().text("frame_rate", "1");
    client.analyze(form).await.problem(422, "part_unknown", Some("frame_rate"));
}

#[tokio::test]
async fn parameters_that_exclude_each_other_are_refused() {
    let client = GATE.tenant("torn").await;
    let both = clip_form().text("every_n", "2").text("sample_fps", "2");
    client.analyze(both).await.problem(422, "field_conflict", Some("every_n"));
    let both = json!({ "video": base64(&MOVING), "every_n": 2, "sample_fps": 2 });
    client.post(ANALYZE, &both).await.problem(422, "field_conflict", Some("every_n"));
}

#[tokio::test]
async fn a_video_or_pictures_are_needed_and_not_both() {
    let client = GATE.tenant("undecided").await;
    let none = client.analyze(Form::new().text("every_n", "2")).await;
    none.problem(422, "field_missing", Some("video"));
    client.post(ANALYZE, &json!({})).await.problem(422, "field_missing", Some("video"));
    let picture = picture::square(64, 64, 0);
    let both = clip_form().part("frame", file("frame.png", picture.clone()));
    client.analyze(both).await.problem(422, "field_conflict", Some("frame"));
    let both = json!({ "video": base64(&MOVING), "frames": [base64(&picture)] });
    client.post(ANALYZE, &both).await.problem(422, "field_conflict", Some("frames"));
    let twice = clip_form().part("video", file("clip.mp4", MOVING.clone()));
    client.analyze(twice).await.problem(422, "too_many_parts", Some("video"));
}

#[tokio::test]
async fn a_wait_that_is_no_number_is_refused() {
    let client = GATE.tenant("impatient").await;
    let request = client.request(Method::POST, "/v1/echo").header("prefer", "wait=soon");
    send(request.json(&json!({}))).await.problem(400, "bad_request", Some("prefer"));
}

#[tokio::test]
async fn listings_refuse_queries_that_they_do_not_know() {
    let client = GATE.tenant("lister").await;
    client.get("/v1/jobs?limit=0").await.problem(400, "bad_request", Some("limit"));
    client.get("/v1/jobs?after=x").await.problem(400, "bad_request", Some("after"));
    client.get("/v1/jobs?colour=red").await.problem(400, "bad_request", None);
}
