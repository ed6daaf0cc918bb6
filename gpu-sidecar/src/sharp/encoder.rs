//! The sliding pyramid encoder: windows of three sizes through two transformers to five maps (SPEC
//! 5).
//!
//! Owns the order of windows and the branches that enlarge. Always: there is no activation between
//! the layers of a branch.

use candle_core::{Result, Tensor};

use super::config::{Config, LEVELS};
use super::probe::{Pace, Probe, ProbeExt as _, Stage};
use super::pyramid::{half, merge, quarter, split};
use super::vit::{Vit, VitOutput};
use crate::nn::{self, ConvOptions, Scope};

/// Windows in one pass on the CPU, half of the largest level: each pass lays out all weights anew,
/// and more windows only take memory.
const WINDOWS_AT_ONCE: usize = 13;

/// The encoder with its parameters.
#[derive(Debug)]
pub struct Encoder {
    patch: Vit,
    image: Vit,
    latent0: Branch,
    latent1: Branch,
    up0: Branch,
    up1: Branch,
    up2: Branch,
    low: (Tensor, Tensor),
    fuse: (Tensor, Tensor),
    hooks: [usize; 2],
    overlap: bool,
    paddings: [usize; 2],
}

/// A product per pixel and then doublings, all without bias.
#[derive(Debug)]
struct Branch {
    project: Tensor,
    doublings: Vec<Tensor>,
}

