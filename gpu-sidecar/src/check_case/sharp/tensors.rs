//! Between goldens' numbers and candle's tensors.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use crate::check_case::golden::{Golden, floats};
use crate::check_case::{CheckError, files};
use crate::device::DeviceKind;
use crate::nn::Parameters;
use crate::pipeline::Cancel;
use crate::sharp::probe::{Probe, Stage};
use crate::weights::{Checkpoint, Loading, Placement};

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
    let numbers = || value.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>();
    let numbers = numbers().map_err(|e| golden.refused(e))?;
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

/// Builds a module from the golden's checkpoint `file` in the way in which pipelines load theirs.
/// `unused` says which of its tensors the module goes without.
pub(super) fn load<T>(
    golden: &Golden,
    file: &str,
    place: Placement<'_>,
    unused: impl Fn(&str) -> bool,
    build: impl FnOnce(&mut dyn Parameters) -> Result<T>,
) -> std::result::Result<T, CheckError> {
    let path = golden.dir.join(file);
    let opened = Checkpoint::open(&[&path]);
    let checkpoint = opened.map_err(|e| CheckError::File { path, source: e.into() })?;
    let mut untold = |_, _| {};
    let mut loading = Loading::new(Arc::new(Cancel::default()), &mut untold);
    let loaded = checkpoint.load(place, unused, &mut loading, build);
    Ok(loaded.map_err(|e| golden.refused(e))?.value)
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
