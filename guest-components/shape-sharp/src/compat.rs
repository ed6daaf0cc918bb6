//! `/sharp/predict` and `/sharp/predict/ply`: for clients of an earlier service.
//!
//! Owns these two routes and the pages `/sharp/` and `/sharp/health`. Always: the answer is the
//! file itself or a failure that a client sees as one. These clients do not poll, so a run that
//! does not end in time is 504 and not 202; the run goes on, and the problem says where.

use postern_guest::Fault;
use postern_guest::Problem;
use postern_guest::schema::Schema;
use postern_guest::template;
use serde_json::{Map, Value, json};

use crate::bindings::exports::postern::shaping::pages::{Content, Page};
use crate::bindings::exports::postern::shaping::service::Route;
use crate::contract;
use crate::files;
use crate::request::Wanted;

const PARAMETERS: &str = include_str!("compat/parameters.json");
const OPENAPI: &str = include_str!("compat/openapi.json");

/// As long as the gate allows: the operator's `limits.wait_secs_max` is the cap.
const WAIT_SECS: u32 = 600;
/// The pipeline's parameter, and the names under which clients send it.
const FOCAL: &str = "focal_px";
const FOCAL_NAMES: [&str; 3] = [FOCAL, "f_px", "focal_length"];

/// One of the two routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Old {
    name: &'static str,
    path: &'static str,
    /// Which of the pipeline's outputs is the answer.
    output: &'static str,
    summary: &'static str,
}

const ALL: [Old; 2] = [
    Old {
        name: "predict-json",
        path: "/sharp/predict",
        output: "json",
        summary: "Every Gaussian parameter of one picture, as arrays",
    },
    Old {
        name: "predict-ply",
        path: "/sharp/predict/ply",
        output: "ply",
        summary: "The Gaussians of one picture as a binary PLY",
    },
];

/// The old route of that name.
pub(crate) fn find(route: &str) -> Option<Old> {
    ALL.into_iter().find(|old| old.name == route)
}

pub(crate) fn routes() -> impl Iterator<Item = Route> {
    ALL.into_iter().map(|old| Route {
        name: old.name.to_owned(),
        method: "POST".to_owned(),
        path: old.path.to_owned(),
        rules: rules().to_string(),
        wait_secs: WAIT_SECS,
    })
}

/// What needs no key: earlier clients ask for health before they have read their settings.
pub(crate) fn pages() -> Vec<Page> {
    let index = index().to_string();
    let health = json!({ "service": "sharp" }).to_string();
    let page = |path: &str, content| Page { path: path.to_owned(), content };
    vec![
        page("/sharp", Content::Document(index.clone())),
        page("/sharp/", Content::Document(index)),
        page("/sharp/health", Content::Health(health)),
    ]
}

fn index() -> Value {
    let mut routes = vec![
        listed("GET", "/sharp/", "This page"),
        listed("GET", "/sharp/health", "Whether a picture would be taken now"),
    ];
    routes.extend(ALL.map(|old| listed("POST", old.path, old.summary)));
    routes.push(listed("POST", "/v1/sharp/predict", "The same with more formats, as a job"));
    json!({
        "name": "sharp",
        "version": env!("CARGO_PKG_VERSION"),
        "routes": routes,
        "docs": "/docs",
    })
}

fn listed(method: &str, path: &str, summary: &str) -> Value {
    json!({ "method": method, "path": path, "summary": summary })
}

/// Adds the routes and pages to the service's document.
pub(crate) fn document(openapi: &mut Value) {
    for old in ALL {
        let mut item = template::read(OPENAPI, &rules());
        item["post"]["operationId"] = Value::from(format!("sharp-{}", old.name));
        item["post"]["summary"] = Value::from(old.summary);
        let content = match old.output {
            "json" => json!({ "application/json": { "schema": { "type": "object" } } }),
            _ => json!({ "application/octet-stream":
                { "schema": { "type": "string", "format": "binary" } } }),
        };
        item["post"]["responses"]["200"]["content"] = content;
        openapi["paths"][old.path] = item;
    }
    let page = |name: &str, summary: &str| {
        let schema = json!({ "application/json": { "schema": { "type": "object" } } });
        let responses = json!({ "200": { "description": summary, "content": schema } });
        json!({ "get": {
            "operationId": name, "summary": summary, "tags": ["sharp"], "security": [],
            "deprecated": true, "responses": responses
        } })
    };
    openapi["paths"]["/sharp/"] = page("sharp-index", "Name, version and routes; needs no key");
    openapi["paths"]["/sharp/health"] =
        page("sharp-health", "As `/health`, for this service; 503 when it is not; needs no key");
}

