//! A route's rules, read from the JSON that `postern:shaping` documents (`route.rules`).
//!
//! A member that is not known makes the rules invalid: a rule that is misspelt must not be a rule
//! that is not kept.

use postern_guest::media_type::fits;
use postern_guest::schema::{Media, Schema};
use serde_json::{Map, Value};

/// What a route takes.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) body: BodyRule,
    /// The whole JSON body.
    pub(crate) json: Option<Schema>,
    /// Parts of a form that are files, by name.
    pub(crate) parts: Vec<(String, PartRule)>,
    /// Parts of a form that are fields.
    pub(crate) form: Option<Schema>,
    /// Parameters of the query.
    pub(crate) query: Option<Schema>,
    pub(crate) picture: PictureRule,
}

#[derive(Debug, Default)]
pub(crate) struct BodyRule {
    pub(crate) required: bool,
    /// Media type patterns and how large a body of it may be; the first that fits counts.
    pub(crate) bytes_max: Vec<(String, u64)>,
    /// Media types that are taken; empty: all.
    pub(crate) media_types: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct PartRule {
    /// What it may be; empty: anything.
    pub(crate) media: Vec<PartMedia>,
    pub(crate) count_min: u64,
    pub(crate) count_max: u64,
    pub(crate) bytes_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartMedia {
    Sniffed(Media),
    /// UTF-8; taken as it is.
    Text,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct PictureRule {
    pub(crate) side_max: u64,
    pub(crate) pixels_max: u64,
}

impl Default for PictureRule {
    fn default() -> Self {
        Self { side_max: u64::MAX, pixels_max: u64::MAX }
    }
}

impl Rules {
    /// Reads the JSON text.
    ///
    /// # Errors
    /// What is wrong, for the author of the shaping component.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut rules = Self::default();
        for (name, value) in object(&value)? {
            let done = match name.as_str() {
                "body" => rules.take_body(value),
                "json" => Schema::parse(value).map(|schema| rules.json = Some(schema)),
                "form" => Schema::parse(value).map(|schema| rules.form = Some(schema)),
                "query" => Schema::parse(value).map(|schema| rules.query = Some(schema)),
                "parts" => rules.take_parts(value),
                "picture" => rules.take_picture(value),
                _ => Err(unknown()),
            };
            done.map_err(|fault| format!("{name}: {fault}"))?;
        }
        Ok(rules)
    }

    fn take_body(&mut self, value: &Value) -> Result<(), String> {
        let body = &mut self.body;
        for (name, value) in object(value)? {
            match name.as_str() {
                "required" => body.required = value.as_bool().ok_or("required: must be a bool")?,
                "media_types" => body.media_types = texts(value)?,
                "bytes_max" => match value.as_object() {
                    None => body.bytes_max = vec![("*/*".to_owned(), count(value)?)],
                    Some(by_type) => {
                        let one = |(pattern, max): (&String, &Value)| {
                            Ok::<_, String>((pattern.clone(), count(max)?))
                        };
                        body.bytes_max = by_type.iter().map(one).collect::<Result<_, _>>()?;
                    }
                },
                _ => return Err(unknown()),
            }
        }
        Ok(())
    }

    fn take_parts(&mut self, value: &Value) -> Result<(), String> {
        for (part, value) in object(value)? {
            let mut rule = PartRule {
                media: Vec::new(),
                count_min: 0,
                count_max: u64::MAX,
                bytes_max: u64::MAX,
            };
            for (name, value) in object(value)? {
                match name.as_str() {
                    "media" => {
                        let media = value.as_array().ok_or("media: must be a list")?;
                        rule.media = media.iter().map(part_media).collect::<Result<_, _>>()?;
                    }
                    "count_min" => rule.count_min = count(value)?,
                    "count_max" => rule.count_max = count(value)?,
                    "bytes_max" => rule.bytes_max = count(value)?,
                    _ => return Err(unknown()),
                }
            }
            self.parts.push((part.clone(), rule));
        }
        Ok(())
    }

    fn take_picture(&mut self, value: &Value) -> Result<(), String> {
        for (name, value) in object(value)? {
            match name.as_str() {
                "side_max" => self.picture.side_max = count(value)?,
                "pixels_max" => self.picture.pixels_max = count(value)?,
                _ => return Err(unknown()),
            }
        }
        Ok(())
    }

    /// The rule of the part `name`.
    pub(crate) fn part(&self, name: &str) -> Option<&PartRule> {
        self.parts.iter().find(|(known, _)| known == name).map(|(_, rule)| rule)
    }
}

impl BodyRule {
    /// How large a body of `media_type` may be.
    pub(crate) fn bytes_max_of(&self, media_type: &str) -> u64 {
        let found = self.bytes_max.iter().find(|(pattern, _)| fits(media_type, pattern));
        found.map_or(u64::MAX, |(_, max)| *max)
    }
}

fn part_media(value: &Value) -> Result<PartMedia, String> {
    if value == "text" {
        return Ok(PartMedia::Text);
    }
    Media::parse(value).map(PartMedia::Sniffed).map_err(|fault| format!("media: {fault} or `text`"))
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| "must be an object".to_owned())
}

fn count(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| "must be a whole number".to_owned())
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let texts = value.as_array().ok_or("must be a list")?;
    let text = |value: &Value| value.as_str().map(str::to_ascii_lowercase);
    texts.iter().map(|value| text(value).ok_or_else(|| "must be texts".to_owned())).collect()
}

fn unknown() -> String {
    "has a member that is not known".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_documented_is_read() {
        let rules = Rules::parse(
            r#"{"body": {"required": true, "media_types": ["Image/*"],
                 "bytes_max": {"application/json": 10, "image/*": 20}},
                "json": {"type": "object"}, "form": {}, "query": {},
                "picture": {"side_max": 3, "pixels_max": 4},
                "parts": {"frame": {"media": ["image", "text"], "count_min": 1, "count_max": 2,
                 "bytes_max": 5}}}"#,
        );
        let rules = rules.expect("documented");
        assert!(rules.body.required && rules.json.is_some() && rules.form.is_some());
        assert!(rules.query.is_some());
        assert_eq!(rules.body.bytes_max_of("image/png"), 20);
        assert_eq!(rules.body.bytes_max_of("application/json"), 10);
        assert_eq!(rules.body.bytes_max_of("text/plain"), u64::MAX);
        assert_eq!(rules.body.media_types, ["image/*"]);
        let part = rules.part("frame").expect("present");
        assert_eq!(part.media, [PartMedia::Sniffed(Media::Image), PartMedia::Text]);
        assert_eq!((part.count_min, part.count_max, part.bytes_max), (1, 2, 5));
        assert_eq!((rules.picture.side_max, rules.picture.pixels_max), (3, 4));
        let all = Rules::parse(r#"{"body": {"bytes_max": 7}}"#).expect("documented");
        assert_eq!(all.body.bytes_max_of("text/plain"), 7);
    }

    #[test]
    fn misspelt_rules_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"bodi": {}}"#,
            r#"{"body": {"byte_max": 1}}"#,
            r#"{"body": {"bytes_max": "1"}}"#,
            r#"{"json": {"oneOf": []}}"#,
            r#"{"parts": {"a": {"media": ["audio"]}}}"#,
            r#"{"parts": {"a": {"count": 1}}}"#,
            r#"{"picture": {"side": 1}}"#,
        ] {
            assert!(Rules::parse(text).is_err(), "{text}");
        }
    }
}
