//! Weights: what `postern pull` does, from a model's source to files in the folder of weights.
//!
//! Owns the way of bytes: fetched or copied into `<weights>/.incoming/<model>`, counted, digested,
//! looked at by the sidecar, then moved to `<weights>/<model>`. Knows no model: the sidecar's
//! program says which there are and looks whether a file is one. Always: a file under its own name
//! is whole and was looked at; an interrupted pull goes on where it stopped. Start at [`Puller`].

mod agent;
mod fetch;
mod meter;
mod part;
mod pip;
mod puller;
mod record;
mod source;

use std::io;
use std::path::PathBuf;

pub use agent::Network;
pub use puller::{Installed, Origin, Puller};
pub use record::{Acceptance, FileRecord};
pub use source::{Catalogue, Licence, Source};

/// Why weights were not installed. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error("there is no model `{name}`; there are: {known}")]
    UnknownModel { name: String, known: String },
    #[error("{}: {detail}", program.display())]
    Sidecar { program: PathBuf, detail: String },
    #[error("{}: {source}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error(
        "{} has room for {free} bytes, {needed} are needed; make room or choose another folder \
         with --weights", path.display()
    )]
    DiskFull { path: PathBuf, needed: u64, free: u64 },
    #[error("another `postern pull {0}` is at work")]
    Busy(String),
    #[error(
        "{url} cannot be reached ({detail}). Without a network: fetch {file} elsewhere, then \
         `postern pull {model} --from {file}`"
    )]
    Unreachable { url: String, detail: String, model: String, file: String },
    #[error("{url} answers {status}: it is not there, or not for you; give another by --from")]
    NotThere { url: String, status: u16 },
    #[error("{url} sent {detail}")]
    Protocol { url: String, detail: String },
    #[error("{file} has {what} {got}, not {want}; nothing was installed")]
    Wrong { file: String, what: &'static str, got: String, want: String },
    #[error("{file} is larger than {limit} bytes; nothing was installed")]
    TooLarge { file: String, limit: u64 },
    #[error("{}: there is no {file}", path.display())]
    NotInFolder { path: PathBuf, file: String },
    #[error("{model} consists of several files; --from needs the folder or address with {files}")]
    SeveralFiles { model: String, files: String },
    #[error("{detail}; nothing was installed")]
    NotTheModel { detail: String },
    #[error("{0} is not installed; `postern pull {0}` installs it")]
    NotInstalled(String),
    #[error("{index} has no {file}; set the index with --index-url, or give the file by --from")]
    NotInIndex { index: String, file: String },
}

impl PullError {
    fn disk(path: &std::path::Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests;