fn parameters_json() -> Value {
    template::read(PARAMETERS, &Value::Null)
}

fn rules() -> Value {
    contract::rules_of(&parameters_json())
}

/// The parameters, for reading fields and queries.
pub(crate) fn parameters() -> Schema {
    Schema::parse(&parameters_json()).expect("tested: the schema is understood")
}

impl Old {
    /// What the pipeline is asked for.
    ///
    /// # Errors
    /// 422 `field_conflict`: two names of the focal length with two values.
    pub(crate) fn wanted(self, fields: &Map<String, Value>) -> Result<Wanted, Fault> {
        let mut params = json!({ "outputs": [self.output] });
        for name in FOCAL_NAMES {
            let Some(value) = fields.get(name).filter(|value| value.is_number()) else { continue };
            if params.get(FOCAL).is_some_and(|known| known.as_f64() != value.as_f64()) {
                let detail = format!(
                    "is given beside another value under another name; `{FOCAL}` \
                                      is the usual one"
                );
                return Err(Fault::new("field_conflict", detail).in_member(name));
            }
            params[FOCAL] = value.clone();
        }
        Ok(Wanted { params, file: files::file_of(self.output) })
    }

    /// The answer when the wait is over and the run is not.
    pub(crate) fn unfinished(self, job: &str, wait_ms: u32) -> Problem {
        let file = files::file_of(self.output).unwrap_or_default();
        let detail = format!(
            "the run did not end within {} s and goes on; do not send the picture again: ask GET \
             /v1/jobs/{job} until `state` is `succeeded`, then GET /v1/jobs/{job}/outputs/{file}. \
             The operator can let requests wait longer (`limits.wait_secs_max`)",
            wait_ms / 1_000
        );
        Problem::new(504, "run_unfinished", detail)
            .with_header("location", format!("/v1/jobs/{job}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(fields: Value) -> String {
        let fields = fields.as_object().cloned().expect("an object");
        match ALL[1].wanted(&fields) {
            Ok(Wanted { params, file }) => format!("{params} > {}", file.unwrap_or("-")),
            Err(fault) => format!("{} {}", fault.code, fault.path),
        }
    }

    #[test]
    fn the_focal_length_has_several_names_and_one_value() {
        assert_eq!(wanted(json!({})), r#"{"outputs":["ply"]} > gaussians.ply"#);
        for name in FOCAL_NAMES {
            let want = r#"{"focal_px":900,"outputs":["ply"]} > gaussians.ply"#;
            assert_eq!(wanted(json!({ name: 900 })), want);
        }
        let want = r#"{"focal_px":900.0,"outputs":["ply"]} > gaussians.ply"#;
        assert_eq!(wanted(json!({ "focal_px": 900, "f_px": 900.0, "focal_length": null })), want);
        assert_eq!(
            wanted(json!({ "f_px": 900, "focal_length": 35 })),
            "field_conflict focal_length"
        );
        assert_eq!(wanted(json!({ "seed": 1 })), r#"{"outputs":["ply"]} > gaussians.ply"#);
    }

    #[test]
    fn a_run_that_goes_on_is_a_failure_that_says_where() {
        let problem = ALL[0].unfinished("job_1", 60_000);
        assert_eq!((problem.status, problem.code.as_str()), (504, "run_unfinished"));
        assert!(problem.detail.contains("/v1/jobs/job_1/outputs/gaussians.json"));
        assert_eq!(problem.headers[0].value, "/v1/jobs/job_1");
        // A client that retries by itself would start a second run.
        assert_eq!(problem.retry_after_secs, None);
    }

    #[test]
    fn rules_are_understood_and_documented() {
        for name in ["json", "form", "query"] {
            assert!(Schema::parse(&rules()[name]).is_ok(), "{name}");
        }
        let mut openapi = json!({"paths": {}});
        document(&mut openapi);
        for old in ALL {
            let body = &openapi["paths"][old.path]["post"]["requestBody"]["content"];
            assert_eq!(body["application/json"]["schema"], rules()["json"]);
        }
        assert!(!openapi.to_string().contains("$from"));
        let listed = index();
        let listed = listed["routes"].as_array().expect("a list").iter();
        for path in listed.map(|route| route["path"].as_str().expect("a path")) {
            let known = path == "/v1/sharp/predict" || openapi["paths"].get(path).is_some();
            assert!(known, "{path}");
        }
    }
}
