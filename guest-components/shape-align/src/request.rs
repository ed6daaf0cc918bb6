//! A request's texts and parameters: the same for a form and for JSON.
//!
//! The validation component has checked values; here are the rules between fields, which a schema
//! cannot say. Nothing is copied: a text is a place in the body until `text.rs` makes a blob of it.

use postern_guest::Fault;
use postern_guest::body::Body;
use postern_guest::form;
use postern_guest::json::{Document, Text};
use postern_guest::multipart::Part;
use postern_guest::query;
use postern_guest::schema::Schema;
use postern_guest::source::Source;
use serde_json::{Map, Value};

use crate::files;

/// The pipeline's slots, and the names of the texts in a form and in JSON.
pub(crate) const TEXTS: [&str; 2] = ["source", "target"];
/// Most of one text in UTF-8, however JSON writes it; protects the pipeline, which takes 8 MiB.
pub(crate) const TEXT_BYTES_MAX: u64 = 5 << 20;
const OUTPUTS: &str = "outputs";

/// One text, still in the body.
pub(crate) enum Given<'a, S: Source> {
    /// As it lies there.
    Part { start: u64, bytes: u64 },
    /// A string of a JSON body.
    Member(Text<'a, S>),
}

/// What the client gave: parameters by name, and the texts in the order of the slots.
pub(crate) struct Sent<'a, S: Source> {
    pub(crate) fields: Map<String, Value>,
    pub(crate) texts: [Given<'a, S>; 2],
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// For the pipeline: what the client gave, and which files. Defaults are the pipeline's.
    pub(crate) params: Value,
    /// The file that the answer is made of.
    pub(crate) file: &'static str,
}

/// Reads a body and the query beside it.
///
/// # Errors
/// 422 `part_missing`, `field_missing` (a text), `field_conflict` (a parameter both in the body and
/// in the query), `field_invalid`, and what `form::read` and `query::read` say.
pub(crate) fn read<'a, S: Source>(
    body: &'a S,
    parsed: &'a Body,
    query: Option<&str>,
    schema: &Schema,
) -> Result<Sent<'a, S>, Fault> {
    let mut sent = match parsed {
        Body::Form(parts) => of_form(body, parts, schema)?,
        Body::Json(document) => of_json(body, document, TEXTS)?,
        Body::Raw => return Err(Fault::new("field_invalid", "the body must be a form or JSON")),
    };
    for (name, value) in query::read(query, schema)? {
        if sent.fields.contains_key(&name) {
            let fault = Fault::new("field_conflict", "stands in the body and in the query");
            return Err(fault.in_member(&name));
        }
        sent.fields.insert(name, value);
    }
    Ok(sent)
}

fn of_form<'a, S: Source>(body: &S, parts: &[Part], schema: &Schema) -> Result<Sent<'a, S>, Fault> {
    let is_text = |name: &str| TEXTS.contains(&name);
    let fields = form::read(body, parts, schema, &is_text)?;
    let text = |name: &str| {
        let part = parts.iter().find(|part| part.name == name);
        let missing = || Fault::new("part_missing", "1 of it are needed").in_member(name);
        part.map(|part| Given::Part { start: part.start, bytes: part.bytes }).ok_or_else(missing)
    };
    let texts = [text(TEXTS[0])?, text(TEXTS[1])?];
    Ok(Sent { fields: fields.as_object().cloned().unwrap_or_default(), texts })
}

/// The members of a JSON body: the texts called `names`, and all others.
///
/// # Errors
/// 422 `field_missing`, `field_invalid`.
pub(crate) fn of_json<'a, S: Source>(
    body: &'a S,
    document: &'a Document,
    names: [&str; 2],
) -> Result<Sent<'a, S>, Fault> {
    let object = Fault::new("field_invalid", "the body must be a JSON object");
    let members = document.value.as_object().ok_or(object)?;
    let text = |name: &str| {
        let member = members.get(name).ok_or_else(|| Fault::new("field_missing", "is required"));
        let text = member.and_then(|member| {
            member.as_str().ok_or_else(|| Fault::new("field_invalid", "must be a string"))
        });
        let text = text.map_err(|fault| fault.in_member(name))?;
        Ok::<_, Fault>(Given::Member(document.text(body, text)))
    };
    let texts = [text(names[0])?, text(names[1])?];
    let others = members.iter().filter(|(name, _)| !names.contains(&name.as_str()));
    let fields = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Sent { fields, texts })
}

