//! Who watches a prediction: progress, cancelling, timings, and the comparison with goldens.
//!
//! Owns the trait. The model calls it at the names of SPEC 20; what nobody wants costs a string
//! comparison.

use candle_core::{Result, Tensor};

use crate::memory;

/// Where a prediction is. In the order in which they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    Preprocess,
    PatchEncoder,
    ImageEncoder,
    Upsample,
    DepthDecoder,
    DepthHead,
    Initialize,
    FeatureDecoder,
    FeatureFusion,
    FeatureHeads,
    Compose,
    Unproject,
    Write,
}

impl Stage {
    /// As progress and timings call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preprocess => "preprocess",
            Self::PatchEncoder => "patch_encoder",
            Self::ImageEncoder => "image_encoder",
            Self::Upsample => "upsample",
            Self::DepthDecoder => "depth_decoder",
            Self::DepthHead => "depth_head",
            Self::Initialize => "initialize",
            Self::FeatureDecoder => "feature_decoder",
            Self::FeatureFusion => "feature_fusion",
            Self::FeatureHeads => "feature_heads",
            Self::Compose => "compose",
            Self::Unproject => "unproject",
            Self::Write => "write",
        }
    }

    /// All, in their order.
    const ALL: [Self; 13] = [
        Self::Preprocess,
        Self::PatchEncoder,
        Self::ImageEncoder,
        Self::Upsample,
        Self::DepthDecoder,
        Self::DepthHead,
        Self::Initialize,
        Self::FeatureDecoder,
        Self::FeatureFusion,
        Self::FeatureHeads,
        Self::Compose,
        Self::Unproject,
        Self::Write,
    ];

    /// Multiplications with addition of the published network for one picture, in 10⁹ (SPEC 17).
    #[must_use]
    pub fn gmac(self) -> f64 {
        match self {
            Self::PatchEncoder => 6687.3,
            Self::ImageEncoder => 191.1,
            Self::Upsample => 104.5,
            Self::DepthDecoder => 2149.9,
            Self::DepthHead => 299.7,
            Self::FeatureDecoder => 596.2,
            Self::FeatureFusion => 359.1,
            Self::FeatureHeads => 353.2,
            _ => 0.0,
        }
    }

    /// Which shares of the network's work are done when it begins and when it ends.
    #[must_use]
    pub fn shares(self) -> (f64, f64) {
        let sum = |stages: &[Self]| stages.iter().map(|stage| stage.gmac()).sum::<f64>();
        let before = sum(&Self::ALL[..self as usize]);
        let all = sum(&Self::ALL);
        (before / all, (before + self.gmac()) / all)
    }
}

/// The part of a stage that one pass makes up.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub stage: Stage,
    /// How much of the stage is done when the pass begins and when it ends, from 0 to 1.
    pub begin: f64,
    pub end: f64,
}

impl Pace {
    /// All of `stage`.
    #[must_use]
    pub fn whole(stage: Stage) -> Self {
        Self { stage, begin: 0.0, end: 1.0 }
    }

    /// Tells `probe` that `share` of the pass is done.
    ///
    /// # Errors
    /// The probe wants it to end.
    pub fn tell(&self, share: f64, probe: &mut dyn Probe) -> Result<()> {
        probe.stage(self.stage, self.begin + share * (self.end - self.begin))
    }
}

/// Is told of stages and, where it wants to, of tensors.
pub trait Probe {
    /// `stage` begins, or goes on: `done` of it, from 0 to 1, is done. An error ends the
    /// prediction.
    ///
    /// # Errors
    /// Whoever watches wants it to end.
    fn stage(&mut self, stage: Stage, done: f64) -> Result<()>;

    /// Whether [`Probe::tensor`] is to be called with this name.
    fn wants(&self, _name: &str) -> bool {
        false
    }

    /// The value of a name that was wanted.
    ///
    /// # Errors
    /// It cannot be read.
    fn tensor(&mut self, _name: &str, _value: &Tensor) -> Result<()> {
        Ok(())
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Probe for Unwatched {
    fn stage(&mut self, _stage: Stage, _done: f64) -> Result<()> {
        Ok(())
    }
}

/// How a model speaks to its probe.
pub(super) trait ProbeExt {
    /// Begins a stage, with the memory of the one before given back: its sizes were other ones.
    fn enter(&mut self, stage: Stage) -> Result<()>;

    /// Shows a value that is there anyway.
    fn see(&mut self, name: &str, value: &Tensor) -> Result<()>;

    /// Computes and shows a value that the model itself goes past: it lies inside a fused product.
    fn compute(&mut self, name: &str, value: impl FnOnce() -> Result<Tensor>) -> Result<()>;

    /// [`ProbeExt::see`] of `at.part`.
    fn see_in(&mut self, at: &str, part: &str, value: &Tensor) -> Result<()> {
        self.see(&format!("{at}.{part}"), value)
    }

    /// [`ProbeExt::compute`] of `at.part`.
    fn compute_in(
        &mut self,
        at: &str,
        part: &str,
        value: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        self.compute(&format!("{at}.{part}"), value)
    }
}

impl ProbeExt for dyn Probe + '_ {
    fn enter(&mut self, stage: Stage) -> Result<()> {
        memory::give_back();
        self.stage(stage, 0.0)
    }

    fn see(&mut self, name: &str, value: &Tensor) -> Result<()> {
        if self.wants(name) { self.tensor(name, value) } else { Ok(()) }
    }

    fn compute(&mut self, name: &str, value: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        if self.wants(name) { self.tensor(name, &value()?) } else { Ok(()) }
    }
}
