//! What was accepted reaches a final state, whatever is killed.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use postern_tests::client::{Client, file, send};
use postern_tests::clip::MOVING;
use postern_tests::gate::{Gate, Setup};
use postern_tests::patience::until;
use postern_tests::process::Process;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

/// Long enough to be killed in the middle, short enough to be run again.
const WORK_MS: u32 = 1500;
/// Such a job ends when it is cancelled.
const FOREVER_MS: u32 = 60_000;

/// For tests that kill nothing.
static GATE: LazyLock<Gate> = LazyLock::new(Gate::start);

/// A gate that runs one job at a time, so that a second one waits.
fn narrow() -> Gate {
    let settings = "[sidecar]\nruns_max = 1\n".to_owned();
    Gate::start_with(Setup { settings, ..Setup::default() })
}

async fn kill_sidecar(gate: &Gate) -> Process {
    let sidecar = gate.sidecar().expect("the job runs in it");
    sidecar.kill();
    until("another sidecar runs", async || gate.sidecar().filter(|next| *next != sidecar)).await
}

async fn gone(process: Process) {
    until("the process ends", async || (!process.is_alive()).then_some(())).await;
}

#[tokio::test]
async fn a_job_outlives_the_death_of_the_sidecar() {
    let gate = Gate::start();
    let client = gate.tenant("survivor").await;
    let id = client.submit(&json!({ "message": "kept", "delay_ms": WORK_MS })).await;
    client.job_begun(&id, 0).await;
    kill_sidecar(&gate).await;
    let job = client.job_in(&id, &["succeeded"]).await;
    assert_eq!(job["result"]["message"], "kept");
    assert_eq!(job["attempt"], 2, "{job}");
    let metrics = gate.client().get("/metrics").await.text();
    assert!(metrics.contains("postern_sidecar_restarts_total 1"), "{metrics}");
}

#[tokio::test]
async fn a_request_that_waits_is_answered_although_the_sidecar_died() {
    let gate = Gate::start();
    let client = gate.tenant("waiter").await;
    let waiting = client.analyze(slow_form());
    let killing = async {
        let id = only_job(&client).await;
        client.job_begun(&id, 0).await;
        kill_sidecar(&gate).await;
    };
    let (answer, ()) = futures_util::future::join(waiting, killing).await;
    let result = if answer.status == 202 {
        // It took longer than a request waits.
        client.job_in(&answer.accepted(), &["succeeded"]).await["result"].clone()
    } else {
        answer.result()
    };
    assert_eq!(result["frames"].as_array().map(Vec::len), Some(20));
}

/// An analysis that takes seconds: a window and iterations far beyond what is needed.
fn slow_form() -> Form {
    let params = json!({ "farneback": { "iterations": 20, "winsize": 101, "poly_n": 7 } });
    let form = Form::new().part("video", file("clip.mp4", MOVING.clone()));
    form.text("params", params.to_string())
}

