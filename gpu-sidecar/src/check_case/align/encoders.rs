//! Goldens of the sentence encoders: token ids, vectors and every step between.
//!
//! Owns both folders' form. `labse_tiny` brings its parameters along; `use_m3` is of the published
//! ones, which must be installed, or its cases are an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::align::encoder::installed;
use crate::align::encoder::labse::LabseModel;
use crate::align::encoder::token_model::TokenModel;
use crate::align::encoder::usem3::{Usem3, WIDTH};
use crate::check_case::files::{self, Tensor, Values};
use crate::check_case::stage::{Stage, Tolerance};
use crate::check_case::{Case, CheckError};
use crate::device::DeviceKind;
use crate::weights::Loading;

/// Of `use_m3`, from its manifest.
const USEM3_VECTOR: f64 = 1e-5;
/// Of `use_m3`'s steps before the vector, which are up to 60 in size.
const USEM3_STAGE: f64 = 1e-5;
/// Of `labse_tiny`, from its manifest.
const LABSE_VECTOR: f64 = 5e-6;
const LABSE_CLS: f64 = 2e-5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    #[serde(rename = "note")]
    _note: IgnoredAny,
    #[serde(rename = "tolerance")]
    _tolerance: IgnoredAny,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentence {
    lang: String,
    text: String,
    ids: Vec<u32>,
    row: usize,
    /// What the package's own tokeniser makes of it, which is not ours; the vector of it counts.
    wheel_ids: Option<Vec<u32>>,
    wheel_row: Option<usize>,
}

/// Checks the sentences and the steps of `use_m3`.
pub(super) fn use_m3(dir: &Path, device: DeviceKind) -> Result<Vec<Case>, CheckError> {
    on_cpu("use_m3", device)?;
    let model = published()?;
    let path = dir.join("sentences.json");
    let Sentences { sentences, .. } = files::read_json(&path)?;
    let path = dir.join("embeddings.safetensors");
    let vectors = Golden { tensors: files::read_tensors(&path)?, path };
    let vectors = vectors.floats("embeddings")?;
    let row = |row: usize| vectors.get(row * WIDTH..(row + 1) * WIDTH).unwrap_or_default();
    let mut cases = Vec::new();
    for (index, sentence) in sentences.iter().enumerate() {
        let case = format!("use_m3/{index}_{}", sentence.lang);
        let tokens = model.tokens(&sentence.text).map_err(|e| refused(&case, e))?;
        let ids = model.input(&tokens);
        let as_numbers = |ids: &[u32]| ids.iter().map(|&id| f64::from(id)).collect::<Vec<_>>();
        let got = as_numbers(&ids);
        let want = as_numbers(&sentence.ids);
        let mut stages = vec![Stage::compare("ids", got, want, Tolerance::Exact)];
        let wheel = sentence.wheel_ids.as_ref().zip(sentence.wheel_row);
        let rows = [("embedding", &sentence.ids, sentence.row)].into_iter();
        let rows = rows.chain(wheel.map(|(ids, row)| ("wheel_embedding", ids, row)));
        for (name, ids, at) in rows {
            let found = model.steps(ids, &mut |_, _| {}).map_err(|e| refused(&case, e))?;
            stages.push(close(name, &found, row(at), USEM3_VECTOR));
        }
        cases.push(Case::new(case, stages));
    }
    cases.push(steps(dir, &model)?);
    Ok(cases)
}

