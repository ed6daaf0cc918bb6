//! Service `sharp` as far as it goes without a model: routes, refusals, pages that need no key.

use std::sync::LazyLock;

use postern_tests::client::{Answer, Client, base64, file, send};
use postern_tests::gate::Gate;
use postern_tests::picture;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

static GATE: LazyLock<Gate> = LazyLock::new(Gate::start);

const PREDICT: &str = "/v1/sharp/predict";
const OLD: [&str; 2] = ["/sharp/predict", "/sharp/predict/ply"];

fn all() -> impl Iterator<Item = &'static str> {
    std::iter::once(PREDICT).chain(OLD)
}

fn png() -> bytes::Bytes {
    picture::square(64, 48, 0)
}

async fn raw(client: &Client, path: &str, media_type: &str) -> Answer {
    let request = client.request(Method::POST, path).header("content-type", media_type);
    send(request.body(png())).await
}

async fn upload(client: &Client, path: &str, form: Form) -> Answer {
    send(client.request(Method::POST, path).multipart(form)).await
}

fn form(part: &'static str) -> Form {
    Form::new().part(part, file("picture.png", png()))
}

/// Without weights everything that is well-formed ends here.
#[track_caller]
fn check_unavailable(answer: &Answer) {
    let problem = answer.problem(503, "pipeline_unavailable", None);
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains("`postern pull sharp`"), "{detail}");
}

#[tokio::test]
async fn without_weights_every_form_of_a_picture_is_told_what_to_install() {
    let client = GATE.tenant("forms").await;
    for path in all() {
        check_unavailable(&upload(&client, path, form("image")).await);
        check_unavailable(&upload(&client, path, form("file")).await);
        check_unavailable(&raw(&client, path, "image/png").await);
        check_unavailable(&client.post(path, &json!({ "image": base64(&png()) })).await);
        let url = format!("data:image/png;base64,{}", base64(&png()));
        check_unavailable(&client.post(path, &json!({ "image": url })).await);
    }
    let everything = "?focal_px=900&principal_x=32&principal_y=24&axes=gltf&format=spz\
                      &outputs=ply,video&trajectory=swipe";
    check_unavailable(&raw(&client, &format!("{PREDICT}{everything}"), "image/png").await);
    assert_eq!(client.get("/v1/jobs").await.ok()["data"], json!([]), "no job was made");
    let said = client.get("/sharp/health").await;
    assert_eq!((said.status, said.json()["status"].as_str()), (503, Some("unhealthy")));
    let missing = said.json()["pipelines"][0]["missing"].as_str().expect("a text").to_owned();
    assert!(missing.contains("`postern pull sharp`"), "{missing}");
}

#[tokio::test]
async fn the_focal_length_goes_by_the_names_that_clients_use() {
    let client = GATE.tenant("focal").await;
    for path in OLD {
        for name in ["focal_px", "f_px", "focal_length"] {
            check_unavailable(&upload(&client, path, form("file").text(name, "900.5")).await);
            check_unavailable(&raw(&client, &format!("{path}?{name}=900"), "image/png").await);
            let body = json!({ "image": base64(&png()), name: 900, "seed": 1 });
            check_unavailable(&client.post(path, &body).await);
            let odd = upload(&client, path, form("file").text(name, "-1")).await;
            odd.problem(422, "field_invalid", Some(name));
            let odd = raw(&client, &format!("{path}?{name}=wide"), "image/png").await;
            odd.problem(422, "field_invalid", Some(name));
        }
        let two = form("file").text("f_px", "900").text("focal_length", "35");
        upload(&client, path, two).await.problem(422, "field_conflict", Some("focal_length"));
        check_unavailable(&upload(&client, path, form("file").text("unknown", "1")).await);
    }
}

#[tokio::test]
async fn each_bad_parameter_is_named_wherever_it_stands() {
    let client = GATE.tenant("fields").await;
    for (name, value) in [
        ("focal_px", json!(0)),
        ("focal_px", json!(1_000_001)),
        ("focal_px", json!("wide")),
        ("principal_x", json!(1e7)),
        ("principal_y", json!(true)),
        ("axes", json!("blender")),
        ("trajectory", json!("fall")),
        ("format", json!("obj")),
        ("outputs", json!([])),
        ("outputs", json!("ply")),
    ] {
        let body = json!({ "image": base64(&png()), name: value });
        client.post(PREDICT, &body).await.problem(422, "field_invalid", Some(name));
    }
    for (name, text) in [
        ("focal_px", "0"),
        ("axes", "blender"),
        ("trajectory", "fall"),
        ("format", "obj"),
        ("outputs", "[]"),
    ] {
        let sent = upload(&client, PREDICT, form("image").text(name, text)).await;
        sent.problem(422, "field_invalid", Some(name));
        let asked = raw(&client, &format!("{PREDICT}?{name}={text}"), "image/png").await;
        asked.problem(422, "field_invalid", Some(name));
    }
    let sent = upload(&client, PREDICT, form("image").text("outputs", "ply,obj")).await;
    sent.problem(422, "field_invalid", Some("outputs[1]"));
    let both = form("image").text("axes", "gltf");
    let both = upload(&client, &format!("{PREDICT}?axes=gltf"), both).await;
    both.problem(422, "field_conflict", Some("axes"));
    let body = json!({ "image": base64(&png()), "focal": 900 });
    client.post(PREDICT, &body).await.problem(422, "field_unknown", Some("focal"));
    let sent = upload(&client, PREDICT, form("image").text("focal", "900")).await;
    sent.problem(422, "part_unknown", Some("focal"));
    let asked = raw(&client, &format!("{PREDICT}?focal=900"), "image/png").await;
    asked.problem(422, "field_unknown", Some("focal"));
}

