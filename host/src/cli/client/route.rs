//! What a service takes, from the gate's own OpenAPI document.
//!
//! Owns the reading of the document; knows no service by name. An operation belongs to the service
//! that its tag names; files are the `binary` properties of its form, and `encoding` says which
//! media types each of them takes; `required` says which every job needs, and `x-file-names` what
//! they are called in names of files. Operations that are `deprecated` are found by their path
//! only.

use std::path::Path;

use mime_guess::Mime;
use serde_json::Value;

use super::form::{File, Form, Param, Request};
use super::gate::Fault;

/// A route that a service declared.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Route {
    pub(in crate::cli) path: String,
    pub(in crate::cli) takes: Takes,
}

/// What a body may be.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Takes {
    /// Parameters alone, as a JSON object.
    Json,
    /// A form with these files and with parameters as fields.
    Form(Vec<FilePart>),
}

/// A part of the form that is a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct FilePart {
    pub(in crate::cli) name: String,
    /// Several files go into it, in their order.
    many: bool,
    /// Its place among the parts that every job needs.
    place: Option<usize>,
    /// Other words for it in names of files.
    also: Vec<String>,
    /// Patterns such as `image/*`; empty: any.
    media_types: Vec<String>,
}

/// The route of `service`, or of `path` when the caller chose one.
///
/// # Errors
/// `Usage`: no such service or path; several that could be meant.
pub(in crate::cli) fn find(
    document: &Value,
    service: &str,
    path: Option<&str>,
) -> Result<Route, Fault> {
    let all = operations(document, service);
    if all.is_empty() {
        let mut known: Vec<&str> = tags(document).collect();
        known.sort_unstable();
        known.dedup();
        let text = format!("the gate has no service `{service}`; it has {}", known.join(", "));
        return Err(Fault::Usage(text));
    }
    let paths = |found: &[(&String, &Value)]| {
        found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>().join(", ")
    };
    let usual = |(known, operation): &&(&String, &Value)| match path {
        Some(path) => known.as_str() == path,
        None => operation["deprecated"] != true,
    };
    let found: Vec<_> = all.iter().filter(usual).copied().collect();
    match found.as_slice() {
        [(path, operation)] => Ok(Route { path: (*path).clone(), takes: takes(operation)? }),
        [] => Err(Fault::Usage(format!("`{service}` has the routes {}", paths(&all)))),
        several => {
            let text = format!("`{service}` has several; give --route: {}", paths(several));
            Err(Fault::Usage(text))
        }
    }
}

impl Route {
    /// What is sent: a form where the route takes one, else the parameters as JSON.
    pub(in crate::cli) fn request(
        &self,
        params: &[Param],
        json: Value,
        files: Vec<File>,
    ) -> Request {
        match self.takes {
            Takes::Json => Request::Json(json),
            Takes::Form(_) => Request::Form(Form::new(params, files)),
        }
    }

    /// The parts that one job needs a file each for, when they are several, in their order. Empty:
    /// one file may be a job.
    pub(in crate::cli) fn set(&self) -> Vec<&FilePart> {
        let parts = self.parts().unwrap_or_default();
        let mut set: Vec<&FilePart> = parts.iter().filter(|part| part.place.is_some()).collect();
        set.sort_by_key(|part| part.place);
        if set.len() < 2 { Vec::new() } else { set }
    }

    /// The part of this name.
    ///
    /// # Errors
    /// `Usage`: there is none.
    pub(in crate::cli) fn named(&self, name: &str) -> Result<&FilePart, Fault> {
        let parts = self.parts()?;
        parts.iter().find(|part| part.name == name).ok_or_else(|| {
            let (path, names) = (&self.path, names(parts));
            Fault::Usage(format!("{path} has no part `{name}` for files; it has {names}"))
        })
    }

    fn parts(&self) -> Result<&[FilePart], Fault> {
        match &self.takes {
            Takes::Form(parts) => Ok(parts),
            Takes::Json => Err(Fault::Usage(format!("{} takes no files", self.path))),
        }
    }