/// Every step of one sentence.
fn steps(dir: &Path, model: &Usem3) -> Result<Case, CheckError> {
    let case = "use_m3/stages";
    let path = dir.join("stages.safetensors");
    let mut golden = Golden { tensors: files::read_tensors(&path)?, path };
    let ids = golden.take("ids")?;
    let Values::I32(ids) = ids.values else { return Err(golden.wrong("ids")) };
    let ids: Vec<u32> = ids.into_iter().map(i32::cast_unsigned).collect();
    let mut found = BTreeMap::new();
    let vector = model.steps(&ids, &mut |name, rows| {
        found.insert(name, rows.flatten_all().and_then(|rows| rows.to_vec1::<f32>()));
    });
    found.insert("embedding", vector);
    let mut stages = Vec::new();
    for (name, numbers) in found {
        let numbers = numbers.map_err(|error| refused(case, error))?;
        let want = golden.floats(name)?;
        golden.tensors.remove(name);
        let bound = USEM3_STAGE;
        stages.push(Stage::compare(name, wide(&numbers), wide(&want), Tolerance::Relative(bound)));
    }
    match golden.tensors.keys().next() {
        Some(left) => Err(unsupported(case, format!("the step `{left}` is not ours"))),
        None => Ok(Case::new(case.to_owned(), stages)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    batches: Vec<Batch>,
    token_type_ids: String,
    #[serde(rename = "tolerance")]
    _tolerance: IgnoredAny,
    #[serde(rename = "fields")]
    _fields: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    batch: usize,
    lengths: Vec<usize>,
}

/// Checks the batches of `labse_tiny`, as they are and each sequence alone.
pub(super) fn labse_tiny(dir: &Path, device: DeviceKind) -> Result<Vec<Case>, CheckError> {
    on_cpu("labse_tiny", device)?;
    let manifest: Manifest = files::read_json(&dir.join("manifest.json"))?;
    if manifest.token_type_ids != "all zero" {
        return Err(unsupported("labse_tiny", "token types other than 0"));
    }
    let model = tiny(dir)?;
    let path = dir.join("io.safetensors");
    let golden = Golden { tensors: files::read_tensors(&path)?, path };
    manifest.batches.iter().map(|batch| check_batch(&model, &golden, batch)).collect()
}

fn check_batch(model: &LabseModel, golden: &Golden, batch: &Batch) -> Result<Case, CheckError> {
    let case = format!("labse_tiny/{}", batch.batch);
    let name = |field: &str| format!("{}.{field}", batch.batch);
    let padded = golden.get(&name("input_ids"))?;
    let Values::I32(ids) = &padded.values else { return Err(golden.wrong(&name("input_ids"))) };
    let width = padded.shape.get(1).copied().unwrap_or_default().max(1);
    let rows = ids.chunks_exact(width).zip(&batch.lengths);
    let sequences: Vec<Vec<u32>> =
        rows.map(|(row, &n)| row.iter().take(n).map(|&id| id.cast_unsigned()).collect()).collect();
    let together: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let run = |sequences: &[&[u32]]| {
        let (cls, vectors) = model.vectors(sequences).map_err(|error| refused(&case, error))?;
        let cls = cls.flatten_all().and_then(|cls| cls.to_vec1::<f32>());
        Ok((cls.map_err(|error| refused(&case, error))?, vectors))
    };
    let (cls, vectors) = run(&together)?;
    let mut alone = Vec::new();
    for sequence in &together {
        alone.extend(run(&[sequence])?.1);
    }
    let want = golden.floats(&name("embedding"))?;
    let stages = vec![
        close("cls", &cls, &golden.floats(&name("cls"))?, LABSE_CLS),
        close("embedding", &vectors, &want, LABSE_VECTOR),
        close("embedding alone", &alone, &want, LABSE_VECTOR),
    ];
    Ok(Case::new(case, stages))
}

/// The model whose checkpoint lies in `dir`.
fn tiny(dir: &Path) -> Result<LabseModel, CheckError> {
    let parameters = [dir.join("model.safetensors"), dir.join("2_Dense/model.safetensors")];
    let mut nothing = |_, _| {};
    let mut loading = Loading::new(Arc::default(), &mut nothing);
    let config = dir.join("config.json");
    installed::labse_model(&config, &parameters, &Device::Cpu, &mut loading)
        .map_err(|error| refused("labse_tiny", error))
}

/// The published model, from the folder of weights that `POSTERN_WEIGHTS` names.
fn published() -> Result<Usem3, CheckError> {
    #[expect(clippy::disallowed_methods, reason = "goldens need weights that no case brings along")]
    let folder = std::env::var_os("POSTERN_WEIGHTS").map(PathBuf::from).ok_or_else(|| {
        unsupported("use_m3", "run `postern pull usem3` and name its folder in POSTERN_WEIGHTS")
    })?;
    installed::usem3(&folder.join("usem3")).map_err(|error| refused("use_m3", error))
}

/// Tensors of one file.
struct Golden {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

impl Golden {
    fn get(&self, name: &str) -> Result<&Tensor, CheckError> {
        self.tensors.get(name).ok_or_else(|| self.wrong(name))
    }

    fn take(&mut self, name: &str) -> Result<Tensor, CheckError> {
        self.tensors.remove(name).ok_or_else(|| self.wrong(name))
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>, CheckError> {
        match &self.get(name)?.values {
            Values::F32(values) => Ok(values.clone()),
            _ => Err(self.wrong(name)),
        }
    }

    fn wrong(&self, name: &str) -> CheckError {
        files::unreadable(&self.path, format!("`{name}` is missing or of another type"))
    }
}

fn close(name: &str, got: &[f32], want: &[f32], bound: f64) -> Stage {
    Stage::compare(name, wide(got), wide(want), Tolerance::Absolute(bound))
}

fn wide(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|&value| f64::from(value))
}

fn on_cpu(case: &str, device: DeviceKind) -> Result<(), CheckError> {
    match device {
        DeviceKind::Cpu => Ok(()),
        DeviceKind::Cuda => Err(unsupported(case, "these cases are of the CPU")),
    }
}

fn refused(case: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CheckError {
    CheckError::Refused { case: case.to_owned(), source: source.into() }
}

fn unsupported(case: &str, problem: impl Into<String>) -> CheckError {
    CheckError::Unsupported { case: case.to_owned(), problem: problem.into() }
}
