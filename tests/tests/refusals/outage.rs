//! Parts that fail: no sidecar, components that trap. The rest goes on.

use std::sync::LazyLock;

use postern_tests::gate::{Gate, Setup};
use serde_json::json;

/// Components that fail on purpose, one route for each way to fail.
static TRAPS: LazyLock<Gate> = LazyLock::new(|| {
    let settings = "[sandbox]\nshaping_cpu_ms_max = 1000\n".to_owned();
    Gate::start_with(Setup { settings, fixtures: &["trap"], ..Setup::default() })
});

#[tokio::test]
async fn a_gate_without_a_sidecar_says_so_and_serves_the_rest() {
    let sidecar = Some("/nonexistent/postern-sidecar".into());
    let gate = Gate::start_with(Setup { sidecar, ..Setup::default() });
    let public = gate.client();
    assert_eq!(public.get("/livez").await.status, 200);
    let ready = public.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["sidecar"]), (503, &json!(false)));
    let health = public.get("/health").await;
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("unhealthy")));
    assert_eq!(health.json()["model_loaded"], false);

    let client = gate.tenant("stranded").await;
    let answer = client.echo(&json!({})).await;
    answer.problem(503, "sidecar_unavailable", None);
    assert!(answer.retry_after_secs() >= 1);
    client.get("/v1/models").await.problem(503, "sidecar_unavailable", None);
    assert_eq!(client.get("/v1/jobs").await.ok()["data"], json!([]), "nothing was accepted");
    public.echo(&json!({})).await.problem(401, "credential_missing", None);
}

#[tokio::test]
async fn a_component_that_fails_takes_only_its_own_request_with_it() {
    let client = TRAPS.tenant("trapped").await;
    for way in ["panic", "spin", "memory"] {
        let path = format!("/v1/trap/{way}");
        let failed = client.post(&path, &json!({})).await;
        let problem = failed.problem(500, "component_failed", None);
        let id = problem["request_id"].as_str().expect("an id");
        assert!(TRAPS.log().contains(id), "the log says more under the id that the client has");
        client.echo(&json!({ "message": way })).await.ok();
        // The instance that failed is gone; the next one fails for its own reasons only.
        client.post(&path, &json!({})).await.problem(500, "component_failed", None);
    }
}

#[tokio::test]
async fn a_failed_component_is_counted_by_the_way_it_failed() {
    let client = TRAPS.tenant("counted").await;
    for (way, kind) in [("panic", "trap"), ("spin", "cpu")] {
        client.post(&format!("/v1/trap/{way}"), &json!({})).await;
        let metrics = TRAPS.client().get("/metrics").await.text();
        let counted =
            format!("postern_wasm_traps_total{{component=\"shape-trap\",kind=\"{kind}\"}}");
        assert!(metrics.contains(&counted), "{counted} in {metrics}");
    }
}
