//! Component `shape-vision`: service `vision`, `POST /v1/vision/analyze`.
//!
//! Knows the public names of the service and the slots of the pipeline `vision@1`; nothing of how
//! it computes. Defaults are the pipeline's. Files of a form are slices of the body; base64 is
//! decoded in pieces into new blobs. Start at `handle`; the contract is in `parameters.json`.
//! `compat.rs` has the routes of an earlier service.

mod compat;
mod contract;
mod present;
mod request;

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
use postern_guest::answer::{Answer, refused, with_member};
use postern_guest::base64::Encoded;
use postern_guest::bindings::postern::pipelines::runs;
use postern_guest::bindings::postern::pipelines::types::{Call, Input, Outcome};
use postern_guest::body;
use postern_guest::{Blob, BlobWriter, Fault, Head, Problem, Source};

use crate::request::{File, Wanted};

const PIPELINE: &str = "vision@1";
/// What a request waits when it does not say.
const WAIT_SECS: u32 = 30;

struct ShapeVision;

impl Guest for ShapeVision {
    fn describe() -> Description {
        Description {
            name: "vision".to_owned(),
            title: "Vision: motion, edges and key frames of a video".to_owned(),
            version: "1".to_owned(),
            routes: std::iter::once(Route {
                name: "analyze".to_owned(),
                method: "POST".to_owned(),
                path: "/v1/vision/analyze".to_owned(),
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
        let body = body.ok_or_else(|| Problem::new(422, "body_missing", "send a video"))?;
        if compat::is_mine(&route) {
            return trigger(&head, &body);
        }
        let run = runs::submit(call(&head, &body)?).map_err(refused)?;
        let answer = match run.wait(wait_ms)? {
            Some(outcome) => {
                let result = present::present(&outcome.metadata, &outcome.outputs);
                Answer::json(200, with_member(&run.resource_json(), "result", &result))
            }
            None => Answer::accepted(&run),
        };
        let Answer { status, headers, body } = answer.with_preference(&head, wait_ms);
        Ok(Response { status, headers, body: Body::Bytes(body.into_bytes()) })
    }

    fn present(outcome: Outcome) -> String {
        present::present(&outcome.metadata, &outcome.outputs)
    }
}

/// Answers a client of the earlier service.
fn trigger(head: &Head, body: &Blob) -> Result<Response, Problem> {
    let submit = |params: serde_json::Value, input| {
        let (pipeline, params) = (PIPELINE.to_owned(), params.to_string());
        runs::submit(Call { pipeline, params, inputs: vec![input] }).map_err(refused)
    };
    let content_type = head.content_type().ok_or_else(unsupported)?;
    let answer = match body::Body::read(&content_type, body)? {
        body::Body::Form(parts) => {
            let asked = compat::of_form(body, &parts)?;
            let video = slice(body, &asked.video);
            asked.accepted(&submit(asked.params(), video)?)
        }
        body::Body::Json(document) => {
            let asked = compat::of_json(body, &document)?;
            let video = decoded(&asked.video)?;
            asked.accepted(&submit(asked.params(), video)?)
        }
        body::Body::Raw => return Err(unsupported()),
    };
    let Answer { status, headers, body } = answer;
    Ok(Response { status, headers, body: Body::Bytes(body.into_bytes()) })
}

fn unsupported() -> Problem {
    Problem::new(415, "media_type_unsupported", "send a form or JSON")
}

/// A part of a form where it lies.
fn slice(body: &Blob, file: &File<(u64, u64)>) -> Input {
    let (start, bytes) = file.bytes;
    Input { slot: file.slot.to_owned(), blob: body.slice(start, bytes, &file.media_type) }
}

/// The call that a request asks for.
fn call(head: &Head, body: &Blob) -> Result<Call, Problem> {
    let content_type = head.content_type().ok_or_else(unsupported)?;
    let schema = contract::parameters();
    let (params, inputs) = match body::Body::read(&content_type, body)? {
        body::Body::Form(parts) => {
            let Wanted { params, files } = request::of_form(body, &parts, &schema)?;
            (params, files.iter().map(|file| slice(body, file)).collect())
        }
        body::Body::Json(document) => {
            let Wanted { params, files } = request::of_json(body, &document, &schema)?;
            let inputs: Result<Vec<Input>, Fault> = files.iter().map(decoded).collect();
            (params, inputs?)
        }
        body::Body::Raw => return Err(unsupported()),
    };
    Ok(Call { pipeline: PIPELINE.to_owned(), params: params.to_string(), inputs })
}

/// A base64 text as a blob of its own.
fn decoded<S: Source>(file: &File<Encoded<'_, S>>) -> Result<Input, Fault> {
    let writer = BlobWriter::new(&file.media_type);
    for piece in file.bytes.pieces() {
        let taken = writer.write(&piece.map_err(|fault| fault.in_member(&file.field))?);
        if !taken {
            let fault = Fault::new("body_too_large", "is larger than bodies may be here");
            return Err(fault.with_status(413).in_member(&file.field));
        }
    }
    Ok(Input { slot: file.slot.to_owned(), blob: writer.finish() })
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{ShapeVision, bindings};

    bindings::export!(ShapeVision with_types_in bindings);
}
