//! Component `shape-align`: service `align`, `POST /v1/align`.
//!
//! Knows the public names of the service, the slots and the files of the pipeline `align@1`;
//! nothing of how it computes. Defaults are the pipeline's. A text in a form is a slice of the
//! body; one in JSON is unescaped in pieces into a new blob; the answer is put together in pieces
//! from the run's metadata and its file, because sentences are many megabytes. Start at `handle`;
//! the contract is in `parameters.json`. `compat.rs` has the route of an earlier service.

mod compat;
mod contract;
mod files;
mod members;
mod request;
mod text;

mod bindings {
    //! Generated from `wit/`.

    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/pipelines", "../../wit/shaping"],
        world: "postern:shaping/shaping-with-pages",
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

use bindings::exports::postern::shaping::pages;
use bindings::exports::postern::shaping::service::{
    Body, Description, Guest, Request, Response, Route,
};
use postern_guest::answer::{Answer, refused};
use postern_guest::bindings::postern::pipelines::runs::{self, Run};
use postern_guest::bindings::postern::pipelines::types::{Call, Input, Outcome};
use postern_guest::body;
use postern_guest::{Blob, BlobWriter, Head, Header, Problem};

use crate::compat::OLD_TEXTS;
use crate::members::{Broken, Members};
use crate::request::{Sent, TEXTS, Wanted};

const PIPELINE: &str = "align@1";
/// What a request waits when it does not say.
const WAIT_SECS: u32 = 60;

struct ShapeAlign;

impl Guest for ShapeAlign {
    fn describe() -> Description {
        let route = Route {
            name: "align".to_owned(),
            method: "POST".to_owned(),
            path: "/v1/align".to_owned(),
            rules: contract::rules().to_string(),
            wait_secs: WAIT_SECS,
        };
        Description {
            name: "align".to_owned(),
            title: "Align: sentences of two texts that say the same".to_owned(),
            version: "1".to_owned(),
            routes: vec![route, compat::route()],
            pipelines: vec![PIPELINE.to_owned()],
            openapi: contract::openapi().to_string(),
        }
    }

    fn handle(request: Request) -> Result<Response, Problem> {
        let Request { head, route, body, wait_ms, .. } = request;
        let body = body.ok_or_else(|| Problem::new(422, "body_missing", "send two texts"))?;
        let is_old = compat::is(&route);
        let Asked { params, file, inputs } = asked(&head, &body, is_old)?;
        let call = Call { pipeline: PIPELINE.to_owned(), params, inputs: inputs.into() };
        let run = runs::submit(call).map_err(refused)?;
        let done = run.wait(wait_ms);
        let done = done.map_err(|problem| if is_old { compat::renamed(problem) } else { problem });
        let Some(outcome) = done? else {
            if is_old && head.header("prefer").is_none() {
                return Err(compat::unfinished(&run.id(), wait_ms));
            }
            let Answer { status, headers, body } =
                Answer::accepted(&run).with_preference(&head, wait_ms);
            return Ok(Response { status, headers, body: Body::Bytes(body.into_bytes()) });
        };
        let mut answer = Answer { status: 200, headers: Vec::new(), body: String::new() };
        let made = output(&run, file)?;
        let made = if file == files::RESULT {
            composed(&run, &outcome.metadata, &made, is_old)?
        } else {
            let at = format!("/v1/jobs/{}/outputs/{file}", run.id());
            answer.headers = vec![
                header("content-disposition", format!("attachment; filename=\"{file}\"")),
                header("content-location", at),
            ];
            made
        };
        let link = format!("</v1/jobs/{}>; rel=\"describedby\"", run.id());
        answer.headers.push(header("link", link));
        let Answer { status, headers, .. } = answer.with_preference(&head, wait_ms);
        Ok(Response { status, headers, body: Body::Blob(made) })
    }

    /// Without the sentences, which are in a file.
    fn present(outcome: Outcome) -> String {
        outcome.metadata
    }
}

impl pages::Guest for ShapeAlign {
    fn describe() -> Vec<pages::Page> {
        compat::pages()
    }
}

/// The call that a request asks for, and the file that its answer is made of.
struct Asked {
    params: String,
    file: &'static str,
    inputs: [Input; 2],
}

fn asked(head: &Head, body: &Blob, is_old: bool) -> Result<Asked, Problem> {
    let unsupported = || Problem::new(415, "media_type_unsupported", "send JSON or a form");
    let content_type = head.content_type().ok_or_else(unsupported)?;
    let parsed = body::Body::read(&content_type, body)?;
    let schema = contract::parameters();
    let Sent { fields, texts } = match &parsed {
        body::Body::Json(document) if is_old => request::of_json(body, document, OLD_TEXTS)?,
        _ => request::read(body, &parsed, head.query.as_deref(), &schema)?,
    };
    let Wanted { params, file } = request::wanted(fields, &schema);
    let names = if is_old { OLD_TEXTS } else { TEXTS };
    let input = |index: usize| {
        let input = text::input(body, TEXTS[index], &texts[index]);
        input.map_err(|fault| fault.in_member(names[index]))
    };
    Ok(Asked { params: params.to_string(), file, inputs: [input(0)?, input(1)?] })
}

/// What the job shows as its result, with the sentences; of an old route no more than its clients
/// know. The metadata count first: a customer's hook may have changed them.
fn composed(run: &Run, metadata: &str, file: &Blob, is_old: bool) -> Result<Blob, Problem> {
    let writer = BlobWriter::new("application/json");
    let mut taken = |piece: &[u8]| writer.write(piece);
    let mut members = Members::new(&mut taken);
    let wanted = |name: &str| !is_old || compat::answers(name);
    let mut copied = members.copy(metadata.as_bytes(), &wanted);
    copied = copied.and_then(|()| members.copy(file, &wanted));
    if !is_old {
        members.add("job", &format!("\"{}\"", run.id()));
    }
    copied.and_then(|()| members.finish()).map_err(|broken| unanswerable(run, broken))?;
    Ok(writer.finish())
}

fn output(run: &Run, file: &str) -> Result<Blob, Problem> {
    let missing = || {
        let detail = format!("the run left no `{file}`; its job lists what there is");
        Problem::new(500, "output_missing", detail)
            .with_header("location", format!("/v1/jobs/{}", run.id()))
    };
    run.output(file).ok_or_else(missing)
}

/// The run succeeded, and its result cannot be shown as an answer.
fn unanswerable(run: &Run, broken: Broken) -> Problem {
    let at = format!("/v1/jobs/{}", run.id());
    let problem = match broken {
        Broken::Source => {
            Problem::new(500, "output_missing", "the run, or a hook after it, left no JSON object")
        }
        Broken::Room => {
            let detail = format!(
                "the answer is larger than bodies may be here; get {at}/outputs/{}",
                files::RESULT
            );
            Problem::new(507, "resource_exhausted", detail)
        }
    };
    problem.with_header("location", at)
}

fn header(name: &str, value: String) -> Header {
    Header { name: name.to_owned(), value }
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{ShapeAlign, bindings};

    bindings::export!(ShapeAlign with_types_in bindings);
}
