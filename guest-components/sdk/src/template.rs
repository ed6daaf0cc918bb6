//! JSON documents that take parts of one another, so that a schema is written once.
//!
//! `{"$from": "/json"}` stands for what the source has at that JSON pointer; members beside
//! `$from` are merged into it. A component's `rules.json` and `openapi.json` use this, and take
//! their schemas from one file. The files are the component's own and tested with it.

use serde_json::Value;

/// Expands every `$from` of `template` by `source`.
///
/// # Panics
/// When a pointer leads nowhere: the files do not fit together.
pub fn expand(template: &mut Value, source: &Value) {
    match template {
        Value::Object(members) => {
            members.values_mut().for_each(|member| expand(member, source));
            let Some(Value::String(pointer)) = members.remove("$from") else { return };
            let found = source.pointer(&pointer).expect("a `$from` points into its source");
            let beside = std::mem::replace(template, found.clone());
            if beside.as_object().is_some_and(|members| !members.is_empty()) {
                merge(template, beside);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| expand(item, source)),
        _ => {}
    }
}

/// Objects are merged member by member; anything else is replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Reads a file of the component and expands it.
///
/// # Panics
/// When the file is not JSON.
#[must_use]
pub fn read(text: &str, source: &Value) -> Value {
    let mut value = serde_json::from_str(text).expect("a component's own file is JSON");
    expand(&mut value, source);
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_taken_and_added_to() {
        let source = json!({"a": {"p": {"x": 1, "y": {"z": 2}}}});
        let text =
            r#"[{"$from": ""}, {"$from": "/a/p", "y": {"w": 3}, "x": [{"$from": "/a/p/x"}]}]"#;
        let want = json!([source, {"x": [1], "y": {"z": 2, "w": 3}}]);
        assert_eq!(read(text, &source), want);
    }
}