/// The parameters of `/v1/align`: `format` is the service's, the rest the pipeline's.
pub(crate) fn wanted(mut fields: Map<String, Value>, schema: &Schema) -> Wanted {
    let format = fields.remove("format");
    let format = format.as_ref().and_then(Value::as_str).unwrap_or(files::JSON);
    // The file of the answer first; each once, as the pipeline wants it.
    let mut outputs = vec![Value::from(format)];
    for output in fields.get(OUTPUTS).and_then(Value::as_array).into_iter().flatten() {
        if !outputs.contains(output) {
            outputs.push(output.clone());
        }
    }
    fields.insert(OUTPUTS.to_owned(), Value::Array(outputs));
    let mut params = Value::Object(fields);
    schema.normalise(&mut params);
    Wanted { params, file: files::file_of(format).unwrap_or(files::RESULT) }
}

#[cfg(test)]
mod tests {
    use postern_guest::media_type::HeaderValue;
    use postern_guest::source::read_all;
    use serde_json::json;

    use super::*;
    use crate::contract::parameters;

    /// `source|target params > file`, or the refusal.
    fn show(content_type: &str, body: &[u8], query: &str) -> String {
        let content_type = HeaderValue::parse(content_type).expect("well-formed");
        let parsed = Body::read(&content_type, &body).expect("well-formed");
        let schema = parameters();
        let Sent { fields, texts } = match read(&body, &parsed, Some(query), &schema) {
            Ok(sent) => sent,
            Err(fault) => return format!("{} {}", fault.code, fault.path),
        };
        let texts = texts.map(|text| {
            let bytes = match text {
                Given::Part { start, bytes } => read_all(&body, start, bytes),
                Given::Member(text) => {
                    text.characters().flat_map(|it| it.expect("UTF-8")).collect()
                }
            };
            String::from_utf8(bytes).expect("UTF-8")
        });
        let Wanted { params, file } = wanted(fields, &schema);
        format!("{} {params} > {file}", texts.join("|"))
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
    fn both_texts_are_found_in_either_kind_of_body() {
        let want = r#"ä.|b {"outputs":["json"]} > result.json"#;
        assert_eq!(form(&[("target", "b"), ("source", "ä.")], ""), want);
        assert_eq!(json(&json!({"source": "ä.", "target": "b"}), ""), want);
        let escaped = br#"{"target":"b","source":"\u00e4."}"#;
        assert_eq!(show("application/json", escaped, ""), want);
        let empty = r#"|b {"outputs":["json"]} > result.json"#;
        assert_eq!(form(&[("target", "b"), ("source", "")], ""), empty);
    }

    #[test]
    fn parameters_stand_in_the_body_or_in_the_query() {
        let want = r#"a|b {"margin":false,"outputs":["json"],"win":7} > result.json"#;
        assert_eq!(form(&[("win", "7"), ("source", "a"), ("target", "b")], "margin=0"), want);
        let body = json!({"source": "a", "target": "b", "win": 7.0});
        assert_eq!(json(&body, "margin=false"), want, "7.0 is the whole number 7");
        assert_eq!(json(&body, "win=7"), "field_conflict win");
        assert_eq!(json(&body, "source=a"), "field_unknown source");
    }

    #[test]
    fn the_answer_is_one_of_the_outputs() {
        let texts = json!({"source": "a", "target": "b"});
        let want = r#"a|b {"outputs":["tmx"]} > result.tmx"#;
        assert_eq!(json(&texts, "format=tmx"), want);
        let want = r#"a|b {"outputs":["tsv","tmx"]} > result.tsv"#;
        assert_eq!(json(&texts, "format=tsv&outputs=tmx,tsv,tmx"), want);
        let want = r#"a|b {"outputs":["json","tsv"]} > result.json"#;
        assert_eq!(json(&texts, "outputs=tsv"), want, "the usual answer needs its file");
    }

    #[test]
    fn a_text_that_is_not_there_is_named() {
        assert_eq!(json(&json!({"source": "a"}), ""), "field_missing target");
        assert_eq!(json(&json!({"source": 7, "target": "b"}), ""), "field_invalid source");
        assert_eq!(json(&json!([]), ""), "field_invalid ");
        assert_eq!(form(&[("target", "b")], ""), "part_missing source");
        assert_eq!(show("text/plain", b"a", ""), "field_invalid ");
    }
}
