//! `POST /align/align`: for clients of an earlier service.
//!
//! Owns this route and the pages `/align/` and `/align/health`. Always: the answer has exactly the
//! members that those clients know, or is a failure that they see as one. They do not poll, so a
//! run that does not end in time is 504 and not 202; the run goes on, and the problem says where.

use postern_guest::Problem;
use postern_guest::template;
use serde_json::{Value, json};

use crate::bindings::exports::postern::shaping::pages::{Content, Page};
use crate::bindings::exports::postern::shaping::service::Route;
use crate::contract;
use crate::files;
use crate::request::TEXTS;

const RULES: &str = include_str!("compat/rules.json");
const OPENAPI: &str = include_str!("compat/openapi.json");

const NAME: &str = "align-texts";
const PATH: &str = "/align/align";
const SUMMARY: &str = "Sentences of two texts that say the same";
/// As long as the gate allows: the operator's `limits.wait_secs_max` is the cap.
const WAIT_SECS: u32 = 600;
/// The texts, in the order of the pipeline's slots.
pub(crate) const OLD_TEXTS: [&str; 2] = ["src_text", "tgt_text"];

/// Is it the old route?
pub(crate) fn is(route: &str) -> bool {
    route == NAME
}

/// Does the answer have this member?
pub(crate) fn answers(name: &str) -> bool {
    ["result", "src_sents", "tgt_sents"].contains(&name)
}

pub(crate) fn route() -> Route {
    Route {
        name: NAME.to_owned(),
        method: "POST".to_owned(),
        path: PATH.to_owned(),
        rules: rules().to_string(),
        wait_secs: WAIT_SECS,
    }
}

/// What needs no key: earlier clients ask for health before they have read their settings.
pub(crate) fn pages() -> Vec<Page> {
    let index = index().to_string();
    let health = json!({ "service": "align" }).to_string();
    let page = |path: &str, content| Page { path: path.to_owned(), content };
    vec![
        page("/align", Content::Document(index.clone())),
        page("/align/", Content::Document(index)),
        page("/align/health", Content::Health(health)),
    ]
}

fn index() -> Value {
    json!({
        "name": "align",
        "version": env!("CARGO_PKG_VERSION"),
        "routes": [
            listed("GET", "/align/", "This page"),
            listed("GET", "/align/health", "Whether texts would be taken now"),
            listed("POST", PATH, SUMMARY),
            listed("POST", "/v1/align", "The same with scores, languages and files, as a job"),
        ],
        "docs": "/docs",
    })
}

fn listed(method: &str, path: &str, summary: &str) -> Value {
    json!({ "method": method, "path": path, "summary": summary })
}

/// Adds the route and the pages to the service's document.
pub(crate) fn document(openapi: &mut Value) {
    let mut item = template::read(OPENAPI, &rules());
    item["post"]["summary"] = Value::from(SUMMARY);
    openapi["paths"][PATH] = item;
    let page = |name: &str, summary: &str| {
        json!({ "get": {
            "operationId": name, "summary": summary, "tags": ["align"], "security": [],
            "deprecated": true,
            "responses": { "200": { "description": summary, "content":
                { "application/json": { "schema": { "type": "object" } } } } }
        } })
    };
    openapi["paths"]["/align/"] = page("align-index", "Name, version and routes; needs no key");
    openapi["paths"]["/align/health"] =
        page("align-health", "As `/health`, for this service; 503 when it is not; needs no key");
}

fn rules() -> Value {
    template::read(RULES, &contract::rules())
}

/// The pipeline's problem with a text, by the name that the client sent it under.
pub(crate) fn renamed(mut problem: Problem) -> Problem {
    let slot = TEXTS.iter().position(|slot| problem.field.as_deref() == Some(*slot));
    if let Some(slot) = slot {
        problem.field = Some(OLD_TEXTS[slot].to_owned());
    }
    problem
}

/// The answer when the wait is over and the run is not.
pub(crate) fn unfinished(job: &str, wait_ms: u32) -> Problem {
    let detail = format!(
        "the run did not end within {} s and goes on; do not send the texts again: ask GET \
         /v1/jobs/{job} until `state` is `succeeded`, then GET /v1/jobs/{job}/outputs/{}. \
         The operator can let requests wait longer (`limits.wait_secs_max`)",
        wait_ms / 1_000,
        files::RESULT
    );
    Problem::new(504, "run_unfinished", detail).with_header("location", format!("/v1/jobs/{job}"))
}

#[cfg(test)]
mod tests {
    use postern_guest::schema::Schema;

    use super::*;

    #[test]
    fn a_run_that_goes_on_is_a_failure_that_says_where() {
        let problem = unfinished("job_1", 60_000);
        assert_eq!((problem.status, problem.code.as_str()), (504, "run_unfinished"));
        assert!(problem.detail.contains("/v1/jobs/job_1/outputs/result.json"));
        assert_eq!(problem.headers[0].value, "/v1/jobs/job_1");
        // A client that retries by itself would start a second run.
        assert_eq!(problem.retry_after_secs, None);
    }

    #[test]
    fn a_problem_names_the_text_as_the_client_does() {
        let field =
            |name: &str| renamed(Problem::new(422, "text_too_large", "").with_field(name)).field;
        assert_eq!(field("target").as_deref(), Some("tgt_text"));
        assert_eq!(field("win").as_deref(), Some("win"));
    }

    #[test]
    fn rules_are_understood_and_documented() {
        let rules = rules();
        for name in ["json", "query"] {
            assert!(Schema::parse(&rules[name]).is_ok(), "{name}");
        }
        let known = &contract::rules()["json"]["properties"];
        for (name, schema) in rules["json"]["properties"].as_object().expect("an object") {
            let text = OLD_TEXTS.iter().position(|old| old == name);
            assert_eq!(schema, &known[text.map_or(name.as_str(), |text| TEXTS[text])], "{name}");
        }
        let mut openapi = json!({"paths": {}});
        document(&mut openapi);
        let body = &openapi["paths"][PATH]["post"]["requestBody"]["content"];
        assert_eq!(body["application/json"]["schema"], rules["json"]);
        let answer = &openapi["paths"][PATH]["post"]["responses"]["200"]["content"];
        let members = answer["application/json"]["schema"]["properties"].as_object();
        assert!(members.expect("an object").keys().all(|name| answers(name)));
        assert!(!openapi.to_string().contains("$from"));
        let index = index();
        let routes = index["routes"].as_array().expect("a list").iter();
        for path in routes.map(|route| route["path"].as_str().expect("a path")) {
            let known = path == "/v1/align" || openapi["paths"].get(path).is_some();
            assert!(known, "{path}");
        }
    }
}
