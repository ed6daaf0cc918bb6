//! `align@1`: sentences of two texts that say the same.
//!
//! Owns the order of the work, its parameters and its files. The algorithm is in `align.rs`;
//! encoders come through [`Encoders`], so that this file knows no weights. Start at `Align::run`.

mod installed;
mod params;

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use crate::align::aligner::{self, AlignError};
use crate::align::answer::{Answer, Findings, Side, Warning, ids, rounded};
use crate::align::clean::TEXT_BYTES_MAX;
use crate::align::document::{Document, Reading, Remark};
use crate::align::encoder::{EncodeError, Encoder, Groups};
use crate::align::{TextError, language::Language};
use crate::device::DeviceKind;
use crate::pipeline::{
    Call, Manifest, Need, Outcome, Pipeline, RunContext, RunError, Slot, schema_of,
};
use crate::weights::Files;
pub use installed::Installed;
pub use params::EncoderName;
use params::{Output, Params};

const SOURCE: &str = "source";
const TARGET: &str = "target";
const TEXT: &str = "text/plain";

/// Everything that does not grow with the texts, an encoder's working memory included.
const BYTES_FIXED: u64 = 256 << 20;
/// Numbers in the widest encoder's vectors.
const WIDTH_MAX: u64 = 768;
/// Tables of both passes, for each sentence.
const TABLE_BYTES_PER_SENTENCE: u64 = 16 << 10;

/// How much of a run is done when each stage begins.
mod begin {
    pub(super) const READ: f64 = 0.0;
    pub(super) const EMBED: f64 = 0.05;
    pub(super) const EMBED_TARGET: f64 = 0.45;
    pub(super) const ALIGN: f64 = 0.85;
    pub(super) const WRITE: f64 = 0.95;
}

/// Where encoders come from.
pub trait Encoders: Send + Sync {
    /// What is missing and how to install it; empty when the usual encoder is there.
    fn missing(&self) -> String;

    /// Opens one, for as long as a run holds it.
    /// # Errors
    /// `Unavailable` when its weights are missing.
    fn open(
        &self,
        name: EncoderName,
        context: &mut RunContext,
    ) -> Result<Box<dyn Encoder>, RunError>;

    /// Whether the fetched `files` are those of `model`.
    /// # Errors
    /// `Unavailable` when they are not.
    fn check(&self, _model: &str, _files: &Files) -> Result<(), RunError> {
        Ok(())
    }
}

/// The pipeline.
#[derive(Clone)]
pub struct Align {
    encoders: Arc<dyn Encoders>,
}

impl Align {
    /// With these encoders.
    #[must_use]
    pub fn new(encoders: Arc<dyn Encoders>) -> Self {
        Self { encoders }
    }
}

impl Pipeline for Align {
    fn manifest(&self) -> Manifest {
        let missing = self.encoders.missing();
        Manifest {
            name: "align",
            version: 1,
            title: "Sentences of two texts that say the same",
            params_schema: schema_of::<Params>(),
            inputs: vec![
                input(SOURCE, "A text in UTF-8."),
                input(TARGET, "The same text in another language, in UTF-8."),
            ],
            outputs: Output::ALL.map(Output::slot).to_vec(),
            memory: need(1000, &Params::default()),
            ready: missing.is_empty(),
            missing,
            license: "Apache-2.0",
            devices: vec![DeviceKind::Cpu],
            agreement: "",
        }
    }

    fn models(&self) -> &'static [&'static str] {
        installed::MODELS
    }

    fn check_weights(&self, model: &str, files: &Files) -> Result<(), RunError> {
        self.encoders.check(model, files)
    }

    fn need(&self, call: &Call) -> Need {
        let params = call.params::<Params>().unwrap_or_default();
        // A sentence has at least a character and what parts it from the next.
        let sentences = |input: &crate::pipeline::Input| {
            (input.bytes / 2 + 1).min(u64::from(params.sentences_max))
        };
        need(call.inputs.iter().map(sentences).sum(), &params)
    }

    fn run(&self, call: &Call, context: &mut RunContext) -> Result<Outcome, RunError> {
        let params: Params = call.params()?;
        params.check()?;
        context.progress(begin::READ, "read", "");
        let source = read(call, (SOURCE, params.language(Side::Source)?), &params)?;
        let target = read(call, (TARGET, params.language(Side::Target)?), &params)?;
        context.check_cancel()?;
        let encoder = self.encoders.open(params.encoder, context)?;
        let run = Run { params, encoder: &*encoder, context };
        run.finish(source, target)
    }
}

fn input(name: &'static str, description: &'static str) -> Slot {
    Slot { name, media_types: vec![TEXT], count_min: 1, count_max: 1, description }
}

fn read(
    call: &Call,
    (slot, language): (&str, Option<Language>),
    params: &Params,
) -> Result<Document, RunError> {
    let input = call
        .slot(slot)
        .next()
        .ok_or_else(|| RunError::input("input_count", slot, "takes one text"))?;
    let refused = |error: TextError| RunError::input(error.code(), slot, error);
    let bytes_max = TEXT_BYTES_MAX;
    if let Some(bytes) = usize::try_from(input.bytes).ok().filter(|&bytes| bytes > bytes_max) {
        return Err(refused(TextError::TooLarge { bytes, bytes_max }));
    }
    let bytes = fs::read(&input.path).map_err(|error| RunError::file("reading a text", &error))?;
    let sentences_max = params.sentences_max as usize;
    let reading = Reading { language, is_split: params.is_split, sentences_max };
    Document::read(&bytes, reading).map_err(refused)
}

