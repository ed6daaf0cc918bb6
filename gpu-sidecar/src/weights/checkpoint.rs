//! A checkpoint: tensors by name in mapped files, safetensors or PyTorch's zip archive.
//!
//! Owns the index of names and the way from bytes to a tensor. Knows no model. Always: every range
//! in the index was checked against its file, so a tensor that is listed can be read.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use memmap2::{Advice, Mmap};
use safetensors::tensor::{Dtype, SafeTensors};

use super::account::{Account, Loaded, Placement};
use super::mapping::map;
use super::pytorch;
use super::resident::Loading;
use crate::nn::Parameters;
use crate::pipeline::RunError;

/// Ten times the largest published model; protects against an index that is no index.
pub(super) const TENSORS_MAX: usize = 100_000;
/// Names that a message shows of each kind; the rest is a count.
const NAMES_SHOWN_MAX: usize = 20;

/// Tensors by name.
#[derive(Debug)]
pub struct Checkpoint {
    files: Vec<(PathBuf, Mmap)>,
    tensors: BTreeMap<String, Entry>,
}

/// Where a tensor lies.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: usize,
    /// First byte in the file, of the element with index zero.
    pub(super) offset: usize,
    /// Bytes from there that may be read; covers every element.
    pub(super) bytes: usize,
    pub(super) shape: Vec<usize>,
    /// In elements; `None`: row-major without gaps.
    pub(super) stride: Option<Vec<usize>>,
    /// The file's own word for the element type where candle has none.
    pub(super) dtype: Result<DType, String>,
}

/// What the index says of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    pub shape: &'a [usize],
    /// What it takes in the file.
    pub stored_bytes: u64,
    /// As stored; `None` for a type that cannot be read.
    pub dtype: Option<DType>,
}

/// Why weights were not loaded.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not a checkpoint: {detail}", path.display())]
    Malformed { path: PathBuf, detail: String },
    #[error("the checkpoint is not this model's: {0}")]
    Mismatch(Box<Mismatch>),
    #[error("a tensor could not be made: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The run that loaded was told to stop.
    #[error("{0}")]
    Stopped(RunError),
}

/// How a checkpoint's names and shapes differ from the model's. Sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mismatch {
    /// The model wants them, the checkpoint has none.
    pub missing: Vec<String>,
    /// The checkpoint has them, the model knows none.
    pub unexpected: Vec<String>,
    /// Name, what it is and what it should be.
    pub wrong: Vec<String>,
}

impl Checkpoint {
    /// Maps `paths` and reads their indexes; no tensor is read. A name may be in one file only.
    ///
    /// # Errors
    /// `Unreadable` and `Malformed`, naming the file.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self { files: Vec::new(), tensors: BTreeMap::new() };
        for path in paths {
            checkpoint.add(path.as_ref())?;
        }
        Ok(checkpoint)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape and type of `name`.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<TensorInfo<'_>> {
        let Entry { shape, bytes, dtype, .. } = self.tensors.get(name)?;
        let dtype = dtype.as_ref().ok().copied();
        Some(TensorInfo { shape, stored_bytes: *bytes as u64, dtype })
    }

    /// The tensor `name` on `device`, copied from the file and converted to `dtype`.
    ///
    /// # Errors
    /// There is none of this name, its type cannot be read, or the device's memory is full.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let missing = || candle_core::Error::msg(format!("no tensor `{name}`"));
        let entry = self.tensors.get(name).ok_or_else(missing)?;
        let stored = entry.dtype.clone().map_err(|word| {
            candle_core::Error::msg(format!("`{name}` has the type {word}, which is not read"))
        })?;
        let (_, file) = &self.files[entry.file];
        let bytes = &file[entry.offset..entry.offset + entry.bytes];
        let packed;
        let bytes = match &entry.stride {
            None => bytes,
            Some(stride) => {
                packed = pack(bytes, &entry.shape, stride, stored.size_in_bytes());
                &packed
            }
        };
        Tensor::from_raw_buffer(bytes, stored, &entry.shape, device)?.to_dtype(dtype)
    }

    /// Builds a model from this checkpoint and accounts for every tensor. `dead` names those that
    /// may be here although the model does not want them; they are not read.
    ///
    /// # Errors
    /// `Mismatch` with every missing, unexpected and misshapen name; `Stopped`; `Tensor`.
    pub fn load<T>(
        &self,
        placement: Placement<'_>,
        dead: impl Fn(&str) -> bool,
        loading: &mut Loading<'_>,
        build: impl FnOnce(&mut dyn Parameters) -> candle_core::Result<T>,
    ) -> Result<Loaded<T>, CheckpointError> {
        for (_, file) in &self.files {
            // The disk reads ahead while tensors are made; where it cannot, they come page by page.
            let _ = file.advise(Advice::WillNeed);
        }
        loading.moving(self.stored_bytes(|name| !dead(name)));
        let mut account = Account::reading(self, placement, loading);
        let built = build(&mut account);
        account.finish(built, dead)
    }

    /// Compares names and shapes with what `build` asks for. It is handed zeros that take no
    /// memory; nothing is read.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn check<T>(
        &self,
        dead: impl Fn(&str) -> bool,
        build: impl FnOnce(&mut dyn Parameters) -> candle_core::Result<T>,
    ) -> Result<(), CheckpointError> {
        let mut account = Account::comparing(self);
        let built = build(&mut account).map(drop);
        account.finish(built, dead).map(drop)
    }

    /// What the tensors take as they are stored. `wanted` chooses among the names.
    #[must_use]
    pub fn stored_bytes(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        let chosen = self.tensors.iter().filter(|(name, _)| wanted(name));
        chosen.map(|(_, entry)| entry.bytes as u64).sum()
    }

    fn add(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let unreadable = |source| CheckpointError::Unreadable { path: path.to_owned(), source };
        let malformed = |detail| CheckpointError::Malformed { path: path.to_owned(), detail };
        let bytes = map(path).map_err(unreadable)?;
        let entries = if bytes.starts_with(b"PK\x03\x04") {
            pytorch::index(&bytes).map_err(malformed)?
        } else {
            safetensors_index(&bytes).map_err(malformed)?
        };
        if self.tensors.len() + entries.len() > TENSORS_MAX {
            return Err(malformed(format!("more than {TENSORS_MAX} tensors")));
        }
        let file = self.files.len();
        for (name, entry) in entries {
            if self.tensors.contains_key(&name) {
                return Err(malformed(format!("`{name}` is there twice")));
            }
            self.tensors.insert(name, Entry { file, ..entry });
        }
        self.files.push((path.to_owned(), bytes));
        Ok(())
    }
}

