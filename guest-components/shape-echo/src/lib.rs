//! Component `shape-echo`: service `echo`, which answers what it is sent.
//!
//! For trying a deployment and for measuring the gate: it adds as little as a service can. The
//! body has been checked by the validation component and goes into the call as it is; the
//! outcome's metadata comes back as it is, with the job's id. Nothing is parsed here.

mod bindings {
    //! Generated from `wit/`.

    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/pipelines", "../../wit/shaping"],
        world: "postern:shaping/shaping",
        with: {
            "postern:types/http@0.1.0": postern_guest::bindings::postern::types::http,
            "postern:types/problems@0.1.0": postern_guest::bindings::postern::types::problems,
            "postern:types/blobs@0.1.0": postern_guest::bindings::postern::types::blobs,
            "postern:types/settings@0.1.0": postern_guest::bindings::postern::types::settings,
            "postern:types/log@0.1.0": postern_guest::bindings::postern::types::log,
            "postern:pipelines/types@0.1.0": postern_guest::bindings::postern::pipelines::types,
            "postern:pipelines/runs@0.1.0": postern_guest::bindings::postern::pipelines::runs,
        },
        generate_all,
    });
}

use bindings::exports::postern::shaping::service::{
    Body, Description, Guest, Request, Response, Route,
};
use postern_guest::Problem;
use postern_guest::answer::{Answer, refused, with_member};
use postern_guest::bindings::postern::pipelines::runs;
use postern_guest::bindings::postern::pipelines::types::{Call, Outcome};
use postern_guest::source::read_all;
use postern_guest::template;
use serde_json::Value;

const PIPELINE: &str = "echo@1";
/// What a request waits when it does not say; a little more than the longest delay.
const WAIT_SECS: u32 = 65;
/// The rules refuse more; a bound here too, because memory is allocated here.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// What the route takes; its schema is the only one.
const RULES: &str = include_str!("rules.json");
/// What clients are told; takes its schema from the rules.
const OPENAPI: &str = include_str!("openapi.json");

fn openapi() -> String {
    template::read(OPENAPI, &template::read(RULES, &Value::Null)).to_string()
}

struct ShapeEcho;

impl Guest for ShapeEcho {
    fn describe() -> Description {
        Description {
            name: "echo".to_owned(),
            title: "Echo: gives back what it is sent".to_owned(),
            version: "1".to_owned(),
            routes: vec![Route {
                name: "echo".to_owned(),
                method: "POST".to_owned(),
                path: "/v1/echo".to_owned(),
                rules: RULES.to_owned(),
                wait_secs: WAIT_SECS,
            }],
            pipelines: vec![PIPELINE.to_owned()],
            openapi: openapi(),
        }
    }

    fn handle(request: Request) -> Result<Response, Problem> {
        let Request { head, body, wait_ms, .. } = request;
        let bytes = body.map(|blob| read_all(&blob, 0, BODY_BYTES_MAX)).unwrap_or_default();
        let params = String::from_utf8(bytes)
            .map_err(|_| Problem::new(422, "json_invalid", "the body is not UTF-8"))?;
        let call = Call { pipeline: PIPELINE.to_owned(), params, inputs: Vec::new() };
        let run = runs::submit(call).map_err(refused)?;
        let answer = match run.wait(wait_ms)? {
            Some(outcome) => {
                let id = format!("\"{}\"", run.id());
                Answer::json(200, with_member(&outcome.metadata, "job", &id))
            }
            None => Answer::accepted(&run),
        };
        let Answer { status, headers, body } = answer.with_preference(&head, wait_ms);
        Ok(Response { status, headers, body: Body::Bytes(body.into_bytes()) })
    }

    fn present(outcome: Outcome) -> String {
        outcome.metadata
    }
}

#[cfg(test)]
mod tests {
    use postern_guest::schema::Schema;

    use super::*;

    #[test]
    fn rules_are_understood_and_documented() {
        let rules = template::read(RULES, &Value::Null);
        assert!(Schema::parse(&rules["json"]).is_ok());
        let openapi: Value = serde_json::from_str(&openapi()).expect("JSON");
        let path = "/paths/~1v1~1echo/post/requestBody/content/application~1json/schema";
        assert_eq!(openapi.pointer(path), Some(&rules["json"]));
    }
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{ShapeEcho, bindings};

    bindings::export!(ShapeEcho with_types_in bindings);
}
