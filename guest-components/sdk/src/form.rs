//! Fields of a multipart form as JSON: `farneback.winsize=21` becomes `{"farneback":
//! {"winsize": 21}}`, each text read as the type that the schema wants at its place.
//!
//! A list of words may be written with commas between them: `outputs=a,b` is `["a", "b"]`.
//!
//! The part `params` may bring a whole JSON object; other fields are added to it. Where the schema
//! is open (no `additionalProperties: false`), fields that it does not name are passed over unread.

use serde_json::{Map, Value};

use crate::multipart::Part;
use crate::problem::Fault;
use crate::schema::Schema;
use crate::source::{Source, read_all};

/// The part that holds a JSON object of parameters.
pub const PARAMS_PART: &str = "params";
/// A field's text; the longest that we know is a list of boxes.
const FIELD_BYTES_MAX: u64 = 64 << 10;
/// The part `params`.
const PARAMS_BYTES_MAX: u64 = 256 << 10;
/// All fields together: 4,200 parts of 64 KiB must not end up in guest memory.
const FIELDS_BYTES_MAX: u64 = 1 << 20;

/// The fields among `parts`, as a JSON object by `schema`. Parts that `is_file` says are files
/// (pictures, videos) are passed over.
///
/// # Errors
/// 422 `field_unknown`, `field_invalid` (also for a field that is given twice), `json_invalid`
/// for a broken `params`; 413 `part_too_large`. The values are read, not yet checked: see
/// `Schema::check`.
pub fn read<S: Source + ?Sized>(
    body: &S,
    parts: &[Part],
    schema: &Schema,
    is_file: &dyn Fn(&str) -> bool,
) -> Result<Value, Fault> {
    let is_field = |part: &&Part| !is_file(&part.name) && !is_passed_over(schema, &part.name);
    let fields: Vec<&Part> = parts.iter().filter(is_field).collect();
    let mut total = 0;
    for part in &fields {
        let max = if part.name == PARAMS_PART { PARAMS_BYTES_MAX } else { FIELD_BYTES_MAX };
        total += part.bytes;
        if part.bytes > max || total > FIELDS_BYTES_MAX {
            let detail = format!(
                "a field has at most {} KiB, all together {} KiB",
                max >> 10,
                FIELDS_BYTES_MAX >> 10
            );
            let fault = Fault::new("part_too_large", detail).with_status(413);
            return Err(fault.in_member(&part.name));
        }
    }
    let (whole, single): (Vec<_>, Vec<_>) =
        fields.into_iter().partition(|part| part.name == PARAMS_PART);
    if whole.len() > 1 {
        return Err(twice().in_member(PARAMS_PART));
    }
    let mut members = Map::new();
    for part in whole {
        members = params(&read_all(body, part.start, part.bytes))
            .map_err(|fault| fault.in_member(PARAMS_PART))?;
    }
    for part in single {
        let bytes = read_all(body, part.start, part.bytes);
        set(&mut members, schema, &part.name, &bytes)?;
    }
    Ok(Value::Object(members))
}

/// Is a part of this name neither a field nor a fault?
#[must_use]
pub fn is_passed_over(schema: &Schema, name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    schema.is_open() && name != PARAMS_PART && schema.property(first).is_none()
}

fn params(bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|error| Fault::new("json_invalid", format!("is not a JSON object: {error}")))
}

fn invalid(detail: impl Into<String>) -> Fault {
    Fault::new("field_invalid", detail)
}

fn twice() -> Fault {
    invalid("is given twice")
}

/// Sets the field with the dotted name `path`; faults carry that name.
pub(crate) fn set(
    members: &mut Map<String, Value>,
    schema: &Schema,
    path: &str,
    bytes: &[u8],
) -> Result<(), Fault> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let Some(inner) = schema.property(first) else {
        return Err(schema.unknown().in_member(first));
    };
    let Some(rest) = rest else {
        let value = value(inner, bytes).map_err(|fault| fault.in_member(first))?;
        return match members.insert(first.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(twice().in_member(first)),
        };
    };
    let slot = members.entry(first).or_insert_with(|| Value::Object(Map::new()));
    match slot {
        Value::Object(below) => set(below, inner, rest, bytes),
        _ => Err(twice()),
    }
    .map_err(|fault| fault.in_member(first))
}

