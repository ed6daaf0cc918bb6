//! Pages of services: what the host shows of them to anyone.
//!
//! Owns their checks. Always: a page was read once, when its component was loaded, so that nobody
//! without a key can make a component run.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::engine::bindings::pages::exports::postern::shaping::pages as wit;

/// Most pages of one service.
const PAGES_MAX: usize = 16;
/// Longest text of a page.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A page that was checked.
#[derive(Debug)]
pub struct Page {
    pub path: String,
    pub content: PageContent,
}

/// What a page shows.
#[derive(Debug)]
pub enum PageContent {
    /// JSON.
    Document(Bytes),
    /// The gate's health with these members.
    Health(Map<String, Value>),
}

/// The pages of one component.
///
/// # Errors
/// What is wrong, for the author of the component.
pub(super) fn checked(pages: Vec<wit::Page>) -> Result<Vec<Page>, String> {
    if pages.len() > PAGES_MAX {
        return Err(format!("has {} pages; {PAGES_MAX} are allowed", pages.len()));
    }
    pages.into_iter().map(one).collect()
}

fn one(page: wit::Page) -> Result<Page, String> {
    let wit::Page { path, content } = page;
    let (wit::Content::Document(text) | wit::Content::Health(text)) = &content;
    if !path.starts_with('/') || path.contains(['{', '}']) {
        return Err(format!("page {path:?} is no path without parameters"));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("page {path} has more than {TEXT_BYTES_MAX} bytes"));
    }
    let value = serde_json::from_str::<Value>(text);
    let value = value.map_err(|error| format!("page {path} is no JSON: {error}"))?;
    let content = match (content, value) {
        (wit::Content::Document(text), _) => PageContent::Document(text.into()),
        (wit::Content::Health(_), Value::Object(members)) => PageContent::Health(members),
        (wit::Content::Health(_), _) => return Err(format!("page {path} is no JSON object")),
    };
    Ok(Page { path, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: wit::Content) -> Result<(), String> {
        checked(vec![wit::Page { path: "/a".into(), content }]).map(drop)
    }

    #[test]
    fn only_json_within_its_limits_becomes_a_page() {
        assert_eq!(check(wit::Content::Document("[1]".into())), Ok(()));
        assert_eq!(check(wit::Content::Health("{}".into())), Ok(()));
        assert!(check(wit::Content::Health("[1]".into())).unwrap_err().contains("no JSON object"));
        assert!(check(wit::Content::Document("nonsense".into())).unwrap_err().contains("no JSON"));
        let long = " ".repeat(TEXT_BYTES_MAX) + "1";
        assert!(check(wit::Content::Document(long)).unwrap_err().contains("65536 bytes"));
        let page = wit::Page { path: "/a".into(), content: wit::Content::Document("1".into()) };
        assert!(checked(vec![page.clone(); PAGES_MAX + 1]).is_err());
        assert!(checked(vec![wit::Page { path: "/a/{id}".into(), ..page }]).is_err());
    }
}
