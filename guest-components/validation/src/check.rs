//! One request against its route's rules, from the outside in: the query, size and media type,
//! then the structure of the body, then its values.

use postern_guest::base64::Encoded;
use postern_guest::body::Body;
use postern_guest::json::Document;
use postern_guest::media_type::fits;
use postern_guest::multipart::Part;
use postern_guest::schema::{Media, Schema, Strings};
use postern_guest::source::{READ_BYTES_MAX, Source, Window};
use postern_guest::utf8::Utf8;
use postern_guest::{Fault, Head, Problem, form, query};

use crate::media;
use crate::rules::{PartMedia, PartRule, Rules};

/// A text part's bytes, where its rule says nothing: all of them are looked at.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Checks a request.
///
/// # Errors
/// 415 `media_type_unsupported`; 413 `body_too_large`, `part_too_large`; 422 `body_missing`,
/// `json_invalid`, `multipart_invalid`, `too_many_parts`, `part_unknown`, `part_missing`,
/// `field_invalid`, `field_unknown`, `field_missing`, `text_invalid` and what `media` says.
pub(crate) fn check<S: Source>(
    rules: &Rules,
    head: &Head,
    body: Option<&S>,
) -> Result<(), Problem> {
    check_query(rules, head)?;
    let Some(body) = body.filter(|body| body.size() > 0) else {
        if rules.body.required {
            return Err(Problem::new(422, "body_missing", "the request needs a body"));
        }
        return Ok(());
    };
    let content_type = head.content_type();
    let value = content_type.as_ref().map_or("", |parsed| parsed.value.as_str());
    let allowed = &rules.body.media_types;
    if !allowed.is_empty() && !allowed.iter().any(|pattern| fits(value, pattern)) {
        let given = if value.is_empty() { "no content type was given" } else { value };
        let detail = format!("{given}; send one of {}", allowed.join(", "));
        return Err(Problem::new(415, "media_type_unsupported", detail));
    }
    let bytes_max = rules.body.bytes_max_of(value);
    if body.size() > bytes_max {
        let detail = format!("a body of {value} may have {bytes_max} bytes at most");
        return Err(Problem::new(413, "body_too_large", detail));
    }
    let Some(content_type) = &content_type else { return Ok(()) };
    let done = match Body::read(content_type, body)? {
        Body::Json(document) => check_json(rules, body, &document),
        Body::Form(parts) => check_form(rules, body, &parts),
        Body::Raw if value.starts_with("image/") => check_raw(rules, body, Media::Image),
        Body::Raw if value.starts_with("video/") => check_raw(rules, body, Media::Video),
        Body::Raw => Ok(()),
    };
    Ok(done?)
}

fn check_query(rules: &Rules, head: &Head) -> Result<(), Fault> {
    let Some(schema) = &rules.query else { return Ok(()) };
    let members = query::read(head.query.as_deref(), schema)?;
    schema.check(&members.into(), &mut FormStrings)
}

fn check_raw<S: Source>(rules: &Rules, body: &S, media: Media) -> Result<(), Fault> {
    media::check(body, &[media], rules.picture).map_err(|fault| fault.in_member("body"))
}

fn check_json<S: Source>(rules: &Rules, body: &S, document: &Document) -> Result<(), Fault> {
    let Some(schema) = &rules.json else { return Ok(()) };
    schema.check(&document.value, &mut BodyStrings { rules, body, document })
}

/// The strings of a JSON body.
struct BodyStrings<'a, S: Source> {
    rules: &'a Rules,
    body: &'a S,
    document: &'a Document,
}

impl<S: Source> Strings for BodyStrings<'_, S> {
    fn length(&self, text: &str) -> u64 {
        let found = self.document.text(self.body, text);
        if found.is_short() { text.chars().count() as u64 } else { found.size() }
    }

    /// Looks at the head and as much as the sniffer and the picture's header want; the rest is
    /// decoded, and refused if it must be, by the component that uses it.
    fn base64(&mut self, text: &str, media: Option<Media>) -> Result<(), Fault> {
        let encoded = Encoded::new(self.document.text(self.body, text))?;
        if let Some(first) = encoded.pieces().next() {
            first?;
        }
        match media {
            Some(media) => media::check(&encoded, &[media], self.rules.picture),
            None => Ok(()),
        }
    }
}

