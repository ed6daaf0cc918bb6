//! Scores of an alignment against one that people made: precision, recall and F1.
//!
//! Owns the counting and the two file forms that alignments are read from. Knows sentence numbers
//! only. Source: `shared/reference/bertalign/SPEC.md`, section 12.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// An answer with both texts of the largest size is smaller. Protects memory from a wrong file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// One bead as files have it: numbers of source and of target sentences, from 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Link(pub Vec<u32>, pub Vec<u32>);

impl Link {
    fn is_one_sided(&self) -> bool {
        self.0.is_empty() || self.1.is_empty()
    }
}

/// Beads that were found and beads that were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// The other alignment has the same bead.
    pub strict_hits: u64,
    /// It has not.
    pub strict_misses: u64,
    /// The other alignment has the same bead, or joins some of this one's sentences.
    pub lax_hits: u64,
    /// It does not.
    pub lax_misses: u64,
}

/// Counts of any number of documents; they are added before anything is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Of the beads that are tested.
    pub precision: Counts,
    /// Of the gold beads; beads with one side only are left out of both.
    pub recall: Counts,
}

/// Each from 0 to 1; 0 where there is nothing to count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// Share of the tested beads that the gold has.
    pub precision_strict: f64,
    /// The same, where beads that join some of the same sentences count.
    pub precision_lax: f64,
    /// Share of the gold's beads that were found.
    pub recall_strict: f64,
    /// As `precision_lax`.
    pub recall_lax: f64,
    /// Harmonic mean of precision and recall.
    pub f1_strict: f64,
    /// As `precision_lax`.
    pub f1_lax: f64,
}

impl Tally {
    /// Counts one document's beads.
    pub fn add(&mut self, test: &[Link], gold: &[Link]) {
        self.precision.add(test, gold);
        let two_sided =
            |links: &[Link]| links.iter().filter(|link| !link.is_one_sided()).cloned().collect();
        let (test, gold): (Vec<Link>, Vec<Link>) = (two_sided(test), two_sided(gold));
        self.recall.add(&gold, &test);
    }

    /// What the counts come to.
    #[must_use]
    pub fn scores(&self) -> Scores {
        let strict = |counts: &Counts| ratio(counts.strict_hits, counts.strict_misses);
        let lax = |counts: &Counts| ratio(counts.lax_hits, counts.lax_misses);
        let (precision_strict, precision_lax) = (strict(&self.precision), lax(&self.precision));
        let (recall_strict, recall_lax) = (strict(&self.recall), lax(&self.recall));
        Scores {
            precision_strict,
            precision_lax,
            recall_strict,
            recall_lax,
            f1_strict: harmonic_mean(precision_strict, recall_strict),
            f1_lax: harmonic_mean(precision_lax, recall_lax),
        }
    }
}

impl Counts {
    fn add(&mut self, beads: &[Link], others: &[Link]) {
        let others = set(others);
        let mut joined: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for Link(source, target) in &others {
            for &index in source {
                joined.entry(index).or_default().extend(target);
            }
        }
        for bead in set(beads) {
            let same = others.contains(&bead);
            let lax = same || {
                let linked = bead.0.iter().filter_map(|index| joined.get(index));
                linked.flatten().any(|index| bead.1.contains(index))
            };
            self.strict_hits += u64::from(same);
            self.strict_misses += u64::from(!same);
            self.lax_hits += u64::from(lax);
            self.lax_misses += u64::from(!lax);
        }
    }
}

/// Each bead once; those without any sentence are none.
fn set(links: &[Link]) -> BTreeSet<Link> {
    links.iter().filter(|link| !link.0.is_empty() || !link.1.is_empty()).cloned().collect()
}

fn ratio(hits: u64, misses: u64) -> f64 {
    if hits == 0 { 0.0 } else { hits as f64 / (hits + misses) as f64 }
}

fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a + b == 0.0 { 0.0 } else { 2.0 * a * b / (a + b) }
}

