//! What becomes of a request: `params | slot:media_type:field…`, or the refusal.

use postern_guest::multipart;

use super::*;
use crate::contract::parameters;

fn show<T>(wanted: Result<Wanted<T>, Fault>) -> String {
    match wanted {
        Err(fault) => format!("{} {}", fault.code, fault.path),
        Ok(Wanted { params, files }) => {
            let file =
                |file: &File<T>| format!(" {}:{}:{}", file.slot, file.media_type, file.field);
            format!("{params} |{}", files.iter().map(file).collect::<String>())
        }
    }
}

fn json(text: &str) -> String {
    let body = text.as_bytes();
    let document = Document::read(body).expect("JSON");
    show(of_json(&body, &document, &parameters()))
}

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(name, text): &(&str, &str)| {
        let head = format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"");
        format!("{head}\r\ncontent-type: a/{name}\r\n\r\n{text}\r\n")
    };
    let text = parts.iter().map(part).collect::<String>() + "--X--";
    let body = text.as_bytes();
    let parts = multipart::parse(body, "X").expect("well-formed");
    show(of_form(&body, &parts, &parameters()))
}

#[test]
fn only_what_was_given_goes_into_the_call() {
    assert_eq!(json(r#"{"video": "AAAAIGZ0eXBpc29t"}"#), "{} | video:video/mp4:video");
    assert_eq!(
        json(r#"{"frames": ["R0lGODlh", "data:image/x;base64,AAAA"], "canny": {"aperture": 5.0}}"#),
        "{\"canny\":{\"aperture\":5}} | frame:image/gif:frames[0] frame:image/x:frames[1]"
    );
    assert_eq!(
        form(&[("frame", "GIF89a"), ("farneback.winsize", "21"), ("frame", "?")]),
        "{\"farneback\":{\"winsize\":21}} | frame:image/gif:frame frame:a/frame:frame"
    );
    assert_eq!(
        form(&[("video", "FLV\u{1}"), ("params", "{\"key_frames\": 0}"), ("canny.l2", "true")]),
        "{\"canny\":{\"l2\":true},\"key_frames\":0} | video:video/x-flv:video"
    );
}

#[test]
fn exactly_one_kind_of_input_is_wanted() {
    assert_eq!(json("{}"), "field_missing video");
    assert_eq!(form(&[("every_n", "2")]), "field_missing video");
    let both = r#"{"video": "AAAA", "frames": ["AAAA"]}"#;
    assert_eq!(json(both), "field_conflict frames");
    assert_eq!(form(&[("video", ""), ("frame", "")]), "field_conflict frame");
    assert_eq!(json("[]"), "field_invalid ");
    assert_eq!(json(r#"{"frames": [7]}"#), "field_invalid frames[0]");
}

#[test]
fn sampling_is_said_in_one_way() {
    let both = r#"{"video": "AAAA", "every_n": 2, "sample_fps": 2}"#;
    assert_eq!(json(both), "field_conflict every_n");
    assert_eq!(
        form(&[("video", ""), ("every_n", "2"), ("sample_fps", "1")]),
        "field_conflict every_n"
    );
}
