//! Goldens of whole documents: sentences, vectors where they are kept, beads and their scores.
//!
//! Owns the folder's form. Where a folder has vectors, beads are computed from them; where it has
//! none, its texts' figures and the scores of upstream's beads are checked, and the vectors are
//! the encoders' own goldens.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::dp::{RATIO_TOLERANCE, Tensors, WantedParams};
use super::text::WantedScores;
use super::{BeadIds, exact, names, same_beads, unsupported};
use crate::align::aligner::{self, unwatched};
use crate::align::clean;
use crate::align::encoder::Groups;
use crate::align::overlaps::Overlaps;
use crate::align::score::{self, Link, Tally};
use crate::align::similarity::AlignParams;
use crate::check_case::stage::Stage;
use crate::check_case::{Case, CheckError, files};
use crate::device::DeviceKind;

/// Upstream printed its scores with six decimals.
const SCORES_TOLERANCE: f64 = 5.1e-7;
/// Numbers in a vector of the encoder whose beads these are.
const WIDTH: usize = 512;
const ENCODER: &str = "USE-multilingual-v3 (normative ids)";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    document: String,
    encoder: String,
    src_sentences: i64,
    tgt_sentences: i64,
    gold_beads: i64,
    char_ratio: f64,
    variants: BTreeMap<String, Variant>,
    #[serde(rename = "tolerance")]
    _tolerance: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    params: WantedParams,
    beads: Vec<BeadIds>,
    scores: WantedScores,
}

/// One document of the folder.
struct Document {
    case: String,
    source: Vec<String>,
    target: Vec<String>,
    gold: Vec<Link>,
    expected: Expected,
}

/// Checks every document.
pub(super) fn run(dir: &Path, _device: DeviceKind) -> Result<Vec<Case>, CheckError> {
    let mut cases = Vec::new();
    for name in names(dir)? {
        let dir = dir.join(&name);
        let document = read(&dir, &name)?;
        cases.push(check_texts(&document));
        let vectors = dir.join("embeddings.safetensors");
        let tensors = vectors.exists().then(|| files::read_tensors(&vectors)).transpose()?;
        for (name, variant) in &document.expected.variants {
            let case = format!("{}/{name}", document.case);
            let tensors = tensors.clone().map(|tensors| Tensors { case: &case, tensors });
            let stages = check_variant(&document, variant, tensors)?;
            cases.push(Case::new(case, stages));
        }
    }
    Ok(cases)
}

fn read(dir: &Path, name: &str) -> Result<Document, CheckError> {
    let case = format!("e2e/{name}");
    let text = |file: &str| {
        let path = dir.join(file);
        let text = std::fs::read_to_string(&path);
        text.map_err(|error| files::unreadable(&path, error))
    };
    let expected: Expected = files::read_json(&dir.join("expected.json"))?;
    if expected.encoder != ENCODER || expected.document != name {
        return Err(unsupported(&case, format!("it is of {}", expected.encoder)));
    }
    let gold = score::parse(&text("gold.txt")?)
        .map_err(|error| files::unreadable(&dir.join("gold.txt"), error))?;
    let (source, target) = (clean::lines(&text("de.txt")?), clean::lines(&text("fr.txt")?));
    Ok(Document { case, source, target, gold, expected })
}

fn check_texts(document: &Document) -> Case {
    let expected = &document.expected;
    let bytes = |sentences: &[String]| {
        let overlaps = Overlaps::new(sentences, 1);
        overlaps.places().map(|place| f64::from(overlaps.byte_length(place))).sum::<f64>()
    };
    let ratio = bytes(&document.source) / bytes(&document.target);
    let stages = vec![
        exact("src_sentences", [document.source.len() as i64], [expected.src_sentences]),
        exact("tgt_sentences", [document.target.len() as i64], [expected.tgt_sentences]),
        exact("gold_beads", [document.gold.len() as i64], [expected.gold_beads]),
        Stage::compare("char_ratio", [ratio], [expected.char_ratio], RATIO_TOLERANCE),
    ];
    Case::new(format!("{}/texts", document.case), stages)
}

fn check_variant(
    document: &Document,
    variant: &Variant,
    tensors: Option<Tensors<'_>>,
) -> Result<Vec<Stage>, CheckError> {
    let mut tally = Tally::default();
    let links = variant.beads.iter().map(|(source, target)| {
        let numbers = |ids: &[i64]| -> Option<Vec<u32>> {
            ids.iter().map(|&id| u32::try_from(id).ok()).collect()
        };
        Some(Link(numbers(source)?, numbers(target)?))
    });
    let links: Option<Vec<Link>> = links.collect();
    let links = links.ok_or_else(|| unsupported(&document.case, "a sentence below 0"))?;
    tally.add(&links, &document.gold);
    let mut stages = vec![variant.scores.stage(&tally.scores(), SCORES_TOLERANCE)];
    if let Some(mut tensors) = tensors {
        let params = AlignParams::from(variant.params);
        let layers = tensors.tensors.get("src_vecs").map_or(0, |tensor| tensor.shape[0]);
        // Kept are the layers of the default parameters: larger groups were not.
        if params.layers() > layers {
            return Ok(stages);
        }
        let source = tensors.groups("src", (params.layers(), document.source.len(), WIDTH))?;
        let target = tensors.groups("tgt", (params.layers(), document.target.len(), WIDTH))?;
        tensors.all_used()?;
        stages.push(lengths("src_lens", &document.source, &source));
        stages.push(lengths("tgt_lens", &document.target, &target));
        let alignment = aligner::align(&source, &target, params, &mut unwatched);
        let beads = alignment.map(|alignment| alignment.beads).unwrap_or_default();
        stages.push(same_beads("beads", &beads, &variant.beads));
    }
    Ok(stages)
}

/// Lengths of our groups' texts; fillers are not compared.
fn lengths(name: &str, sentences: &[String], want: &Groups) -> Stage {
    let overlaps = Overlaps::new(sentences, want.layers);
    let got = overlaps.places().map(|place| i64::from(overlaps.byte_length(place)));
    exact(name, got, overlaps.places().map(|place| i64::from(want.byte_length(place))))
}
