//! An example for customers: a hook that runs before a pipeline and keeps one parameter small.
//!
//! World `postern:hooks/pre-hook`. A hook gets the parameters as a JSON text and gives back the
//! text to run with, or a problem that refuses the call. It gets a fresh instance for every call:
//! nothing is remembered. Copy this folder and change `LIMITS` and `adjust`.

use bindings::exports::postern::hooks::pre::{Call, Guest};
use bindings::postern::types::problems::Problem;
use serde_json::{Map, Value};

mod bindings {
    //! Generated from `wit/`.

    wit_bindgen::generate!({
        path: ["../../../wit/types", "../../../wit/hooks"],
        world: "postern:hooks/pre-hook",
        generate_all,
    });
}

/// The most that we let our own users ask for.
const LIMITS: [(&str, u64); 2] = [("max_frames", 600), ("delay_ms", 1_000)];

struct PreHook;

impl Guest for PreHook {
    fn run(call: Call) -> Result<String, Problem> {
        adjust(&call.params).map_err(|detail| Problem {
            status: 422,
            code: "params_refused".to_owned(),
            detail,
            field: None,
            retry_after_secs: None,
            headers: Vec::new(),
        })
    }
}

/// The parameters with every limit kept.
fn adjust(params: &str) -> Result<String, String> {
    let mut params: Map<String, Value> =
        serde_json::from_str(params).map_err(|error| format!("not a JSON object: {error}"))?;
    for (name, max) in LIMITS {
        if let Some(value) = params.get_mut(name) {
            let given = value.as_u64().ok_or_else(|| format!("`{name}` is not a count"))?;
            *value = Value::from(given.min(max));
        }
    }
    serde_json::to_string(&params).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_and_the_rest_is_left() {
        let adjusted = adjust(r#"{"max_frames": 1200, "delay_ms": 5, "message": [1.5]}"#);
        let want = r#"{"delay_ms":5,"max_frames":600,"message":[1.5]}"#;
        assert_eq!(adjusted.as_deref(), Ok(want));
        assert_eq!(adjust("{}").as_deref(), Ok("{}"));
        assert!(adjust(r#"{"max_frames": "many"}"#).is_err());
        assert!(adjust("[]").is_err());
    }
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{PreHook, bindings};

    bindings::export!(PreHook with_types_in bindings);
}
