//! A subset of JSON Schema, enough for parameters: what is checked, and where it failed.
//!
//! Understood: `type` (one or a list), `properties`, `required`, `additionalProperties: false`,
//! `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `enum`, `items`, `minItems`,
//! `maxItems`, `minLength`, `maxLength`, `contentEncoding: base64` with `postern:media` (`image`
//! or `video`), and annotations. Any other keyword makes the schema itself invalid: a rule that
//! is not understood must not be a rule that is not kept. JSON has no NaN, so neither have we.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::problem::Fault;

/// Words that say something to people only.
const ANNOTATIONS: [&str; 8] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "format",
    "contentMediaType",
    "$comment",
];

/// JSON's types, as bits.
const TYPES: [(&str, u8); 7] = [
    ("null", 1),
    ("boolean", 2),
    ("integer", 4),
    ("number", 8),
    ("string", 16),
    ("array", 32),
    ("object", 64),
];
const ANY_TYPE: u8 = 127;

/// What a base64 text must contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Image,
    Video,
}

/// How a string's content is looked at; long strings of a body are not in the tree.
pub trait Strings {
    /// Length in characters.
    fn length(&self, text: &str) -> u64;
    /// Checks a base64 text.
    ///
    /// # Errors
    /// Whatever is wrong with it; the path is added by the caller.
    fn base64(&mut self, text: &str, media: Option<Media>) -> Result<(), Fault>;
}

/// For documents without media: every string is in the tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Strings for Plain {
    fn length(&self, text: &str) -> u64 {
        text.chars().count() as u64
    }
    fn base64(&mut self, _: &str, _: Option<Media>) -> Result<(), Fault> {
        Ok(())
    }
}

/// A schema that has been read.
#[derive(Debug, Clone)]
pub struct Schema {
    types: u8,
    properties: BTreeMap<String, Schema>,
    required: Vec<String>,
    /// No members but `properties`.
    closed: bool,
    number: Bounds,
    choices: Option<Vec<Value>>,
    items: Option<Box<Schema>>,
    item_count: (u64, u64),
    length: (u64, u64),
    is_base64: bool,
    media: Option<Media>,
}

#[derive(Debug, Clone, Default)]
struct Bounds {
    min: Option<f64>,
    max: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
}

impl Default for Schema {
    fn default() -> Self {
        Self {
            types: ANY_TYPE,
            properties: BTreeMap::new(),
            required: Vec::new(),
            closed: false,
            number: Bounds::default(),
            choices: None,
            items: None,
            item_count: (0, u64::MAX),
            length: (0, u64::MAX),
            is_base64: false,
            media: None,
        }
    }
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// The keyword that is not understood, for the author of the schema.
    pub fn parse(source: &Value) -> Result<Self, String> {
        let members = source.as_object().ok_or("a schema must be an object")?;
        let mut schema = Self::default();
        for (word, value) in members {
            schema.take(word, value).map_err(|fault| format!("{word}: {fault}"))?;
        }
        Ok(schema)
    }

    fn take(&mut self, word: &str, value: &Value) -> Result<(), String> {
        match word {
            "type" => self.types = types(value)?,
            "properties" => {
                for (name, inner) in value.as_object().ok_or("must be an object")? {
                    let inner = Self::parse(inner).map_err(|fault| format!("{name}: {fault}"))?;
                    self.properties.insert(name.clone(), inner);
                }
            }
            "required" => self.required = strings(value)?,
            "additionalProperties" => self.closed = !value.as_bool().ok_or("must be a bool")?,
            "minimum" => self.number.min = Some(number(value)?),
            "maximum" => self.number.max = Some(number(value)?),
            "exclusiveMinimum" => self.number.above = Some(number(value)?),
            "exclusiveMaximum" => self.number.below = Some(number(value)?),
            "enum" => self.choices = Some(value.as_array().ok_or("must be a list")?.clone()),
            "items" => self.items = Some(Box::new(Self::parse(value)?)),
            "minItems" => self.item_count.0 = count(value)?,
            "maxItems" => self.item_count.1 = count(value)?,
            "minLength" => self.length.0 = count(value)?,
            "maxLength" => self.length.1 = count(value)?,
            "contentEncoding" => {
                self.is_base64 = value == "base64";
                self.is_base64.then_some(()).ok_or("only base64")?;
            }
            "postern:media" => self.media = Some(Media::parse(value)?),
            word if ANNOTATIONS.contains(&word) => {}
            _ => return Err("is not understood".to_owned()),
        }
        Ok(())
    }

