//! `/openapi.json`: the host's own routes and what the services say of theirs.
//!
//! Owns the host's part of the document and the merge. The merged document of the components that
//! ship with the host is a contract (`docs/contracts/openapi.json`).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::App;
use super::respond::json as json_answer;
use crate::gate::Gate;

/// The host's part.
const OWN: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    json_answer(StatusCode::OK, &document(&app.gate))
}

/// The whole document. A fragment that is no JSON object is left out, with a line in the log.
#[must_use]
pub fn document(gate: &Gate) -> Value {
    let mut document: Value =
        serde_json::from_str(OWN).expect("the file is part of the build and tested");
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    for service in gate.services() {
        match serde_json::from_str::<Value>(&service.openapi) {
            Ok(fragment) => merge(&mut document, fragment),
            Err(error) => {
                tracing::error!(service = &*service.name, %error, "fragment is no JSON");
            }
        }
    }
    document
}

/// Adds `from` to `into`, object by object; what is there already stays.
fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (key, value) in from {
        let place = into.entry(key).or_insert_with(|| match value {
            Value::Object(_) => Value::Object(Map::new()),
            _ => value.clone(),
        });
        merge(place, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_adds_and_never_replaces() {
        let mut document = json!({"paths": {"/a": {"get": 1}}, "info": {"title": "host"}});
        merge(&mut document, json!({"paths": {"/b": {"post": 2}}, "info": {"title": "guest"}}));
        assert_eq!(
            document,
            json!({"paths": {"/a": {"get": 1}, "/b": {"post": 2}}, "info": {"title": "host"}})
        );
    }

    #[test]
    fn the_hosts_part_is_json() {
        assert!(serde_json::from_str::<Value>(OWN).unwrap()["paths"].is_object());
    }
}
