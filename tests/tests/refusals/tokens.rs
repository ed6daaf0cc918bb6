//! Signed tokens (JWT): which open the gate, and what the others are told.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use postern_tests::client::Answer;
use postern_tests::gate::{Gate, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::GATE;

const ISSUER: &str = "https://issuer.example";
const SECRET: &[u8] = b"a shared secret of 32 bytes here";
/// The example key of RFC 8037: public and private half.
const ED_PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED_PRIVATE: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
/// PKCS #8 around an Ed25519 private key.
const ED_PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A gate with two token keys, and the folder of the key file.
static TOKEN_GATE: LazyLock<(Gate, TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("jwks.json");
    let shared = URL_SAFE_NO_PAD.encode(SECRET);
    let keys = json!({ "keys": [
        { "kty": "oct", "kid": "shared", "alg": "HS256", "k": shared },
        { "kty": "OKP", "kid": "signed", "alg": "EdDSA", "crv": "Ed25519", "x": ED_PUBLIC },
    ]});
    std::fs::write(&file, keys.to_string()).expect("a temporary file");
    let file = file.display();
    let settings = format!("[tokens]\njwks_file = \"{file}\"\nissuer = \"{ISSUER}\"\n");
    (Gate::start_with(Setup { settings, ..Setup::default() }), folder)
});

/// Good claims of the tenant, with those of `other` in their place.
fn claims(tenant: &str, other: Value) -> Value {
    let expiry = get_current_timestamp() + 600;
    let mut claims = json!({ "iss": ISSUER, "exp": expiry, "tenant": tenant, "scope": "echo" });
    for (name, value) in other.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

fn shared(kid: &str, claims: &Value) -> String {
    let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
    encode(&header, claims, &EncodingKey::from_secret(SECRET)).expect("a token")
}

fn signed(claims: &Value) -> String {
    let private = URL_SAFE_NO_PAD.decode(ED_PRIVATE).expect("base64");
    let key = EncodingKey::from_ed_der(&[&ED_PKCS8_HEAD[..], &private].concat());
    let header = Header { kid: Some("signed".into()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &key).expect("a token")
}

async fn echo(token: &str) -> Answer {
    TOKEN_GATE.0.client().with_key(token).echo(&json!({})).await
}

#[tokio::test]
async fn a_good_token_acts_for_its_tenant() {
    TOKEN_GATE.0.tenant("issued").await;
    let claims = claims("issued", json!({}));
    for token in [shared("shared", &claims), signed(&claims)] {
        let id = echo(&token).await.ok()["job"].as_str().expect("an id").to_owned();
        let client = TOKEN_GATE.0.client().with_key(&token);
        assert_eq!(client.job(&id).await["state"], "succeeded");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_with_the_reason() {
    TOKEN_GATE.0.tenant("strict").await;
    let good = claims("strict", json!({}));
    let now = get_current_timestamp();
    let altered = |other| shared("shared", &claims("strict", other));
    let mut forged = shared("shared", &good);
    // The last character of a signature holds padding bits that decoders may ignore.
    let at = forged.len() - 10;
    let other = if &forged[at..=at] == "A" { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    // An HMAC with the public half as its secret: what key confusion would accept.
    let public = EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(ED_PUBLIC).expect("base64"));
    let header = Header { kid: Some("signed".into()), ..Header::new(Algorithm::HS256) };
    let confused = encode(&header, &good, &public).expect("a token");
    for (token, code) in [
        (forged, "token_signature"),
        (confused, "token_algorithm"),
        (shared("other", &good), "token_key_unknown"),
        (altered(json!({ "exp": now - 3600 })), "token_expired"),
        (altered(json!({ "nbf": now + 3600 })), "token_not_yet_valid"),
        (altered(json!({ "iss": "https://other.example" })), "token_claims"),
        (altered(json!({ "tenant": 7 })), "token_claims"),
        (altered(json!({ "tenant": "nobody" })), "token_tenant_unknown"),
        ("a.b.c".into(), "token_malformed"),
    ] {
        echo(&token).await.problem(401, code, None);
    }
    let scope = altered(json!({ "scope": "vision" }));
    echo(&scope).await.problem(403, "scope_missing", None);
}

#[tokio::test]
async fn an_unsigned_token_is_refused() {
    TOKEN_GATE.0.tenant("unsigned").await;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"shared"}"#);
    let claims = URL_SAFE_NO_PAD.encode(claims("unsigned", json!({})).to_string());
    echo(&format!("{header}.{claims}.x")).await.problem(401, "token_algorithm", None);
}

#[tokio::test]
async fn a_gate_without_token_keys_takes_no_tokens() {
    let token = shared("shared", &claims("default", json!({})));
    let client = GATE.client().with_key(&token);
    client.echo(&json!({})).await.problem(401, "token_disabled", None);
}
