//! `check-case`: runs goldens that upstream's own code produced and says how far off we are.
//!
//! Owns the verb, its report and the register of models that have goldens. Knows manifests and
//! tolerances; the numbers come from the models themselves. Always: what a manifest asks for and
//! we cannot check is an error, and a folder without a case is one too; nothing is skipped. A
//! model joins with a file under `check_case/` and a line in `MODELS`. Start at [`run`].

pub(crate) mod files;
pub(crate) mod golden;
pub(crate) mod stage;

mod align;
mod sharp;
mod vision;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::device::{DeviceKind, Precision};
use crate::nn::Kernels;

pub use stage::Stage;

/// Checks all cases of one folder.
type Check = fn(&Path, Setting) -> Result<Vec<Case>, CheckError>;

/// How the numbers that are compared are computed. By default as on a machine without a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setting {
    pub device: DeviceKind,
    pub precision: Precision,
    pub kernels: Kernels,
}

impl Setting {
    /// The device of a model whose kernels have one form and one type.
    fn device_alone(self, model: &'static str) -> Result<DeviceKind, CheckError> {
        let simple = Self { device: self.device, ..Self::default() };
        if self == simple { Ok(self.device) } else { Err(CheckError::OneForm { model }) }
    }
}

/// The models that can be checked, by the name that the command line takes.
const MODELS: &[(&str, Check)] =
    &[("align", align::run), ("sharp", sharp::run), ("vision", vision::run)];

/// What came of every case; serialises as the list of them.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Report {
    /// At least one, in the manifest's order.
    pub cases: Vec<Case>,
}

impl Report {
    /// Whether the exit status is 0.
    pub fn all_passed(&self) -> bool {
        self.cases.iter().all(|case| case.pass)
    }
}

/// One golden.
#[derive(Debug, Serialize)]
pub struct Case {
    /// Section and name within the manifest, such as `flow/zoom_gauss`.
    pub case: String,
    /// Whether every stage passed.
    pub pass: bool,
    /// What was compared, in the order in which it is computed.
    pub stages: Vec<Stage>,
}

impl Case {
    /// A case with at least one stage.
    pub(crate) fn new(case: String, stages: Vec<Stage>) -> Self {
        let pass = !stages.is_empty() && stages.iter().all(|stage| stage.pass);
        Self { case, pass, stages }
    }
}

/// Why the cases could not be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No model of this name has goldens.
    #[error("no model `{model}` can be checked; there are: {known}")]
    UnknownModel {
        /// The name that was asked for.
        model: String,
        /// Those that exist.
        known: String,
    },
    /// A file of the goldens is missing or not what its name says.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The manifest asks for something that this version cannot check.
    #[error("case {case}: {problem}")]
    Unsupported {
        /// The case.
        case: String,
        /// What it asks for.
        problem: String,
    },
    /// A kernel refused the inputs of a case.
    #[error("case {case} was refused")]
    Refused {
        /// The case.
        case: String,
        /// The model's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The device that was asked for is not there; nothing was checked.
    #[error("the cases cannot be checked on a GPU")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another type or other kernels for a model that has no others.
    #[error("`{model}` is checked with its one form of kernels, in its own types")]
    OneForm {
        /// The model.
        model: &'static str,
    },
    /// A check that checks nothing must not look like success.
    #[error("{} lists no case", .0.display())]
    Empty(PathBuf),
}

/// Checks every case under `dir`, which holds the `manifest.json` of `model`, on the CPU.
/// # Errors
/// As [`run_with`].
pub fn run(model: &str, dir: &Path) -> Result<Report, CheckError> {
    run_with(model, dir, Setting::default())
}

/// As [`run`], computed as `setting` says. What has one form only (structuring elements, raw
/// video) is computed on the CPU.
/// # Errors
/// [`CheckError`] when a case cannot be checked; a wrong number is in the report instead.
pub fn run_with(model: &str, dir: &Path, setting: Setting) -> Result<Report, CheckError> {
    let Some((_, check)) = MODELS.iter().find(|(name, _)| *name == model) else {
        let known = MODELS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        return Err(CheckError::UnknownModel { model: model.to_owned(), known });
    };
    let cases = check(dir, setting)?;
    if cases.is_empty() {
        return Err(CheckError::Empty(dir.to_owned()));
    }
    Ok(Report { cases })
}