/// The text of a field as the schema wants it. JSON where it wants a list or an object; a list of
/// words may also be the words.
fn value(schema: &Schema, bytes: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("is not UTF-8"))?;
    if !schema.is_typed() {
        return Ok(Value::from(text));
    }
    let word = text.trim();
    if schema.allows("boolean") {
        match word {
            "true" | "1" | "on" => return Ok(Value::Bool(true)),
            "false" | "0" | "off" => return Ok(Value::Bool(false)),
            _ => {}
        }
    }
    // Through JSON's own grammar: Rust's would take `inf`, `nan` and `1_000` differently.
    if schema.allows("integer") || schema.allows("number") {
        if let Ok(number) = serde_json::from_str::<serde_json::Number>(word) {
            return Ok(Value::Number(number));
        }
    }
    if schema.is_list_of_words() && !word.starts_with('[') {
        let words = word.split(',').map(str::trim).filter(|word| !word.is_empty());
        return Ok(words.collect());
    }
    if schema.allows("array") || schema.allows("object") {
        let json = serde_json::from_str::<Value>(word);
        return json.map_err(|error| invalid(format!("is not JSON: {error}")));
    }
    // What is left over is a string; where none is allowed the check of the whole says so.
    Ok(Value::from(if schema.allows("string") { text } else { word }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::multipart;
    use crate::schema::Plain;

    fn schema() -> Schema {
        let source = json!({"additionalProperties": false, "properties": {
            "canny": {"type": "object", "additionalProperties": false, "properties": {
                "low": {"type": "number", "maximum": 9}, "l2": {"type": "boolean"},
                "aperture": {"type": "integer", "enum": [3, 5]}
            }},
            "op": {"type": "string", "enum": ["open"]},
            "boxes": {"type": "array", "items": {"type": "number"}},
            "words": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            "every_n": {"type": "integer"}
        }});
        Schema::parse(&source).expect("understood")
    }

    fn check(fields: &[(&str, &str)]) -> String {
        let field = |(name, text): &(&str, &str)| {
            format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let body = fields.iter().map(field).collect::<String>() + "--X--";
        let bytes = body.as_bytes();
        let parts = multipart::parse(bytes, "X").expect("well-formed");
        let done = read(bytes, &parts, &schema(), &|name| name == "video");
        let done = done.and_then(|value| {
            schema().check(&value, &mut Plain)?;
            Ok(value.to_string())
        });
        done.unwrap_or_else(|fault| format!("{} {}: {}", fault.code, fault.path, fault.detail))
    }

    #[test]
    fn texts_become_the_types_that_the_schema_wants() {
        assert_eq!(
            check(&[
                ("canny.low", " 2.5 "),
                ("video", "bytes"),
                ("canny.l2", "on"),
                ("op", "open"),
                ("boxes", "[1, 2]"),
            ]),
            r#"{"boxes":[1,2],"canny":{"l2":true,"low":2.5},"op":"open"}"#
        );
        assert_eq!(check(&[("canny", "{\"low\": 1}")]), r#"{"canny":{"low":1}}"#);
        assert_eq!(check(&[("words", "a, b,")]), r#"{"words":["a","b"]}"#);
        assert_eq!(check(&[("words", "[\"b\"]")]), r#"{"words":["b"]}"#);
        assert!(check(&[("words", "a,c")]).starts_with("field_invalid words[1]: must be one of"));
        assert_eq!(check(&[("every_n", "-0")]), r#"{"every_n":-0.0}"#);
    }

    #[test]
    fn params_part_is_the_ground_for_fields() {
        assert_eq!(
            check(&[("canny.l2", "0"), ("params", "{\"canny\": {\"low\": 1}, \"every_n\": 2}")]),
            r#"{"canny":{"l2":false,"low":1},"every_n":2}"#
        );
        let cases: [(&[(&str, &str)], &str); 12] = [
            (&[("params", "[]")], "json_invalid params"),
            (&[("params", "{}"), ("params", "{}")], "field_invalid params: is given twice"),
            (
                &[("params", "{\"every_n\": 1}"), ("every_n", "1")],
                "field_invalid every_n: is given",
            ),
            (&[("params", "{\"canny\": 1}"), ("canny.low", "1")], "field_invalid canny: is given"),
            (
                &[("canny.lwo", "1")],
                "field_unknown canny.lwo: is not known; known are aperture, l2",
            ),
            (&[("x", "1")], "field_unknown x"),
            (&[("canny.low", "inf")], "field_invalid canny.low: must be a number"),
            (&[("canny.low", "10")], "field_invalid canny.low: must be at most 9"),
            (&[("canny.aperture", "4")], "field_invalid canny.aperture: must be one of 3, 5"),
            (&[("canny.l2", "yes")], "field_invalid canny.l2: must be a boolean"),
            (&[("boxes", "[1")], "field_invalid boxes: is not JSON"),
            (&[("op", "shut")], "field_invalid op: must be one of \"open\""),
        ];
        for (fields, want) in cases {
            assert!(check(fields).starts_with(want), "{}", check(fields));
        }
    }

    #[test]
    fn an_open_schema_passes_over_what_it_does_not_name() {
        let open = Schema::parse(&json!({"properties": {"a": {"type": "integer"}}}));
        let open = open.expect("understood");
        let head = "content-disposition: form-data; name=";
        let long = "x".repeat(FIELD_BYTES_MAX as usize + 1);
        let body =
            format!("--X\r\n{head}\"b.c\"\r\n\r\n{long}\r\n--X\r\n{head}\"a\"\r\n\r\n1\r\n--X--");
        let parts = multipart::parse(body.as_bytes(), "X").expect("well-formed");
        let value = read(body.as_bytes(), &parts, &open, &|_| false);
        assert_eq!(value, Ok(json!({"a": 1})));
    }

    #[test]
    fn fields_are_small() {
        let text = "x".repeat(FIELD_BYTES_MAX as usize + 1);
        assert!(check(&[("op", &text)]).starts_with("part_too_large op"));
        let text = "x".repeat(FIELD_BYTES_MAX as usize);
        let many = vec![("op", text.as_str()); 17];
        assert!(check(&many).starts_with("part_too_large op"));
    }
}