    /// The part for this file.
    ///
    /// # Errors
    /// `Usage`: the service takes no files, or which part is meant cannot be told.
    pub(in crate::cli) fn part(
        &self,
        file: &Path,
        wanted: &Wanted<'_>,
    ) -> Result<&FilePart, Fault> {
        let shown = file.display();
        if let Some(name) = wanted.part {
            return self.named(name);
        }
        let parts = self.parts()?;
        let names = || names(parts);
        let fit = |part: &&FilePart| part.many || !wanted.together;
        let fitting: Vec<&FilePart> = parts.iter().filter(fit).collect();
        let media_type = mime_guess::from_path(file).first();
        let takes = |part: &&&FilePart| {
            let known = media_type.as_ref();
            known.is_some_and(|media_type| part.takes(media_type))
        };
        match (fitting.as_slice(), fitting.iter().find(takes)) {
            (_, Some(part)) => Ok(part),
            // A file of an unknown kind: the gate will look at its bytes.
            ([part], None) if media_type.is_none() => Ok(part),
            ([], None) => {
                Err(Fault::Usage(format!("{} takes one file a job, not several", self.path)))
            }
            _ => {
                let text = format!("{shown}: say by --part what it is; there are {}", names());
                Err(Fault::Usage(text))
            }
        }
    }
}

/// What the command line says about the parts.
#[derive(Debug)]
pub(in crate::cli) struct Wanted<'a> {
    pub(in crate::cli) part: Option<&'a str>,
    /// Several files in one job.
    pub(in crate::cli) together: bool,
}

fn names(parts: &[FilePart]) -> String {
    parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ")
}

impl FilePart {
    /// Is this a word for it?
    pub(in crate::cli) fn is_called(&self, word: &str) -> bool {
        let mut words = std::iter::once(&self.name).chain(&self.also);
        words.any(|known| known.eq_ignore_ascii_case(word))
    }

    fn takes(&self, media_type: &Mime) -> bool {
        self.media_types.is_empty()
            || self.media_types.iter().any(|pattern| match pattern.strip_suffix("/*") {
                Some(kind) => kind == "*" || kind == media_type.type_().as_str(),
                None => pattern == media_type.essence_str(),
            })
    }
}

/// Every `POST` whose tags name the service.
fn operations<'a>(document: &'a Value, service: &str) -> Vec<(&'a String, &'a Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let posts = paths.map(|(path, item)| (path, &item["post"]));
    posts.filter(|(_, operation)| tagged(operation).any(|tag| tag == service)).collect()
}

