//! More than a plan or the machine allows: 429 and 503, and when to come back.

use std::sync::LazyLock;

use futures_util::future::join_all;
use postern_tests::client::{Answer, Client};
use postern_tests::gate::{Gate, Setup};
use postern_tests::patience::until;
use serde_json::json;

use crate::GATE;

/// Longer than any test takes; such a job ends when it is cancelled.
const FOREVER_MS: u32 = 60_000;

/// One run at once and one that waits.
static NARROW: LazyLock<Gate> = LazyLock::new(|| {
    let settings = "[jobs]\nqueued_max = 1\n[sidecar]\nruns_max = 1\n".to_owned();
    Gate::start_with(Setup { settings, ..Setup::default() })
});

/// Sends echoes until one is refused; one more than `allowed` may pass where a window ends.
async fn first_refusal(client: &Client, allowed: usize) -> Answer {
    for _ in 0..=2 * allowed {
        let answer = client.echo(&json!({})).await;
        if answer.status != 200 {
            return answer;
        }
    }
    panic!("more than {allowed} requests were let in");
}

/// The answer says when to come back, and what is left of which limit.
fn check_headers(answer: &Answer, policy: &str, left: &str) {
    assert!(answer.retry_after_secs() >= 1);
    let header = |name| answer.header(name).unwrap_or_else(|| panic!("no `{name}`"));
    assert!(header("ratelimit-policy").contains(policy), "{}", header("ratelimit-policy"));
    assert!(header("ratelimit").contains(left), "{}", header("ratelimit"));
}

async fn cancel(client: &Client, id: &str) {
    client.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    client.job_in(id, &["canceled"]).await;
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_is_told_when_to_come_back() {
    let fields = json!({ "requests": 3, "period_secs": 3600, "burst": 3, "in_flight": 0 });
    GATE.plan("hourly", &fields).await;
    let client = GATE.tenant_on("eager", "hourly").await;
    let first = client.echo(&json!({})).await;
    first.ok();
    assert_eq!(first.header("ratelimit-policy"), Some("\"requests\";q=3;w=3600"));
    assert!(first.header("ratelimit").is_some_and(|value| value.starts_with("\"requests\";r=2;")));
    let answer = first_refusal(&client, 2).await;
    answer.problem(429, "rate_limited", None);
    check_headers(&answer, "\"requests\";q=3;w=3600", "\"requests\";r=0;");
    // One tenant's haste is not another's.
    GATE.tenant_on("patient", "hourly").await.echo(&json!({})).await.ok();
}

#[tokio::test]
async fn a_burst_beyond_the_rate_is_let_in_exactly_once() {
    let fields = json!({ "requests": 4, "period_secs": 3600, "burst": 4, "in_flight": 0 });
    GATE.plan("burst", &fields).await;
    let client = GATE.tenant_on("burst", "burst").await;
    let answers = join_all((0..12).map(|_| client.get("/v1/jobs"))).await;
    let let_in = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(let_in, 4);
    let refused = answers.iter().filter(|answer| answer.status != 200);
    refused.for_each(|answer| drop(answer.problem(429, "rate_limited", None)));
}

#[tokio::test]
async fn a_tenant_that_has_used_up_its_day_is_refused() {
    GATE.plan("daily", &json!({ "requests": 0, "quota_per_day": 2, "in_flight": 0 })).await;
    let client = GATE.tenant_on("thrifty", "daily").await;
    let answer = first_refusal(&client, 2).await;
    answer.problem(429, "quota_exhausted", None);
    check_headers(&answer, "\"daily\";q=2;w=86400", "\"daily\";r=0;");
    // Midnight may pass between the two.
    assert!(answer.retry_after_secs() <= 86_400);
}

/// The id of a tenant's running job, once there is one.
async fn running(operator: &Client, tenant: &str) -> String {
    let path = format!("/admin/v1/jobs?tenant={tenant}&state=running");
    until("a job runs", async || {
        operator.get(&path).await.ok()["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back_and_its_job_goes_on() {
    GATE.plan("leaver", &json!({ "requests": 0, "in_flight": 1 })).await;
    let client = GATE.tenant_on("leaver", "leaver").await;
    let operator = GATE.operator();
    let body = json!({ "delay_ms": FOREVER_MS });
    // Dropping the request closes its connection.
    let id = tokio::select! {
        answer = client.echo(&body) => panic!("answered with {}", answer.status),
        id = running(&operator, "leaver") => id,
    };
    until("its place is free", async || (client.get("/v1/jobs").await.status == 200).then_some(()))
        .await;
    assert_eq!(client.job(&id).await["state"], "running");
    operator.post(&format!("/admin/v1/jobs/leaver/{id}/cancel"), &json!({})).await.ok();
}

#[tokio::test]
async fn a_tenant_with_too_many_open_requests_is_refused() {
    GATE.plan("single", &json!({ "requests": 0, "in_flight": 1 })).await;
    let client = GATE.tenant_on("crowd", "single").await;
    let operator = GATE.operator();
    let body = json!({ "delay_ms": FOREVER_MS });
    let waiting = client.echo(&body);
    let second = async {
        let id = running(&operator, "crowd").await;
        let answer = client.echo(&json!({})).await;
        operator.post(&format!("/admin/v1/jobs/crowd/{id}/cancel"), &json!({})).await.ok();
        answer
    };
    let (first, second) = futures_util::future::join(waiting, second).await;
    second.problem(429, "too_many_in_flight", None);
    assert!(second.retry_after_secs() >= 1);
    first.problem(409, "canceled", None);
    // The place was given back.
    client.echo(&json!({})).await.ok();
}

#[tokio::test]
async fn a_tenant_with_too_many_unfinished_jobs_is_refused() {
    let fields = json!({ "requests": 0, "jobs_active_max": 1, "jobs_running_max": 1 });
    GATE.plan("one-job", &fields).await;
    let client = GATE.tenant_on("busy", "one-job").await;
    let id = client.submit(&json!({ "delay_ms": FOREVER_MS })).await;
    let answer = client.echo(&json!({})).await;
    answer.problem(429, "too_many_jobs", None);
    assert!(answer.retry_after_secs() >= 1);
    cancel(&client, &id).await;
    client.echo(&json!({})).await.ok();
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing_that_it_took() {
    let client = NARROW.tenant("queue").await;
    let running = client.submit(&json!({ "delay_ms": FOREVER_MS })).await;
    client.job_begun(&running, 0).await;
    let waiting = client.submit(&json!({ "message": "kept" })).await;
    let job = client.job(&waiting).await;
    assert_eq!((&job["state"], &job["progress"]["queue_position"]), (&json!("queued"), &json!(0)));
    let answer = client.echo(&json!({})).await;
    answer.problem(503, "queue_full", None);
    assert!(answer.retry_after_secs() >= 1);
    let health = NARROW.client().get("/health").await.ok();
    let queue = json!({ "queued": 1, "processing": 1, "max_queue_size": 1, "max_concurrent": 1 });
    assert_eq!(health["queue"], queue);
    cancel(&client, &running).await;
    let job = client.job_in(&waiting, &["succeeded"]).await;
    assert_eq!(job["result"]["message"], "kept");
    client.echo(&json!({})).await.ok();
}