/// One call's work after its texts were read.
struct Run<'a> {
    params: Params,
    encoder: &'a dyn Encoder,
    context: &'a mut RunContext,
}

impl Run<'_> {
    fn finish(mut self, source: Document, target: Document) -> Result<Outcome, RunError> {
        let layers = self.params.align().layers();
        let source_groups = self.embed(&source, (begin::EMBED, begin::EMBED_TARGET), layers)?;
        let target_groups = self.embed(&target, (begin::EMBED_TARGET, begin::ALIGN), layers)?;
        let params = self.params.align();
        let mut watch = watcher(self.context, "align", (begin::ALIGN, begin::WRITE));
        let aligned = aligner::align(&source_groups, &target_groups, params, &mut watch);
        drop(watch);
        let alignment = aligned.map_err(|error| self.not_aligned(error))?;
        let findings = Findings {
            result: alignment.beads.iter().map(ids).collect(),
            scores: alignment.scores.into_iter().map(rounded).collect(),
            src_lang: source.language.map(|language| language.to_string()),
            tgt_lang: target.language.map(|language| language.to_string()),
            encoder: self.encoder.name(),
            warnings: self.warnings(&source, &target),
        };
        let answer = Answer { findings, src_sents: source.sentences, tgt_sents: target.sentences };
        self.write(&answer)?;
        let metadata = Metadata {
            findings: &answer.findings,
            src_lang_detected: source.is_detected,
            tgt_lang_detected: target.is_detected,
            src_sentences: answer.src_sents.len(),
            tgt_sentences: answer.tgt_sents.len(),
            params: &self.params,
        };
        let metadata = serde_json::to_string(&metadata)
            .map_err(|error| RunError::internal("report_failed", error))?;
        Ok(Outcome { metadata })
    }

    fn embed(
        &mut self,
        document: &Document,
        share: (f64, f64),
        layers: usize,
    ) -> Result<Groups, RunError> {
        let mut watch = watcher(self.context, "embed", share);
        let groups = self.encoder.embed_groups(&document.sentences, layers, &mut watch);
        drop(watch);
        groups.map_err(|error| match error {
            EncodeError::Cancelled => self.cancelled(),
            EncodeError::Model(source) => RunError::device("encoder_failed", source),
        })
    }

    /// Both sides' remarks, and languages that the encoder was not made for.
    fn warnings(&self, source: &Document, target: &Document) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (side, document) in [(Side::Source, source), (Side::Target, target)] {
            let remarks = document.remarks.iter().cloned();
            warnings.extend(remarks.map(|remark| Warning { side, remark }));
            let known = |language: &Language| {
                self.encoder.languages().iter().any(|known| *known == language.code())
            };
            if let Some(language) = document.language.filter(|language| !known(language)) {
                let detail = format!(
                    "the encoder `{}` was not made for `{language}`; the result may be poor",
                    self.encoder.name()
                );
                let remark = Remark { code: "language_not_encoded", detail };
                warnings.push(Warning { side, remark });
            }
        }
        warnings
    }

    fn write(&mut self, answer: &Answer) -> Result<(), RunError> {
        self.context.check_cancel()?;
        self.context.progress(begin::WRITE, "write", "");
        for output in self.params.outputs.clone() {
            self.context.output(output.file(), output.media_type(), |file| match output {
                Output::Json => answer.write_json(file),
                Output::Tsv => answer.write_tsv(file),
                Output::Tmx => answer.write_tmx(file),
            })?;
        }
        Ok(())
    }

    fn not_aligned(&self, error: AlignError) -> RunError {
        match error {
            AlignError::Cancelled => self.cancelled(),
            AlignError::BandTooWide { .. } => RunError::input(error.code(), "", error),
        }
    }

    /// Why a watcher broke off.
    fn cancelled(&self) -> RunError {
        let fault = || RunError::internal("stopped_unasked", "a stage stopped without a reason");
        self.context.check_cancel().err().unwrap_or_else(fault)
    }
}

/// Reports a stage's progress as its share of the run's, and breaks off a run that has to stop.
fn watcher(
    context: &mut RunContext,
    stage: &'static str,
    (begin, end): (f64, f64),
) -> impl FnMut(f64) -> ControlFlow<()> {
    move |done| {
        context.progress(begin + (end - begin) * done, stage, "");
        if context.check_cancel().is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What a caller learns without opening a file: everything but the sentences.
#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(flatten)]
    findings: &'a Findings,
    src_lang_detected: bool,
    tgt_lang_detected: bool,
    src_sentences: usize,
    tgt_sentences: usize,
    params: &'a Params,
}

/// For texts of so many sentences together.
fn need(sentences: u64, params: &Params) -> Need {
    let vector_bytes = WIDTH_MAX * size_of::<f32>() as u64;
    let per_sentence = u64::from(params.max_align) * vector_bytes + TABLE_BYTES_PER_SENTENCE;
    let encoder_bytes = params.encoder.memory_bytes();
    let memory_cpu_bytes = BYTES_FIXED + encoder_bytes + sentences * per_sentence;
    Need { memory_cpu_bytes, memory_gpu_bytes: 0 }
}

#[cfg(test)]
mod tests;
