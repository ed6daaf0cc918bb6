//! The Python package index that this machine's pip is set to: where one of its files lies.
//!
//! Owns the lookup (PEP 503 and 691). Nothing of Python runs and nothing is installed: a package
//! is a file like any other, known by its pinned digest.

use std::fs;
use std::path::PathBuf;

use http::header;
use serde_json::Value;
use ureq::Agent;

use super::PullError;
use super::agent::Network;

/// Where nothing else is set.
const INDEX_DEFAULT: &str = "https://pypi.org/simple";
/// The page of one package; the largest are below 20 MiB.
const PAGE_BYTES_MAX: u64 = 64 << 20;
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.5";

/// The address of `file`, which belongs to `package`; `model` is for what an error says to do.
///
/// # Errors
/// `NotInIndex`; `Unreachable` with the index's address.
pub(super) fn find(
    agent: &Agent,
    network: &Network,
    model: &str,
    (package, file): (&str, &str),
) -> Result<String, PullError> {
    let index = network.index_url.clone().or_else(|| configured(network));
    let index = index.unwrap_or_else(|| INDEX_DEFAULT.to_owned());
    let page = format!("{}/{}/", index.trim_end_matches('/'), normal(package));
    let unreachable = |detail: String| PullError::Unreachable {
        url: page.clone(),
        detail,
        model: model.to_owned(),
        file: file.to_owned(),
    };
    let answer = agent.get(&page).header(header::ACCEPT, ACCEPT).call();
    let mut answer = answer.map_err(|error| unreachable(error.to_string()))?;
    if answer.status().as_u16() != 200 {
        return Err(PullError::NotThere { url: page, status: answer.status().as_u16() });
    }
    let text = answer.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_string();
    let text = text.map_err(|error| unreachable(error.to_string()))?;
    let found = in_json(&text, file).or_else(|| in_html(&text, file));
    let found = found.ok_or_else(|| PullError::NotInIndex { index, file: file.to_owned() })?;
    Ok(join(&page, &found))
}

/// `Some_Package.name` is `some-package-name` in addresses.
fn normal(package: &str) -> String {
    let mut name = String::new();
    for letter in package.chars() {
        match letter {
            '-' | '_' | '.' if name.ends_with('-') => {}
            '-' | '_' | '.' => name.push('-'),
            letter => name.push(letter.to_ascii_lowercase()),
        }
    }
    name
}

fn in_json(text: &str, file: &str) -> Option<String> {
    let page: Value = serde_json::from_str(text).ok()?;
    let mut files = page["files"].as_array()?.iter();
    let found = files.find(|entry| entry["filename"] == file)?;
    found["url"].as_str().map(str::to_owned)
}

/// The link whose last path segment is `file`; a digest may follow after `#`.
fn in_html(text: &str, file: &str) -> Option<String> {
    let links = text.split("href=").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        rest[1..].split(quote).next()
    });
    let mut links = links.map(|link| link.split('#').next().unwrap_or_default());
    links.find(|link| link.rsplit('/').next() == Some(file)).map(str::to_owned)
}

/// `link` as it is meant on `page`.
fn join(page: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let scheme_end = page.find("://").map_or(0, |at| at + 3);
    let root_end = page[scheme_end..].find('/').map_or(page.len(), |at| scheme_end + at);
    if let Some(rest) = link.strip_prefix("//") {
        return format!("{}{rest}", &page[..scheme_end]);
    }
    if link.starts_with('/') {
        return format!("{}{link}", &page[..root_end]);
    }
    let mut folders: Vec<&str> = page[root_end..].trim_matches('/').split('/').collect();
    let mut rest = link;
    while let Some(shorter) = rest.strip_prefix("../") {
        folders.pop();
        rest = shorter;
    }
    let folders: String = folders.iter().map(|folder| format!("/{folder}")).collect();
    format!("{}{folders}/{}", &page[..root_end], rest.trim_start_matches("./"))
}

/// `index-url` of the first settings file of pip's that has one.
fn configured(network: &Network) -> Option<String> {
    let home = std::env::home_dir().unwrap_or_default();
    let places = [
        home.join(".config/pip/pip.conf"),
        home.join(".pip/pip.conf"),
        PathBuf::from("/etc/xdg/pip/pip.conf"),
        PathBuf::from("/etc/pip.conf"),
    ];
    let places = network.pip_config.iter().chain(&places);
    places.filter_map(|path| fs::read_to_string(path).ok()).find_map(|text| index_url(&text))
}

/// `index-url` of `[global]`, `[install]` or `[download]`.
fn index_url(text: &str) -> Option<String> {
    let mut counts = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            counts = matches!(section, "global" | "install" | "download");
        } else if let Some((key, value)) = line.split_once('=')
            && counts
            && matches!(key.trim(), "index-url" | "index_url")
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_a_browser_would() {
        let page = "https://index.example/simple/pkg/";
        assert_eq!(join(page, "https://files.example/a.whl"), "https://files.example/a.whl");
        assert_eq!(join(page, "//files.example/a.whl"), "https://files.example/a.whl");
        assert_eq!(join(page, "/files/a.whl"), "https://index.example/files/a.whl");
        assert_eq!(join(page, "../../files/a.whl"), "https://index.example/files/a.whl");
        assert_eq!(join(page, "a.whl"), "https://index.example/simple/pkg/a.whl");
    }

    #[test]
    fn both_kinds_of_index_page_are_read() {
        let json = r#"{"files":[{"filename":"a-1.whl","url":"x/a-1.whl"}]}"#;
        assert_eq!(in_json(json, "a-1.whl").as_deref(), Some("x/a-1.whl"));
        assert_eq!(in_json(json, "b-1.whl"), None);
        let html = r#"<a href="../a-2.whl#sha256=00">a</a><a href='/f/a-1.whl'>a-1.whl</a>"#;
        assert_eq!(in_html(html, "a-1.whl").as_deref(), Some("/f/a-1.whl"));
        assert_eq!(in_html(html, "a-2.whl").as_deref(), Some("../a-2.whl"));
        assert_eq!(normal("Fast_Universal..Encoder"), "fast-universal-encoder");
    }

    #[test]
    fn pips_own_settings_name_the_index() {
        let text = "[freeze]\nindex-url = https://no\n[global]\nindex-url = https://yes/simple\n";
        assert_eq!(index_url(text).as_deref(), Some("https://yes/simple"));
        assert_eq!(index_url("[global]\ntimeout = 5\n"), None);
    }
}
