//! The pipeline's metadata as the answer's `result`: with a link for each file.
//!
//! Nothing but `artifacts` is added and nothing is parsed into numbers, so that they keep their
//! digits.

use std::collections::BTreeMap;

use postern_guest::answer::with_member;
use postern_guest::bindings::postern::pipelines::types::Output;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::files;

const ARTIFACTS: &str = "artifacts";

/// The `result` of a finished run. Metadata that are no object, or that have the member already (a
/// post hook's), stay as they are.
pub(crate) fn present(metadata: &str, outputs: &[Output]) -> String {
    match serde_json::from_str::<BTreeMap<String, IgnoredAny>>(metadata) {
        Ok(members) if !members.contains_key(ARTIFACTS) => {
            with_member(metadata, ARTIFACTS, &links(outputs).to_string())
        }
        _ => metadata.to_owned(),
    }
}

fn links(outputs: &[Output]) -> Value {
    let link = |output: &Output| {
        let link = json!({
            "name": output.name,
            "url": output.href,
            "media_type": output.media_type,
            "bytes": output.size,
        });
        (files::output_of(&output.name).to_owned(), link)
    };
    Value::Object(outputs.iter().map(link).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str) -> Output {
        Output {
            name: name.into(),
            media_type: "a/b".into(),
            size: 9,
            href: format!("/v1/jobs/job_1/outputs/{name}"),
        }
    }

    #[test]
    fn files_become_links_and_numbers_keep_their_digits() {
        let outputs = [output("preview.mp4"), output("other.bin")];
        let text = present(r#"{"focal_px": 1.50, "b": 1e-7}"#, &outputs);
        assert!(text.starts_with(r#"{"focal_px": 1.50, "b": 1e-7,"artifacts":{"#), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["artifacts"]["video"]["url"], "/v1/jobs/job_1/outputs/preview.mp4");
        assert_eq!(value["artifacts"]["other.bin"]["bytes"], 9);
    }

    #[test]
    fn other_shapes_stay_as_they_are() {
        for metadata in [r#"{"artifacts":1}"#, "[]", "nonsense"] {
            assert_eq!(present(metadata, &[]), metadata);
        }
        assert_eq!(present("{}", &[]), r#"{"artifacts":{}}"#);
    }
}
