//! Service `sharp` with a model of small sizes: answers as customers get them.

use std::sync::LazyLock;

use bytes::Bytes;
use postern_tests::client::{Answer, Client, base64, file, send};
use postern_tests::gate::{Gate, Setup};
use postern_tests::patience::until;
use postern_tests::{picture, weights};
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

static GATE: LazyLock<Gate> = LazyLock::new(|| start(""));

const PREDICT: &str = "/v1/sharp/predict";
const SIZE: (u32, u32) = (96, 64);

fn start(settings: &str) -> Gate {
    let settings = settings.to_owned();
    Gate::start_with(Setup { settings, weights: Some(weights::sharp), ..Setup::default() })
}

fn png() -> Bytes {
    picture::square(SIZE.0, SIZE.1, 0)
}

fn form(part: &'static str) -> Form {
    Form::new().part(part, file("picture.png", png()))
}

async fn upload(client: &Client, path: &str, form: Form) -> Answer {
    send(client.request(Method::POST, path).multipart(form)).await
}

async fn raw(client: &Client, path: &str) -> Answer {
    let request = client.request(Method::POST, path).header("content-type", "image/png");
    send(request.body(png())).await
}

/// How many Gaussians the header of a PLY promises.
#[track_caller]
fn vertices(ply: &[u8]) -> u64 {
    let end = ply.windows(11).position(|bytes| bytes == b"end_header\n").expect("a header");
    let head = std::str::from_utf8(&ply[..end]).expect("text");
    assert!(head.starts_with("ply\nformat binary_little_endian 1.0\n"), "{head}");
    let count = head.lines().find_map(|line| line.strip_prefix("element vertex "));
    count.and_then(|count| count.parse().ok()).expect("a count")
}

#[tokio::test]
async fn a_picture_becomes_a_job_whose_files_are_linked() {
    let client = GATE.tenant("job").await;
    let form = form("image").text("outputs", "ply,splat,preview").text("focal_px", "90.5");
    let answer = upload(&client, PREDICT, form).await;
    let (job, result) = (answer.ok(), answer.result());
    assert_eq!((&result["width"], &result["height"]), (&json!(SIZE.0), &json!(SIZE.1)));
    assert_eq!((&result["focal_px"], &result["focal_source"]), (&json!(90.5), &json!("parameter")));
    let count = result["num_gaussians"].as_u64().expect("a count");
    let artifacts = result["artifacts"].as_object().expect("an object");
    assert_eq!(artifacts.keys().collect::<Vec<_>>(), ["ply", "preview", "splat"]);
    let mut bytes = Vec::new();
    for name in ["ply", "splat", "preview"] {
        let artifact = &artifacts[name];
        let found = client.get(artifact["url"].as_str().expect("a link")).await;
        assert_eq!(found.status, 200);
        assert_eq!(artifact["bytes"], found.body.len());
        assert_eq!(artifact["media_type"].as_str(), found.header("content-type"));
        bytes.push(found.body);
    }
    assert!(count > 0 && vertices(&bytes[0]) == count);
    assert_eq!(bytes[1].len() as u64, 32 * count);
    assert!(picture::decode(&bytes[2]).width() > 0);
    let id = job["id"].as_str().expect("an id");
    assert_eq!(client.job(id).await["result"], result, "the same later");
}