impl Branch {
    /// `channels`: of the input, after the product, and after each doubling.
    fn load(mut scope: Scope<'_>, channels: &[usize]) -> Result<Self> {
        let [from, to, ..] = *channels else { candle_core::bail!("a branch has two layers") };
        let project = scope.take("0.weight", &[to, from, 1, 1])?;
        let doubling = |(index, pair): (usize, &[usize])| {
            scope.take(&format!("{}.weight", index + 1), &[pair[0], pair[1], 2, 2])
        };
        let doublings = channels[1..].windows(2).enumerate().map(doubling);
        Ok(Self { project, doublings: doublings.collect::<Result<_>>()? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let first = nn::conv2d(x, &self.project, None, ConvOptions::default())?;
        self.doublings.iter().try_fold(first, |x, weight| nn::conv_transpose_2x2(&x, weight, None))
    }
}

impl Encoder {
    /// Takes the parameters of `encoder.`.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn load(mut scope: Scope<'_>, config: &Config) -> Result<Self> {
        let [d0, d1, d2, d3, d4] = config.dims_encoder;
        let width = config.vit.width;
        let patch = Vit::load(scope.at("patch_encoder"), &config.vit)?;
        let image = Vit::load(scope.at("image_encoder"), &config.vit)?;
        Ok(Self {
            patch,
            image,
            latent0: Branch::load(scope.at("upsample_latent0"), &[width, d1, d0, d0, d0])?,
            latent1: Branch::load(scope.at("upsample_latent1"), &[width, d1, d1, d1])?,
            up0: Branch::load(scope.at("upsample0"), &[width, d2, d2])?,
            up1: Branch::load(scope.at("upsample1"), &[width, d3, d3])?,
            up2: Branch::load(scope.at("upsample2"), &[width, d4, d4])?,
            low: (
                scope.take("upsample_lowres.weight", &[width, d4, 2, 2])?,
                scope.take("upsample_lowres.bias", &[d4])?,
            ),
            fuse: (
                scope.take("fuse_lowres.weight", &[d4, 2 * d4, 1, 1])?,
                scope.take("fuse_lowres.bias", &[d4])?,
            ),
            hooks: [config.vit.hook_ids[0], config.vit.hook_ids[1]],
            overlap: config.use_patch_overlap,
            paddings: [config.merge_padding_x0, config.merge_padding_x1],
        })
    }

    /// Reads `image [batch, 3, side, side]` in -1 to 1; gives five maps, the finest first.
    ///
    /// # Errors
    /// An input of another size; the probe ended it.
    pub fn forward(&self, image: &Tensor, probe: &mut dyn Probe) -> Result<[Tensor; LEVELS]> {
        let batch = image.dim(0)?;
        let side = self.patch.side();
        let strides = if self.overlap { [side * 3 / 4, side / 2] } else { [side; 2] };
        let windows0 = split(image, side, strides[0])?;
        let windows1 = split(&half(image)?, side, strides[1])?;
        let small = quarter(image)?;
        probe.see("enc.x2", &small)?;

        let mut reading = Reading::new([&windows0, &windows1, &small])?;
        let full = reading.pass(&self.patch, &windows0, &self.hooks, probe)?;
        let [pad0, pad1] = self.paddings.map(|padding| if self.overlap { padding } else { 0 });
        let latent0 = merge(&full.hooks[0], batch, pad0)?;
        let latent1 = merge(&full.hooks[1], batch, pad0)?;
        let features0 = merge(&full.features, batch, pad0)?;
        drop((full, windows0));
        let features1 = reading.pass(&self.patch, &windows1, &[], probe)?.features;
        let features1 = merge(&features1, batch, pad1)?;
        let features2 = reading.pass(&self.patch, &small, &[], probe)?.features;
        let pace = Pace::whole(Stage::ImageEncoder);
        let low = self.image.forward(&small, &[], pace, probe)?.features;

        probe.enter(Stage::Upsample)?;
        probe.see("enc.latent0_merged", &latent0)?;
        probe.see("enc.latent1_merged", &latent1)?;
        probe.see("enc.x0_merged", &features0)?;
        probe.see("enc.x1_merged", &features1)?;
        probe.see("enc.x2_tokens", &features2)?;
        probe.see("enc.lowres_tokens", &low)?;
        let up2 = self.up2.forward(&features2)?;
        let low = nn::conv_transpose_2x2(&low, &self.low.0, Some(&self.low.1))?;
        probe.see("enc.x2_upsampled", &up2)?;
        probe.see("enc.lowres_upsampled", &low)?;
        let both = Tensor::cat(&[up2, low], 1)?;
        let maps = [
            self.latent0.forward(&latent0)?,
            self.latent1.forward(&latent1)?,
            self.up0.forward(&features0)?,
            self.up1.forward(&features1)?,
            nn::conv2d(&both, &self.fuse.0, Some(&self.fuse.1), ConvOptions::default())?,
        ];
        for (level, map) in maps.iter().enumerate() {
            probe.see(&format!("enc.out{level}"), map)?;
        }
        Ok(maps)
    }
}

/// How many of all windows have been read.
struct Reading {
    done: usize,
    all: usize,
}

impl Reading {
    fn new(windows: [&Tensor; 3]) -> Result<Self> {
        let all = windows.iter().map(|windows| windows.dim(0)).sum::<Result<usize>>()?;
        Ok(Self { done: 0, all })
    }

    /// All `windows` through `vit`, a few at a time; samples do not depend on each other.
    fn pass(
        &mut self,
        vit: &Vit,
        windows: &Tensor,
        hooks: &[usize],
        probe: &mut dyn Probe,
    ) -> Result<VitOutput> {
        let count = windows.dim(0)?;
        let at_once = if windows.device().is_cpu() { WINDOWS_AT_ONCE } else { count };
        let mut features = Vec::new();
        let mut hooked = vec![Vec::new(); hooks.len()];
        for begin in (0..count).step_by(at_once) {
            let some = windows.narrow(0, begin, at_once.min(count - begin))?;
            let share = |windows: usize| windows as f64 / self.all as f64;
            let (begin, end) = (share(self.done), share(self.done + some.dim(0)?));
            let pace = Pace { stage: Stage::PatchEncoder, begin, end };
            let output = vit.forward(&some.contiguous()?, hooks, pace, probe)?;
            features.push(output.features);
            for (maps, map) in hooked.iter_mut().zip(output.hooks) {
                maps.push(map);
            }
            self.done += some.dim(0)?;
        }
        let hooks = hooked.iter().map(|maps| Tensor::cat(maps, 0)).collect::<Result<_>>()?;
        Ok(VitOutput { features: Tensor::cat(&features, 0)?, hooks })
    }
}
