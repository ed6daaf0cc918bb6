//! Pages of services: what anyone may read without a key.
//!
//! Owns their HTTP form. No component runs here: a page was read when its component was loaded, and
//! health is the host's own knowledge.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use super::{App, health};
use crate::gate::{Page, PageContent, Service};

/// The page as it is now.
pub(super) fn show(app: &App, service: &Service, page: &Page) -> Response {
    let mut response = match &page.content {
        PageContent::Document(text) => {
            ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
        }
        PageContent::Health(members) => health::of_service(app, service, members),
    };
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
