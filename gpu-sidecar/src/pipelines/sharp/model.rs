//! The network as it is kept in memory.
//!
//! Owns the load: a `config.json` beside the checkpoint gives other sizes than the published ones,
//! which is how tests run the whole way in a second.

use std::fs::File;
use std::path::Path;

use candle_core::Device;

use crate::device::{DeviceKind, Precision};
use crate::nn::Parameters;
use crate::pipeline::RunError;
use crate::sharp::predictor::is_unused;
use crate::sharp::{Config, Predictor};
use crate::weights::{Checkpoint, Files, Loaded, Loading, Placement};

/// Sizes, beside the checkpoint; the published ones without it.
const CONFIG_FILE: &str = "config.json";

/// The loaded network.
pub(super) struct Model {
    pub(super) predictor: Predictor,
    pub(super) kind: DeviceKind,
    pub(super) precision: Precision,
}

impl Model {
    /// Compares the checkpoint with the network, name by name; reads no tensor.
    pub(super) fn check(files: &Files) -> Result<(), RunError> {
        let config = config(&files.path(CONFIG_FILE))?;
        let checkpoint = Checkpoint::open(files.paths())?;
        let build = |parameters: &mut dyn Parameters| {
            Predictor::load(parameters, config.clone(), &Device::Cpu)
        };
        Ok(checkpoint.check(is_unused, build)?)
    }

    /// Maps the checkpoint, compares its names, and moves its tensors to `device`, in the type that
    /// suits it.
    pub(super) fn load(
        files: &Files,
        loading: &mut Loading<'_>,
        kind: DeviceKind,
    ) -> Result<Loaded<Self>, RunError> {
        let config = config(&files.path(CONFIG_FILE))?;
        let device = kind.tensors().map_err(|e| RunError::device("device_missing", e))?;
        let checkpoint = Checkpoint::open(files.paths())?;
        let build =
            |parameters: &mut dyn Parameters| Predictor::load(parameters, config.clone(), &device);
        // Before gigabytes are moved.
        checkpoint.check(is_unused, build)?;
        let precision = Precision::of(kind);
        let placement = Placement { dtype: precision.dtype(), device: &device };
        let loaded = checkpoint.load(placement, is_unused, loading, build)?;
        let Loaded { value: predictor, memory_bytes } = loaded;
        Ok(Loaded { value: Self { predictor, kind, precision }, memory_bytes })
    }
}

/// The sizes in `path`, checked.
fn config(path: &Path) -> Result<Config, RunError> {
    let config: Config = match File::open(path) {
        Ok(file) => serde_json::from_reader(std::io::BufReader::new(file))
            .map_err(|error| invalid(path, error))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Config::default(),
        Err(error) => return Err(RunError::file("opening the model's sizes", &error)),
    };
    config.check().map_err(|error| invalid(path, error))?;
    Ok(config)
}

fn invalid(path: &Path, error: impl std::fmt::Display) -> RunError {
    RunError::unavailable("weights_invalid", format!("{}: {error}", path.display()))
}
