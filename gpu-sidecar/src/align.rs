//! Sentence alignment: two texts in two languages in, groups of sentences that say the same out.
//!
//! Owns cleaning, splitting, the two passes over the vectors and the files that an answer comes
//! in. Knows no socket and no weights: an encoder is handed in. What is decided here follows
//! `shared/reference/bertalign/SPEC.md`. Start at `aligner::align`.

pub mod clean;
pub mod language;
pub mod split;

pub mod document;

pub mod encoder;
pub mod overlaps;

pub mod aligner;
pub mod band;
pub mod beads;
pub mod dots;
pub mod first_pass;
#[cfg(test)]
mod plain;
pub mod score;
pub mod search;
pub mod second_pass;
pub mod similarity;
mod tables;

pub mod answer;

/// Why a text cannot be aligned: what whoever sent it can mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// More bytes than a text may have.
    #[error("has {bytes} bytes; at most {bytes_max} are allowed")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// Another encoding, or no text.
    #[error("is not UTF-8: the byte at {offset} belongs to no character; convert it first")]
    NotUtf8 { offset: usize },
    /// No text has one; UTF-16 and pictures do.
    #[error("has a NUL byte at {offset}: it is no plain text")]
    Nul { offset: usize },
    /// More sentences than one call may bring.
    #[error("has {sentences} sentences; at most {sentences_max} are allowed")]
    SentencesTooMany { sentences: usize, sentences_max: usize },
}

impl TextError {
    /// Public and permanent.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "text_too_large",
            Self::NotUtf8 { .. } => "text_not_utf8",
            Self::Nul { .. } => "text_has_nul",
            Self::SentencesTooMany { .. } => "sentences_too_many",
        }
    }
}
