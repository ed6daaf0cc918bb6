//! The decoder of five maps to one, from coarse to fine (SPEC 6.1): once for depth, once for
//! features.

use candle_core::{Result, Tensor};

use super::config::LEVELS;
use super::probe::{Probe, ProbeExt as _};
use super::residual::Fusion;
use crate::nn::{self, ConvOptions, Scope};

/// A decoder with its parameters.
#[derive(Debug)]
pub struct Decoder {
    /// Per level; the finest has none where it has the channels already.
    laterals: [Option<Tensor>; LEVELS],
    fusions: Vec<Fusion>,
}

impl Decoder {
    /// Takes the parameters of one decoder. The coarsest level has no feature to add to, so the
    /// unit for it, which the checkpoint holds, is not asked for.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn load(
        mut scope: Scope<'_>,
        dims_encoder: &[usize; LEVELS],
        channels: usize,
    ) -> Result<Self> {
        let mut laterals = [const { None }; LEVELS];
        for (level, lateral) in laterals.iter_mut().enumerate() {
            let from = dims_encoder[level];
            let kernel = if level == 0 { 1 } else { 3 };
            if level != 0 || from != channels {
                let shape = [channels, from, kernel, kernel];
                *lateral = Some(scope.take(&format!("convs.{level}.weight"), &shape)?);
            }
        }
        let fusion = |level: usize| {
            let scope = &mut scope.at("fusions");
            Fusion::load(scope.at(level), channels, level + 1 < LEVELS, level != 0)
        };
        let fusions = (0..LEVELS).map(fusion).collect::<Result<_>>()?;
        Ok(Self { laterals, fusions })
    }

    /// Maps of the encoder, the finest first, to one map of the finest size. `at` begins the names
    /// that the probe sees.
    ///
    /// # Errors
    /// Maps of other sizes.
    pub fn forward(
        &self,
        maps: &[Tensor; LEVELS],
        at: &str,
        probe: &mut dyn Probe,
    ) -> Result<Tensor> {
        let mut x = None;
        for level in (0..LEVELS).rev() {
            let lateral = self.lateral(level, &maps[level])?;
            probe.see(&format!("{at}.conv{level}"), &lateral)?;
            let name = format!("{at}.fusion{level}");
            let fusion = &self.fusions[level];
            x = Some(match x {
                None => fusion.forward(lateral, None, &name, probe)?,
                Some(x) => fusion.forward(x, Some(&lateral), &name, probe)?,
            });
        }
        Ok(x.expect("there are levels"))
    }

    fn lateral(&self, level: usize, map: &Tensor) -> Result<Tensor> {
        let Some(weight) = &self.laterals[level] else { return Ok(map.clone()) };
        let padding = if level == 0 { 0 } else { 1 };
        nn::conv2d(map, weight, None, ConvOptions { padding, ..ConvOptions::default() })
    }
}
