//! Service `sharp` with a model: a golden's small network under the published file's name, so that
//! the whole way is gone in a second.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use postern_tests::client::{Client, base64, file, send};
use postern_tests::gate::{Gate, Setup};
use postern_tests::picture;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Gaussians of the small network.
const COUNT: usize = 2 * 64 * 64;
/// Of them as PLY.
const PLY_BYTES: usize = 666 + 56 * COUNT + 128;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/sharp/11_e2e_grid2_no_overlap")
}

/// A folder of weights.
static WEIGHTS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("sharp");
    std::fs::create_dir(&model).expect("a folder");
    let weights = std::fs::read(golden().join("weights.safetensors")).expect("is tracked");
    std::fs::write(model.join("sharp_2572gikvuh.pt"), weights).expect("the weights");
    let case = std::fs::read(golden().join("case.json")).expect("is tracked");
    let case: Value = serde_json::from_slice(&case).expect("JSON");
    std::fs::write(model.join("config.json"), case["config"].to_string()).expect("the sizes");
    folder
});

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let settings = format!("[sidecar]\nweights_dir = {:?}\n", WEIGHTS.path());
    Gate::start_with(Setup { settings, ..Setup::default() })
});

fn png() -> bytes::Bytes {
    picture::square(96, 64, 0)
}

fn form() -> Form {
    Form::new().part("image", file("picture.png", png()))
}

async fn upload(client: &Client, path: &str, form: Form) -> postern_tests::client::Answer {
    send(client.request(Method::POST, path).multipart(form)).await
}

#[tokio::test]
async fn a_picture_comes_back_as_gaussians_with_its_files_linked() {
    let client = GATE.tenant("files").await;
    let form = form().text("outputs", "ply,json,preview").text("focal_px", "80");
    let job = upload(&client, "/v1/sharp/predict", form).await.ok();
    let result = &job["result"];
    assert_eq!(result["num_gaussians"], COUNT);
    assert_eq!([&result["width"], &result["height"]], [&json!(96), &json!(64)]);
    assert_eq!((&result["focal_px"], &result["axes"]), (&json!(80.0), &json!("opencv")));
    let url = |name: &str| result["artifacts"][name]["url"].as_str().expect("a link").to_owned();
    let ply = client.get(&url("ply")).await;
    assert_eq!((ply.status, ply.body.len()), (200, PLY_BYTES));
    assert!(ply.body.starts_with(b"ply\nformat binary_little_endian 1.0\nelement vertex 8192\n"));
    let preview = client.get(&url("preview")).await;
    assert_eq!(preview.header("content-type"), Some("image/png"));
    assert_eq!(picture::decode(&preview.body).width(), 96);
    let text = client.get(&url("json")).await.json();
    assert_eq!(text["means"].as_array().map(Vec::len), Some(COUNT));
    let range = client.request(Method::GET, &url("ply")).header("range", "bytes=0-2");
    let part = send(range).await;
    assert_eq!((part.status, &part.body[..]), (206, &b"ply"[..]));
}

#[tokio::test]
async fn a_format_is_answered_with_the_file_itself() {
    let client = GATE.tenant("format").await;
    let path = "/v1/sharp/predict?format=ply&axes=gltf";
    let answer =
        send(client.request(Method::POST, path).header("content-type", "image/png").body(png()))
            .await;
    assert_eq!((answer.status, answer.body.len()), (200, PLY_BYTES));
    assert!(answer.header("etag").is_some() && answer.header("content-location").is_some());
    let splat =
        client.post("/v1/sharp/predict?format=splat", &json!({ "image": base64(&png()) })).await;
    assert_eq!((splat.status, splat.body.len()), (200, 32 * COUNT));
}

#[tokio::test]
async fn the_same_is_had_as_a_job() {
    let client = GATE.tenant("job").await;
    let request = client.request(Method::POST, "/v1/sharp/predict").header("prefer", "wait=0");
    let id = send(request.multipart(form())).await.accepted();
    let job = client.job_in(&id, &["succeeded"]).await;
    assert_eq!(job["result"]["num_gaussians"], COUNT);
}

#[tokio::test]
async fn clients_of_the_earlier_service_get_what_they_know() {
    let client = GATE.tenant("old").await;
    let answer = upload(&client, "/sharp/predict", form().text("f_px", "77")).await.ok();
    assert_eq!([&answer["width"], &answer["height"]], [&json!(96), &json!(64)]);
    assert_eq!((&answer["focal_px"], &answer["num_gaussians"]), (&json!(77.0), &json!(COUNT)));
    for column in ["means", "scales", "rotations", "colors", "opacities"] {
        assert_eq!(answer[column].as_array().map(Vec::len), Some(COUNT), "{column}");
    }
    let ply = upload(&client, "/sharp/predict/ply", form()).await;
    assert_eq!((ply.status, ply.body.len()), (200, PLY_BYTES));
    let health = Client::new(client.address()).get("/sharp/health").await;
    assert_eq!(health.status, 200, "{}", health.text());
}

#[tokio::test]
async fn a_bad_picture_is_refused_by_name() {
    let client = GATE.tenant("bad").await;
    let whole = png();
    let cut = Form::new().part("image", file("cut.png", whole.slice(..whole.len() / 2)));
    let answer = upload(&client, "/v1/sharp/predict", cut).await;
    answer.problem(422, "image_undecodable", Some("image"));
    let huge = Form::new().part("image", file("huge.png", picture::claiming(20_000, 20_000)));
    let answer = upload(&client, "/v1/sharp/predict", huge).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
}

#[tokio::test]
async fn the_list_of_models_tells_how_the_load_went() {
    let client = GATE.tenant("models").await;
    upload(&client, "/v1/sharp/predict", form()).await.ok();
    let told = postern_tests::patience::until("the model is told to be ready", async || {
        let models = client.get("/v1/models").await.ok();
        let models = models["data"].as_array().expect("a list").clone();
        let sharp = models.into_iter().find(|model| model["name"] == "sharp")?;
        (sharp["state"] == "ready").then_some(sharp)
    })
    .await;
    let weights = &told["weights"][0];
    assert_eq!(weights["licence"]["research_only"], true, "{weights}");
    assert!(weights["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{weights}");
    assert!(weights["load_ms"].is_number(), "{weights}");
}
