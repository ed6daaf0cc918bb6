//! The whole network: from the resized picture to Gaussians in normalised coordinates (SPEC 3).
//!
//! Owns the order of the stages, which names of the checkpoint are not used, and the types: the
//! layers work in the type of their parameters; pyramid, disparity, depth, base and changes are f32
//! (SPEC 18). Always: no tensor leaves the device between the picture and the Gaussians.

use candle_core::{Device, Result, Tensor};

use super::compose::compose;
use super::config::Config;
use super::decoder::Decoder;
use super::encoder::Encoder;
use super::feature_model::FeatureModel;
use super::head::DisparityHead;
use super::initialize::{initialize, metric_depth};
use super::probe::{Probe, ProbeExt as _, Stage};
use crate::nn::{Parameters, Scope};
use crate::splat::Gaussians;

/// Below it lie both decoders' inputs.
const MONODEPTH: &str = "monodepth_model.monodepth_predictor";
/// Parts of names of the published checkpoint that inference does not use: the classifiers of both
/// transformers, the unit for a feature that the coarsest level has not, the fit to a given depth.
const UNUSED: [&str; 4] = [
    "encoder.patch_encoder.head.",
    "encoder.image_encoder.head.",
    "decoder.fusions.4.resnet1.",
    "depth_alignment.",
];

/// The network with its parameters.
#[derive(Debug)]
pub struct Predictor {
    encoder: Encoder,
    decoder: Decoder,
    head: DisparityHead,
    features: FeatureModel,
    config: Config,
    device: Device,
}

/// What the network says of a batch.
#[derive(Debug)]
pub struct Prediction {
    /// Per picture, in normalised coordinates: `x / z` and `y / z` go from -1 to 1.
    pub clouds: Vec<Gaussians>,
    /// Depth in metres of the nearest point, per picture.
    pub global_scale: Vec<f32>,
}

impl Predictor {
    /// Takes all parameters; the checkpoint's tensors for which [`is_unused`] holds are not asked
    /// for.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn load(source: &mut dyn Parameters, config: Config, device: &Device) -> Result<Self> {
        let mut root = Scope::root(source);
        let mut depth = root.at(MONODEPTH);
        let channels = config.monodepth_dims_decoder[0];
        let encoder = Encoder::load(depth.at("encoder"), &config)?;
        let decoder = Decoder::load(depth.at("decoder"), &config.dims_encoder, channels)?;
        let head = DisparityHead::load(depth.at("head"), channels, config.head_last_dims[0])?;
        let features = FeatureModel::load(&mut root, &config)?;
        Ok(Self { encoder, decoder, head, features, config, device: device.clone() })
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Predicts from `image [batch, 3, side, side]` in 0 to 1 and, per picture, `factors`: the
    /// focal length over the width of the photo.
    ///
    /// # Errors
    /// Another size; the probe ended it; a depth that is not a number.
    pub fn predict(
        &self,
        image: &Tensor,
        factors: &[f32],
        probe: &mut dyn Probe,
    ) -> Result<Prediction> {
        probe.enter(Stage::PatchEncoder)?;
        probe.see("pre.image", image)?;
        let maps = self.encoder.forward(&image.affine(2.0, -1.0)?, probe)?;
        probe.enter(Stage::DepthDecoder)?;
        let decoded = self.decoder.forward(&maps, "mono.dec", probe)?;
        probe.enter(Stage::DepthHead)?;
        let disparity = self.head.forward(&decoded, probe)?;
        drop(decoded);
        probe.see("mono.disparity", &disparity)?;
        probe.enter(Stage::Initialize)?;
        let depth = metric_depth(&disparity, factors)?;
        drop(disparity);
        probe.see("depth.metric", &depth)?;
        let base = initialize(image, &depth, probe)?;
        drop(depth);
        let deltas = self.features.forward(&base.feature_input, &maps, probe)?;
        drop(maps);
        probe.enter(Stage::Compose)?;
        let global_scale = base.scales()?;
        let clouds = compose(&base, &deltas, &global_scale)?;
        Ok(Prediction { clouds, global_scale })
    }
}

/// Whether the published checkpoint holds `name` and the network goes without it.
#[must_use]
pub fn is_unused(name: &str) -> bool {
    UNUSED.iter().any(|part| name.contains(part))
}