/// The id of the tenant's one job, once it is there.
async fn only_job(client: &Client) -> String {
    until("a job is there", async || {
        let jobs = client.get("/v1/jobs").await.ok();
        jobs["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn a_job_that_kills_the_sidecar_twice_is_given_up() {
    let gate = Gate::start();
    let client = gate.tenant("poison").await;
    let id = client.submit(&json!({ "delay_ms": FOREVER_MS })).await;
    let first = client.job_begun(&id, 0).await["attempt"].as_u64().expect("a number");
    kill_sidecar(&gate).await;
    client.job_begun(&id, first).await;
    kill_sidecar(&gate).await;
    let job = client.job_in(&id, &["failed"]).await;
    assert_eq!(
        (&job["error"]["code"], &job["error"]["status"]),
        (&json!("crashed_worker"), &json!(500))
    );
    assert_eq!(job["error"]["request_id"], job["request_id"]);
    // The gate goes on with the next.
    until("the gate is ready again", async || {
        (gate.client().get("/readyz").await.status == 200).then_some(())
    })
    .await;
    client.echo(&json!({})).await.ok();
}

#[tokio::test]
async fn accepted_jobs_outlive_the_death_of_the_host() {
    let mut gate = narrow();
    let client = gate.tenant("heirs").await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(client.submit(&json!({ "message": number, "delay_ms": WORK_MS })).await);
    }
    client.job_begun(&ids[0], 0).await;
    assert_eq!(client.job(&ids[2]).await["state"], "queued");
    let sidecar = gate.sidecar().expect("the job runs in it");
    gate.kill_host();
    gone(sidecar).await;
    gate.restart_host();
    let client = moved(&gate, "heirs").await;
    for (number, id) in ids.iter().enumerate() {
        let job = client.job_in(id, &["succeeded"]).await;
        assert_eq!(job["result"]["message"], number);
        // Only what had begun is begun again.
        assert_eq!(job["attempt"], if number == 0 { 2 } else { 1 });
    }
}

/// A client of the tenant at the host's new address.
async fn moved(gate: &Gate, tenant: &str) -> Client {
    gate.client_with(&gate.key(tenant, &[])).await
}

#[tokio::test]
async fn artifacts_outlive_the_death_of_the_host() {
    let mut gate = Gate::start();
    let client = gate.tenant("archive").await;
    let form = Form::new().part("video", file("clip.mp4", MOVING.clone()));
    let result = client.analyze(form).await.result();
    let mask = result["key_frames"][0]["artifacts"]["mask"]["url"].as_str().expect("a link");
    let before = client.get(mask).await;
    assert_eq!(before.status, 200);
    gate.kill_host();
    gate.restart_host();
    let client = moved(&gate, "archive").await;
    let after = client.get(mask).await;
    assert_eq!(after.body, before.body);
    assert_eq!(after.header("etag"), before.header("etag"));
    let job = client.job(&only_job(&client).await).await;
    assert_eq!(job["result"]["key_frames"], result["key_frames"]);
}

#[tokio::test]
async fn a_host_that_is_asked_to_stop_answers_what_it_has_begun() {
    let mut gate = Gate::start();
    let client = gate.tenant("last").await;
    let sidecar = gate.sidecar().expect("the gate is ready");
    let host = gate.host();
    let body = json!({ "message": "last", "delay_ms": WORK_MS });
    let waiting = client.echo(&body);
    let stopping = async {
        let id = only_job(&client).await;
        client.job_begun(&id, 0).await;
        host.terminate();
    };
    let (answer, ()) = futures_util::future::join(waiting, stopping).await;
    assert_eq!(answer.ok()["message"], "last");
    assert!(gate.stopped_host().success());
    gone(sidecar).await;
}

#[tokio::test]
async fn a_job_is_cancelled_while_it_waits_and_while_it_runs() {
    let gate = narrow();
    let client = gate.tenant("canceller").await;
    let cancel = |id: &str| {
        let path = format!("/v1/jobs/{id}/cancel");
        let client = client.clone();
        async move { client.post(&path, &json!({})).await }
    };
    let running = client.submit(&json!({ "delay_ms": FOREVER_MS })).await;
    client.job_begun(&running, 0).await;
    let waiting = client.submit(&json!({ "delay_ms": FOREVER_MS })).await;

    let answer = cancel(&waiting).await;
    assert_eq!(answer.ok()["state"], "canceled", "what waits stops at once");
    let active = client.delete(&format!("/v1/jobs/{running}")).await;
    active.problem(409, "job_active", None);
    let answer = cancel(&running).await;
    assert!([200, 202].contains(&answer.status), "{}", answer.text());
    let job = client.job_in(&running, &["canceled"]).await;
    assert_eq!(job["error"]["code"], "canceled");
    // Once more changes nothing.
    assert_eq!(cancel(&running).await.ok()["state"], "canceled");

    let deleted = client.delete(&format!("/v1/jobs/{running}")).await;
    assert_eq!(deleted.status, 204);
    let path = format!("/v1/jobs/{running}");
    client.get(&path).await.problem(404, "job_not_found", None);
    client.echo(&json!({})).await.ok();
}

#[tokio::test]
async fn a_cancelled_analysis_stops_its_decoder() {
    let client = GATE.tenant("stopper").await;
    let waiting = client.analyze(slow_form());
    let cancelling = async {
        let id = only_job(&client).await;
        client.job_begun(&id, 0).await;
        client.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    };
    let (answer, ()) = futures_util::future::join(waiting, cancelling).await;
    answer.problem(409, "canceled", None);
    let sidecar = GATE.sidecar().expect("it goes on");
    until("the decoder ends", async || sidecar.child("ffmpeg").is_none().then_some(())).await;
    until("the run's folder is gone", async || {
        let runs = fs::read_dir(GATE.data().join("runs")).expect("the host's folder");
        let job = only_job(&client).await;
        let left = runs.flatten().any(|run| run.file_name().to_string_lossy().starts_with(&job));
        (!left).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_expired_job_leaves_nothing_on_the_disk() {
    GATE.plan("fleeting", &json!({ "requests": 0, "retention_secs": 1 })).await;
    let client = GATE.tenant_on("fleeting", "fleeting").await;
    let form = Form::new().part("video", file("clip.mp4", MOVING.clone()));
    let result = client.analyze(form).await.result();
    let mask = result["key_frames"][0]["artifacts"]["mask"]["url"].as_str().expect("a link");
    until("the artifact expires", async || {
        let answer = client.get(mask).await;
        (answer.status != 200).then(|| answer.problem(404, "job_not_found", None))
    })
    .await;
    until("its blobs are gone", async || GATE.blobs("fleeting").is_empty().then_some(())).await;
    assert_eq!(client.get("/v1/jobs").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_deleted_job_takes_its_blobs_with_it() {
    let client = GATE.tenant("tidy").await;
    let form = Form::new().part("video", file("clip.mp4", MOVING.clone()));
    client.analyze(form).await.result();
    assert!(!GATE.blobs("tidy").is_empty());
    let id = only_job(&client).await;
    assert_eq!(client.delete(&format!("/v1/jobs/{id}")).await.status, 204);
    assert_eq!(GATE.blobs("tidy"), []);
}

#[tokio::test]
async fn a_second_host_on_the_same_data_does_not_start() {
    let client = GATE.tenant("first").await;
    let output = GATE.serve_again();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another host works in"), "{said}");
    client.echo(&json!({})).await.ok();
}

#[tokio::test]
async fn a_wait_that_is_over_leaves_the_job_to_be_asked_for() {
    let client = GATE.tenant("returner").await;
    let request = client.request(Method::POST, "/v1/echo").header("prefer", "wait=1");
    let body = json!({ "message": "later", "delay_ms": 2 * WORK_MS });
    let answer = send(request.json(&body)).await;
    let id = answer.accepted();
    let job: Value = client.job_in(&id, &["succeeded"]).await;
    assert_eq!(job["result"]["message"], "later");
    let run_ms = job["timings"]["run_ms"].as_u64().expect("it ran");
    assert!(Duration::from_millis(run_ms) >= Duration::from_millis(u64::from(2 * WORK_MS)));
}
