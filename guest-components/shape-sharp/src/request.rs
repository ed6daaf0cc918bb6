//! A request's picture and parameters: the same for a form, JSON and a picture as the body.
//!
//! The validation component has checked values and first bytes; here are the rules between
//! fields, which a schema cannot say: one picture, each parameter in one place. Nothing is copied:
//! a picture is a place in the body.

use postern_guest::Fault;
use postern_guest::base64::Encoded;
use postern_guest::body::Body;
use postern_guest::form;
use postern_guest::json::Document;
use postern_guest::multipart::Part;
use postern_guest::query;
use postern_guest::schema::Schema;
use postern_guest::sniff::{SNIFF_BYTES, sniff};
use postern_guest::source::{ReadAt, Source, Window};
use serde_json::{Map, Value};

use crate::files;

/// The parts of a form that may be the picture, and the member of JSON.
const PARTS: [&str; 2] = [IMAGE, "file"];
const IMAGE: &str = "image";

/// The picture, still in the body.
pub(crate) enum Picture<'a, S: Source> {
    /// As it lies there.
    Bytes { start: u64, bytes: u64, media_type: String },
    /// A base64 text of a JSON body.
    Text { text: Encoded<'a, S>, media_type: String },
}

/// What the client gave, by name, and the picture.
pub(crate) struct Given<'a, S: Source> {
    pub(crate) fields: Map<String, Value>,
    pub(crate) picture: Picture<'a, S>,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// For the pipeline: what the client gave, and nothing else. Defaults are the pipeline's.
    pub(crate) params: Value,
    /// The file that is to be the answer.
    pub(crate) file: Option<&'static str>,
}

/// Reads a body and the query beside it.
///
/// # Errors
/// 422 `field_missing` (no picture), `field_conflict` (two pictures; a parameter both in the body
/// and in the query), `field_invalid`, and what `form::read` and `query::read` say.
pub(crate) fn read<'a, S: Source>(
    body: &'a S,
    parsed: &'a Body,
    query: Option<&str>,
    schema: &Schema,
) -> Result<Given<'a, S>, Fault> {
    let mut given = match parsed {
        Body::Form(parts) => of_form(body, parts, schema)?,
        Body::Json(document) => of_json(body, document)?,
        Body::Raw => {
            let bytes = body.size();
            let media_type = media_type(body, None);
            let picture = Picture::Bytes { start: 0, bytes, media_type };
            Given { fields: Map::new(), picture }
        }
    };
    for (name, value) in query::read(query, schema)? {
        if given.fields.contains_key(&name) {
            let fault = Fault::new("field_conflict", "stands in the body and in the query");
            return Err(fault.in_member(&name));
        }
        given.fields.insert(name, value);
    }
    Ok(given)
}

fn of_form<'a, S: Source>(
    body: &'a S,
    parts: &[Part],
    schema: &Schema,
) -> Result<Given<'a, S>, Fault> {
    let is_picture = |name: &str| PARTS.contains(&name);
    let fields = form::read(body, parts, schema, &is_picture)?;
    let mut pictures = parts.iter().filter(|part| is_picture(&part.name));
    let part = pictures.next().ok_or_else(missing)?;
    if let Some(second) = pictures.next() {
        let fault = Fault::new("field_conflict", "send one picture: `image` or `file`");
        return Err(fault.in_member(&second.name));
    }
    let window = Window::new(body, part.start, part.bytes);
    let media_type = media_type(&window, part.media_type.as_deref());
    let picture = Picture::Bytes { start: part.start, bytes: part.bytes, media_type };
    Ok(Given { fields: fields.as_object().cloned().unwrap_or_default(), picture })
}

fn of_json<'a, S: Source>(body: &'a S, document: &'a Document) -> Result<Given<'a, S>, Fault> {
    let object = Fault::new("field_invalid", "the body must be a JSON object");
    let members = document.value.as_object().ok_or(object)?;
    let text = members.get(IMAGE).ok_or_else(missing)?;
    let no_text = || Fault::new("field_invalid", "must be a string").in_member(IMAGE);
    let text = text.as_str().ok_or_else(no_text)?;
    let text = Encoded::new(document.text(body, text)).map_err(|fault| fault.in_member(IMAGE))?;
    let media_type = media_type(&text, text.media_type.as_deref());
    let fields = members.iter().filter(|(name, _)| *name != IMAGE);
    let fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Given { fields, picture: Picture::Text { text, media_type } })
}

/// What the first bytes say, or else the client.
fn media_type<S: ReadAt + ?Sized>(bytes: &S, declared: Option<&str>) -> String {
    let sniffed = sniff(&bytes.read(0, SNIFF_BYTES)).media_type();
    sniffed.or(declared).unwrap_or_default().to_owned()
}