    /// Checks `value`.
    ///
    /// # Errors
    /// 422 `field_invalid`, `field_unknown` or `field_missing`, or what `strings` says.
    pub fn check(&self, value: &Value, strings: &mut dyn Strings) -> Result<(), Fault> {
        if self.types & types_of(value) == 0 {
            return Err(invalid(format!("must be {}", self.type_names())));
        }
        if let Some(choices) = &self.choices {
            let known = choices.iter().any(|choice| is_same(choice, value));
            known.then_some(()).ok_or_else(|| invalid(one_of(choices)))?;
        }
        match value {
            Value::Number(number) => self.number.check(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => self.check_string(text, strings),
            Value::Array(items) => self.check_items(items, strings),
            Value::Object(members) => self.check_members(members, strings),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    fn check_string(&self, text: &str, strings: &mut dyn Strings) -> Result<(), Fault> {
        if self.length != (0, u64::MAX) {
            within(strings.length(text), self.length, "characters")?;
        }
        if self.is_base64 {
            strings.base64(text, self.media)?;
        }
        Ok(())
    }

    fn check_items(&self, items: &[Value], strings: &mut dyn Strings) -> Result<(), Fault> {
        within(items.len() as u64, self.item_count, "items")?;
        let Some(schema) = &self.items else { return Ok(()) };
        for (index, item) in items.iter().enumerate() {
            schema.check(item, strings).map_err(|fault| fault.in_item(index))?;
        }
        Ok(())
    }

    fn check_members(
        &self,
        members: &serde_json::Map<String, Value>,
        strings: &mut dyn Strings,
    ) -> Result<(), Fault> {
        for (name, member) in members {
            match self.properties.get(name) {
                Some(schema) => {
                    schema.check(member, strings).map_err(|fault| fault.in_member(name))?;
                }
                None if self.closed => return Err(self.unknown().in_member(name)),
                None => {}
            }
        }
        match self.required.iter().find(|name| !members.contains_key(*name)) {
            Some(name) => Err(Fault::new("field_missing", "is required").in_member(name)),
            None => Ok(()),
        }
    }

    /// The refusal of a member that is not known here.
    pub(crate) fn unknown(&self) -> Fault {
        let names: Vec<&str> = self.names().collect();
        Fault::new("field_unknown", format!("is not known; known are {}", names.join(", ")))
    }

    /// Turns whole numbers written as `3.0` or `3e0` into `3` where an integer is wanted: other
    /// parsers are less patient. `value` has been checked.
    pub fn normalise(&self, value: &mut Value) {
        match value {
            Value::Number(given) if self.types & (4 | 8) == 4 => {
                if let Some(whole) = given.as_f64().filter(|_| given.is_f64()) {
                    *value = Value::from(whole as i64);
                }
            }
            Value::Array(items) => {
                let schema = self.items.as_deref();
                items.iter_mut().for_each(|item| {
                    schema.into_iter().for_each(|schema| schema.normalise(item));
                });
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.properties.get(name).into_iter().for_each(|inner| inner.normalise(member));
                }
            }
            _ => {}
        }
    }

    /// The names of all members that are known.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.properties.keys().map(String::as_str)
    }

    /// May an object have members that are not named here?
    pub(crate) fn is_open(&self) -> bool {
        !self.closed
    }

    /// The schema of a member.
    pub(crate) fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name)
    }

    /// May a value be of the JSON type `name`?
    pub(crate) fn allows(&self, name: &str) -> bool {
        TYPES.iter().any(|(known, bit)| *known == name && self.types & bit != 0)
    }

    /// An array of strings, and nothing else?
    pub(crate) fn is_list_of_words(&self) -> bool {
        let is_word = |items: &Self| items.is_typed() && items.types & !16 == 0;
        self.types == 32 && self.items.as_deref().is_some_and(is_word)
    }

    /// Is a type named at all?
    pub(crate) fn is_typed(&self) -> bool {
        self.types != ANY_TYPE
    }

    fn type_names(&self) -> String {
        let allowed = TYPES.iter().filter(|(_, bit)| self.types & bit != 0);
        let names: Vec<_> = allowed
            .map(|(name, _)| match *name {
                "null" => "null".to_owned(),
                "integer" | "array" | "object" => format!("an {name}"),
                other => format!("a {other}"),
            })
            .collect();
        names.join(" or ")
    }
}

impl Media {
    /// `image` or `video`.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some("image") => Ok(Self::Image),
            Some("video") => Ok(Self::Video),
            _ => Err("must be `image` or `video`".to_owned()),
        }
    }
}

impl Bounds {
    fn check(&self, value: f64) -> Result<(), Fault> {
        let tests = [
            (self.min, "at least", self.min.is_none_or(|bound| value >= bound)),
            (self.max, "at most", self.max.is_none_or(|bound| value <= bound)),
            (self.above, "more than", self.above.is_none_or(|bound| value > bound)),
            (self.below, "less than", self.below.is_none_or(|bound| value < bound)),
        ];
        match tests.iter().find(|(_, _, kept)| !kept) {
            Some((bound, words, _)) => {
                Err(invalid(format!("must be {words} {}", bound.unwrap_or_default())))
            }
            None => Ok(()),
        }
    }
}

fn within(count: u64, (min, max): (u64, u64), what: &str) -> Result<(), Fault> {
    if count < min {
        return Err(invalid(format!("must have at least {min} {what}")));
    }
    if count > max {
        return Err(invalid(format!("must have at most {max} {what}")));
    }
    Ok(())
}

fn invalid(detail: impl Into<String>) -> Fault {
    Fault::new("field_invalid", detail)
}

fn one_of(choices: &[Value]) -> String {
    let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
    format!("must be one of {}", choices.join(", "))
}

/// Equal, and `5` is `5.0`.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn types_of(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(number) => {
            let whole = |number: f64| number.fract() == 0.0 && number.abs() < I64_END;
            let is_integer = number.as_f64().is_some_and(whole) || !number.is_f64();
            if is_integer { 4 | 8 } else { 8 }
        }
        Value::String(_) => 16,
        Value::Array(_) => 32,
        Value::Object(_) => 64,
    }
}

/// 2 to the 63: the first float that no i64 holds.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

fn types(value: &Value) -> Result<u8, String> {
    let bit = |name: &Value| {
        let found = TYPES.iter().find(|(known, _)| name == known);
        found.map(|(_, bit)| *bit).ok_or_else(|| format!("{name} is no type"))
    };
    match value {
        Value::Array(names) => names.iter().try_fold(0, |sum, name| Ok(sum | bit(name)?)),
        name => bit(name),
    }
}

fn strings(value: &Value) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or("must be a list")?;
    let text = |item: &Value| item.as_str().map(str::to_owned).ok_or("must be names".to_owned());
    items.iter().map(text).collect()
}

fn number(value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| "must be a number".to_owned())
}

fn count(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| "must be a whole number".to_owned())
}

#[cfg(test)]
mod tests;
