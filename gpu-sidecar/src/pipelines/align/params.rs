//! Parameters of `align@1`: names, defaults and ranges as customers see them.
//!
//! Owns the ranges and the names of outputs. Knows the algorithm's parameter type, into which it
//! translates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::align::answer::Side;
use crate::align::document::SENTENCES_MAX;
use crate::align::language::Language;
use crate::align::similarity::{AlignParams, MAX_ALIGN_MAX, TOP_K_MAX, WIN_MAX};
use crate::pipeline::{RunError, Slot};

/// Everything has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Params {
    /// Sentences of a bead, both sides together.
    #[schemars(range(min = 2, max = 10))]
    pub(super) max_align: u32,
    /// Neighbours of each source sentence that the first pass looks at.
    #[schemars(range(min = 1, max = 50))]
    pub(super) top_k: u32,
    /// How far the second pass leaves the first one's anchors, sentences.
    #[schemars(range(max = 100))]
    pub(super) win: u32,
    /// The score of a sentence without a counterpart; lower joins more.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub(super) skip: f64,
    /// Whether likeness to neighbouring sentences counts against a bead.
    pub(super) margin: bool,
    /// Whether different lengths do.
    pub(super) len_penalty: bool,
    /// Every line is a sentence already.
    pub(super) is_split: bool,
    /// The source's language, such as `de` or `pt-BR`; detected when absent.
    #[schemars(length(min = 2, max = 35))]
    pub(super) src_lang: Option<String>,
    /// The target's language.
    #[schemars(length(min = 2, max = 35))]
    pub(super) tgt_lang: Option<String>,
    /// What makes vectors of sentences.
    pub(super) encoder: EncoderName,
    /// Which files are written, each at most once; none is allowed.
    #[schemars(length(max = 3))]
    pub(super) outputs: Vec<Output>,
    /// More sentences in one text are refused.
    #[schemars(range(min = 1, max = 20_000))]
    pub(super) sentences_max: u32,
}

impl Default for Params {
    fn default() -> Self {
        let AlignParams { max_align, top_k, win, skip, margin, len_penalty } =
            AlignParams::default();
        Self {
            max_align: max_align as u32,
            top_k: top_k as u32,
            win: win as u32,
            skip,
            margin,
            len_penalty,
            is_split: false,
            src_lang: None,
            tgt_lang: None,
            encoder: EncoderName::default(),
            outputs: vec![Output::Json],
            sentences_max: SENTENCES_MAX as u32,
        }
    }
}

impl Params {
    /// # Errors
    /// `Input` with the name of the first parameter that is out of range.
    pub(super) fn check(&self) -> Result<(), RunError> {
        let within = |name, value: u32, low: usize, high: usize| {
            let detail = || format!("must be {low} to {high}");
            let is_within = (low..=high).contains(&(value as usize));
            if is_within { Ok(()) } else { Err(out_of_range(name, detail())) }
        };
        within("max_align", self.max_align, 2, MAX_ALIGN_MAX)?;
        within("top_k", self.top_k, 1, TOP_K_MAX)?;
        within("win", self.win, 0, WIN_MAX)?;
        within("sentences_max", self.sentences_max, 1, SENTENCES_MAX)?;
        if !(-1.0..=1.0).contains(&self.skip) {
            return Err(out_of_range("skip", "must be -1 to 1"));
        }
        for (index, output) in self.outputs.iter().enumerate() {
            if self.outputs[..index].contains(output) {
                return Err(out_of_range("outputs", "names each file at most once"));
            }
        }
        Ok(())
    }

    /// The algorithm's part.
    pub(super) fn align(&self) -> AlignParams {
        AlignParams {
            max_align: self.max_align as usize,
            top_k: self.top_k as usize,
            win: self.win as usize,
            skip: self.skip,
            margin: self.margin,
            len_penalty: self.len_penalty,
        }
    }

    /// The language that the caller names for a side.
    /// # Errors
    /// `Input` when it is no language's code.
    pub(super) fn language(&self, side: Side) -> Result<Option<Language>, RunError> {
        let (name, tag) = match side {
            Side::Source => ("src_lang", &self.src_lang),
            Side::Target => ("tgt_lang", &self.tgt_lang),
        };
        let parse = |tag: &String| {
            let detail = "must be a language's code, such as `de` or `pt-BR`";
            Language::parse(tag).ok_or_else(|| out_of_range(name, detail))
        };
        tag.as_ref().map(parse).transpose()
    }
}

fn out_of_range(field: &str, detail: impl std::fmt::Display) -> RunError {
    RunError::input("params_out_of_range", field, detail)
}

/// What makes vectors of sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncoderName {
    /// Universal Sentence Encoder, multilingual, version 3: 16 languages, fast on a CPU.
    #[default]
    Usem3,
    /// LaBSE: 109 languages, fifty times the work.
    Labse,
}

impl EncoderName {
    /// As parameters and `postern pull` name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usem3 => "usem3",
            Self::Labse => "labse",
        }
    }

    /// Its parameters in memory.
    pub(super) fn memory_bytes(self) -> u64 {
        match self {
            Self::Usem3 => 128 << 20,
            Self::Labse => 2 << 30,
        }
    }
}

/// A file of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Output {
    /// Beads, scores, sentences and languages.
    Json,
    /// A line for each bead.
    Tsv,
    /// A translation memory.
    Tmx,
}

impl Output {
    pub(super) const ALL: [Self; 3] = [Self::Json, Self::Tsv, Self::Tmx];

    /// The file's name.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Json => "result.json",
            Self::Tsv => "result.tsv",
            Self::Tmx => "result.tmx",
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Tsv => "text/tab-separated-values",
            Self::Tmx => "application/x-tmx+xml",
        }
    }

    /// In the manifest.
    pub(super) fn slot(self) -> Slot {
        let (name, description) = match self {
            Self::Json => ("json", "Beads, scores, sentences, languages, as `result.json`."),
            Self::Tsv => ("tsv", "A line for each bead, as `result.tsv`."),
            Self::Tmx => ("tmx", "A translation memory of the pairs, as `result.tmx`."),
        };
        Slot { name, media_types: vec![self.media_type()], count_min: 0, count_max: 1, description }
    }
}
