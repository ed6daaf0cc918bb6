//! The whole way from a decoded picture to metric Gaussians.

use candle_core::{Device, Tensor};

use super::gaussians::{compare_metric, compare_normalised};
use super::tensors::{GoldenProbe, Weights, bytes};
use crate::check_case::golden::Golden;
use crate::check_case::{Case, CheckError};
use crate::media::Frame;
use crate::sharp::preprocess::resize;
use crate::sharp::probe::Probe as _;
use crate::sharp::{Config, Predictor};

pub(super) fn run(mut golden: Golden, device: &Device) -> Result<Case, CheckError> {
    let config: Config = golden.config()?;
    let (shape, pixels) = bytes(&golden, "input.image_u8")?;
    let &[height, width, 3] = shape else {
        return Err(golden.unsupported("input.image_u8 is no colour picture"));
    };
    let frame = Frame::new(width, height, pixels.as_chunks().0.to_vec());
    let frame = frame.map_err(|e| golden.refused(e))?;
    let focal_px = golden.number("f_px")?;
    let factor = (focal_px / width as f64) as f32;

    let mut weights = Weights::open(&golden, "weights.safetensors", device)?;
    let mut predict = || {
        let image = resize(&frame, config.internal_size(), device)?;
        let predictor = Predictor::load(&mut weights, config.clone(), device)?;
        let mut probe = GoldenProbe(&mut golden);
        let factors = Tensor::from_slice(&[factor], 1, &Device::Cpu)?;
        probe.tensor("pre.disparity_factor", &factors)?;
        predictor.predict(&image, &[factor], &mut probe)
    };
    let prediction = predict().map_err(|e: candle_core::Error| golden.refused(e))?;
    compare_normalised(&mut golden, &prediction.clouds)?;
    compare_metric(&mut golden, &prediction.clouds[0], (width, height, focal_px), &config)?;
    Ok(golden.finish())
}
