//! Why a run failed. A variant is something that a caller can do, not a library that failed.
//!
//! Owns the mapping from I/O faults to these kinds. Codes are public and permanent.

use std::fmt::Display;
use std::io;

/// A stable code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Lower case with underscores; never given another meaning.
    pub code: &'static str,
    /// What the caller can do about it.
    pub detail: String,
}

impl Fault {
    fn new(code: &'static str, detail: impl Display) -> Self {
        Self { code, detail: detail.to_string() }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// An input or parameter is not what the manifest allows. Never retried.
    #[error("{}: {}", fault.code, fault.detail)]
    Input {
        fault: Fault,
        /// Path of the parameter, or the slot with an index (`frame[3]`); empty: the whole call.
        field: String,
    },
    /// The device failed; another may do.
    #[error("{}: {}", .0.code, .0.detail)]
    Device(Fault),
    /// Memory, disk or time ran out.
    #[error("{}: {}", .0.code, .0.detail)]
    Resource(Fault),
    /// Weights or a program are missing; the detail says how to get them.
    #[error("{}: {}", .0.code, .0.detail)]
    Unavailable(Fault),
    /// Someone asked for it, or the sidecar is stopping.
    #[error("{}: {}", .0.code, .0.detail)]
    Canceled(Fault),
    /// A fault of ours.
    #[error("{}: {}", .0.code, .0.detail)]
    Internal(Fault),
}

impl RunError {
    /// An input or parameter is at fault; `field` says which.
    pub fn input(code: &'static str, field: &str, detail: impl Display) -> Self {
        Self::Input { fault: Fault::new(code, detail), field: field.to_owned() }
    }

    /// See [`RunError::Device`].
    pub fn device(code: &'static str, detail: impl Display) -> Self {
        Self::Device(Fault::new(code, detail))
    }

    /// See [`RunError::Resource`].
    pub fn resource(code: &'static str, detail: impl Display) -> Self {
        Self::Resource(Fault::new(code, detail))
    }

    /// See [`RunError::Unavailable`].
    pub fn unavailable(code: &'static str, detail: impl Display) -> Self {
        Self::Unavailable(Fault::new(code, detail))
    }

    /// See [`RunError::Canceled`].
    pub fn canceled(code: &'static str, detail: impl Display) -> Self {
        Self::Canceled(Fault::new(code, detail))
    }

    /// See [`RunError::Internal`].
    pub fn internal(code: &'static str, detail: impl Display) -> Self {
        Self::Internal(Fault::new(code, detail))
    }

    /// A file of the run could not be read or written: a full disk is the operator's to mend,
    /// anything else is a fault of ours.
    #[must_use]
    pub fn file(what: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::resource("disk_full", format_args!("{what}: {error}"))
            }
            _ => Self::internal("file_failed", format_args!("{what}: {error}")),
        }
    }

    /// The code and the sentence.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Input { fault, .. } => fault,
            Self::Device(fault)
            | Self::Resource(fault)
            | Self::Unavailable(fault)
            | Self::Canceled(fault)
            | Self::Internal(fault) => fault,
        }
    }
}