#[tokio::test]
async fn one_picture_of_a_known_kind_is_wanted() {
    let client = GATE.tenant("pictures").await;
    for path in all() {
        client.post(path, &json!({})).await.problem(422, "field_missing", Some("image"));
        let none = upload(&client, path, Form::new().text("note", "x")).await;
        let (code, field) =
            if path == PREDICT { ("part_unknown", "note") } else { ("field_missing", "image") };
        none.problem(422, code, Some(field));
        let two = form("image").part("file", file("b.png", png()));
        upload(&client, path, two).await.problem(422, "field_conflict", Some("file"));
        let text = json!({ "image": base64(b"no picture at all") });
        client.post(path, &text).await.problem(422, "picture_invalid", Some("image"));
        let broken = json!({ "image": "?" });
        client.post(path, &broken).await.problem(422, "field_invalid", Some("image"));
        let bomb = Form::new().part("image", file("b.png", picture::claiming(60_000, 60_000)));
        upload(&client, path, bomb).await.problem(422, "image_too_large", Some("image"));
        raw(&client, path, "application/octet-stream").await.problem(
            415,
            "media_type_unsupported",
            None,
        );
        let empty = send(client.request(Method::POST, path).header("content-type", "image/png"));
        empty.await.problem(422, "body_missing", None);
        client.get(path).await.problem(405, "method_not_allowed", None);
    }
}

#[tokio::test]
async fn a_picture_whose_reading_is_the_sidecars_matter_reaches_the_pipeline() {
    let client = GATE.tenant("heic").await;
    let heic = bytes::Bytes::from_static(b"\0\0\0\x20ftypheic\0\0\0\0mif1heic");
    for path in all() {
        let form = Form::new().part("image", file("photo.heic", heic.clone()));
        let answer = upload(&client, path, form).await;
        answer.problem(503, "pipeline_unavailable", None);
    }
}

#[tokio::test]
async fn a_key_with_the_scope_is_needed_for_everything_that_runs() {
    GATE.tenant("scoped").await;
    let scoped = GATE.key("scoped", &["--scope", "echo"]);
    let scoped = GATE.client_with(&scoped).await;
    for path in all() {
        GATE.client().post(path, &json!({})).await.problem(401, "credential_missing", None);
        scoped.post(path, &json!({})).await.problem(403, "scope_missing", None);
    }
}

#[tokio::test]
async fn the_pages_of_the_service_need_no_key() {
    let client = GATE.client();
    for path in ["/sharp", "/sharp/"] {
        let page = client.get(path).await.ok();
        assert_eq!(page["name"], "sharp");
        assert!(page["version"].is_string(), "{page}");
        let routes = page["routes"].as_array().expect("a list");
        let paths: Vec<&str> = routes.iter().filter_map(|route| route["path"].as_str()).collect();
        assert!(all().all(|path| paths.contains(&path)), "{paths:?}");
    }
    let health = client.get("/sharp/health").await;
    let said = health.json();
    assert_eq!(said["service"], "sharp");
    assert_eq!(said["pipelines"][0]["id"], "sharp@1");
    let is_ready = said["pipelines"][0]["ready"] == true;
    assert_eq!(health.status, if is_ready { 200 } else { 503 }, "{said}");
    assert_eq!(said["status"], if is_ready { "healthy" } else { "unhealthy" });
    assert_eq!(said["queue"], client.get("/health").await.ok()["queue"]);
    client.post("/sharp/health", &json!({})).await.problem(405, "method_not_allowed", None);
    let head = send(client.request(Method::HEAD, "/sharp/")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    // A wrong key is not looked at: nothing of the caller is used.
    assert_eq!(client.with_key("sk_0_0").get("/sharp/").await.status, 200);
}

#[tokio::test]
async fn the_routes_are_documented_and_only_the_new_one_is_found_by_a_client() {
    let document = GATE.client().get("/openapi.json").await.ok();
    assert_eq!(document["paths"][PREDICT]["post"]["deprecated"], Value::Null);
    for path in OLD {
        assert_eq!(document["paths"][path]["post"]["deprecated"], true, "{path}");
    }
}
