//! The pipeline's metadata as the answer's `result`: names of artifacts become links.
//!
//! Only `artifacts` and `key_frames[].artifacts` are touched. Everything else is copied as text, so
//! numbers keep their digits and members their order.

use std::fmt;

use postern_guest::bindings::postern::pipelines::types::Output;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A JSON object whose members are still text, in their order.
struct RawObject<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl RawObject<'_> {
    /// The object with the member `name` written by `change`.
    fn with(&self, name: &str, change: impl Fn(&RawValue) -> String) -> String {
        self.map(|known, value| (known == name).then(|| change(value)))
    }

    /// The object with each member as `change` writes it; as it was where that is `None`.
    fn map(&self, change: impl Fn(&str, &RawValue) -> Option<String>) -> String {
        let members = self.0.iter().map(|(name, value)| {
            let value = change(name, value).unwrap_or_else(|| value.get().to_owned());
            format!("{}:{value}", Value::from(name.as_str()))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

/// The `result` of a finished run. What is not as the pipeline's contract says stays as it is.
pub(crate) fn present(metadata: &str, outputs: &[Output]) -> String {
    let Ok(result) = serde_json::from_str::<RawObject<'_>>(metadata) else {
        return metadata.to_owned();
    };
    result.map(|name, value| match name {
        "artifacts" => Some(links(value, outputs)),
        "key_frames" => {
            let items = serde_json::from_str::<Vec<RawObject<'_>>>(value.get()).ok()?;
            let linked = |item: &RawObject<'_>| item.with("artifacts", |it| links(it, outputs));
            let items: Vec<String> = items.iter().map(linked).collect();
            Some(format!("[{}]", items.join(",")))
        }
        _ => None,
    })
}

/// Each artifact's name as `{"name", "url", "media_type", "bytes"}`; `null` for one that is not
/// among the outputs (a post hook may have changed the name).
fn links(names: &RawValue, outputs: &[Output]) -> String {
    let Ok(Value::Object(mut artifacts)) = serde_json::from_str(names.get()) else {
        return names.get().to_owned();
    };
    for artifact in artifacts.values_mut() {
        let found = outputs.iter().find(|output| *artifact == output.name.as_str());
        *artifact = found.map_or(Value::Null, |output| {
            json!({
                "name": output.name,
                "url": output.href,
                "media_type": output.media_type,
                "bytes": output.size,
            })
        });
    }
    Value::Object(artifacts).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_links_and_numbers_keep_their_digits() {
        let output = Output {
            name: "mask_0.png".into(),
            media_type: "image/png".into(),
            size: 12,
            href: "/v1/jobs/job_1/outputs/mask_0.png".into(),
        };
        let metadata = r#"{"z": 0.10, "key_frames": [{"index": 3, "artifacts":
            {"mask": "mask_0.png", "edges": "gone.png"}, "score": 1.50}], "a": [1e-7]}"#;
        let want = concat!(
            r#"{"z":0.10,"key_frames":[{"index":3,"artifacts":{"edges":null,"mask":"#,
            r#"{"bytes":12,"media_type":"image/png","name":"mask_0.png","#,
            r#""url":"/v1/jobs/job_1/outputs/mask_0.png"}},"score":1.50}],"a":[1e-7]}"#
        );
        assert_eq!(present(metadata, &[output]), want);
    }

    #[test]
    fn files_of_the_whole_clip_become_links_too() {
        let output = Output {
            name: "plot.svg".into(),
            media_type: "image/svg+xml".into(),
            size: 9,
            href: "/v1/jobs/job_1/outputs/plot.svg".into(),
        };
        let want = concat!(
            r#"{"artifacts":{"plot":{"bytes":9,"media_type":"image/svg+xml","#,
            r#""name":"plot.svg","url":"/v1/jobs/job_1/outputs/plot.svg"}}}"#
        );
        assert_eq!(present(r#"{"artifacts": {"plot": "plot.svg"}}"#, &[output]), want);
        assert_eq!(present(r#"{"artifacts": {}}"#, &[]), r#"{"artifacts":{}}"#);
    }

    #[test]
    fn other_shapes_stay_as_they_are() {
        for metadata in ["{}", r#"{"key_frames":7}"#, r#"{"key_frames":[{}]}"#, "nonsense"] {
            assert_eq!(present(metadata, &[]), metadata);
        }
        let odd = r#"{"key_frames":[{"artifacts":[1]}]}"#;
        assert_eq!(present(odd, &[]), odd);
    }
}
