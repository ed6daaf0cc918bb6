//! The whole way from a decoded picture to metric Gaussians.

use candle_core::{Device, Tensor};

use super::gaussians::{compare_metric, compare_normalised};
use super::tensors::{GoldenProbe, bytes, load};
use crate::check_case::golden::Golden;
use crate::check_case::stage::Tolerance;
use crate::check_case::{Case, CheckError, Stage};
use crate::media::Frame;
use crate::sharp::predictor::is_unused;
use crate::sharp::preprocess::resize;
use crate::sharp::probe::{Probe as _, Unwatched};
use crate::sharp::{Config, Predictor};
use crate::splat::Gaussians;
use crate::weights::Placement;

pub(super) fn run(mut golden: Golden, place: Placement<'_>) -> Result<Case, CheckError> {
    let config: Config = golden.config()?;
    let (shape, pixels) = bytes(&golden, "input.image_u8")?;
    let &[height, width, 3] = shape else {
        return Err(golden.unsupported("input.image_u8 is no colour picture"));
    };
    let frame = Frame::new(width, height, pixels.as_chunks().0.to_vec());
    let frame = frame.map_err(|e| golden.refused(e))?;
    let focal_px = golden.number("f_px")?;
    let factor = (focal_px / width as f64) as f32;

    let predictor = |golden: &Golden, file: &str| {
        load(golden, file, place, is_unused, |parameters| {
            Predictor::load(parameters, config.clone(), place.device)
        })
    };
    let image = resize(&frame, config.internal_size(), place.device);
    let image = image.map_err(|e| golden.refused(e))?;
    let network = predictor(&golden, "weights.safetensors")?;
    let mut predict = || {
        let mut probe = GoldenProbe(&mut golden);
        let factors = Tensor::from_slice(&[factor], 1, &Device::Cpu)?;
        probe.tensor("pre.disparity_factor", &factors)?;
        network.predict(&image, &[factor], &mut probe)
    };
    let prediction = predict().map_err(|e: candle_core::Error| golden.refused(e))?;
    compare_normalised(&mut golden, &prediction.clouds)?;

    // The same parameters as PyTorch pickles them must make the same Gaussians, to the bit.
    if let Some(file) = golden.manifest["weights_pt"].as_str() {
        let again = predictor(&golden, file)?.predict(&image, &[factor], &mut Unwatched);
        let again = again.map_err(|e| golden.refused(e))?;
        let numbers = |cloud: &Gaussians| -> Vec<f64> {
            let numbers = cloud.means.as_flattened().iter().chain(cloud.scales.as_flattened());
            numbers.map(|&number| number.into()).collect()
        };
        let [got, want] = [&again, &prediction].map(|of| numbers(&of.clouds[0]));
        golden.push(Stage::compare("weights_pt", got, want, Tolerance::Exact));
    }
    compare_metric(&mut golden, &prediction.clouds[0], (width, height, focal_px), &config)?;
    Ok(golden.finish())
}