fn safetensors_index(bytes: &[u8]) -> Result<Vec<(String, Entry)>, String> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        format!("neither safetensors ({error}) nor a PyTorch archive of version 1.6 or later")
    })?;
    let data = header + size_of::<u64>();
    let entries = metadata.tensors().into_iter().map(|(name, info)| {
        let (begin, end) = info.data_offsets;
        let entry = Entry {
            file: 0,
            offset: data + begin,
            bytes: end - begin,
            shape: info.shape.clone(),
            stride: None,
            dtype: candle_dtype(info.dtype),
        };
        (name, entry)
    });
    Ok(entries.collect())
}

fn candle_dtype(dtype: Dtype) -> Result<DType, String> {
    match dtype {
        Dtype::BOOL | Dtype::U8 => Ok(DType::U8),
        Dtype::U32 => Ok(DType::U32),
        Dtype::I16 => Ok(DType::I16),
        Dtype::I32 => Ok(DType::I32),
        Dtype::I64 => Ok(DType::I64),
        Dtype::F16 => Ok(DType::F16),
        Dtype::BF16 => Ok(DType::BF16),
        Dtype::F32 => Ok(DType::F32),
        Dtype::F64 => Ok(DType::F64),
        other => Err(format!("{other:?}")),
    }
}

/// The elements in row-major order. `stride` in elements; every index lies within `bytes`.
fn pack(bytes: &[u8], shape: &[usize], stride: &[usize], element: usize) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut packed = Vec::with_capacity(count * element);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        let at: usize = index.iter().zip(stride).map(|(i, step)| i * step).sum();
        packed.extend_from_slice(&bytes[at * element..][..element]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    packed
}

impl Mismatch {
    /// True when names and shapes agree.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong.is_empty()
    }
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of another shape", &self.wrong),
        ];
        let mut between = "";
        for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            let shown = &names[..names.len().min(NAMES_SHOWN_MAX)];
            write!(f, "{between}{} {kind}: {}", names.len(), shown.join(", "))?;
            if shown.len() < names.len() {
                write!(f, ", and {} more", names.len() - shown.len())?;
            }
            between = "; ";
        }
        Ok(())
    }
}

impl From<CheckpointError> for RunError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Unreadable { .. } => Self::unavailable("weights_unreadable", error),
            CheckpointError::Malformed { .. } => Self::unavailable("weights_malformed", error),
            CheckpointError::Mismatch(_) => Self::unavailable("weights_mismatch", error),
            CheckpointError::Tensor(_) => Self::device("weights_not_placed", error),
            CheckpointError::Stopped(stopped) => stopped,
        }
    }
}

#[cfg(test)]
mod tests;
