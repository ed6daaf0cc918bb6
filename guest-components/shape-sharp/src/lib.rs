//! Component `shape-sharp`: service `sharp`, `POST /v1/sharp/predict`.
//!
//! Knows the public names of the service, the input slot and the files of the pipeline `sharp@1`;
//! nothing of how it computes. Defaults are the pipeline's. A picture in a form or as the body is a
//! slice of it; base64 is decoded in pieces into a new blob; a file that is the answer is streamed
//! by the host. Start at `handle`; the contract is in `parameters.json`. `compat.rs` has the routes
//! of an earlier service.

mod compat;
mod contract;
mod files;
mod present;
mod request;

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
use postern_guest::answer::{Answer, refused, with_member};
use postern_guest::bindings::postern::pipelines::runs::{self, Run};
use postern_guest::bindings::postern::pipelines::types::{Call, Input, Outcome};
use postern_guest::body;
use postern_guest::{Blob, BlobWriter, Fault, Head, Header, Problem};

use crate::compat::Old;
use crate::request::{Given, Picture, Wanted};

const PIPELINE: &str = "sharp@1";
/// The pipeline's input slot.
const SLOT: &str = "image";
/// What a request waits when it does not say.
const WAIT_SECS: u32 = 60;

struct ShapeSharp;

impl Guest for ShapeSharp {
    fn describe() -> Description {
        Description {
            name: "sharp".to_owned(),
            title: "Sharp: 3D Gaussians of one picture".to_owned(),
            version: "1".to_owned(),
            routes: std::iter::once(Route {
                name: "predict".to_owned(),
                method: "POST".to_owned(),
                path: "/v1/sharp/predict".to_owned(),
                rules: contract::rules().to_string(),
                wait_secs: WAIT_SECS,
            })
            .chain(compat::routes())
            .collect(),
            pipelines: vec![PIPELINE.to_owned()],
            openapi: contract::openapi().to_string(),
        }
    }

    fn handle(request: Request) -> Result<Response, Problem> {
        let Request { head, route, body, wait_ms, .. } = request;
        let body = body.ok_or_else(|| Problem::new(422, "body_missing", "send a picture"))?;
        let old = compat::find(&route);
        let Asked { params, file, input } = asked(&head, &body, old)?;
        let call = Call { pipeline: PIPELINE.to_owned(), params, inputs: vec![input] };
        let run = runs::submit(call).map_err(refused)?;
        let answer = match (run.wait(wait_ms)?, file) {
            (Some(_), Some(file)) => return file_answer(&head, wait_ms, &run, file),
            (Some(outcome), None) => {
                let result = present::present(&outcome.metadata, &outcome.outputs);
                Answer::json(200, with_member(&run.resource_json(), "result", &result))
            }
            (None, _) => match old.filter(|_| head.header("prefer").is_none()) {
                Some(old) => return Err(old.unfinished(&run.id(), wait_ms)),
                None => Answer::accepted(&run),
            },
        };
        let Answer { status, headers, body } = answer.with_preference(&head, wait_ms);
        Ok(Response { status, headers, body: Body::Bytes(body.into_bytes()) })
    }

    fn present(outcome: Outcome) -> String {
        present::present(&outcome.metadata, &outcome.outputs)
    }
}

impl pages::Guest for ShapeSharp {
    fn describe() -> Vec<pages::Page> {
        compat::pages()
    }
}

/// The call that a request asks for, and the file that is to be its answer.
struct Asked {
    params: String,
    file: Option<&'static str>,
    input: Input,
}

fn asked(head: &Head, body: &Blob, old: Option<Old>) -> Result<Asked, Problem> {
    let content_type = head.content_type().ok_or_else(unsupported)?;
    let schema = if old.is_some() { compat::parameters() } else { contract::parameters() };
    let parsed = body::Body::read(&content_type, body)?;
    let Given { fields, picture } = request::read(body, &parsed, head.query.as_deref(), &schema)?;
    let Wanted { params, file } = match old {
        Some(old) => old.wanted(&fields)?,
        None => request::wanted(fields),
    };
    Ok(Asked { params: params.to_string(), file, input: input(body, &picture)? })
}

fn unsupported() -> Problem {
    Problem::new(415, "media_type_unsupported", "send a form, JSON or a picture")
}

/// The picture as a blob: where it lies, or decoded.
fn input(body: &Blob, picture: &Picture<'_, Blob>) -> Result<Input, Fault> {
    let blob = match picture {
        Picture::Bytes { start, bytes, media_type } => body.slice(*start, *bytes, media_type),
        Picture::Text { text, media_type } => {
            let writer = BlobWriter::new(media_type);
            for piece in text.pieces() {
                let taken = writer.write(&piece.map_err(|fault| fault.in_member(SLOT))?);
                if !taken {
                    let fault = Fault::new("body_too_large", "is larger than bodies may be here");
                    return Err(fault.with_status(413).in_member(SLOT));
                }
            }
            writer.finish()
        }
    };
    Ok(Input { slot: SLOT.to_owned(), blob })
}

/// The file itself; the headers say where it and its job are.
fn file_answer(head: &Head, wait_ms: u32, run: &Run, file: &str) -> Result<Response, Problem> {
    let blob = run.output(file).ok_or_else(|| {
        let detail = format!("the run left no `{file}`; its job lists what there is");
        Problem::new(500, "output_missing", detail)
            .with_header("location", format!("/v1/jobs/{}", run.id()))
    })?;
    let id = run.id();
    let header = |name: &str, value: String| Header { name: name.to_owned(), value };
    let mut answer = Answer { status: 200, headers: Vec::new(), body: String::new() };
    answer.headers = vec![
        header("content-disposition", format!("attachment; filename=\"{file}\"")),
        header("content-location", format!("/v1/jobs/{id}/outputs/{file}")),
        header("link", format!("</v1/jobs/{id}>; rel=\"describedby\"")),
    ];
    let Answer { status, headers, .. } = answer.with_preference(head, wait_ms);
    Ok(Response { status, headers, body: Body::Blob(blob) })
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{ShapeSharp, bindings};

    bindings::export!(ShapeSharp with_types_in bindings);
}
