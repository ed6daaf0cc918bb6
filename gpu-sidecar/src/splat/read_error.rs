//! Why a file of splats was not read.
//!
//! Owns the kinds and their codes, and the limit that all readers share.

/// Most Gaussians of a file: 14 times those of one picture, 0.9 GiB of memory. Protects that.
pub const GAUSSIANS_MAX: usize = 1 << 24;

/// Why a file was not read. The text says what is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this is no {format} file: {detail}")]
    Format { format: &'static str, detail: String },
    #[error("the file lacks {0}")]
    Missing(String),
    #[error("{0} is not supported")]
    Unsupported(String),
    #[error("the file ends early: {0}")]
    Truncated(String),
    #[error("the file has {count} Gaussians; {GAUSSIANS_MAX} at most are read")]
    TooMany { count: u64 },
}

impl ReadError {
    /// Public and permanent.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format { .. } => "splats_format",
            Self::Missing(_) => "splats_incomplete",
            Self::Unsupported(_) => "splats_unsupported",
            Self::Truncated(_) => "splats_truncated",
            Self::TooMany { .. } => "splats_too_many",
        }
    }

    /// `count` as a length, once it is known to be within the limit.
    pub(super) fn check_count(count: u64) -> Result<usize, Self> {
        match usize::try_from(count) {
            Ok(count) if count <= GAUSSIANS_MAX => Ok(count),
            _ => Err(Self::TooMany { count }),
        }
    }
}
