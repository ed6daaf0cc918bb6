//! Forms as clients send them, and forms as nobody should.

use super::*;

fn parse_text(body: &str) -> Result<Vec<Part>, Fault> {
    parse(body.as_bytes(), "XX")
}

/// Prints `name(file)[media]=bytes` of each part, or the refusal.
fn show(body: &str) -> String {
    match parse_text(body) {
        Err(fault) => format!("{}: {}", fault.code, fault.detail),
        Ok(parts) => {
            let text = |part: &Part| {
                let (start, bytes) = (part.start as usize, part.bytes as usize);
                let media = part.media_type.as_deref().unwrap_or("-");
                let file = part.file_name.as_deref().unwrap_or("-");
                format!("{}({file})[{media}]={:?}", part.name, &body[start..start + bytes])
            };
            parts.iter().map(text).collect::<Vec<_>>().join(" ")
        }
    }
}

fn part(headers: &str, bytes: &str) -> String {
    format!("--XX\r\n{headers}\r\n\r\n{bytes}\r\n")
}

fn field(name: &str, bytes: &str) -> String {
    part(&format!("Content-Disposition: form-data; name=\"{name}\""), bytes)
}

#[test]
fn files_and_fields_are_found_in_order() {
    let file = "content-disposition: form-data; name=frame; filename=\"a \\\"b%22.png\"\r\n\
                Content-Type: Image/PNG; x=y\r\ncontent-transfer-encoding: binary";
    let body = format!("{}{}--XX--\r\n", field("canny.low", "7"), part(file, "\r\n\u{1}"));
    assert_eq!(show(&body), "canny.low(-)[-]=\"7\" frame(a \"b\".png)[image/png]=\"\\r\\n\\u{1}\"");
}

#[test]
fn preamble_padding_empty_parts_and_epilogue_are_allowed() {
    let body = format!(
        "hello\r\n--XX \t\r\n{}\r\n\r\n\r\n--XX--rest",
        "content-disposition: form-data; name=a"
    );
    assert_eq!(show(&body), "a(-)[-]=\"\"");
    assert_eq!(show("--XX--"), "");
}

#[test]
fn boundary_must_be_a_line_of_its_own() {
    let inner = "--XX\r\n no\r\n--XXY\r\n--X";
    assert_eq!(show(&format!("{}--XX--", field("a", inner))), format!("a(-)[-]={inner:?}"));
    let many = field("a", &"\r\n--XXY".repeat(2_000));
    assert!(show(&format!("{many}--XX--")).contains("inside the parts"));
}

#[test]
fn broken_forms_are_refused() {
    for (body, want) in [
        (String::new(), "ends before"),
        ("nothing".into(), "ends before"),
        (field("a", "b"), "ends before"),
        ("--XX\r\n\r\n\r\n--XX--".into(), "content-disposition"),
        (part("x: y", ""), "content-disposition"),
        (part("content-disposition: attachment; name=a", ""), "content-disposition"),
        (part("content-disposition: form-data", ""), "needs a name"),
        (field(&"n".repeat(257), ""), "needs a name"),
        (part(&format!("x: {}", "y".repeat(9_000)), ""), "do not end"),
        (part("content-disposition", ""), "no colon"),
        (part("content-transfer-encoding: base64", ""), "transfer encoding"),
    ] {
        let got = show(&body);
        assert!(got.starts_with("multipart_invalid") && got.contains(want), "{body:.80}: {got}");
    }
    let many = format!("{}--XX--", field("a", "").repeat(PARTS_MAX + 1));
    assert!(show(&many).starts_with("too_many_parts"));
    let most = format!("{}--XX--", field("a", "").repeat(PARTS_MAX));
    assert_eq!(parse_text(&most).expect("as many as allowed").len(), PARTS_MAX);
}

#[test]
fn boundary_has_1_to_70_characters() {
    let check = |text: &str| {
        let value = HeaderValue::parse(&format!("multipart/form-data{text}")).expect("parses");
        boundary(&value).map(str::to_owned)
    };
    assert_eq!(check("; boundary=\"a b\""), Ok("a b".into()));
    assert!(check(&format!("; boundary={}", "a".repeat(70))).is_ok());
    for text in ["", "; boundary=\"\"", "; boundary=\"a \"", "; boundary=ä"] {
        assert!(check(text).is_err(), "{text}");
    }
    assert!(check(&format!("; boundary={}", "a".repeat(71))).is_err());
}

/// Any damage to a form gives a refusal or other parts, never a panic or a part outside the body.
#[test]
fn damaged_forms_never_point_outside() {
    let body = format!("{}{}--XX--", field("one", "1\r\n"), field("two", "2"));
    for cut in 0..body.len() {
        for change in [0_u8, b'-', b'\r', 0xff] {
            let mut bytes = body.clone().into_bytes();
            bytes[cut] = change;
            for part in parse(&bytes[..], "XX").unwrap_or_default() {
                assert!(part.start + part.bytes <= bytes.len() as u64);
            }
            assert!(parse(&bytes[..cut], "XX").unwrap_or_default().len() <= 2);
        }
    }
}
