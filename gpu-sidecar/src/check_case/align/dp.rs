//! Goldens of the search and both passes, from given vectors and lengths.
//!
//! Owns the manifest's form and how upstream lays out its tables: rectangles of the widest row.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{BeadIds, exact, names, same_beads, unsupported};
use crate::align::aligner::{self, single_rows, unwatched};
use crate::align::band::Band;
use crate::align::beads::Pointers;
use crate::align::encoder::Groups;
use crate::align::search::{self, Neighbours};
use crate::align::similarity::{AlignParams, Sides};
use crate::align::{first_pass, second_pass};
use crate::check_case::files::{Tensor, Values};
use crate::check_case::stage::{Stage, Tolerance};
use crate::check_case::{Case, CheckError, files};
use crate::device::DeviceKind;

/// The manifest's tolerance of inner products.
const TOP_K_TOLERANCE: f64 = 1e-5;
/// Reading a decimal number may be off in the last bit.
pub(super) const RATIO_TOLERANCE: Tolerance = Tolerance::Relative(3e-16);
/// What upstream writes where there are fewer neighbours than asked for.
const ABSENT_SCORE: f64 = -f32::MAX as f64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "note")]
    _note: String,
    #[serde(rename = "tolerance")]
    _tolerance: String,
    cases: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    case: String,
    m: usize,
    n: usize,
    d: usize,
    #[serde(rename = "data")]
    _data: String,
    params: WantedParams,
    char_ratio: f64,
    first_window: i64,
    second_width: i64,
    unreachable_second_cells: i64,
    beads: Vec<BeadIds>,
}

/// Parameters as goldens have them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedParams {
    max_align: usize,
    top_k: usize,
    win: usize,
    skip: f64,
    margin: bool,
    len_penalty: bool,
}

impl From<WantedParams> for AlignParams {
    fn from(params: WantedParams) -> Self {
        let WantedParams { max_align, top_k, win, skip, margin, len_penalty } = params;
        Self { max_align, top_k, win, skip, margin, len_penalty }
    }
}

/// Checks every case of the manifest.
pub(super) fn run(dir: &Path, _device: DeviceKind) -> Result<Vec<Case>, CheckError> {
    let manifest: Manifest = files::read_json(&dir.join("manifest.json"))?;
    let mut listed: Vec<String> =
        manifest.cases.iter().map(|entry| format!("{}.safetensors", entry.case)).collect();
    listed.push("manifest.json".to_owned());
    if let Some(unlisted) = names(dir)?.into_iter().find(|name| !listed.contains(name)) {
        return Err(unsupported(&format!("dp/{unlisted}"), "the manifest does not list it"));
    }
    manifest.cases.iter().map(|entry| check(dir, entry)).collect()
}

fn check(dir: &Path, entry: &Entry) -> Result<Case, CheckError> {
    let case = format!("dp/{}", entry.case);
    let path = dir.join(format!("{}.safetensors", entry.case));
    let mut tensors = Tensors { case: &case, tensors: files::read_tensors(&path)? };
    let params = AlignParams::from(entry.params);
    let (m, n) = (entry.m, entry.n);
    let source = tensors.groups("src", (params.layers(), m, entry.d))?;
    let target = tensors.groups("tgt", (params.layers(), n, entry.d))?;
    let sides = Sides::new(&source, &target, params);

    let neighbours =
        search::nearest(single_rows(&source), single_rows(&target), params.top_k, &mut unwatched)
            .expect("nobody breaks off");
    let first = first_pass::decide(&neighbours, (m, n));
    let anchors = first_pass::anchors(&first);
    let band = Band::around(&anchors, (m, n), params.win);
    let second = second_pass::decide(&sides, &band, &mut unwatched).expect("nobody breaks off");
    let beads = second.walk_back(&second_pass::kinds(params.max_align)).unwrap_or_default();

    let half_height = (*first.band().row(0).end() as i64).max(entry.first_window.min(n as i64));
    let unreachable = (0..=m).flat_map(|i| second.row(i)).filter(|&&kind| kind == u8::MAX).count();
    let stages = vec![
        Stage::compare("char_ratio", [sides.char_ratio], [entry.char_ratio], RATIO_TOLERANCE),
        exact("topk_index", top_k_indices(&neighbours, m, params), tensors.whole("topk_index")?),
        top_k_scores(&neighbours, m, params, tensors.floats("topk_scores")?),
        exact("first_window", [half_height], [entry.first_window.min(n as i64)]),
        exact("first_path", bounds(first.band()), tensors.whole("first_path")?),
        pointers("first_pointers", &first, &tensors.whole("first_pointers")?),
        exact("anchors", anchors.iter().flat_map(pair), tensors.whole("anchors")?),
        exact("second_width", [band.width() as i64], [entry.second_width]),
        exact("second_path", bounds(&band), tensors.whole("second_path")?),
        pointers("second_pointers", &second, &tensors.whole("second_pointers")?),
        // Cell (0, 0) has no predecessor and is not counted.
        exact("unreachable", [unreachable as i64 - 1], [entry.unreachable_second_cells]),
        same_beads("beads", &beads, &entry.beads),
        same_beads("beads_in_one", &aligned(&sides), &entry.beads),
    ];
    tensors.all_used()?;
    Ok(Case::new(case, stages))
}

