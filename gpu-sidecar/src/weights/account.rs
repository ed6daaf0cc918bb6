//! The account of one load: which names a model asked for, and what the checkpoint had.
//!
//! Owns the comparison. Knows shapes and names; not what a model does with a tensor. Always: a name
//! that is missing or misshapen does not end the account, so that one error lists them all; until
//! [`Account::finish`] has agreed, what was handed out may be zeros and must not be used.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Result, Tensor};

use super::checkpoint::{Checkpoint, CheckpointError, Mismatch};
use super::resident::Loading;
use crate::nn::Parameters;
use crate::pipeline::RunError;

/// Where tensors go, and as what.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    pub dtype: DType,
    pub device: &'a Device,
}

/// A model that was built, and what its tensors take.
#[derive(Debug)]
pub struct Loaded<T> {
    pub value: T,
    /// On the device, or in memory where that is the device.
    pub memory_bytes: u64,
}

/// A checkpoint's tensors, handed out by name, each at most once.
pub struct Account<'a, 'b> {
    checkpoint: &'a Checkpoint,
    reading: Option<(Placement<'a>, &'a mut Loading<'b>)>,
    taken: BTreeSet<String>,
    mismatch: Mismatch,
    memory_bytes: u64,
    stopped: Option<RunError>,
}

impl<'a, 'b> Account<'a, 'b> {
    /// Hands out tensors; between two of them the load can be cancelled and its progress is told.
    #[must_use]
    pub fn reading(
        checkpoint: &'a Checkpoint,
        placement: Placement<'a>,
        loading: &'a mut Loading<'b>,
    ) -> Self {
        Self { reading: Some((placement, loading)), ..Self::comparing(checkpoint) }
    }

    /// Hands out zeros that take no memory.
    #[must_use]
    pub fn comparing(checkpoint: &'a Checkpoint) -> Self {
        Self {
            checkpoint,
            reading: None,
            taken: BTreeSet::new(),
            mismatch: Mismatch::default(),
            memory_bytes: 0,
            stopped: None,
        }
    }

    /// Closes the account: `built` is right when every tensor was taken or is one of the `dead`.
    ///
    /// # Errors
    /// `Stopped` when the load was cancelled; `Mismatch`; `Tensor` when `built` is an error
    /// although names and shapes agreed as far as it came.
    pub fn finish<T>(
        self,
        built: Result<T>,
        dead: impl Fn(&str) -> bool,
    ) -> std::result::Result<Loaded<T>, CheckpointError> {
        if let Some(stopped) = self.stopped {
            return Err(CheckpointError::Stopped(stopped));
        }
        let mut mismatch = self.mismatch;
        if built.is_ok() {
            let is_unexpected = |name: &&str| !self.taken.contains(*name) && !dead(name);
            let unexpected = self.checkpoint.names().filter(is_unexpected).map(str::to_owned);
            mismatch.unexpected = unexpected.collect();
        }
        mismatch.missing.sort_unstable();
        mismatch.wrong.sort_unstable();
        if !mismatch.is_empty() {
            return Err(CheckpointError::Mismatch(Box::new(mismatch)));
        }
        Ok(Loaded { value: built?, memory_bytes: self.memory_bytes })
    }

    fn read(
        &mut self,
        name: &str,
        dtype: Option<DType>,
        stored_bytes: u64,
    ) -> Result<Option<Tensor>> {
        let Some((placement, loading)) = &mut self.reading else { return Ok(None) };
        if let Err(stopped) = loading.check() {
            self.stopped = Some(stopped);
            return Err(candle_core::Error::msg("the load was cancelled"));
        }
        let dtype = dtype.unwrap_or(placement.dtype);
        let tensor = self.checkpoint.tensor(name, dtype, placement.device)?;
        self.memory_bytes += (tensor.elem_count() * dtype.size_in_bytes()) as u64;
        loading.moved(stored_bytes);
        Ok(Some(tensor))
    }
}

impl Parameters for Account<'_, '_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.hand_out(name, shape, None)
    }

    fn take_exact(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.hand_out(name, shape, Some(DType::F32))
    }
}

impl Account<'_, '_> {
    /// In the placement's type unless `dtype` is another.
    fn hand_out(&mut self, name: &str, shape: &[usize], dtype: Option<DType>) -> Result<Tensor> {
        assert!(self.taken.insert(name.to_owned()), "`{name}` has one owner");
        match self.checkpoint.info(name) {
            None => self.mismatch.missing.push(name.to_owned()),
            Some(info) if info.shape != shape => {
                self.mismatch.wrong.push(format!("{name} ({:?}, not {shape:?})", info.shape));
            }
            Some(info) if info.dtype.is_none() => {
                self.mismatch.wrong.push(format!("{name} (of a type that is not read)"));
            }
            Some(info) => {
                if let Some(tensor) = self.read(name, dtype, info.stored_bytes)? {
                    return Ok(tensor);
                }
            }
        }
        zeros(shape, self.reading.as_ref().map(|(placement, _)| *placement))
    }
}

/// One zero, seen as `shape`.
fn zeros(shape: &[usize], placement: Option<Placement<'_>>) -> Result<Tensor> {
    let cpu = Device::Cpu;
    let Placement { dtype, device } =
        placement.unwrap_or(Placement { dtype: DType::F32, device: &cpu });
    Tensor::zeros((), dtype, device)?.broadcast_as(shape)
}
