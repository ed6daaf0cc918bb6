//! `/vision/trigger_analysis` and `…_gpu`: for clients of an earlier service.
//!
//! Owns these two routes: their rules, their reading, their answer. Always: the answer comes as
//! soon as the job is accepted, whatever `Prefer` says; the job is the same as one of
//! `/v1/vision/analyze` and is asked for at `/v1/jobs/{id}`. No URL is fetched here, only `data:`.

use postern_guest::Fault;
use postern_guest::answer::Answer;
use postern_guest::base64::Encoded;
use postern_guest::bindings::postern::pipelines::runs::{Run, State};
use postern_guest::form;
use postern_guest::json::{Document, Text};
use postern_guest::multipart::Part;
use postern_guest::schema::Schema;
use postern_guest::sniff::{Kind, SNIFF_BYTES, sniff};
use postern_guest::source::{ReadAt, Source, Window};
use postern_guest::template;
use serde_json::{Map, Value, json};

use crate::bindings::exports::postern::shaping::service::Route;
use crate::request::File;

const PATHS: [(&str, &str); 2] =
    [("trigger", "/vision/trigger_analysis"), ("trigger-gpu", "/vision/trigger_analysis_gpu")];
const RULES: &str = include_str!("compat/rules.json");
const OPENAPI: &str = include_str!("compat/openapi.json");

/// The input slot, and what the upload is called.
const VIDEO: &str = "video";
const VIDEO_URL: &str = "videoUrl";
/// What `itemType` may be; the last one stands for everything else.
const ITEM_TYPES: [&str; 3] = ["comic", "card", "generic"];
/// The pipeline's parameter for it.
const ITEM_TYPE: &str = "item_type";
/// How much of a URL is looked at.
const URL_HEAD_BYTES: u32 = 64;

/// What a request asks for. `T` is where the video lies.
pub(crate) struct Trigger<T> {
    /// As it was given; `null` when it was not.
    scan_id: Value,
    item_type: &'static str,
    pub(crate) video: File<T>,
}

pub(crate) fn routes() -> impl Iterator<Item = Route> {
    PATHS.into_iter().map(|(name, path)| Route {
        name: name.to_owned(),
        method: "POST".to_owned(),
        path: path.to_owned(),
        rules: template::read(RULES, &Value::Null).to_string(),
        wait_secs: 0,
    })
}

pub(crate) fn is_mine(route: &str) -> bool {
    PATHS.iter().any(|(name, _)| *name == route)
}

/// Adds the routes to the service's document.
pub(crate) fn document(openapi: &mut Value) {
    for (name, path) in PATHS {
        let mut item = template::read(OPENAPI, &rules());
        item["post"]["operationId"] = Value::from(format!("vision-{name}"));
        openapi["paths"][path] = item;
    }
}

fn rules() -> Value {
    template::read(RULES, &Value::Null)
}

/// Reads a form; the video is its place `(start, length)` in the body.
///
/// # Errors
/// 422 `field_missing`, `field_invalid`, `url_not_fetched`, and what `form::read` says.
pub(crate) fn of_form<S: Source>(body: &S, parts: &[Part]) -> Result<Trigger<(u64, u64)>, Fault> {
    let schema = Schema::parse(&rules()["form"]).expect("tested: the schema is understood");
    let fields = form::read(body, parts, &schema, &|name| name == VIDEO)?;
    let fields = fields.as_object().cloned().unwrap_or_default();
    if let Some(part) = parts.iter().find(|part| part.name == VIDEO) {
        let bytes = Window::new(body, part.start, part.bytes);
        let media_type = sniff(&bytes.read(0, SNIFF_BYTES)).media_type();
        let media_type = media_type.or(part.media_type.as_deref()).unwrap_or_default().to_owned();
        return trigger(&fields, file(VIDEO, media_type, (part.start, part.bytes)));
    }
    // A form has files for bytes: its `videoUrl` is looked at only to say so.
    match fields.get(VIDEO_URL).and_then(Value::as_str) {
        Some(url) if !is_data(url.as_bytes()) => Err(not_fetched()),
        Some(_) => {
            let detail = "in a form send the bytes as the file `video`";
            Err(Fault::new("field_invalid", detail).in_member(VIDEO_URL))
        }
        None => Err(missing()),
    }
}

