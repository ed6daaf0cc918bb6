//! Between goldens' numbers and candle's tensors.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Result, Tensor};

use crate::check_case::golden::{Golden, floats};
use crate::check_case::{CheckError, files};
use crate::device::DeviceKind;
use crate::nn::Parameters;
use crate::sharp::probe::{Probe, Stage};

/// Where the network computes.
pub(super) fn device(kind: DeviceKind) -> std::result::Result<Device, CheckError> {
    kind.tensors().map_err(|error| CheckError::Device(error.into()))
}

/// The numbers of the input `name`.
pub(super) fn floats_of<'a>(
    golden: &'a Golden,
    name: &str,
) -> std::result::Result<&'a [f32], CheckError> {
    let stored = golden.input(name)?;
    floats(stored).ok_or_else(|| golden.unsupported(format!("{name} is not f32")))
}

/// The input `name` as a tensor.
pub(super) fn input(
    golden: &Golden,
    name: &str,
    device: &Device,
) -> std::result::Result<Tensor, CheckError> {
    let (values, stored) = (floats_of(golden, name)?, golden.input(name)?);
    Tensor::from_slice(values, &stored.shape[..], device).map_err(|e| golden.refused(e))
}

/// Compares `value` with the golden's tensor of this name.
pub(super) fn compare(
    golden: &mut Golden,
    name: &str,
    value: &Tensor,
) -> std::result::Result<(), CheckError> {
    let numbers = value.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    let numbers = numbers.map_err(|e| golden.refused(e))?;
    let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
    golden.compare(name, value.dims(), &numbers)
}

/// A probe that compares whatever the golden has.
pub(super) struct GoldenProbe<'a>(pub(super) &'a mut Golden);

impl Probe for GoldenProbe<'_> {
    fn stage(&mut self, _stage: Stage, _done: f64) -> Result<()> {
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.0.wants(name)
    }

    fn tensor(&mut self, name: &str, value: &Tensor) -> Result<()> {
        compare(self.0, name, value).map_err(candle_core::Error::wrap)
    }
}

/// A module's parameters, as goldens hold them: names below the module.
pub(super) struct Weights(HashMap<String, Tensor>);

impl Weights {
    pub(super) fn open(
        golden: &Golden,
        file: &str,
        device: &Device,
    ) -> std::result::Result<Self, CheckError> {
        let path = golden.dir.join(file);
        read(&path, device).map(Self).map_err(|e| CheckError::File { path, source: e.into() })
    }
}

fn read(path: &Path, device: &Device) -> Result<HashMap<String, Tensor>> {
    candle_core::safetensors::load(path, device)
}

impl Parameters for Weights {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        match self.0.remove(name) {
            Some(tensor) if tensor.dims() == shape => Ok(tensor),
            Some(tensor) => candle_core::bail!("{name} is {:?}, not {shape:?}", tensor.dims()),
            None => candle_core::bail!("{name} is missing"),
        }
    }
}

/// The bytes of the input `name`.
pub(super) fn bytes<'a>(
    golden: &'a Golden,
    name: &str,
) -> std::result::Result<(&'a [usize], &'a [u8]), CheckError> {
    let stored = golden.input(name)?;
    match &stored.values {
        files::Values::U8(values) => Ok((&stored.shape, values)),
        _ => Err(golden.unsupported(format!("{name} is not u8"))),
    }
}
