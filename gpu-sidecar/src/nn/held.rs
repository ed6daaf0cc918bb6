//! The values of tensors, as slices.
//!
//! Owns the question whether the fast forms can take a call: every tensor f32 on the CPU.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Result, Storage, Tensor, bail};

use super::kernels;

/// Whether all of these are f32 on the CPU, none is empty, and the definitions were not asked for.
pub(super) fn all<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> bool {
    let fit = |tensor: &Tensor| {
        tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.elem_count() > 0
    };
    kernels::own() && tensors.into_iter().all(fit)
}

/// A tensor's values, as long as they are read.
pub(super) struct Held<'a> {
    /// Candle's lock, whose type it does not name.
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    start: usize,
    length: usize,
}

impl<'a> Held<'a> {
    /// Of a tensor without gaps: what [`Tensor::contiguous`] returns.
    pub(super) fn new(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("the values of a tensor {:?} are not contiguous", layout.shape());
        };
        let held = Self { storage: Box::new(storage), start, length: end - start };
        match &**held.storage {
            Storage::Cpu(CpuStorage::F32(_)) => Ok(held),
            _ => bail!("a tensor is not f32 on the CPU"),
        }
    }

    pub(super) fn values(&self) -> &[f32] {
        match &**self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..][..self.length],
            _ => unreachable!("`new` has looked"),
        }
    }
}

/// An optional tensor without gaps, of a shape that it must have.
pub(super) fn optional(tensor: Option<&Tensor>, shape: &[usize]) -> Result<Option<Tensor>> {
    let Some(tensor) = tensor else { return Ok(None) };
    if tensor.dims() != shape {
        bail!("a tensor is {:?} where {shape:?} belongs", tensor.dims());
    }
    tensor.contiguous().map(Some)
}

/// The values of an optional tensor.
pub(super) fn hold(tensor: &Option<Tensor>) -> Result<Option<Held<'_>>> {
    tensor.as_ref().map(Held::new).transpose()
}
