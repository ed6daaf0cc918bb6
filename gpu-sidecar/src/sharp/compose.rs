//! The network's changes applied to the base: Gaussians in normalised coordinates (SPEC 9).
//!
//! Owns the formulas, and with them the end of the tensors: what the network says leaves the device
//! here, once, in as many numbers as the Gaussians have. Runs on the CPU, one Gaussian after
//! another: what follows (eigenvalues in f64) does too, and there is less of it than one layer of
//! the network takes.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::activation::{inverse_softplus, logit, scale_factor, sigmoid, softplus};
use super::config::LAYERS;
use super::feature_model::ATTRIBUTES;
use super::initialize::{BASE_OPACITY, BASE_ROTATION, Base, place, size_at_unit_depth};
use crate::splat::Gaussians;
use crate::splat::color::srgb_to_linear;

/// How far a change moves a place, an inverse depth, a colour.
const PLACE_FACTOR: f32 = 0.001;
const DEPTH_FACTOR: f32 = 0.001;
const COLOR_FACTOR: f32 = 0.1;
/// Added to an inverse depth before it is inverted.
const DEPTH_EPS: f32 = 1e-3;
/// Colours are kept this far from 0 and 1, where the logit is infinite.
const COLOR_MARGIN: f32 = 0.01;

/// The base of one picture with the changes to it.
struct Composer<'a> {
    deltas: &'a [f32],
    inverse_z: &'a [f32],
    colors: &'a [f32],
    global_scale: f32,
    height: usize,
    width: usize,
}

/// One Gaussian.
struct One {
    mean: [f32; 3],
    scale: [f32; 3],
    rotation: [f32; 4],
    color: [f32; 3],
    opacity: f32,
}

/// The Gaussians of each picture for `deltas [batch, 14, 2, h, w]`: by layer, then row, then
/// column. `x / z` and `y / z` go from -1 to 1, z is metric, colours are linear, quaternions of any
/// length. `global_scale`, per picture, is what [`Base::scales`] says, or 1 for a scene whose
/// nearest point is at 1.
///
/// # Errors
/// Sizes that differ.
pub fn compose(base: &Base, deltas: &Tensor, global_scale: &[f32]) -> Result<Vec<Gaussians>> {
    let (batch, attributes, layers, height, width) = deltas.dims5()?;
    if attributes != ATTRIBUTES || layers != LAYERS || global_scale.len() != batch {
        candle_core::bail!("changes of shape {:?} are not of Gaussians", deltas.shape());
    }
    let (inverse_z, colors) = (&base.inverse_z, &base.colors);
    if inverse_z.dims() != [batch, LAYERS, height, width] {
        candle_core::bail!("changes and base differ in size");
    }
    let picture = |index: usize| {
        let values = |tensor: &Tensor| tensor.get(index)?.flatten_all()?.to_vec1::<f32>();
        let (deltas, inverse_z, colors) = (values(deltas)?, values(inverse_z)?, values(colors)?);
        let composer = Composer {
            deltas: &deltas,
            inverse_z: &inverse_z,
            colors: &colors,
            global_scale: global_scale[index],
            height,
            width,
        };
        Ok(composer.all())
    };
    (0..batch).map(picture).collect()
}

impl Composer<'_> {
    fn all(&self) -> Gaussians {
        let count = LAYERS * self.height * self.width;
        let mut cloud = Gaussians {
            means: vec![[0.0; 3]; count],
            scales: vec![[0.0; 3]; count],
            rotations: vec![[0.0; 4]; count],
            colors: vec![[0.0; 3]; count],
            opacities: vec![0.0; count],
        };
        let places = cloud.means.par_iter_mut().zip(&mut cloud.scales).zip(&mut cloud.rotations);
        let looks = cloud.colors.par_iter_mut().zip(&mut cloud.opacities);
        places.zip(looks).enumerate().for_each(
            |(index, (((mean, scale), rotation), (color, opacity)))| {
                let one = self.one(index);
                (*mean, *scale, *rotation) = (one.mean, one.scale, one.rotation);
                (*color, *opacity) = (one.color, one.opacity);
            },
        );
        cloud
    }

    fn one(&self, index: usize) -> One {
        let layer_size = self.height * self.width;
        let pixel = index % layer_size;
        let delta = |attribute: usize| self.deltas[attribute * LAYERS * layer_size + index];
        let x = place(pixel % self.width, self.width) + PLACE_FACTOR * delta(0);
        let y = place(pixel / self.width, self.height) + PLACE_FACTOR * delta(1);
        let inverse = inverse_softplus(self.inverse_z[index]) + DEPTH_FACTOR * delta(2);
        let inverse = softplus(inverse);
        let z = 1.0 / (inverse + DEPTH_EPS);
        // The SPEC's base scale times base inverse depth is this constant.
        let size = size_at_unit_depth(self.width) * z;
        let color = |channel: usize| {
            let base = self.colors[channel * layer_size + pixel];
            let base = base.clamp(COLOR_MARGIN, 1.0 - COLOR_MARGIN);
            srgb_to_linear(sigmoid(logit(base) + COLOR_FACTOR * delta(10 + channel)))
        };
        One {
            mean: [z * x, z * y, z].map(|length| length * self.global_scale),
            scale: [3, 4, 5].map(|at| size * scale_factor(delta(at)) * self.global_scale),
            rotation: [0, 1, 2, 3].map(|part| BASE_ROTATION[part] + delta(6 + part)),
            color: [color(0), color(1), color(2)],
            opacity: sigmoid(logit(BASE_OPACITY) + delta(13)),
        }
    }
}
