//! Bodies below and past the threshold; the tree must be the same but for long strings.

use super::*;

/// A body past the threshold: `{"a": "<long>", <rest>`.
fn large(rest: &str) -> String {
    format!("{{\"a\": \"{}\", {rest}", "x".repeat(SMALL_BYTES_MAX as usize))
}

fn read(body: &str) -> Result<Document, Fault> {
    Document::read(body.as_bytes())
}

fn text_of(body: &str, document: &Document, string: &str) -> (String, bool) {
    let text = document.text(body.as_bytes(), string);
    let bytes = read_all_text(&text);
    (String::from_utf8(bytes).expect("ASCII in these tests"), text.is_escaped())
}

fn read_all_text<S: Source + ?Sized>(text: &Text<'_, S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < text.size() {
        bytes.extend(text.read(bytes.len() as u64, 1_000_000));
    }
    bytes
}

#[test]
fn small_bodies_are_parsed_as_they_are() {
    let body = format!("{{\"a\": \"{}\", \"b\": \"\\u00000\"}}", "y".repeat(9_000));
    let document = read(&body).expect("valid");
    assert_eq!(document.value["a"].as_str().map(str::len), Some(9_000));
    let (text, _) = text_of(&body, &document, document.value["b"].as_str().expect("text"));
    assert_eq!(text, "\u{0}0");
}

#[test]
fn long_strings_stay_in_the_body() {
    let escaped = "\\/+".repeat(40_000);
    let body = large(&format!(
        "\"b\": [\"{escaped}\", \"s\\\"\\\\\"], \"c\": \"{}\"}}",
        "z".repeat(4_097)
    ));
    let document = read(&body).expect("valid");
    let string = |value: &Value| value.as_str().expect("a string").to_owned();
    let (text, is_escaped) = text_of(&body, &document, &string(&document.value["a"]));
    assert_eq!((text.len(), is_escaped), (SMALL_BYTES_MAX as usize, false));
    let (text, is_escaped) = text_of(&body, &document, &string(&document.value["b"][0]));
    assert_eq!((text, is_escaped), (escaped, true));
    assert_eq!(string(&document.value["b"][1]), "s\"\\");
    let (text, _) = text_of(&body, &document, &string(&document.value["c"]));
    assert_eq!(text, "z".repeat(4_097));
}

/// Keys, short strings and escapes that cross the edge of a window, at every offset.
#[test]
fn short_strings_across_a_window_edge_are_whole() {
    let edge = WINDOW_BYTES as usize * 5;
    for shift in 0..40 {
        let start = "{\"a\": \"".len() + "\", ".len();
        let padding = "x".repeat(edge - start - shift);
        let body = format!("{{\"a\": \"{padding}\", \"ke\\\\y\\\"\": \"va\\\"l\\\\\", \"n\": 1}}");
        let document = read(&body).expect("valid");
        assert_eq!(document.value["ke\\y\""], "va\"l\\", "{shift}");
        assert_eq!(document.value["n"], 1);
        let (text, _) = text_of(&body, &document, document.value["a"].as_str().expect("text"));
        assert_eq!(text, padding);
    }
}

#[test]
fn substitutes_cannot_be_forged() {
    let fault = read(&large("\"b\": \"\\u00000\"}")).expect_err("refused");
    assert_eq!(fault.code, "json_invalid");
}

#[test]
fn errors_name_line_and_column_of_the_body() {
    let detail = |body: &str| read(body).expect_err("invalid").detail;
    assert!(detail("{\n \"a\": 1,,}").contains("at line 2, column 9"));
    let body = large("\"b\": ,}");
    let column = body.find(",}").expect("present") + 1;
    assert!(detail(&body).ends_with(&format!("line 1, column {column}")), "{}", detail(&body));
    let body = large("\n\"b\": ,}");
    assert!(detail(&body).ends_with("line 2, column 6"), "{}", detail(&body));
    let endless = format!("{{\"a\": \"{}", "\\\"".repeat(SMALL_BYTES_MAX as usize));
    assert!(detail(&endless).contains("does not end"));
    assert!(detail("{\"a\": \"\u{1}\"}").contains("control character"));
    assert!(detail(&"[".repeat(200)).contains("recursion limit"));
    assert!(detail("").contains("EOF"));
}

#[test]
fn much_besides_long_strings_is_refused() {
    let fault = read(&large(&"1,".repeat(200_000))).expect_err("too much");
    assert_eq!((fault.status, fault.code), (413, "body_too_large"));
    let many = "\"x\",".repeat(100_000);
    assert_eq!(read(&format!("[{many}1]")).expect_err("too much").status, 413);
}
