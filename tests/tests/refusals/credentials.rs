//! Keys that do not open the gate, and what they are told.

use std::time::Duration;

use postern_tests::client::{Client, send};
use postern_tests::patience::until;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::GATE;

/// Every 401 says how to authenticate.
async fn check_unauthorized(client: &Client, code: &str) {
    let answer = client.echo(&json!({})).await;
    answer.problem(401, code, None);
    assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
}

#[tokio::test]
async fn a_request_without_a_good_key_is_refused() {
    let client = GATE.client();
    check_unauthorized(&client, "credential_missing").await;
    let zeros = |prefix: &str| format!("{prefix}_{}_{}", "0".repeat(16), "0".repeat(64));
    for (key, code) in [
        ("hello", "key_malformed"),
        ("sk_1_2", "key_malformed"),
        (zeros("ak").as_str(), "key_malformed"),
        (zeros("sk").as_str(), "key_unknown"),
    ] {
        check_unauthorized(&client.clone().with_key(key), code).await;
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_the_same_as_an_unknown_key() {
    GATE.tenant("guessed").await;
    let key = GATE.key("guessed", &[]);
    GATE.client_with(&key).await.echo(&json!({})).await.ok();
    let wrong = key.text.replace(key.secret(), &"0".repeat(64));
    check_unauthorized(&GATE.client().with_key(&wrong), "key_unknown").await;
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_but_not_two_keys() {
    GATE.tenant("headers").await;
    let key = GATE.key("headers", &[]);
    let bearer = GATE.client_with(&key).await;
    let api_key = |client: &Client, key: &str| {
        let request = client.request(Method::POST, "/v1/echo").header("x-api-key", key);
        send(request.json(&json!({})))
    };
    api_key(&GATE.client(), &key.text).await.ok();
    api_key(&bearer, &key.text).await.ok();
    api_key(&bearer, "sk_other").await.problem(400, "credential_ambiguous", None);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    GATE.tenant("expiring").await;
    let key = GATE.key("expiring", &["--expires", "2s"]);
    let client = GATE.client_with(&key).await;
    until("the key expires", async || {
        let answer = client.echo(&json!({})).await;
        (answer.status != 200).then_some(())
    })
    .await;
    check_unauthorized(&client, "key_expired").await;
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_a_second_later() {
    GATE.tenant("revoked").await;
    let key = GATE.key("revoked", &[]);
    let client = GATE.client_with(&key).await;
    client.echo(&json!({})).await.ok();
    GATE.cli(&["key", "revoke", &key.id]);
    let revoked = Instant::now();
    // What counts is when a request was sent that was still let in, not how long it took.
    let last_accepted = until("the key is refused", async || {
        let sent = revoked.elapsed();
        let answer = client.echo(&json!({})).await;
        if answer.status == 200 {
            assert!(sent <= Duration::from_secs(1), "let in {sent:?} after the key was revoked");
            return None;
        }
        Some(())
    });
    last_accepted.await;
    check_unauthorized(&client, "key_revoked").await;
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_until_it_is_resumed() {
    let client = GATE.tenant("suspended").await;
    GATE.cli(&["tenant", "suspend", "suspended"]);
    until("the tenant is refused", async || {
        (client.echo(&json!({})).await.status != 200).then_some(())
    })
    .await;
    check_unauthorized(&client, "tenant_suspended").await;
    GATE.cli(&["tenant", "resume", "suspended"]);
    until("the tenant is let in", async || {
        (client.echo(&json!({})).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_opens_only_the_services_of_its_scopes() {
    GATE.tenant("scoped").await;
    let key = GATE.key("scoped", &["--scope", "echo"]);
    let client = GATE.client_with(&key).await;
    client.echo(&json!({})).await.ok();
    let refused = client.post("/v1/vision/analyze", &json!({})).await;
    refused.problem(403, "scope_missing", None);
    // The host's own routes are open to every good key.
    client.get("/v1/jobs").await.ok();
}

#[tokio::test]
async fn a_tenants_key_does_not_open_the_admin_api() {
    let client = GATE.tenant("climber").await;
    for client in [&client, &GATE.client()] {
        client.get("/admin/v1/tenants").await.problem(401, "admin_key_required", None);
    }
    GATE.operator().get("/admin/v1/tenants").await.ok();
}
