//! The vision transformer that reads windows of the picture (SPEC 4; ViT-L/16 of Dosovitskiy et al.
//! 2021, with LayerScale).
//!
//! Owns its blocks, hooks and outputs. Knows nothing of pyramids. Always: position embeddings are
//! never resized, so that an input is exactly `side` pixels wide and high.

use candle_core::{D, Result, Tensor};

use super::config::VitConfig;
use super::probe::{Pace, Probe, ProbeExt as _};
use crate::nn::{self, Activation, ConvOptions, LinearAfter, Norm, Scope};

/// LayerNorm's epsilon; half of all ports take another.
const EPS: f64 = 1e-6;

/// The transformer with its parameters.
#[derive(Debug)]
pub struct Vit {
    patch: Affine,
    class_token: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Affine,
    heads: usize,
    grid: usize,
    patch_size: usize,
}

/// What one pass gives.
#[derive(Debug)]
pub struct VitOutput {
    /// After the last norm, `[batch, width, grid, grid]`.
    pub features: Tensor,
    /// The raw stream after each block that was asked for, in that order, of the same shape.
    pub hooks: Vec<Tensor>,
}

/// A weight with its bias.
#[derive(Debug)]
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Block {
    norm1: Affine,
    qkv: Affine,
    proj: Affine,
    gamma1: Tensor,
    norm2: Affine,
    fc1: Affine,
    fc2: Affine,
    gamma2: Tensor,
}

impl Affine {
    fn load(scope: &mut Scope<'_>, name: &str, shape: &[usize]) -> Result<Self> {
        let mut scope = scope.at(name);
        let bias = scope.take("bias", &shape[..1])?;
        Ok(Self { weight: scope.take("weight", shape)?, bias })
    }

    fn linear(&self, x: &Tensor, after: LinearAfter<'_>) -> Result<Tensor> {
        nn::linear(x, &self.weight, Some(&self.bias), after)
    }

    fn norm(&self, x: &Tensor) -> Result<Tensor> {
        nn::layer_norm(x, Norm { weight: &self.weight, bias: &self.bias, eps: EPS })
    }
}

impl Block {
    fn load(mut scope: Scope<'_>, width: usize, hidden: usize) -> Result<Self> {
        Ok(Self {
            norm1: Affine::load(&mut scope, "norm1", &[width])?,
            qkv: Affine::load(&mut scope, "attn.qkv", &[3 * width, width])?,
            proj: Affine::load(&mut scope, "attn.proj", &[width, width])?,
            gamma1: scope.take("ls1.gamma", &[width])?,
            norm2: Affine::load(&mut scope, "norm2", &[width])?,
            fc1: Affine::load(&mut scope, "mlp.fc1", &[hidden, width])?,
            fc2: Affine::load(&mut scope, "mlp.fc2", &[width, hidden])?,
            gamma2: scope.take("ls2.gamma", &[width])?,
        })
    }

    fn forward(&self, x: &Tensor, heads: usize, at: &str, probe: &mut dyn Probe) -> Result<Tensor> {
        let plain = LinearAfter::default();
        let normal = self.norm1.norm(x)?;
        probe.see_in(at, "norm1", &normal)?;
        let qkv = self.qkv.linear(&normal, plain)?;
        probe.see_in(at, "qkv", &qkv)?;
        let merged = nn::self_attention(&qkv, heads)?;
        drop(qkv);
        probe.see_in(at, "attn_heads_merged", &merged)?;
        probe.compute_in(at, "attn", || self.proj.linear(&merged, plain))?;
        let scaled = LinearAfter { scale: Some(&self.gamma1), ..plain };
        probe.compute_in(at, "ls1", || self.proj.linear(&merged, scaled))?;
        let x = self.proj.linear(&merged, LinearAfter { add: Some(x), ..scaled })?;
        probe.see_in(at, "after_attn", &x)?;

        let normal = self.norm2.norm(&x)?;
        probe.see_in(at, "norm2", &normal)?;
        probe.compute_in(at, "mlp_fc1", || self.fc1.linear(&normal, plain))?;
        let gelu = LinearAfter { activation: Activation::Gelu, ..plain };
        let hidden = self.fc1.linear(&normal, gelu)?;
        probe.see_in(at, "mlp_gelu", &hidden)?;
        probe.compute_in(at, "mlp", || self.fc2.linear(&hidden, plain))?;
        let scaled = LinearAfter { scale: Some(&self.gamma2), ..plain };
        probe.compute_in(at, "ls2", || self.fc2.linear(&hidden, scaled))?;
        self.fc2.linear(&hidden, LinearAfter { add: Some(&x), ..scaled })
    }
}

impl Vit {
    /// Takes the parameters of one transformer.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn load(mut scope: Scope<'_>, config: &VitConfig) -> Result<Self> {
        let VitConfig { width, patch, grid, channels, .. } = *config;
        let tokens = grid * grid + 1;
        let patch_shape = [width, channels, patch, patch];
        let blocks = (0..config.depth)
            .map(|index| Block::load(scope.at("blocks").at(index), width, config.hidden()));
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
            patch: Affine::load(&mut scope, "patch_embed.proj", &patch_shape)?,
            class_token: scope.take("cls_token", &[1, 1, width])?,
            positions: scope.take("pos_embed", &[1, tokens, width])?,
            norm: Affine::load(&mut scope, "norm", &[width])?,
            heads: config.heads,
            grid,
            patch_size: patch,
        })
    }

    /// Pixels of an input's side.
    #[must_use]
    pub fn side(&self) -> usize {
        self.grid * self.patch_size
    }

    /// Reads `images [batch, channels, side, side]` of any type; `hooks` are indices of blocks,
    /// rising. The probe hears of every block.
    ///
    /// # Errors
    /// An input of another size; the probe ended it.
    pub fn forward(
        &self,
        images: &Tensor,
        hooks: &[usize],
        pace: Pace,
        probe: &mut dyn Probe,
    ) -> Result<VitOutput> {
        let options = ConvOptions { stride: self.patch_size, ..ConvOptions::default() };
        let images = images.to_dtype(self.patch.weight.dtype())?;
        let patches = nn::conv2d(&images, &self.patch.weight, Some(&self.patch.bias), options)?;
        let patches = patches.flatten_from(2)?.transpose(1, 2)?;
        probe.see("vit.patch_embed", &patches)?;
        let (batch, _, width) = patches.dims3()?;
        let class = self.class_token.broadcast_as((batch, 1, width))?;
        let mut x = Tensor::cat(&[class, patches], 1)?.broadcast_add(&self.positions)?;
        probe.see("vit.tokens", &x)?;

        let mut hooked = Vec::with_capacity(hooks.len());
        for (index, block) in self.blocks.iter().enumerate() {
            pace.tell(index as f64 / self.blocks.len() as f64, probe)?;
            let name = format!("vit.block{index}");
            x = block.forward(&x, self.heads, &name, probe)?;
            probe.see(&name, &x)?;
            if hooks.contains(&index) {
                let map = self.map(&x)?;
                probe.see(&format!("vit.hook{index}"), &x)?;
                probe.see(&format!("vit.hook{index}_map"), &map)?;
                hooked.push(map);
            }
        }
        let normal = self.norm.norm(&x)?;
        probe.see("vit.norm", &normal)?;
        Ok(VitOutput { features: self.map(&normal)?, hooks: hooked })
    }

    /// Tokens without the class token as a map.
    fn map(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, count, width) = tokens.dims3()?;
        let patches = tokens.narrow(1, 1, count - 1)?.transpose(1, D::Minus1)?;
        patches.reshape((batch, width, self.grid, self.grid))
    }
}