/// The same through the one function that everybody else calls.
fn aligned(sides: &Sides<'_>) -> Vec<crate::align::beads::Bead> {
    let alignment = aligner::align(sides.source, sides.target, sides.params, &mut unwatched);
    alignment.map(|alignment| alignment.beads).unwrap_or_default()
}

fn pair(&(i, j): &(usize, usize)) -> [i64; 2] {
    [i as i64, j as i64]
}

fn bounds(band: &Band) -> Vec<i64> {
    let rows = (0..band.rows()).map(|i| band.row(i));
    rows.flat_map(|row| pair(&(*row.start(), *row.end()))).collect()
}

/// Only cells inside the band, and not (0, 0), are compared. `want` has rows of one width.
fn pointers(name: &str, got: &Pointers, want: &[i64]) -> Stage {
    let rows = got.band().rows();
    let width = want.len() / rows;
    if width < got.band().width() || width * rows != want.len() {
        return Stage::failed(name);
    }
    let want = (0..rows).flat_map(|i| &want[i * width..][..got.row(i).len()]).skip(1).copied();
    let got = (0..rows).flat_map(|i| got.row(i)).skip(1).map(|&kind| i64::from(kind));
    exact(name, got, want)
}

fn top_k_indices(neighbours: &Neighbours, m: usize, params: AlignParams) -> Vec<i64> {
    let row = |i| {
        let found = neighbours.of(i).iter().map(|neighbour| i64::from(neighbour.index));
        found.chain(std::iter::repeat(-1)).take(params.top_k)
    };
    (0..m).flat_map(row).collect()
}

/// A missing neighbour's score is compared only in being one.
fn top_k_scores(neighbours: &Neighbours, m: usize, params: AlignParams, want: Vec<f64>) -> Stage {
    let row = |i| {
        let found = neighbours.of(i).iter().map(|neighbour| f64::from(neighbour.score));
        found.chain(std::iter::repeat(ABSENT_SCORE)).take(params.top_k)
    };
    let tolerance = Tolerance::Absolute(TOP_K_TOLERANCE);
    Stage::compare("topk_scores", (0..m).flat_map(row), want, tolerance)
}

/// A case's tensors, each taken once.
pub(super) struct Tensors<'a> {
    pub(super) case: &'a str,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

impl Tensors<'_> {
    fn take(&mut self, name: &str) -> Result<Tensor, CheckError> {
        let tensor = self.tensors.remove(name);
        tensor.ok_or_else(|| unsupported(self.case, format!("there is no `{name}`")))
    }

    /// Numbers without a fraction.
    fn whole(&mut self, name: &str) -> Result<Vec<i64>, CheckError> {
        match self.take(name)?.values {
            Values::I32(values) => Ok(values.into_iter().map(i64::from).collect()),
            Values::U8(values) => Ok(values.into_iter().map(i64::from).collect()),
            Values::F32(_) | Values::Other(_) => {
                Err(unsupported(self.case, format!("`{name}` has fractions")))
            }
        }
    }

    fn floats(&mut self, name: &str) -> Result<Vec<f64>, CheckError> {
        match self.take(name)?.values {
            Values::F32(values) => Ok(values.into_iter().map(f64::from).collect()),
            _ => Err(unsupported(self.case, format!("`{name}` is not f32"))),
        }
    }

    /// One side's vectors and lengths; `shape` is layers, sentences, width.
    pub(super) fn groups(
        &mut self,
        side: &str,
        (layers, sentences, width): (usize, usize, usize),
    ) -> Result<Groups, CheckError> {
        let vectors = self.take(&format!("{side}_vecs"))?;
        let lengths = self.whole(&format!("{side}_lens"))?;
        let Values::F32(values) = vectors.values else {
            return Err(unsupported(self.case, "the vectors are not f32"));
        };
        // More layers than the parameters ask for are allowed: the first ones are used.
        let fits = matches!(vectors.shape[..], [l, s, w]
            if l >= layers && s == sentences && w == width && lengths.len() == l * s);
        let lengths: Option<Vec<u32>> = lengths.iter().map(|&n| u32::try_from(n).ok()).collect();
        let Some(mut byte_lengths) = lengths.filter(|_| fits) else {
            return Err(unsupported(self.case, format!("the vectors are {:?}", vectors.shape)));
        };
        let mut vectors = values;
        vectors.truncate(layers * sentences * width);
        byte_lengths.truncate(layers * sentences);
        Ok(Groups { layers, sentences, width, vectors, byte_lengths })
    }

    /// A tensor that nobody compared must not look like one that passed.
    pub(super) fn all_used(&self) -> Result<(), CheckError> {
        match self.tensors.keys().next() {
            Some(name) => Err(unsupported(self.case, format!("`{name}` is not checked"))),
            None => Ok(()),
        }
    }
}