/// Reads a JSON body; the video is a base64 text of it.
///
/// # Errors
/// 422 `field_missing`, `field_invalid`, `video_invalid`, `url_not_fetched`.
pub(crate) fn of_json<'a, S: Source>(
    body: &'a S,
    document: &'a Document,
) -> Result<Trigger<Encoded<'a, S>>, Fault> {
    let object = Fault::new("field_invalid", "the body must be a JSON object");
    let members = document.value.as_object().ok_or(object)?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let (name, text) = match (text(VIDEO), text(VIDEO_URL)) {
        (Some(video), _) => (VIDEO, document.text(body, video)),
        (None, Some(url)) => (VIDEO_URL, document.text(body, url)),
        (None, None) => return Err(missing()),
    };
    if name == VIDEO_URL && !is_data(&head(&text)) {
        return Err(not_fetched());
    }
    let bytes = Encoded::new(text).map_err(|fault| fault.in_member(name))?;
    let kind = sniff(&bytes.read(0, SNIFF_BYTES));
    // The rules see to it for `video`; a URL could be of anything.
    if name == VIDEO_URL && !matches!(kind, Kind::Video(_)) {
        let detail = "is no video container that is known here";
        return Err(Fault::new("video_invalid", detail).in_member(VIDEO_URL));
    }
    let media_type = kind.media_type().or(bytes.media_type.as_deref()).unwrap_or_default();
    let media_type = media_type.to_owned();
    trigger(members, file(name, media_type, bytes))
}

fn file<T>(field: &str, media_type: String, bytes: T) -> File<T> {
    File { slot: VIDEO, field: field.to_owned(), media_type, bytes }
}

fn trigger<T>(fields: &Map<String, Value>, video: File<T>) -> Result<Trigger<T>, Fault> {
    let scan_id = fields.get("scanId").cloned().unwrap_or(Value::Null);
    if scan_id.as_str().is_some_and(|id| id.is_empty() || id.chars().any(char::is_control)) {
        let fault = Fault::new("field_invalid", "must be 1 to 128 characters, none of control");
        return Err(fault.in_member("scanId"));
    }
    let given = fields.get("itemType").and_then(Value::as_str).unwrap_or_default();
    let given = given.trim().to_lowercase();
    let known = ITEM_TYPES.into_iter().find(|known| *known == given);
    Ok(Trigger { scan_id, item_type: known.unwrap_or("generic"), video })
}

impl<T> Trigger<T> {
    /// What the pipeline is asked for.
    pub(crate) fn params(&self) -> Value {
        json!({ ITEM_TYPE: self.item_type })
    }

    /// 202, in the words of the earlier services.
    pub(crate) fn accepted(&self, run: &Run) -> Answer {
        let mut answer = Answer::accepted(run);
        let progress = run.progress();
        let status = match progress.state {
            State::Queued => "queued",
            _ => "processing",
        };
        let id = run.id();
        let body = json!({
            "job_id": id,
            "status": status,
            "position": progress.queue_position.unwrap_or(0),
            "status_url": format!("/v1/jobs/{id}"),
            "scanId": self.scan_id,
            "itemType": self.item_type,
            "message": "accepted; ask at status_url until `state` is final, then see `result`",
        });
        answer.body = body.to_string();
        answer
    }
}

fn missing() -> Fault {
    Fault::new("field_missing", "send the file `video` in a form, or base64 in JSON")
        .in_member(VIDEO)
}

fn not_fetched() -> Fault {
    let detail = "URLs are not fetched yet; send the bytes: `video` as a file of a form, or as \
                  base64 in JSON";
    Fault::new("url_not_fetched", detail).in_member(VIDEO_URL)
}

fn head<S: Source + ?Sized>(text: &Text<'_, S>) -> Vec<u8> {
    text.read(0, URL_HEAD_BYTES)
}

fn is_data(url: &[u8]) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
}

#[cfg(test)]
mod tests {
    use postern_guest::multipart;

