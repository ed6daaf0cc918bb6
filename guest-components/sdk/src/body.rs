//! What kind of body a request has, and how its parts are read. Start here.

use crate::bindings::postern::types::http::Head;
use crate::json::Document;
use crate::media_type::{HeaderValue, is_json};
use crate::multipart::{self, Part};
use crate::problem::Fault;
use crate::source::Source;

impl Head {
    /// The first header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.name == name)?;
        Some(&found.value)
    }

    /// The parsed `content-type`; `None` when there is none or it is broken.
    #[must_use]
    pub fn content_type(&self) -> Option<HeaderValue> {
        HeaderValue::parse(self.header("content-type")?)
    }
}

/// A body by its content type; still lying where it was.
#[derive(Debug)]
pub enum Body {
    Json(Document),
    Form(Vec<Part>),
    /// Bytes of the media type that the head says.
    Raw,
}

impl Body {
    /// Reads the structure of `body`.
    ///
    /// # Errors
    /// `json_invalid`, `multipart_invalid`, `too_many_parts`, `body_too_large`.
    pub fn read<S: Source + ?Sized>(content_type: &HeaderValue, body: &S) -> Result<Self, Fault> {
        if is_json(&content_type.value) {
            Ok(Self::Json(Document::read(body)?))
        } else if content_type.value == "multipart/form-data" {
            let boundary = multipart::boundary(content_type)?;
            Ok(Self::Form(multipart::parse(body, boundary)?))
        } else {
            Ok(Self::Raw)
        }
    }
}
