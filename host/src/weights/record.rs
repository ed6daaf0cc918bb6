//! What is written down beside a model's files: who accepted which terms, and the digests.
//!
//! Owns `licence.json` and `weights.json` in `<weights>/<model>`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PullError;
use super::source::{Licence, Source};

/// That somebody accepted the terms of a model's weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    pub model: String,
    pub licence: String,
    pub title: String,
    pub url: String,
    /// BLAKE3 of the terms as they were shown: other terms need another yes.
    pub digest: String,
    pub accepted_by: String,
    /// RFC 3339.
    pub accepted_at: String,
}

impl Acceptance {
    /// That `who` accepted the terms of `source` at `at`.
    #[must_use]
    pub fn new(source: &Source, who: &str, at: &str) -> Self {
        let Licence { id, title, url, .. } = source.licence.clone();
        Self {
            model: source.name.clone(),
            licence: id,
            title,
            url,
            digest: digest(&source.licence),
            accepted_by: who.to_owned(),
            accepted_at: at.to_owned(),
        }
    }
}

/// What of a model lies in the folder, as it was when it was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ModelRecord {
    pub model: String,
    /// RFC 3339.
    pub installed_at: String,
    pub files: Vec<FileRecord>,
}

/// One file of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub name: String,
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// Lower-case hex.
    pub blake3: String,
    /// The address or path that it came from.
    pub from: String,
}

/// Has somebody accepted these very terms?
pub(super) fn is_accepted(folder: &Path, source: &Source) -> bool {
    let text = fs::read(folder.join("licence.json")).unwrap_or_default();
    serde_json::from_slice::<Acceptance>(&text)
        .is_ok_and(|found| found.digest == digest(&source.licence))
}

pub(super) fn accept(folder: &Path, acceptance: &Acceptance) -> Result<(), PullError> {
    write(folder, "licence.json", acceptance)
}

pub(super) fn read_model(folder: &Path) -> Option<ModelRecord> {
    serde_json::from_slice(&fs::read(folder.join("weights.json")).ok()?).ok()
}

pub(super) fn write_model(folder: &Path, record: &ModelRecord) -> Result<(), PullError> {
    write(folder, "weights.json", record)
}

fn write(folder: &Path, name: &str, value: &impl Serialize) -> Result<(), PullError> {
    let path: PathBuf = folder.join(name);
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
    written.map_err(|error| PullError::disk(&path, error))
}

fn digest(licence: &Licence) -> String {
    let text = serde_json::to_vec(licence).unwrap_or_default();
    blake3::hash(&text).to_hex().to_string()
}