fn missing() -> Fault {
    let detail =
        "send the picture: as the part `image` of a form, as base64 in JSON, or as the body";
    Fault::new("field_missing", detail).in_member(IMAGE)
}

/// The parameters of `/v1/sharp/predict`: `format` is the service's, the rest the pipeline's.
pub(crate) fn wanted(mut fields: Map<String, Value>) -> Wanted {
    let format = fields.remove("format");
    let Some(format) = format.as_ref().and_then(Value::as_str) else {
        return Wanted { params: Value::Object(fields), file: None };
    };
    let outputs = fields.entry("outputs").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(outputs) = outputs {
        if !outputs.iter().any(|output| output == format) {
            outputs.push(Value::from(format));
        }
    }
    Wanted { params: Value::Object(fields), file: files::file_of(format) }
}

#[cfg(test)]
mod tests {
    use postern_guest::media_type::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::contract::parameters;

    const GIF: &str = "GIF89a";

    /// `params | media type @ where > file`, or the refusal.
    fn show(content_type: &str, body: &[u8], query: &str) -> String {
        let content_type = HeaderValue::parse(content_type).expect("well-formed");
        let parsed = Body::read(&content_type, &body).expect("well-formed");
        let given = match read(&body, &parsed, Some(query), &parameters()) {
            Ok(given) => given,
            Err(fault) => return format!("{} {}", fault.code, fault.path),
        };
        let (place, media_type) = match &given.picture {
            Picture::Bytes { start: 0, media_type, .. } => ("body", media_type.clone()),
            Picture::Bytes { media_type, .. } => ("part", media_type.clone()),
            Picture::Text { media_type, .. } => ("text", media_type.clone()),
        };
        let Wanted { params, file } = wanted(given.fields);
        format!("{params} | {media_type} @ {place} > {}", file.unwrap_or("-"))
    }

    fn form(parts: &[(&str, &str)], query: &str) -> String {
        let part = |(name, text): &(&str, &str)| {
            format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let text = parts.iter().map(part).collect::<String>() + "--X--";
        show("multipart/form-data; boundary=X", text.as_bytes(), query)
    }

    fn json(value: &Value, query: &str) -> String {
        show("application/json", value.to_string().as_bytes(), query)
    }

    #[test]
    fn a_picture_is_found_in_every_kind_of_body() {
        for name in PARTS {
            assert_eq!(form(&[(name, GIF)], ""), "{} | image/gif @ part > -");
        }
        assert_eq!(json(&json!({"image": "R0lGODlh"}), ""), "{} | image/gif @ text > -");
        let url = json!({"image": "data:image/x;base64,AAAA"});
        assert_eq!(json(&url, ""), "{} | image/x @ text > -");
        assert_eq!(show("image/png", GIF.as_bytes(), ""), "{} | image/gif @ body > -");
    }

    #[test]
    fn parameters_stand_in_the_body_or_in_the_query() {
        let want = r#"{"axes":"gltf","focal_px":900.5} | image/gif @ part > -"#;
        assert_eq!(form(&[("axes", "gltf"), ("file", GIF)], "focal_px=900.5"), want);
        let want = r#"{"axes":"gltf","focal_px":900.5} | image/gif @ text > -"#;
        let body = json!({"image": "R0lGODlh", "focal_px": 900.5});
        assert_eq!(json(&body, "axes=gltf"), want);
        let want = r#"{"outputs":["ply","video"]} | image/gif @ body > -"#;
        assert_eq!(show("image/gif", GIF.as_bytes(), "outputs=ply,video"), want);
        assert_eq!(json(&body, "focal_px=900.5"), "field_conflict focal_px");
    }

    #[test]
    fn a_format_is_one_of_the_outputs() {
        let gif = GIF.as_bytes();
        let want = r#"{"outputs":["spz"]} | image/gif @ body > gaussians.spz"#;
        assert_eq!(show("image/gif", gif, "format=spz"), want);
        let want = r#"{"outputs":["preview","spz"]} | image/gif @ body > gaussians.spz"#;
        assert_eq!(show("image/gif", gif, "format=spz&outputs=preview"), want);
        let want = r#"{"outputs":["spz"]} | image/gif @ body > gaussians.spz"#;
        assert_eq!(show("image/gif", gif, "format=spz&outputs=spz"), want);
    }

    #[test]
    fn exactly_one_picture_is_wanted() {
        assert_eq!(form(&[("axes", "gltf")], ""), "field_missing image");
        assert_eq!(form(&[("image", GIF), ("file", GIF)], ""), "field_conflict file");
        assert_eq!(json(&json!({}), ""), "field_missing image");
        assert_eq!(json(&json!({"image": 7}), ""), "field_invalid image");
        assert_eq!(json(&json!([]), ""), "field_invalid ");
    }
}
