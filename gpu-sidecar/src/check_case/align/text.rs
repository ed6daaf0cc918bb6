//! Goldens of cleaning, sentences, languages, group texts and scores.
//!
//! Owns the files' forms.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{exact, names, same_texts, unsupported};
use crate::align::language::{self, Language};
use crate::align::overlaps::Overlaps;
use crate::align::score::{Counts, Link, Scores, Tally};
use crate::align::{clean, split};
use crate::check_case::stage::{Stage, Tolerance};
use crate::check_case::{Case, CheckError, files};
use crate::device::DeviceKind;

/// What upstream embeds where there is no group. We embed nothing there.
const FILLER: &str = "PAD";

/// Checks every file of the folder.
pub(super) fn run(dir: &Path, _device: DeviceKind) -> Result<Vec<Case>, CheckError> {
    let mut cases = Vec::new();
    for name in names(dir)? {
        let path = dir.join(&name);
        let stem = name.strip_suffix(".json").unwrap_or(&name);
        let section = format!("text/{stem}");
        cases.extend(match stem {
            "clean" => each(&section, &path, check_clean),
            "languages" => each(&section, &path, check_language),
            "overlaps" => each(&section, &path, check_overlaps),
            "split" => each(&section, &path, check_split),
            "split_zh" => each(&section, &path, check_split_zh),
            "scorer" => check_scorer(&section, &path),
            _ => Err(unsupported(&section, "no check has this name")),
        }?);
    }
    Ok(cases)
}

fn each<T: DeserializeOwned>(
    section: &str,
    path: &Path,
    check: impl Fn(&str, T) -> Result<Vec<Stage>, CheckError>,
) -> Result<Vec<Case>, CheckError> {
    let rows: Vec<T> = files::read_json(path)?;
    let cases = rows.into_iter().enumerate().map(|(number, row)| {
        let case = format!("{section}/{number:02}");
        let stages = check(&case, row)?;
        Ok(Case::new(case, stages))
    });
    cases.collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CleanRow {
    input: String,
    cleaned: String,
    lines: Vec<String>,
}

fn check_clean(_case: &str, row: CleanRow) -> Result<Vec<Stage>, CheckError> {
    let lines = clean::lines(&row.input);
    Ok(vec![
        same_texts("lines", &lines, &row.lines),
        same_texts("cleaned", &[lines.join("\n")], &[row.cleaned]),
    ])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguageRow {
    lang: String,
    text: String,
}

fn check_language(case: &str, row: LanguageRow) -> Result<Vec<Stage>, CheckError> {
    let found = language::detect(&clean::lines(&row.text));
    let found = found.ok_or_else(|| unsupported(case, "the text has no letters"))?;
    Ok(vec![same_texts("language", &[found.language.code()], &[row.lang])])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitRow {
    lang: String,
    input: String,
    #[serde(rename = "depends_on_prefix")]
    _depends_on_prefix: Option<String>,
    sentences: Vec<String>,
}

fn check_split(case: &str, row: SplitRow) -> Result<Vec<Stage>, CheckError> {
    split_stage(case, &row.lang, &row.input, &row.sentences)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitZhRow {
    input: String,
    sentences: Vec<String>,
}

fn check_split_zh(case: &str, row: SplitZhRow) -> Result<Vec<Stage>, CheckError> {
    split_stage(case, "zh", &row.input, &row.sentences)
}

fn split_stage(
    case: &str,
    code: &str,
    input: &str,
    want: &[String],
) -> Result<Vec<Stage>, CheckError> {
    let language = Language::parse(code).ok_or_else(|| unsupported(case, "no such language"))?;
    let got = split::sentences(&clean::lines(input), language);
    Ok(vec![same_texts("sentences", &got, want)])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverlapsRow {
    lines: Vec<String>,
    /// The first line is described, not written out: a word so many times.
    repeat_first: Option<usize>,
    num_overlaps: usize,
    texts: Vec<WantedText>,
    byte_lens: Vec<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WantedText {
    Whole(String),
    Start { prefix: String, chars: usize },
}

fn check_overlaps(_case: &str, mut row: OverlapsRow) -> Result<Vec<Stage>, CheckError> {
    if let (Some(times), Some(first)) = (row.repeat_first, row.lines.first_mut()) {
        *first = "long".repeat(times);
    }
    let overlaps = Overlaps::new(&row.lines, row.num_overlaps);
    let places =
        (0..row.num_overlaps).flat_map(|layer| (0..row.lines.len()).map(move |i| (layer, i)));
    let (texts, lengths): (Vec<String>, Vec<i64>) = places
        .map(|place| match place {
            (layer, last) if last < layer => (FILLER.to_owned(), FILLER.len() as i64),
            place => (overlaps.text(place).into_owned(), i64::from(overlaps.byte_length(place))),
        })
        .unzip();
    let (got, want): (Vec<String>, Vec<String>) = texts
        .into_iter()
        .zip(row.texts)
        .map(|(got, want)| match want {
            WantedText::Whole(want) => (got, want),
            WantedText::Start { prefix, chars } => {
                let start = got.chars().take(prefix.chars().count()).collect::<String>();
                (format!("{start} {}", got.chars().count()), format!("{prefix} {chars}"))
            }
        })
        .unzip();
    Ok(vec![same_texts("texts", &got, &want), exact("byte_lens", lengths, row.byte_lens)])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScorerFile {
    #[serde(rename = "note")]
    _note: String,
    cases: Vec<ScorerRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScorerRow {
    gold: Vec<Link>,
    test: Vec<Link>,
    precision_counts: [u64; 4],
    recall_counts: [u64; 4],
    scores: WantedScores,
}

/// As goldens have them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedScores {
    recall_strict: f64,
    recall_lax: f64,
    precision_strict: f64,
    precision_lax: f64,
    f1_strict: f64,
    f1_lax: f64,
}

impl WantedScores {
    pub(super) fn stage(&self, got: &Scores, tolerance: f64) -> Stage {
        let got = [
            got.recall_strict,
            got.recall_lax,
            got.precision_strict,
            got.precision_lax,
            got.f1_strict,
            got.f1_lax,
        ];
        let want = [
            self.recall_strict,
            self.recall_lax,
            self.precision_strict,
            self.precision_lax,
            self.f1_strict,
            self.f1_lax,
        ];
        Stage::compare("scores", got, want, Tolerance::Absolute(tolerance))
    }
}

fn check_scorer(section: &str, path: &Path) -> Result<Vec<Case>, CheckError> {
    let file: ScorerFile = files::read_json(path)?;
    let cases = file.cases.into_iter().enumerate().map(|(number, row)| {
        let mut tally = Tally::default();
        tally.add(&row.test, &row.gold);
        let counts = |name, got: Counts, want: [u64; 4]| {
            let got = [got.strict_hits, got.strict_misses, got.lax_hits, got.lax_misses];
            exact(name, got.map(|n| n as i64), want.map(|n| n as i64))
        };
        let stages = vec![
            counts("precision_counts", tally.precision, row.precision_counts),
            counts("recall_counts", tally.recall, row.recall_counts),
            row.scores.stage(&tally.scores(), 1e-15),
        ];
        Case::new(format!("{section}/{number:02}"), stages)
    });
    Ok(cases.collect())
}
