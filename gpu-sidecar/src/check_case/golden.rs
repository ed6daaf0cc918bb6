//! One golden of a network: a folder with `case.json`, its tensors and the module's weights.
//!
//! Owns the format that the models' SPECs share (SPEC `sharp`, 20) and the comparison by it. Knows
//! no model. Always: a tensor that the case holds and nobody computed is a failed stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::files::{self, Values};
use super::stage::Tolerance;
use super::{Case, CheckError, Stage};

/// The golden with what was compared so far.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) dir: PathBuf,
    /// Sizes of the module under test.
    pub(crate) config: Value,
    /// The whole of `case.json`, for what one kind of case has alone.
    pub(crate) manifest: Value,
    entries: BTreeMap<String, Entry>,
    stored: BTreeMap<String, files::Tensor>,
    seen: BTreeSet<String>,
    stages: Vec<Stage>,
    rounded: fn(&str) -> Rounded,
}

/// What a tensor is held to where the module works in numbers of half size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rounded {
    /// The case's own tolerance: it is computed in f32 all the same.
    Own,
    /// Bound of the error's root mean square over that of the wanted numbers.
    Rms(f64),
    /// Bounds of the median and the 99th percentile of the rows' relative errors.
    Rows([f64; 2]),
    /// Bound of the largest absolute error.
    Largest(f64),
    /// Nothing: other tensors decide.
    Shown,
}

#[derive(Deserialize)]
struct Manifest {
    case: String,
    kind: String,
    #[serde(default)]
    config: Value,
    tensors: BTreeMap<String, Entry>,
}

/// One tensor: where it stands in the computation, how it is stored, how it is compared.
#[derive(Debug, Clone, Deserialize)]
struct Entry {
    role: Role,
    shape: Vec<usize>,
    stored: Stored,
    #[serde(default)]
    compare: Option<String>,
    #[serde(default)]
    atol: Option<f64>,
    #[serde(default)]
    rtol: Option<f64>,
    #[serde(default)]
    frac: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Input,
    Intermediate,
    Output,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
enum Stored {
    Full,
    /// Every so many elements of the flattened tensor.
    FlatStride {
        stride: usize,
    },
    /// Every so many indices of axis 1.
    RowStride {
        stride: usize,
    },
}

impl Golden {
    /// Reads the case in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, CheckError> {
        let path = dir.join("case.json");
        let value: Value = files::read_json(&path)?;
        let manifest = Manifest::deserialize(&value)
            .map_err(|error| CheckError::File { path, source: error.into() })?;
        let stored = files::read_tensors(&dir.join("io.safetensors"))?;
        Ok(Self {
            name: manifest.case,
            kind: manifest.kind,
            dir: dir.to_owned(),
            config: manifest.config,
            manifest: value,
            entries: manifest.tensors,
            stored,
            seen: BTreeSet::new(),
            stages: Vec::new(),
            rounded: |_| Rounded::Own,
        })
    }

    /// The same golden for a module of half size, whose tensors are held to what `rule` says.
    pub(crate) fn for_half(self, rule: fn(&str) -> Rounded) -> Self {
        Self { rounded: rule, ..self }
    }