fn check_form<S: Source>(rules: &Rules, body: &S, parts: &[Part]) -> Result<(), Fault> {
    for (name, rule) in &rules.parts {
        let count = parts.iter().filter(|part| part.name == *name).count() as u64;
        if count < rule.count_min {
            let fault = Fault::new("part_missing", format!("{} of it are needed", rule.count_min));
            return Err(fault.in_member(name));
        }
        if count > rule.count_max {
            let detail = format!("is given {count} times; {} are allowed", rule.count_max);
            return Err(Fault::new("too_many_parts", detail).in_member(name));
        }
        let named = parts.iter().filter(|part| part.name == *name);
        for (index, part) in named.enumerate() {
            check_part(rules, body, rule, part).map_err(|fault| match rule.count_max {
                1 => fault.in_member(name),
                _ => fault.in_item(index).in_member(name),
            })?;
        }
    }
    if let Some(part) = parts.iter().find(|part| !is_known(rules, &part.name)) {
        let files = rules.parts.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> = files.chain(rules.form.iter().flat_map(Schema::names)).collect();
        let detail = format!("is not known; known are {}", names.join(", "));
        return Err(Fault::new("part_unknown", detail).in_member(&part.name));
    }
    let Some(schema) = &rules.form else { return Ok(()) };
    let value = form::read(body, parts, schema, &|name| rules.part(name).is_some())?;
    schema.check(&value, &mut FormStrings)
}

/// Is a part of this name a file, a field, the start of a dotted field, or passed over?
fn is_known(rules: &Rules, name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    rules.part(name).is_some()
        || rules.form.as_ref().is_some_and(|schema| {
            name == form::PARAMS_PART
                || schema.names().any(|known| known == first)
                || form::is_passed_over(schema, name)
        })
}

fn check_part<S: Source>(
    rules: &Rules,
    body: &S,
    rule: &PartRule,
    part: &Part,
) -> Result<(), Fault> {
    if part.bytes > rule.bytes_max {
        let detail = format!("has {} bytes; {} are allowed", part.bytes, rule.bytes_max);
        return Err(Fault::new("part_too_large", detail).with_status(413));
    }
    let bytes = Window::new(body, part.start, part.bytes);
    let media = rule.media.iter().filter_map(|media| match media {
        PartMedia::Sniffed(media) => Some(*media),
        PartMedia::Text => None,
    });
    let media: Vec<Media> = media.collect();
    let is_text = rule.media.contains(&PartMedia::Text);
    match (media.as_slice(), is_text) {
        ([], true) => check_text(rule, &bytes),
        ([], false) => Ok(()),
        (media, false) => media::check(&bytes, media, rules.picture),
        (media, true) => media::check(&bytes, media, rules.picture).or_else(|fault| {
            if fault.code == "image_too_large" { Err(fault) } else { check_text(rule, &bytes) }
        }),
    }
}

fn check_text<S: Source>(rule: &PartRule, bytes: &S) -> Result<(), Fault> {
    let bytes_max = if rule.bytes_max == u64::MAX { TEXT_BYTES_MAX } else { rule.bytes_max };
    if bytes.size() > bytes_max {
        let detail = format!("has {} bytes; a text may have {bytes_max}", bytes.size());
        return Err(Fault::new("part_too_large", detail).with_status(413));
    }
    let not_utf8 = |_| Fault::new("text_invalid", "is not UTF-8 text");
    let (mut utf8, mut position) = (Utf8::default(), 0);
    while position < bytes.size() {
        let piece = bytes.read(position, READ_BYTES_MAX);
        if piece.is_empty() {
            break;
        }
        utf8.take(&piece).map_err(not_utf8)?;
        position += piece.len() as u64;
    }
    utf8.end().map_err(not_utf8)
}

/// Fields of a form are short, and carry no base64 media: files are parts.
struct FormStrings;

impl Strings for FormStrings {
    fn length(&self, text: &str) -> u64 {
        text.chars().count() as u64
    }
    fn base64(&mut self, _: &str, _: Option<Media>) -> Result<(), Fault> {
        Err(Fault::new("field_invalid", "is not taken as a field; send it as a file part"))
    }
}

#[cfg(test)]
mod tests;