/// What is wrong with a file of an alignment.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// A JSON document that is no answer of `align@1`.
    #[error("is JSON, but has no `result` of `[[source numbers], [target numbers]]`")]
    Json(#[source] serde_json::Error),
    /// A line is not `[0, 1]:[0]`.
    #[error("line {line} is not like `[0, 1]:[0]`")]
    Line {
        /// From 1.
        line: usize,
    },
}

/// The beads in a file: an answer of `align@1`, or a line `[0, 1]:[0]` for each bead. What follows
/// a second colon, as other aligners write it, is a score and is passed over.
/// # Errors
/// [`LinksError`].
pub fn parse(text: &str) -> Result<Vec<Link>, LinksError> {
    #[derive(Deserialize)]
    struct Answer {
        result: Vec<Link>,
    }
    if text.trim_start().starts_with('{') {
        let answer: Answer = serde_json::from_str(text).map_err(LinksError::Json)?;
        return Ok(answer.result);
    }
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines.map(|(text, line)| parse_line(text).ok_or(LinksError::Line { line })).collect()
}

/// What [`score_files`] prints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FileScores {
    /// Pairs of files.
    pub documents: usize,
    /// Of all of them together.
    #[serde(flatten)]
    pub scores: Scores,
    /// The same before it was divided.
    pub counts: Tally,
}

/// Why files could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// A file is missing, too large, or not UTF-8.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no alignment.
    #[error("{}", path.display())]
    Links {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LinksError,
    },
}

/// Scores results against gold, a pair of files for each document.
/// # Errors
/// [`ScoreError`].
pub fn score_files(pairs: &[[PathBuf; 2]]) -> Result<FileScores, ScoreError> {
    let mut counts = Tally::default();
    for [result, gold] in pairs {
        counts.add(&read(result)?, &read(gold)?);
    }
    Ok(FileScores { documents: pairs.len(), scores: counts.scores(), counts })
}

fn read(path: &Path) -> Result<Vec<Link>, ScoreError> {
    let text =
        read_text(path).map_err(|source| ScoreError::File { path: path.to_owned(), source })?;
    parse(&text).map_err(|source| ScoreError::Links { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "has more than 64 MiB"));
    }
    Ok(text)
}

fn parse_line(line: &str) -> Option<Link> {
    let mut sides = line.trim().split(':');
    let mut side = || -> Option<Vec<u32>> { serde_json::from_str(sides.next()?).ok() };
    Some(Link(side()?, side()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(text: &str) -> Vec<Link> {
        parse(text).expect("parses")
    }

    #[test]
    fn both_file_forms_have_the_same_beads() {
        let lines = links("[0]:[0, 1]\n\n[]:[2]:0.3\n");
        let json = links(r#"{"result": [[[0], [0, 1]], [[], [2]]], "scores": [1, 2]}"#);
        assert_eq!(lines, json);
        assert!(matches!(parse("[0]:[0]\n0:0\n"), Err(LinksError::Line { line: 2 })));
        assert!(matches!(parse(r#"{"beads": []}"#), Err(LinksError::Json(_))));
        assert!(matches!(parse("[0]:[-1]"), Err(LinksError::Line { line: 1 })));
    }

    #[test]
    fn counts_of_documents_are_added_before_they_are_divided() {
        let mut tally = Tally::default();
        tally.add(&links("[0]:[0]"), &links("[0]:[0]"));
        tally.add(&links("[0]:[1]\n[1]:[0]\n[2]:[2]"), &links("[0]:[0]\n[1]:[1]\n[2]:[2, 3]"));
        let scores = tally.scores();
        assert_eq!((scores.precision_strict, scores.recall_strict), (0.25, 0.25));
        assert_eq!((scores.precision_lax, scores.f1_lax), (0.5, 0.5));
        assert_eq!(Tally::default().scores().f1_lax, 0.0);
    }
}
