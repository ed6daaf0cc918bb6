//! What each keyword lets through, and what it says otherwise.

use serde_json::json;

use super::*;

fn schema(source: Value) -> Schema {
    Schema::parse(&source).expect("understood")
}

/// `ok`, or `code path: detail`.
fn check(source: Value, value: &Value) -> String {
    match schema(source).check(value, &mut Plain) {
        Ok(()) => "ok".to_owned(),
        Err(fault) => format!("{} {}: {}", fault.code, fault.path, fault.detail),
    }
}

#[test]
fn types_are_told_apart() {
    assert_eq!(check(json!({"type": "integer"}), &json!(3)), "ok");
    assert_eq!(check(json!({"type": "integer"}), &json!(3.0)), "ok");
    assert_eq!(check(json!({"type": "integer"}), &json!(u64::MAX)), "ok");
    assert_eq!(check(json!({"type": "number"}), &json!(3)), "ok");
    assert_eq!(check(json!({"type": ["null", "string"]}), &json!(null)), "ok");
    let want = "field_invalid : must be an integer";
    for value in [json!(3.5), json!(1e300), json!("3"), json!(true), json!([3])] {
        assert_eq!(check(json!({"type": "integer"}), &value), want);
    }
    assert_eq!(
        check(json!({"type": ["string", "null"]}), &json!(1)),
        "field_invalid : must be null or a string"
    );
    assert_eq!(check(json!({}), &json!({"any": ["thing"]})), "ok");
}

#[test]
fn numbers_keep_their_bounds() {
    let range = json!({"minimum": 0.05, "exclusiveMaximum": 0.95});
    assert_eq!(check(range.clone(), &json!(0.05)), "ok");
    assert_eq!(check(range.clone(), &json!(0.95)), "field_invalid : must be less than 0.95");
    assert_eq!(check(range, &json!(-1)), "field_invalid : must be at least 0.05");
    let range = json!({"exclusiveMinimum": 0, "maximum": 32767});
    assert_eq!(check(range.clone(), &json!(0)), "field_invalid : must be more than 0");
    assert_eq!(check(range, &json!(32768)), "field_invalid : must be at most 32767");
    let odd = json!({"enum": [3, 5, 7]});
    assert_eq!(check(odd.clone(), &json!(5.0)), "ok");
    assert_eq!(check(odd, &json!(4)), "field_invalid : must be one of 3, 5, 7");
}

#[test]
fn members_and_items_name_their_path() {
    let source = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["a"],
        "properties": {
            "a": {"type": "array", "minItems": 1, "maxItems": 2, "items": {
                "type": "object", "additionalProperties": false,
                "properties": {"low": {"maximum": 5, "description": "x"}}
            }},
            "s": {"minLength": 2, "maxLength": 3}
        }
    });
    let check = |value: Value| check(source.clone(), &value);
    assert_eq!(check(json!({"a": [{}, {"low": 5}], "s": "äöü"})), "ok");
    assert_eq!(check(json!({"a": [{"low": 6}]})), "field_invalid a[0].low: must be at most 5");
    assert_eq!(
        check(json!({"a": [{}, {"lwo": 6}]})),
        "field_unknown a[1].lwo: is not known; known are low"
    );
    assert_eq!(check(json!({})), "field_missing a: is required");
    assert_eq!(check(json!({"a": []})), "field_invalid a: must have at least 1 items");
    assert_eq!(check(json!({"a": [1, 2, 3]})), "field_invalid a: must have at most 2 items");
    assert_eq!(
        check(json!({"a": [{}], "s": "é"})),
        "field_invalid s: must have at least 2 characters"
    );
    assert_eq!(check(json!([])), "field_invalid : must be an object");
}

#[test]
fn a_keyword_that_is_not_understood_is_refused() {
    for (source, want) in [
        (json!({"oneOf": []}), "oneOf: is not understood"),
        (
            json!({"properties": {"a": {"pattern": "x"}}}),
            "properties: a: pattern: is not understood",
        ),
        (json!({"type": "float"}), "type: \"float\" is no type"),
        (json!({"contentEncoding": "hex"}), "contentEncoding: only base64"),
        (json!({"postern:media": "audio"}), "postern:media: must be `image` or `video`"),
        (json!({"maximum": "5"}), "maximum: must be a number"),
        (json!([]), "a schema must be an object"),
    ] {
        assert_eq!(Schema::parse(&source).expect_err("refused"), want);
    }
}

#[test]
fn base64_members_are_shown_to_the_caller() {
    struct Seen(Vec<(String, Option<Media>)>);
    impl Strings for Seen {
        fn length(&self, _: &str) -> u64 {
            0
        }
        fn base64(&mut self, text: &str, media: Option<Media>) -> Result<(), Fault> {
            self.0.push((text.to_owned(), media));
            if text == "bad" { Err(Fault::new("picture_invalid", "")) } else { Ok(()) }
        }
    }
    let source = json!({"items": {"contentEncoding": "base64", "postern:media": "image"}});
    let mut seen = Seen(Vec::new());
    let fault = schema(source).check(&json!(["a", "bad", "c"]), &mut seen).expect_err("bad");
    assert_eq!((fault.path.as_str(), seen.0.len()), ("[1]", 2));
    assert_eq!(seen.0[0], ("a".to_owned(), Some(Media::Image)));
}

#[test]
fn whole_floats_become_integers_where_integers_are_wanted() {
    let source = json!({"properties": {
        "n": {"type": "integer"}, "x": {"type": "number"},
        "l": {"items": {"type": "integer"}}
    }});
    let mut value = json!({"n": 3.0, "x": 3.0, "l": [1e2], "o": 1.0});
    schema(source).normalise(&mut value);
    assert_eq!(value.to_string(), r#"{"l":[100],"n":3,"o":1.0,"x":3.0}"#);
}
