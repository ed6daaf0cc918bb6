//! Requests as clients send them, and what they are told.

use postern_guest::Header;

use super::*;

const RULES: &str = r#"{
  "body": {"required": true, "bytes_max": {"application/json": 1000000, "*/*": 3000000},
    "media_types": ["application/json", "multipart/form-data", "image/*"]},
  "json": {"type": "object", "additionalProperties": false, "properties": {
    "frames": {"type": "array", "minItems": 1, "items":
      {"type": "string", "contentEncoding": "base64", "postern:media": "image"}},
    "video": {"type": "string", "contentEncoding": "base64", "postern:media": "video"},
    "text": {"type": "string", "maxLength": 3},
    "canny": {"type": "object", "additionalProperties": false,
      "properties": {"low": {"type": "number", "maximum": 32767}}}}},
  "parts": {"video": {"media": ["video"], "count_max": 1, "bytes_max": 2000000},
    "frame": {"media": ["image"], "count_max": 2, "bytes_max": 100000},
    "note": {"media": ["text"], "count_max": 1}},
  "form": {"type": "object", "additionalProperties": false, "properties": {
    "canny": {"type": "object", "additionalProperties": false,
      "properties": {"low": {"type": "number", "maximum": 32767}}}}},
  "picture": {"side_max": 16384, "pixels_max": 64000000}
}"#;

const JSON: &str = "application/json; charset=utf-8";

/// A pixel, as base64; and the same header with 100,000 x 60,000.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
const PNG_BOMB: &str = "iVBORw0KGgoAAAANSUhEUgABhqAAAOpgCAAAAAA=";

/// `ok`, or `status code field: detail`.
fn check_with(rules: &str, content_type: &str, body: &[u8]) -> String {
    check_asked(rules, None, (content_type, body))
}

/// The same with a query.
fn check_asked(rules: &str, query: Option<&str>, (content_type, body): (&str, &[u8])) -> String {
    let rules = Rules::parse(rules).expect("the rules are good");
    let headers = vec![Header { name: "content-type".into(), value: content_type.into() }];
    let head = Head {
        request_id: "req_1".into(),
        method: "POST".into(),
        path: "/".into(),
        query: query.map(str::to_owned),
        headers: if content_type.is_empty() { Vec::new() } else { headers },
    };
    match check(&rules, &head, Some(&body)) {
        Ok(()) => "ok".to_owned(),
        Err(problem) => {
            let field = problem.field.as_deref().unwrap_or("-");
            format!("{} {} {field}: {}", problem.status, problem.code, problem.detail)
        }
    }
}