    use super::*;

    fn show<T>(read: Result<Trigger<T>, Fault>) -> String {
        match read {
            Err(fault) => format!("{} {}", fault.code, fault.path),
            Ok(Trigger { scan_id, item_type, video }) => {
                format!("{scan_id} {item_type} {}:{}", video.field, video.media_type)
            }
        }
    }

    fn json(text: &str) -> String {
        let body = text.as_bytes();
        let document = Document::read(body).expect("JSON");
        show(of_json(&body, &document))
    }

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(name, text): &(&str, &str)| {
            format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let text = parts.iter().map(part).collect::<String>() + "--X--";
        let body = text.as_bytes();
        let parts = multipart::parse(body, "X").expect("well-formed");
        show(of_form(&body, &parts))
    }

    #[test]
    fn an_upload_is_read_from_json_and_from_a_form() {
        let video = r#""AAAAIGZ0eXBpc29t""#;
        assert_eq!(
            json(&format!(r#"{{"video": {video}, "scanId": "s-1", "itemType": "Comic"}}"#)),
            r#""s-1" comic video:video/mp4"#
        );
        assert_eq!(
            json(&format!(r#"{{"video": {video}, "scanId": 7, "itemType": "vase", "x": [1]}}"#)),
            "7 generic video:video/mp4"
        );
        assert_eq!(
            json(r#"{"videoUrl": "data:video/mp4;base64,AAAAIGZ0eXBpc29t", "video": null}"#),
            "null generic videoUrl:video/mp4"
        );
        assert_eq!(
            form(&[("scanId", "007"), ("video", "FLV\u{1}"), ("itemType", " card"), ("x.y", "1")]),
            r#""007" card video:video/x-flv"#
        );
    }

    #[test]
    fn no_url_is_fetched() {
        for url in ["http://a/b.mp4", "HTTPS://a", "s3://bucket/a", "/etc/passwd", ""] {
            let want = "url_not_fetched videoUrl";
            assert_eq!(json(&json!({ "videoUrl": url }).to_string()), want, "{url}");
            assert_eq!(form(&[("videoUrl", url)]), want, "{url}");
        }
        let picture = r#"{"videoUrl": "data:image/gif;base64,R0lGODlh"}"#;
        assert_eq!(json(picture), "video_invalid videoUrl");
        let plain = r#"{"videoUrl": "data:video/mp4,abc"}"#;
        assert_eq!(json(plain), "field_invalid videoUrl");
        assert_eq!(form(&[("videoUrl", "data:video/mp4;base64,AAAA")]), "field_invalid videoUrl");
    }

    #[test]
    fn what_is_missing_or_odd_is_named() {
        assert_eq!(json("{}"), "field_missing video");
        assert_eq!(json(r#"{"videoUrl": null}"#), "field_missing video");
        assert_eq!(json("[]"), "field_invalid ");
        assert_eq!(form(&[("scanId", "s")]), "field_missing video");
        assert_eq!(form(&[("scanId", "a\nb"), ("video", "FLV\u{1}")]), "field_invalid scanId");
        assert_eq!(form(&[("scanId", ""), ("video", "FLV\u{1}")]), "field_invalid scanId");
    }

    #[test]
    fn every_item_type_is_one_of_the_service() {
        let parameters: Value =
            serde_json::from_str(include_str!("parameters.json")).expect("it is JSON");
        let known = &parameters["properties"][ITEM_TYPE]["enum"];
        for item_type in ITEM_TYPES {
            assert!(
                known.as_array().is_some_and(|known| known.contains(&item_type.into())),
                "{known}"
            );
        }
    }

    #[test]
    fn rules_are_understood_and_documented() {
        for name in ["json", "form"] {
            assert!(Schema::parse(&rules()[name]).is_ok(), "{name}");
        }
        let mut openapi = json!({"paths": {}});
        document(&mut openapi);
        for (_, path) in PATHS {
            let body = &openapi["paths"][path]["post"]["requestBody"]["content"];
            assert_eq!(body["application/json"]["schema"], rules()["json"]);
        }
        assert!(!openapi.to_string().contains("$from"));
    }
}
