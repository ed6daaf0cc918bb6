//! Tenants do not see each other, operators see what they need, and secrets are seen by nobody.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use futures_util::future::join_all;
use postern_tests::client::{Client, file, send};
use postern_tests::clip::MOVING;
use postern_tests::gate::Gate;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

static GATE: LazyLock<Gate> = LazyLock::new(Gate::start);

fn clip_form() -> Form {
    Form::new().part("video", file("clip.mp4", MOVING.clone()))
}

async fn job_ids(client: &Client) -> Vec<String> {
    let jobs = client.get("/v1/jobs").await.ok();
    let ids = jobs["data"].as_array().expect("a list").iter();
    ids.map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_tenant_sees_no_job_and_no_output_of_another() {
    let (owner, other) = (GATE.tenant("owner").await, GATE.tenant("stranger").await);
    let result = owner.analyze(clip_form()).await.result();
    let id = job_ids(&owner).await.pop().expect("one job");
    let output = result["key_frames"][0]["artifacts"]["frame"]["url"].as_str().expect("a link");
    assert!(job_ids(&other).await.is_empty());
    let job = format!("/v1/jobs/{id}");
    for path in [job.as_str(), output] {
        assert_eq!(owner.get(path).await.status, 200);
        other.get(path).await.problem(404, "job_not_found", None);
        GATE.client().get(path).await.problem(401, "credential_missing", None);
    }
    let cancel = other.post(&format!("{job}/cancel"), &json!({})).await;
    cancel.problem(404, "job_not_found", None);
    other.delete(&job).await.problem(404, "job_not_found", None);
    // The answer is the same for a job that never was.
    let never = format!("/v1/jobs/job_{}", "0".repeat(32));
    let (theirs, nobodys) = (other.get(&job).await.json(), other.get(&never).await.json());
    assert_eq!(theirs["detail"], nobodys["detail"]);
    // A page that starts after another's job tells nothing of it either.
    let page = other.get(&format!("/v1/jobs?after={id}")).await.ok();
    assert_eq!(page["data"], json!([]));
    assert_eq!(owner.get(output).await.status, 200);
}

#[tokio::test]
async fn the_same_bytes_are_kept_once_for_a_tenant_and_again_for_another() {
    let copies = |tenant: &str| {
        let bytes = MOVING.len() as u64;
        GATE.blobs(tenant).into_iter().filter(|(_, length)| *length == bytes).count()
    };
    let (one, two) = (GATE.tenant("twin-one").await, GATE.tenant("twin-two").await);
    one.analyze(clip_form()).await.result();
    one.analyze(clip_form().text("every_n", "2")).await.result();
    assert_eq!((copies("twin-one"), copies("twin-two")), (1, 0));
    two.analyze(clip_form()).await.result();
    assert_eq!((copies("twin-one"), copies("twin-two")), (1, 1));
    // One job of two goes: the other still needs the bytes.
    let first = job_ids(&one).await.pop().expect("two jobs");
    one.delete(&format!("/v1/jobs/{first}")).await;
    assert_eq!(copies("twin-one"), 1);
    let last = job_ids(&one).await.pop().expect("one job");
    one.delete(&format!("/v1/jobs/{last}")).await;
    assert_eq!((copies("twin-one"), copies("twin-two")), (0, 1));
}

#[tokio::test]
async fn jobs_are_listed_page_by_page() {
    let client = GATE.tenant("pages").await;
    for number in 0..5 {
        client.echo(&json!({ "message": number })).await.ok();
    }
    let all = job_ids(&client).await;
    assert_eq!(all.len(), 5);
    let mut seen: Vec<String> = Vec::new();
    let mut path = "/v1/jobs?limit=2".to_owned();
    loop {
        let page = client.get(&path).await.ok();
        let ids = page["data"].as_array().expect("a list").iter();
        seen.extend(ids.map(|job| job["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/jobs?limit=2&after={next}");
    }
    assert_eq!(seen, all);
    let failed = client.get("/v1/jobs?state=failed").await.ok();
    assert_eq!(failed["data"], json!([]));
    let vision = client.get("/v1/jobs?service=vision").await.ok();
    assert_eq!(vision["data"], json!([]));
}

#[tokio::test]
async fn an_operator_manages_tenants_and_keys_over_http() {
    let operator = GATE.operator();
    let tenant = json!({ "id": "managed", "plan": "default" });
    assert_eq!(operator.post("/admin/v1/tenants", &tenant).await.status, 201);
    operator.post("/admin/v1/tenants", &tenant).await.problem(409, "conflict", None);
    let unknown = json!({ "id": "orphan", "plan": "none" });
    assert_eq!(operator.post("/admin/v1/tenants", &unknown).await.status, 404);
    let wrong = json!({ "id": "No Slug", "plan": "default" });
    operator.post("/admin/v1/tenants", &wrong).await.problem(422, "field_invalid", None);

    let new = json!({ "tenant": "managed", "label": "ci", "scopes": ["echo"] });
    let made = operator.post("/admin/v1/keys", &new).await;
    assert_eq!(made.status, 201);
    let key = made.json();
    let client = GATE.client().with_key(key["key"].as_str().expect("shown once"));
    client.echo(&json!({})).await.ok();
    let keys = operator.get("/admin/v1/keys?tenant=managed").await.ok();
    assert_eq!(keys["data"].as_array().map(Vec::len), Some(1));
    assert!(keys["data"][0].get("key").is_none() && keys["data"][0].get("hash").is_none());

    let change = |body: Value| {
        let request = operator.request(Method::PATCH, "/admin/v1/tenants/managed");
        send(request.json(&body))
    };
    assert_eq!(change(json!({ "suspended": true })).await.ok()["suspended"], true);
    client.echo(&json!({})).await.problem(401, "tenant_suspended", None);
    change(json!({ "suspended": false })).await.ok();
    client.echo(&json!({})).await.ok();

    let id = key["id"].as_str().expect("an id");
    operator.post(&format!("/admin/v1/keys/{id}/revoke"), &json!({})).await.ok();
    client.echo(&json!({})).await.problem(401, "key_revoked", None);
}

#[tokio::test]
async fn a_rotated_key_goes_on_for_its_grace_and_no_longer() {
    let operator = GATE.operator();
    GATE.tenant("rotating").await;
    for (grace_secs, old_is_good) in [(3600, true), (0, false)] {
        let made = operator.post("/admin/v1/keys", &json!({ "tenant": "rotating" })).await.json();
        let id = made["id"].as_str().expect("an id");
        let path = format!("/admin/v1/keys/{id}/rotate");
        let answer = operator.post(&path, &json!({ "grace_secs": grace_secs })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let rotated = answer.json();
        let client = |key: &Value| GATE.client().with_key(key["key"].as_str().expect("shown once"));
        client(&rotated).echo(&json!({})).await.ok();
        let old = client(&made).echo(&json!({})).await;
        assert_eq!(old.status == 200, old_is_good, "{}", old.text());
    }
}

#[tokio::test]
async fn an_operator_sees_and_cancels_the_jobs_of_all_tenants() {
    let operator = GATE.operator();
    let client = GATE.tenant("watched").await;
    let id = client.submit(&json!({ "delay_ms": 60_000 })).await;
    let jobs = operator.get("/admin/v1/jobs?tenant=watched").await.ok();
    assert_eq!(
        (&jobs["data"][0]["id"], &jobs["data"][0]["tenant"]),
        (&json!(id), &json!("watched"))
    );
    let path = format!("/admin/v1/jobs/watched/{id}/cancel");
    operator.post(&path, &json!({})).await.ok();
    client.job_in(&id, &["canceled"]).await;
    let other = format!("/admin/v1/jobs/owner/{id}/cancel");
    operator.post(&other, &json!({})).await.problem(404, "job_not_found", None);
}

#[tokio::test]
async fn the_command_line_manages_a_running_gate() {
    GATE.cli(&["tenant", "create", "by-cli", "--plan", "free"]);
    let key = GATE.key("by-cli", &["--label", "laptop", "--expires", "90d"]);
    let client = GATE.client_with(&key).await;
    client.echo(&json!({})).await.ok();
    let list = GATE.cli(&["key", "list", "--tenant", "by-cli"]);
    let shown = |word: &str| list.contains(word);
    assert!(shown(&key.id) && shown("good") && shown("laptop") && !shown(key.secret()), "{list}");
    let rotated = GATE.cli(&["key", "rotate", &key.id, "--grace", "1h"]);
    assert!(rotated.starts_with("sk_") && rotated != key.text);
    let jobs = GATE.cli(&["job", "list", "--tenant", "by-cli"]);
    assert!(jobs.contains("succeeded"), "{jobs}");
    let id = jobs.split('\t').next().expect("an id");
    assert!(GATE.cli(&["job", "show", "by-cli", id]).contains("params"));
    assert!(GATE.cli(&["tenant", "list"]).contains("by-cli\tfree\tactive"));
}

#[tokio::test]
async fn a_secret_is_in_no_log_and_no_file() {
    GATE.tenant("discreet").await;
    let key = GATE.key("discreet", &[]);
    let client = GATE.client_with(&key).await;
    client.echo(&json!({})).await.ok();
    client.analyze(clip_form()).await.result();
    client.get("/v1/nothing").await;
    GATE.client().with_key(&format!("{}0", key.text)).echo(&json!({})).await;
    assert!(!GATE.log().contains(key.secret()), "the log");
    let files = files(&GATE.data());
    assert!(files.iter().any(|file| holds(file, &key.id)), "the search finds what is there");
    let found: Vec<_> = files.iter().filter(|file| holds(file, key.secret())).collect();
    assert!(found.is_empty(), "{found:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

/// Does the file hold the text, or the bytes that the text spells in hexadecimal digits?
fn holds(path: &Path, text: &str) -> bool {
    // Sockets cannot be read, and files may go while we look.
    let Ok(bytes) = fs::read(path) else { return false };
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or("x"));
    let raw: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    has(text.as_bytes()) || raw.is_some_and(|raw| has(&raw))
}

#[tokio::test]
async fn health_tells_operators_and_todays_clients_what_they_read() {
    let public = GATE.client();
    assert_eq!(public.get("/livez").await.status, 200);
    assert_eq!(public.get("/readyz").await.ok()["ready"], true);
    let health = public.get("/health").await.ok();
    assert_eq!(health["status"], "healthy");
    assert!(health["model_loaded"].is_boolean() && health["cuda"].is_boolean());
    assert!(health["gpu"].is_null() || health["gpu"]["vram_gb"].is_number());
    for figure in ["queued", "processing", "max_queue_size", "max_concurrent"] {
        assert!(health["queue"][figure].is_u64(), "{figure} in {health}");
    }
}

#[tokio::test]
async fn metrics_have_their_names_and_no_tenants() {
    let client = GATE.tenant("anonymous").await;
    client.echo(&json!({})).await.ok();
    let answer = GATE.client().get("/metrics").await;
    let media_type = answer.header("content-type").expect("a media type");
    assert!(media_type.starts_with("application/openmetrics-text"), "{media_type}");
    let text = answer.text();
    for name in [
        "postern_http_requests_total",
        "postern_http_seconds_bucket",
        "postern_wasm_call_seconds_bucket",
        "postern_wasm_instances_total",
        "postern_jobs_total",
        "postern_queue_wait_seconds_bucket",
        "postern_run_seconds_bucket",
        "postern_total_seconds_bucket",
        "postern_sidecar_up 1",
        "postern_build_info",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("anonymous"), "a tenant's name is in {text}");
}

#[tokio::test]
async fn a_trace_goes_on_and_every_request_has_an_id_of_its_own() {
    let client = GATE.tenant("traced").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let request = client.request(Method::POST, "/v1/echo").header("traceparent", &parent);
    let request = request.header("x-request-id", "mine");
    let answer = send(request.json(&json!({}))).await;
    let next = answer.header("traceparent").expect("a trace");
    assert!(next.starts_with(&format!("00-{trace}-")) && next != parent, "{next}");
    assert_ne!(answer.header("x-request-id"), Some("mine"), "ids are the gate's");
    let id = answer.ok()["job"].as_str().expect("an id").to_owned();
    let job = client.job(&id).await;
    assert_eq!(job["request_id"].as_str(), answer.header("x-request-id"));

    let answers = join_all((0..20).map(|_| client.get("/v1/jobs"))).await;
    let ids: HashSet<_> =
        answers.iter().filter_map(|answer| answer.header("x-request-id")).collect();
    assert_eq!(ids.len(), answers.len());
    let traces: HashSet<_> =
        answers.iter().filter_map(|answer| answer.header("traceparent")).collect();
    assert_eq!(traces.len(), answers.len());
}

#[tokio::test]
async fn the_gate_describes_itself() {
    let public = GATE.client();
    let document = public.get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    for path in ["/v1/vision/analyze", "/v1/echo", "/v1/jobs/{id}", "/admin/v1/keys", "/health"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let page = public.get("/docs").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|value| value.starts_with("text/html")));
    assert!(page.text().contains("/v1/vision/analyze"));
    let index = public.get("/").await.ok();
    let services = index["services"].as_array().expect("a list").iter();
    let names: Vec<_> = services.filter_map(|service| service["name"].as_str()).collect();
    assert_eq!(names, ["align", "echo", "sharp", "vision"]);

    let client = GATE.tenant("reader").await;
    let models = client.get("/v1/models").await.ok();
    let models = models["data"].as_array().expect("a list").iter();
    let ready: Vec<_> = models.filter(|model| model["state"] == "ready").collect();
    assert_eq!(ready.len(), 2, "{ready:?}");
    let vision = client.get("/v1/models/vision@1").await.ok();
    assert_eq!(vision["devices"], json!(["cpu"]), "built without `cuda`");
    assert!(vision["params_schema"]["properties"]["canny"].is_object());
    client.get("/v1/models/vision@9").await.problem(404, "not_found", None);
}