#[track_caller]
fn expect(content_type: &str, body: &[u8], want: &str) {
    let got = check_with(RULES, content_type, body);
    assert!(got.starts_with(want), "wanted {want}\n   got {got}");
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in parts {
        body.extend(format!("--X\r\ncontent-disposition: form-data; name={name}\r\n\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--X--\r\n");
    body
}

#[track_caller]
fn expect_form(parts: &[(&str, &[u8])], want: &str) {
    expect("multipart/form-data; boundary=X", &form(parts), want);
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &sides[..], b"\x08\0\0\0\0"].concat()
}

const MP4: &[u8] = b"\0\0\0\x20ftypisom";

#[test]
fn bodies_of_another_kind_or_size_are_refused() {
    expect(
        "text/plain",
        b"x",
        "415 media_type_unsupported -: text/plain; send one of application/",
    );
    expect("", b"x", "415 media_type_unsupported -: no content type");
    expect(JSON, b"", "422 body_missing");
    expect(JSON, &[b' '; 1_000_001], "413 body_too_large");
    expect("image/png", &[b' '; 3_000_001], "413 body_too_large");
    assert_eq!(check_with("{}", "", b"anything"), "ok");
    assert_eq!(check_with("{}", JSON, b"{} "), "ok");
}

#[test]
fn json_is_checked_to_the_leaf() {
    expect(JSON, br#"{"canny": {"low": 15}, "text": "abc"}"#, "ok");
    expect(JSON, br#"{"canny": {"low": 40000}}"#, "422 field_invalid canny.low: must be at most");
    expect(JSON, br#"{"canny": {"lwo": 4}}"#, "422 field_unknown canny.lwo");
    expect(JSON, br#"{"text": "abcd"}"#, "422 field_invalid text");
    expect(
        JSON,
        b"{\"canny\":\n{\"low\": }}",
        "422 json_invalid -: the body is not JSON: expected",
    );
    expect(JSON, b"[]", "422 field_invalid -: must be an object");
    expect(JSON, b"{\"text\": NaN}", "422 json_invalid");
}

#[test]
fn media_in_json_are_looked_at() {
    let frames = |frame: &str| format!("{{\"frames\": [\"{PNG}\", \"{frame}\"]}}").into_bytes();
    expect(JSON, &frames(PNG), "ok");
    expect(JSON, &frames(&format!("data:image/png;base64,{PNG}")), "ok");
    expect(JSON, &frames(PNG_BOMB), "422 image_too_large frames[1]: is 100000x60000");
    expect(JSON, &frames("AAAA"), "422 picture_invalid frames[1]");
    expect(JSON, &frames("AA*A"), "422 field_invalid frames[1]: is not base64 at character 3");
    expect(JSON, &frames("https://example.org/a.png"), "422 field_invalid frames[1]: is a URL");
    expect(JSON, &frames("H4sIAAAA"), "422 archive_not_allowed frames[1]: is a gzip archive");
    expect(JSON, br#"{"video": "AAAAIGZ0eXBpc29t"}"#, "ok");
    expect(JSON, br#"{"video": "UEsDBAAA"}"#, "422 archive_not_allowed video: is a zip");
    let long = format!("{}{}", "A".repeat(400_000), "*");
    let body = format!("{{\"video\": \"AAAAIGZ0eXBpc29t{long}\"}}");
    expect(JSON, body.as_bytes(), "ok");
}

#[test]
fn forms_are_checked_part_by_part() {
    expect_form(&[("video", MP4), ("canny.low", b"15")], "ok");
    expect_form(&[("frame", &png(10, 10)), ("frame", &png(9, 9)), ("note", b"hi")], "ok");
    expect_form(&[("canny.low", b"40000")], "422 field_invalid canny.low: must be at most 32767");
    expect_form(&[("params", br#"{"canny": {"low": 40000}}"#)], "422 field_invalid canny.low");
    expect_form(
        &[("cany.low", b"1")],
        "422 part_unknown cany.low: is not known; known are frame, note",
    );
    expect_form(&[("canny.lwo", b"1")], "422 field_unknown canny.lwo");
    expect_form(&[("video", MP4), ("video", MP4)], "422 too_many_parts video");
    expect_form(&[("video", b"\x1f\x8b\x08")], "422 archive_not_allowed video: is a gzip archive");
    expect_form(&[("video", b"PK\x03\x04")], "422 archive_not_allowed video: is a zip archive");
    expect_form(&[("video", b"#EXTM3U\n")], "422 video_invalid video: is no video container");
    expect_form(&[("video", &png(10, 10))], "422 video_invalid video: is a picture");
    expect_form(&[("frame", MP4)], "422 picture_invalid frame[0]: is a video, not a picture");
    expect_form(&[("video", b"\0\0\0\x20ftypheic")], "422 video_invalid video: is a picture");
    expect_form(&[("frame", b"")], "422 picture_invalid frame[0]");
    expect_form(&[("video", &[0; 2_000_001])], "413 part_too_large video");
    expect_form(&[("note", b"\xff")], "422 text_invalid note");
    expect("multipart/form-data", b"x", "422 multipart_invalid");
    expect("multipart/form-data; boundary=X", b"--X", "422 multipart_invalid");
}

#[test]
fn picture_bomb_is_refused_from_its_header() {
    let bomb = png(100_000, 100_000);
    expect_form(
        &[("frame", &png(10, 10)), ("frame", &bomb)],
        "422 image_too_large frame[1]: is 100000x100000; a side may have 16384 at most",
    );
    expect_form(
        &[("frame", &png(16_384, 16_384))],
        "422 image_too_large frame[0]: is 16384x16384, 268.4 MP; at most 64.0 MP are taken",
    );
    expect("image/png", &bomb, "422 image_too_large body");
    expect("image/png", &png(10, 10), "ok");
}

#[test]
fn parts_are_known_and_present() {
    let rules = r#"{"parts": {"a": {"count_min": 1}, "b": {"media": ["image", "text"]}}}"#;
    let check = |parts: &[(&str, &[u8])]| {
        check_with(rules, "multipart/form-data; boundary=X", &form(parts))
    };
    assert_eq!(check(&[("a", b"anything")]), "ok");
    assert_eq!(check(&[("a", b""), ("b", b"text")]), "ok");
    assert!(check(&[("b", b"")]).starts_with("422 part_missing a"));
    assert!(check(&[("a", b""), ("c", b"")]).starts_with("422 part_unknown c"));
    assert!(check(&[("a", b""), ("b", b"\xff")]).starts_with("422 text_invalid b[0]"));
}

#[test]
fn a_text_may_be_as_large_as_its_rule_says() {
    let check = |rule: &str, text: &str| {
        let rules = format!(r#"{{"parts": {{"t": {{"media": ["text"], "count_max": 1{rule}}}}}}}"#);
        let sent = form(&[("t", text.as_bytes())]);
        check_with(&rules, "multipart/form-data; boundary=X", &sent)
    };
    // Two bytes a character behind one of one byte: every piece ends inside a character.
    let large = "a".to_owned() + &"é".repeat(1 << 20);
    assert_eq!(check(r#", "bytes_max": 4194304"#, &large), "ok");
    let said = check(r#", "bytes_max": 2097152"#, &large);
    assert!(said.starts_with("413 part_too_large t"), "{said}");
    let said = check("", &large);
    assert!(said.starts_with("413 part_too_large t"), "{said}");
}

#[test]
fn a_query_is_checked_with_a_body_and_without() {
    let rules = r#"{"query": {"type": "object", "additionalProperties": false,
        "properties": {"size": {"type": "number", "maximum": 9}}}}"#;
    let asked = |query| check_asked(rules, query, ("text/plain", b"text".as_slice()));
    assert_eq!(asked(None), "ok");
    assert_eq!(asked(Some("size=9")), "ok");
    assert!(asked(Some("size=10")).starts_with("422 field_invalid size: must be at most 9"));
    assert!(asked(Some("size=x")).starts_with("422 field_invalid size: must be a number"));
    assert!(asked(Some("sise=1")).starts_with("422 field_unknown sise"));
    let empty = check_asked(rules, Some("size=x"), ("", b"".as_slice()));
    assert!(empty.starts_with("422 field_invalid size"), "{empty}");
    assert_eq!(check_asked("{}", Some("size=x"), ("", b"".as_slice())), "ok");
}