#[tokio::test]
async fn with_a_format_the_answer_is_the_file_itself() {
    let client = GATE.tenant("format").await;
    for (format, media_type, magic) in [
        ("ply", "application/octet-stream", &b"ply\n"[..]),
        ("spz", "application/octet-stream", b"\x1f\x8b"),
        ("splat", "application/octet-stream", b""),
        ("sog", "application/zip", b"PK\x03\x04"),
        ("json", "application/json", b"{\"num_gaussians\":"),
    ] {
        let path = format!("{PREDICT}?format={format}");
        let request = client.request(Method::POST, &path).header("content-type", "image/png");
        // What was made just now has no part that a client could know of.
        let request = request.header("range", "bytes=0-1").header("if-none-match", "*");
        let answer = send(request.body(png())).await;
        assert_eq!(answer.status, 200, "{format}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some(media_type), "{format}");
        assert!(answer.body.starts_with(magic), "{format}");
        let name = format!("attachment; filename=\"gaussians.{format}\"");
        assert_eq!(answer.header("content-disposition"), Some(name.as_str()));
        let place = answer.header("content-location").expect("it says where the file stays");
        let again = client.get(place).await;
        assert_eq!(again.body, answer.body, "{format}");
        assert_eq!(again.header("etag"), answer.header("etag"));
        assert!(answer.header("etag").is_some());
        let link = answer.header("link").expect("it says which job it was");
        let job = link.trim_start_matches('<').split('>').next().expect("an address");
        let job = client.get(job).await.ok();
        let outputs = job["outputs"].as_array().expect("outputs");
        assert_eq!(outputs.len(), 1, "nothing else is made: {outputs:?}");
    }
    let request = client.request(Method::POST, &format!("{PREDICT}?format=ply"));
    let request = request.header("prefer", "respond-async").multipart(form("file"));
    let id = send(request).await.accepted();
    client.job_in(&id, &["succeeded"]).await;
}

#[tokio::test]
async fn a_client_of_the_earlier_service_gets_what_it_knows() {
    let client = GATE.tenant("old").await;
    let health = GATE.client().get("/sharp/health").await.ok();
    assert_eq!((&health["status"], &health["model_loaded"]), (&json!("healthy"), &json!(true)));
    let all = upload(&client, "/sharp/predict", form("file").text("f_px", "90.5")).await.ok();
    let count = all["num_gaussians"].as_u64().expect("a count");
    assert_eq!((&all["width"], &all["height"]), (&json!(SIZE.0), &json!(SIZE.1)));
    assert_eq!(all["focal_px"], 90.5);
    for name in ["means", "scales", "rotations", "colors", "opacities"] {
        let rows = all[name].as_array().map(Vec::len);
        assert_eq!(rows, usize::try_from(count).ok(), "{name}");
    }
    let path = "/sharp/predict/ply";
    let first = upload(&client, path, form("image").text("focal_length", "90.5")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(vertices(&first.body), count);
    let second = raw(&client, &format!("{path}?focal_px=90.5")).await;
    let third = client.post(path, &json!({ "image": base64(&png()), "f_px": 90.5 })).await;
    assert!(first.body == second.body && first.body == third.body);
    // The header that these clients send.
    let key = client.key().expect("a tenant's client has one");
    let request = GATE.client().request(Method::POST, path).header("x-api-key", key);
    let fourth = send(request.multipart(form("file"))).await;
    assert_eq!(vertices(&fourth.body), count);
}

#[tokio::test]
async fn a_picture_that_breaks_off_is_refused_with_its_field() {
    let client = GATE.tenant("torn").await;
    let torn = png().slice(..png().len() / 2);
    for path in [PREDICT, "/sharp/predict", "/sharp/predict/ply"] {
        let form = Form::new().part("file", file("torn.png", torn.clone()));
        upload(&client, path, form).await.problem(422, "image_undecodable", Some("image"));
    }
    let outside = form("image").text("principal_x", "1000");
    let outside = upload(&client, PREDICT, outside).await;
    outside.problem(422, "params_out_of_range", Some("principal_x"));
}

#[tokio::test]
async fn a_run_that_outlasts_the_wait_is_a_failure_that_names_its_job() {
    let gate = start("[limits]\nwait_secs_max = 0\n");
    let client = gate.tenant("slow").await;
    let answer = raw(&client, "/sharp/predict/ply").await;
    let problem = answer.problem(504, "run_unfinished", None);
    assert_eq!(answer.header("retry-after"), None, "a second try would be a second run");
    let job = answer.header("location").expect("it says where to ask").to_owned();
    let detail = problem["detail"].as_str().expect("a text");
    let file = format!("{job}/outputs/gaussians.ply");
    assert!(detail.contains(&file), "{detail}");
    let id = job.rsplit('/').next().expect("an id");
    client.job_in(id, &["succeeded"]).await;
    assert!(vertices(&client.get(&file).await.body) > 0);
    let request = client.request(Method::POST, "/sharp/predict").header("prefer", "wait=5");
    let id = send(request.multipart(form("file"))).await.accepted();
    let job: Value = client.job_in(&id, &["succeeded"]).await;
    assert_eq!(job["outputs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_list_of_models_tells_how_the_load_went() {
    let client = GATE.tenant("models").await;
    upload(&client, PREDICT, form("image")).await.ok();
    let told = until("the model is told to be ready", async || {
        let models = client.get("/v1/models").await.ok();
        let models = models["data"].as_array().expect("a list").clone();
        let sharp = models.into_iter().find(|model| model["name"] == "sharp")?;
        (sharp["state"] == "ready").then_some(sharp)
    })
    .await;
    let weights = &told["weights"][0];
    assert_eq!(weights["licence"]["research_only"], true, "{weights}");
    assert!(weights["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{weights}");
    assert!(weights["load_ms"].is_number() && weights["loaded_at"].is_string(), "{weights}");
}

const HEIC: &[u8] = include_bytes!("../goldens/heif/turned.heic");

async fn upload_heic(gate: &Gate) -> Answer {
    let client = gate.tenant("heic").await;
    upload(&client, PREDICT, Form::new().part("image", file("photo.heic", HEIC))).await
}

#[tokio::test]
async fn a_phones_picture_is_read_where_the_program_for_it_is_installed() {
    let result = upload_heic(&GATE).await.result();
    assert_eq!((&result["width"], &result["height"]), (&json!(64), &json!(96)), "{result}");
    assert_eq!(result["focal_source"], "exif35", "{result}");
}

#[tokio::test]
async fn without_the_program_it_is_told_what_to_install() {
    let none = tempfile::tempdir().expect("a folder without programs");
    let programs = Some(none.path().to_owned());
    let setup = Setup { weights: Some(weights::sharp), programs, ..Setup::default() };
    let answer = upload_heic(&Gate::start_with(setup)).await;
    let problem = answer.problem(415, "media_type_unsupported", Some("image"));
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains("apt install libheif-examples") && detail.contains("JPEG"), "{detail}");
}
