//! Features of colour and depth, and the changes to the Gaussians that follow from them (SPEC 8).

use candle_core::{DType, Result, Tensor};

use super::config::{Config, FeatureConfig, LAYERS, LEVELS, STRIDE};
use super::decoder::Decoder;
use super::probe::{Probe, ProbeExt as _, Stage};
use super::residual::{Conv, Fusion, NormBlock};
use crate::nn::{self, ConvOptions, Scope};

/// Numbers per Gaussian that come from the geometry head: x, y, inverse depth.
const GEOMETRY: usize = 3;
/// And from the texture head: scales, quaternion, colour, opacity.
const TEXTURE: usize = 11;
/// All of them.
pub const ATTRIBUTES: usize = GEOMETRY + TEXTURE;

/// The feature model and the delta heads, with their parameters.
#[derive(Debug)]
pub struct FeatureModel {
    decoder: Decoder,
    skip: (Tensor, Tensor),
    fusion: Fusion,
    texture: FeatureHead,
    geometry: FeatureHead,
    texture_deltas: Conv,
    geometry_deltas: Conv,
}

#[derive(Debug)]
struct FeatureHead {
    blocks: [NormBlock; 2],
    out: Conv,
}

impl FeatureHead {
    fn load(mut scope: Scope<'_>, config: &FeatureConfig) -> Result<Self> {
        let channels = config.dims_decoder[0];
        let groups = config.norm_num_groups;
        let blocks = [
            NormBlock::load(scope.at(0), channels, channels, groups)?,
            NormBlock::load(scope.at(1), channels, channels, groups)?,
        ];
        Ok(Self { blocks, out: Conv::load(&mut scope, 3, [config.dim_out, channels, 1])? })
    }

    fn forward(&self, x: &Tensor, at: &str, probe: &mut dyn Probe) -> Result<Tensor> {
        let x = self.blocks[0].forward(x, &format!("gauss.{at}_head.block0"), probe)?;
        let x = self.blocks[1].forward(&x, &format!("gauss.{at}_head.block1"), probe)?;
        let relu = ConvOptions { relu_input: true, ..ConvOptions::default() };
        probe.compute(&format!("gauss.{at}_head.conv"), || self.out.forward(&x, relu))?;
        let features = self.out.forward(&x, ConvOptions { relu: true, ..relu })?;
        probe.see(&format!("gauss.{at}_features"), &features)?;
        Ok(features)
    }
}

impl FeatureModel {
    /// Takes the parameters of `feature_model.` and `prediction_head.`.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn load(scope: &mut Scope<'_>, config: &Config) -> Result<Self> {
        let FeatureConfig { dim_in, dim_out, dims_decoder, .. } = config.gaussian_decoder;
        let channels = dims_decoder[0];
        let mut model = scope.at("feature_model");
        let decoder = Decoder::load(model.at("decoder"), &config.dims_encoder, channels)?;
        let skip_shape = [channels, dim_in, STRIDE, STRIDE];
        let skip = (
            model.take("image_encoder.conv.weight", &skip_shape)?,
            model.take("image_encoder.conv.bias", &[channels])?,
        );
        let fusion = Fusion::load(model.at("fusion"), channels, true, false)?;
        let texture = FeatureHead::load(model.at("texture_head"), &config.gaussian_decoder)?;
        let geometry = FeatureHead::load(model.at("geometry_head"), &config.gaussian_decoder)?;
        let mut heads = scope.at("prediction_head");
        // Small, and their results are the Gaussians: not rounded to half size.
        let mut heads = heads.exact();
        let mut deltas = |name, count| Conv::load(&mut heads, name, [count * LAYERS, dim_out, 1]);
        Ok(Self {
            decoder,
            skip,
            fusion,
            texture,
            geometry,
            texture_deltas: deltas("texture_prediction_head", TEXTURE)?,
            geometry_deltas: deltas("geometry_prediction_head", GEOMETRY)?,
        })
    }

    /// `input [batch, 5, side, side]` and the encoder's maps to changes `[batch, 14, 2, side / 2,
    /// side / 2]`, in f32.
    ///
    /// # Errors
    /// Inputs of other sizes; the probe ended it.
    pub fn forward(
        &self,
        input: &Tensor,
        maps: &[Tensor; LEVELS],
        probe: &mut dyn Probe,
    ) -> Result<Tensor> {
        probe.enter(Stage::FeatureDecoder)?;
        let decoded = self.decoder.forward(maps, "gauss.dec", probe)?;
        probe.see("gauss.decoder", &decoded)?;
        probe.enter(Stage::FeatureFusion)?;
        let options = ConvOptions { stride: STRIDE, ..ConvOptions::default() };
        let skip = nn::conv2d(
            &input.to_dtype(self.skip.0.dtype())?,
            &self.skip.0,
            Some(&self.skip.1),
            options,
        )?;
        probe.see("gauss.skip", &skip)?;
        let fused = self.fusion.forward(decoded, Some(&skip), "gauss.fused", probe)?;
        drop(skip);
        probe.enter(Stage::FeatureHeads)?;
        let texture = self.texture.forward(&fused, "texture", probe)?;
        let geometry = self.geometry.forward(&fused, "geometry", probe)?;
        let texture = self.texture_deltas.plain(&texture.to_dtype(DType::F32)?)?;
        let geometry = self.geometry_deltas.plain(&geometry.to_dtype(DType::F32)?)?;
        probe.see("delta.geometry_raw", &geometry)?;
        probe.see("delta.texture_raw", &texture)?;
        let (batch, _, height, width) = texture.dims4()?;
        let deltas = Tensor::cat(&[geometry, texture], 1)?;
        let deltas = deltas.reshape((batch, ATTRIBUTES, LAYERS, height, width))?;
        probe.see("delta", &deltas)?;
        Ok(deltas)
    }
}
