//! The alignment goldens: which folders of cases there are and who checks them.
//!
//! Owns the walk. Knows that every folder is a section; `text` checks cleaning, sentences and
//! scores, `dp` the passes over given vectors, `use_m3` and `labse_tiny` the encoders, `e2e` whole
//! documents. A folder or file that no section knows is an error.

mod dp;
mod e2e;
mod encoders;
mod text;

use std::path::Path;

use super::stage::{Stage, Tolerance};
use super::{Case, CheckError, Setting, files};
use crate::align::beads::Bead;
use crate::device::DeviceKind;

/// Checks all cases of one section's folder.
type Section = fn(&Path, DeviceKind) -> Result<Vec<Case>, CheckError>;

/// Sections by their folders' names.
const SECTIONS: &[(&str, Section)] = &[
    ("text", text::run),
    ("dp", dp::run),
    ("use_m3", encoders::use_m3),
    ("labse_tiny", encoders::labse_tiny),
    ("e2e", e2e::run),
];

/// Files beside the sections that are no cases.
const REMARKS: [&str; 2] = ["README.md", "subset.py"];

/// Checks every section under `dir`, or `dir` itself when it is a section's folder.
pub(super) fn run(dir: &Path, setting: Setting) -> Result<Vec<Case>, CheckError> {
    let device = setting.device_alone("align")?;
    let section = |name: &str| SECTIONS.iter().find(|(known, _)| *known == name);
    let own_name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some((_, check)) = section(own_name) {
        return check(dir, device);
    }
    let mut cases = Vec::new();
    for name in names(dir)? {
        match section(&name) {
            Some((_, check)) => cases.extend(check(&dir.join(name), device)?),
            None if REMARKS.contains(&name.as_str()) => {}
            None => return Err(unsupported(&name, "no section has this name")),
        }
    }
    Ok(cases)
}

/// What is in a folder, sorted.
fn names(dir: &Path) -> Result<Vec<String>, CheckError> {
    let entries = std::fs::read_dir(dir).map_err(|error| files::unreadable(dir, error))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names
        .collect::<Result<_, std::io::Error>>()
        .map_err(|error| files::unreadable(dir, error))?;
    names.sort();
    Ok(names)
}

fn unsupported(case: &str, problem: impl Into<String>) -> CheckError {
    CheckError::Unsupported { case: case.to_owned(), problem: problem.into() }
}

/// Passes when both are the same whole numbers; the first number compared is how many there are.
fn exact(
    name: &str,
    got: impl IntoIterator<Item = i64>,
    want: impl IntoIterator<Item = i64>,
) -> Stage {
    let counted = |numbers: Vec<i64>| {
        let count = numbers.len() as f64;
        std::iter::once(count).chain(numbers.into_iter().map(|number| number as f64))
    };
    let (got, want) = (got.into_iter().collect(), want.into_iter().collect());
    Stage::compare(name, counted(got), counted(want), Tolerance::Exact)
}

/// Passes when both are the same texts, byte by byte.
fn same_texts<T: AsRef<str>>(name: &str, got: &[T], want: &[String]) -> Stage {
    fn bytes(text: &str) -> impl Iterator<Item = i64> {
        // No byte is 256: it ends a text.
        text.bytes().map(i64::from).chain([256])
    }
    let got = got.iter().flat_map(|text| bytes(text.as_ref()));
    exact(name, got, want.iter().flat_map(|text| bytes(text)))
}

/// A bead as goldens have it.
type BeadIds = (Vec<i64>, Vec<i64>);

/// Passes when both are the same beads in the same order.
fn same_beads(name: &str, got: &[Bead], want: &[BeadIds]) -> Stage {
    let ids = |range: &std::ops::Range<usize>| range.clone().map(|id| id as i64).collect();
    let got: Vec<BeadIds> = got.iter().map(|bead| (ids(&bead.source), ids(&bead.target))).collect();
    let flat = |beads: &[BeadIds]| -> Vec<i64> {
        let one = |(source, target): &BeadIds| {
            source.iter().chain(&[-1]).chain(target).chain(&[-2]).copied().collect::<Vec<_>>()
        };
        beads.iter().flat_map(one).collect()
    };
    exact(name, flat(&got), flat(want))
}