fn tagged(operation: &Value) -> impl Iterator<Item = &str> {
    operation["tags"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What `SERVICE` could have been: tags of routes that take a body from tenants.
fn tags(document: &Value) -> impl Iterator<Item = &str> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let posts = paths.map(|(_, item)| &item["post"]);
    let ours = posts.filter(|post| post["requestBody"].is_object() && post["security"].is_null());
    ours.flat_map(tagged)
}

fn takes(operation: &Value) -> Result<Takes, Fault> {
    let content = &operation["requestBody"]["content"];
    let form = &content["multipart/form-data"];
    if form.is_null() {
        if content["application/json"].is_null() {
            return Err(Fault::Usage("the route takes neither a form nor JSON".into()));
        }
        return Ok(Takes::Json);
    }
    let is_file = |schema: &Value| schema["format"] == "binary";
    let properties = form["schema"]["properties"].as_object().into_iter().flatten();
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let needed = texts(&form["schema"]["required"]);
    let file = |(name, schema): (&String, &Value)| {
        let many = schema["type"] == "array" && is_file(&schema["items"]);
        (many || is_file(schema)).then(|| {
            let media_types = form["encoding"][name]["contentType"].as_str().unwrap_or_default();
            let media_types = media_types.split(',').map(str::trim).filter(|text| !text.is_empty());
            let media_types = media_types.map(str::to_owned).collect();
            let place = needed.iter().position(|needed| needed == name);
            let also = texts(&schema["x-file-names"]);
            FilePart { name: name.clone(), many, place, also, media_types }
        })
    };
    Ok(Takes::Form(properties.filter_map(file).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        let form = json!({
            "schema": {"properties": {
                "film": {"type": "string", "format": "binary"},
                "still": {"type": "array", "items": {"type": "string", "format": "binary"}},
                "size": {"type": "integer"}
            }},
            "encoding": {
                "film": {"contentType": "audio/*"},
                "still": {"contentType": "image/png, image/jpeg"}
            }
        });
        let post = |extra: Value| {
            let mut post = json!({"tags": ["film"],
                "requestBody": {"content": {"multipart/form-data": form}}});
            post.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({ "post": post })
        };
        json!({"paths": {
            "/v1/film": post(json!({})),
            "/old": post(json!({"deprecated": true})),
            "/v1/say": {"post": {"tags": ["say"],
                "requestBody": {"content": {"application/json": {}}}}},
            "/admin": {"post": {"tags": ["admin"], "security": [{"operator": []}],
                "requestBody": {"content": {"application/json": {}}}}},
            "/v1/jobs": {"get": {"tags": ["jobs"]}},
            "/v1/pair": {"post": {"tags": ["pair"],
                "requestBody": {"content": {"multipart/form-data": {"schema": {
                    "required": ["text", "size", "note"],
                    "properties": {
                        "note": {"type": "string", "format": "binary"},
                        "picture": {"type": "string", "format": "binary"},
                        "size": {"type": "integer"},
                        "text": {"type": "string", "format": "binary", "x-file-names": ["txt"]}
                    }}}}}}},
            "/v1/two": post(json!({"tags": ["two"]})), "/v1/three": post(json!({"tags": ["two"]})),
        }})
    }

    fn check(service: &str, path: Option<&str>, file: &str, wanted: &Wanted<'_>) -> String {
        let said = find(&document(), service, path).and_then(|route| {
            let part = route.part(Path::new(file), wanted)?;
            Ok(format!("{} {}", route.path, part.name))
        });
        said.unwrap_or_else(|fault| match fault {
            Fault::Usage(text) => text,
            fault => format!("{fault:?}"),
        })
    }

    #[test]
    fn a_route_and_a_part_are_found_by_what_the_document_says() {
        let alone = Wanted { part: None, together: false };
        let together = Wanted { part: None, together: true };
        assert_eq!(check("film", None, "a.mp3", &alone), "/v1/film film");
        assert_eq!(check("film", None, "a.png", &alone), "/v1/film still");
        assert_eq!(check("film", None, "a.odd", &together), "/v1/film still");
        assert_eq!(check("film", Some("/old"), "a.JPG", &together), "/old still");
        let chosen = Wanted { part: Some("film"), together: false };
        assert_eq!(check("film", None, "a.png", &chosen), "/v1/film film");
    }

    #[test]
    fn parts_that_every_job_needs_are_a_set_in_their_order() {
        let route = find(&document(), "pair", None).unwrap();
        let set = route.set();
        assert_eq!(set.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["text", "note"]);
        assert!(set[0].is_called("TXT") && set[0].is_called("text") && !set[0].is_called("te"));
        assert!(set[1].is_called("note") && !set[1].is_called("txt"));
        assert!(find(&document(), "film", None).unwrap().set().is_empty());
        assert!(find(&document(), "say", None).unwrap().set().is_empty());
    }

    #[test]
    fn what_cannot_be_told_is_said_with_what_there_is() {
        let alone = Wanted { part: None, together: false };
        let says = |service: &str, path, file: &str, words: &str| {
            let said = check(service, path, file, &alone);
            assert!(said.contains(words), "{said}");
        };
        says("flim", None, "a.mp3", "no service `flim`; it has film, pair, say, two");
        says("film", Some("/no"), "a.mp3", "has the routes");
        says("two", None, "a.mp3", "give --route: /v1/three, /v1/two");
        says("film", None, "a.odd", "say by --part what it is; there are film, still");
        says("film", None, "a.txt", "say by --part");
        says("say", None, "a.mp3", "takes no files");
        let chosen = Wanted { part: Some("flim"), together: false };
        let said = check("film", None, "a.png", &chosen);
        assert!(said.contains("no part `flim` for files; it has film, still"), "{said}");
    }
}