    /// All cases of `dir`: itself when it holds a `case.json`, else its folders that do, by name.
    pub(crate) fn folders(dir: &Path) -> Result<Vec<PathBuf>, CheckError> {
        if dir.join("case.json").is_file() {
            return Ok(vec![dir.to_owned()]);
        }
        let unreadable =
            |error: std::io::Error| CheckError::File { path: dir.to_owned(), source: error.into() };
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.join("case.json").is_file() {
                folders.push(path);
            }
        }
        folders.sort();
        Ok(folders)
    }

    /// Its sizes as `T`.
    pub(crate) fn config<T: for<'de> Deserialize<'de>>(&self) -> Result<T, CheckError> {
        T::deserialize(&self.config).map_err(|error| self.unsupported(format!("config: {error}")))
    }

    /// One number of its sizes.
    pub(crate) fn number(&self, key: &str) -> Result<f64, CheckError> {
        let number = self.config.get(key).and_then(Value::as_f64);
        number.ok_or_else(|| self.unsupported(format!("config has no number `{key}`")))
    }

    /// The input `name`, whole.
    pub(crate) fn input(&self, name: &str) -> Result<&files::Tensor, CheckError> {
        let whole = self.entries.get(name).is_some_and(|e| matches!(e.stored, Stored::Full));
        match self.stored.get(name) {
            Some(tensor) if whole => Ok(tensor),
            _ => Err(self.unsupported(format!("there is no whole tensor `{name}`"))),
        }
    }

    /// The tensor `name` that no rule speaks of: the case's own list does.
    pub(crate) fn listed(&self, name: &str) -> Result<&files::Tensor, CheckError> {
        self.stored.get(name).ok_or_else(|| self.unsupported(format!("there is no `{name}`")))
    }

    /// Whether `name` is to be compared.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.role != Role::Input)
    }

    /// Compares all of tensor `name`, row-major.
    pub(crate) fn compare(
        &mut self,
        name: &str,
        shape: &[usize],
        got: &[f64],
    ) -> Result<(), CheckError> {
        let entry = self.entries.get(name).filter(|entry| entry.role != Role::Input);
        let (Some(entry), Some(stored)) = (entry, self.stored.get(name)) else {
            return Err(self.unsupported(format!("there is no tensor `{name}` to compare with")));
        };
        let want = stored.values.to_f64();
        let stage = if shape != entry.shape || got.len() != entry.shape.iter().product::<usize>() {
            Stage::failed(name)
        } else {
            let got = sample(got, shape, entry.stored);
            match (self.rounded)(name) {
                Rounded::Own => entry.compare(name, &got, &want)?,
                rule => entry.compare_rounded(name, &got, &want, rule),
            }
        };
        self.seen.insert(name.to_owned());
        self.stages.push(stage);
        Ok(())
    }

    /// Adds a stage that is no tensor's.
    pub(crate) fn push(&mut self, stage: Stage) {
        self.stages.push(stage);
    }

    /// Adds what came of the tensor `name`, which has a rule of its own.
    pub(crate) fn push_as(&mut self, name: &str, stages: impl IntoIterator<Item = Stage>) {
        self.seen.insert(name.to_owned());
        self.stages.extend(stages);
    }

    /// The case's outcome. What was wanted and not compared has failed.
    pub(crate) fn finish(mut self) -> Case {
        for (name, entry) in &self.entries {
            if entry.role != Role::Input && !self.seen.contains(name) {
                self.stages.push(Stage::failed(&format!("{name} (not computed)")));
            }
        }
        Case::new(self.name, self.stages)
    }

    /// What this version cannot check about it.
    pub(crate) fn unsupported(&self, problem: impl Into<String>) -> CheckError {
        CheckError::Unsupported { case: self.name.clone(), problem: problem.into() }
    }

    /// The module refused the inputs.
    pub(crate) fn refused(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> CheckError {
        CheckError::Refused { case: self.name.clone(), source: source.into() }
    }
}

impl Entry {
    fn compare(&self, name: &str, got: &[f64], want: &[f64]) -> Result<Stage, CheckError> {
        let allowed = self.frac.unwrap_or(0.0);
        let stage = match self.compare.as_deref() {
            Some("elementwise") => {
                let (atol, rtol) = (self.atol.unwrap_or(0.0), self.rtol.unwrap_or(0.0));
                Stage::elements(name, got, want, (atol, rtol, allowed))
            }
            Some("exact") => Stage::elements(name, got, want, (0.0, 0.0, 0.0)),
            Some("row_norm") => {
                Stage::rows(name, got, want, self.row(), (self.rtol.unwrap_or(0.0), allowed))
            }
            // Two right answers may differ: the manifest says which other tensors decide.
            Some(why) if why.starts_with("informational") => Stage::shown(name, got, want),
            other => {
                return Err(CheckError::Unsupported {
                    case: name.to_owned(),
                    problem: format!("comparison {other:?}"),
                });
            }
        };
        Ok(stage)
    }

    fn compare_rounded(&self, name: &str, got: &[f64], want: &[f64], rule: Rounded) -> Stage {
        let numbers = || (got.iter().copied(), want.iter().copied());
        let compare = |tolerance| {
            let (got, want) = numbers();
            Stage::compare(name, got, want, tolerance)
        };
        match rule {
            Rounded::Rms(bound) => compare(Tolerance::Rms(bound)),
            Rounded::Largest(bound) => compare(Tolerance::Absolute(bound)),
            Rounded::Rows(bounds) => Stage::row_spread(name, got, want, self.row(), bounds),
            Rounded::Own | Rounded::Shown => Stage::shown(name, got, want),
        }
    }

    /// Numbers of one Gaussian, or of whatever axis 1 counts.
    fn row(&self) -> usize {
        self.shape[2.min(self.shape.len())..].iter().product::<usize>().max(1)
    }
}

/// The elements of a whole tensor that a golden holds.
fn sample(values: &[f64], shape: &[usize], stored: Stored) -> Vec<f64> {
    match stored {
        Stored::Full => values.to_vec(),
        Stored::FlatStride { stride } => values.iter().step_by(stride.max(1)).copied().collect(),
        Stored::RowStride { stride } => {
            let rows = shape.get(1).copied().unwrap_or(1);
            let row = shape.iter().skip(2).product::<usize>().max(1);
            let samples = values.chunks(rows.max(1) * row);
            let picked = samples.flat_map(|sample| sample.chunks(row).step_by(stride.max(1)));
            picked.flatten().copied().collect()
        }
    }
}

/// The numbers of an `F32` tensor.
pub(crate) fn floats(tensor: &files::Tensor) -> Option<&[f32]> {
    match &tensor.values {
        Values::F32(values) => Some(values),
        _ => None,
    }
}
