//! A request's parameters and files: the same for a JSON body and for a form.
//!
//! The validation component has checked values and first bytes; here are the rules between
//! fields, which a schema cannot say: one kind of input, one way of sampling.

use postern_guest::Fault;
use postern_guest::base64::Encoded;
use postern_guest::form;
use postern_guest::json::Document;
use postern_guest::multipart::Part;
use postern_guest::schema::Schema;
use postern_guest::sniff::{SNIFF_BYTES, sniff};
use postern_guest::source::{ReadAt, Source, Window};
use serde_json::{Map, Value};

/// Input slots of the pipeline, which are also the names of the form's parts.
const VIDEO: &str = "video";
const FRAME: &str = "frame";
/// The JSON member that holds the frames.
const FRAMES: &str = "frames";

/// One file of a request, still in the body.
pub(crate) struct File<T> {
    /// The pipeline's input slot.
    pub(crate) slot: &'static str,
    /// Where the client put it, for problems: `frames[3]`.
    pub(crate) field: String,
    pub(crate) media_type: String,
    pub(crate) bytes: T,
}

/// What a request asks for.
pub(crate) struct Wanted<T> {
    /// What the client gave, and nothing else: defaults are the pipeline's.
    pub(crate) params: Value,
    pub(crate) files: Vec<File<T>>,
}

/// Reads a form; each file is its place `(start, length)` in the body.
///
/// # Errors
/// 422 `field_missing`, `field_conflict`, and what `form::read` says.
pub(crate) fn of_form<S: Source>(
    body: &S,
    parts: &[Part],
    schema: &Schema,
) -> Result<Wanted<(u64, u64)>, Fault> {
    let params = form::read(body, parts, schema, &|name| slot(name).is_some())?;
    let mut files = Vec::new();
    for part in parts {
        let Some(slot) = slot(&part.name) else { continue };
        let media_type = sniff(&Window::new(body, part.start, part.bytes).read(0, SNIFF_BYTES))
            .media_type()
            .or(part.media_type.as_deref());
        files.push(File {
            slot,
            field: part.name.clone(),
            media_type: media_type.unwrap_or_default().to_owned(),
            bytes: (part.start, part.bytes),
        });
    }
    finish(params, files, schema, FRAME)
}

/// Reads a JSON body; each file is a base64 text of it.
///
/// # Errors
/// 422 `field_missing`, `field_conflict`, `field_invalid`.
pub(crate) fn of_json<'a, S: Source>(
    body: &'a S,
    document: &'a Document,
    schema: &Schema,
) -> Result<Wanted<Encoded<'a, S>>, Fault> {
    let object = Fault::new("field_invalid", "the body must be a JSON object");
    let members = document.value.as_object().ok_or(object)?;
    let mut files = Vec::new();
    let mut add = |slot, field: String, text: &'a Value| {
        let no_text = || Fault::new("field_invalid", "must be a string");
        let text = text.as_str().ok_or_else(no_text)?;
        let bytes = Encoded::new(document.text(body, text))?;
        let sniffed = sniff(&bytes.read(0, SNIFF_BYTES)).media_type();
        let media_type = sniffed.or(bytes.media_type.as_deref()).unwrap_or_default().to_owned();
        files.push(File { slot, field, media_type, bytes });
        Ok(())
    };
    if let Some(video) = members.get(VIDEO) {
        add(VIDEO, VIDEO.to_owned(), video).map_err(|fault: Fault| fault.in_member(VIDEO))?;
    }
    let frames = members.get(FRAMES).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (index, frame) in frames.iter().enumerate() {
        add(FRAME, format!("{FRAMES}[{index}]"), frame)
            .map_err(|fault| fault.in_item(index).in_member(FRAMES))?;
    }
    let is_param = |name: &str| name != VIDEO && name != FRAMES;
    let params: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| is_param(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    finish(Value::Object(params), files, schema, FRAMES)
}

fn slot(name: &str) -> Option<&'static str> {
    [VIDEO, FRAME].into_iter().find(|slot| *slot == name)
}

/// The rules between fields. `frames_field` is what the frames are called in this kind of body.
fn finish<T>(
    mut params: Value,
    files: Vec<File<T>>,
    schema: &Schema,
    frames_field: &str,
) -> Result<Wanted<T>, Fault> {
    let has = |slot: &str| files.iter().any(|file| file.slot == slot);
    if files.is_empty() {
        let detail = format!("send a `video`, or pictures as `{frames_field}`");
        return Err(Fault::new("field_missing", detail).in_member(VIDEO));
    }
    if has(VIDEO) && has(FRAME) {
        let detail = format!("send `video` or `{frames_field}`, not both");
        return Err(Fault::new("field_conflict", detail).in_member(frames_field));
    }
    if params.get("sample_fps").is_some() && params.get("every_n").is_some() {
        let fault = Fault::new("field_conflict", "give `sample_fps` or `every_n`, not both");
        return Err(fault.in_member("every_n"));
    }
    schema.normalise(&mut params);
    Ok(Wanted { params, files })
}

#[cfg(test)]
mod tests;
