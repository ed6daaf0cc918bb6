//! The sizes of the network: those of the published checkpoint by default, smaller ones in tests.
//!
//! Owns the record and its checks. The keys are those of the goldens' `case.json`.

use serde::Deserialize;

/// Levels of the encoder's pyramid of maps.
pub const LEVELS: usize = 5;
/// Layers of Gaussians: the visible surface and what it hides.
pub const LAYERS: usize = 2;
/// Pixels of the picture per Gaussian of a layer, along a side.
pub const STRIDE: usize = 2;

/// All sizes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Both transformers; they share sizes, never weights.
    pub vit: VitConfig,
    /// Whether windows overlap (5x5 and 3x3 of them) or lie side by side (4x4 and 2x2).
    pub use_patch_overlap: bool,
    /// Tokens cut off where two windows of the full-size picture meet.
    pub merge_padding_x0: usize,
    /// The same for the half-size picture.
    pub merge_padding_x1: usize,
    /// Channels of the encoder's maps, the finest first.
    pub dims_encoder: [usize; LEVELS],
    /// Channels of the depth decoder; all levels are alike.
    pub monodepth_dims_decoder: [usize; LEVELS],
    /// Channels before the disparity, and a number that the published network does not use.
    pub head_last_dims: [usize; 2],
    pub gaussian_decoder: FeatureConfig,
}

/// One transformer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct VitConfig {
    #[serde(rename = "in_chans")]
    pub channels: usize,
    #[serde(rename = "embed_dim")]
    pub width: usize,
    pub depth: usize,
    #[serde(rename = "num_heads")]
    pub heads: usize,
    pub mlp_ratio: f64,
    /// Pixels of a token's side.
    #[serde(rename = "patch_size")]
    pub patch: usize,
    /// Tokens of a window's side.
    pub grid: usize,
    /// Blocks whose output is used besides the last; the first two are.
    pub hook_ids: Vec<usize>,
}

/// The feature model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct FeatureConfig {
    /// Colour and two disparities.
    pub dim_in: usize,
    pub dim_out: usize,
    pub dims_decoder: [usize; LEVELS],
    pub norm_num_groups: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vit: VitConfig::default(),
            use_patch_overlap: true,
            merge_padding_x0: 3,
            merge_padding_x1: 6,
            dims_encoder: [256, 256, 512, 1024, 1024],
            monodepth_dims_decoder: [256; LEVELS],
            head_last_dims: [32, 1],
            gaussian_decoder: FeatureConfig::default(),
        }
    }
}

impl Default for VitConfig {
    fn default() -> Self {
        Self {
            channels: 3,
            width: 1024,
            depth: 24,
            heads: 16,
            mlp_ratio: 4.0,
            patch: 16,
            grid: 24,
            hook_ids: vec![5, 11, 17, 23],
        }
    }
}

impl Default for FeatureConfig {
    fn default() -> Self {
        Self { dim_in: 5, dim_out: 32, dims_decoder: [128; LEVELS], norm_num_groups: 8 }
    }
}

/// Sizes that do not make a network.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl VitConfig {
    /// Width of the hidden layer of a block.
    #[must_use]
    pub fn hidden(&self) -> usize {
        (self.width as f64 * self.mlp_ratio) as usize
    }

    /// Pixels of a window's side.
    #[must_use]
    pub fn side(&self) -> usize {
        self.grid * self.patch
    }
}

impl Config {
    /// Side of the square that the picture is resized to.
    #[must_use]
    pub fn internal_size(&self) -> usize {
        4 * self.vit.side()
    }

    /// Checks what the network takes for granted.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let vit = &self.vit;
        let widest = 1 << 14;
        let sizes = [vit.width, vit.depth, vit.heads, vit.patch, vit.grid, vit.channels];
        let dims = self.dims_encoder.iter().chain(&self.monodepth_dims_decoder);
        let dims = dims.chain(&self.gaussian_decoder.dims_decoder);
        let mut all = sizes.iter().chain(dims).chain([&self.gaussian_decoder.dim_out]);
        let problem = if all.any(|&size| size == 0 || size > widest) {
            format!("every size must be 1 to {widest}")
        } else if !vit.width.is_multiple_of(vit.heads) {
            format!("width {} is no multiple of {} heads", vit.width, vit.heads)
        } else if vit.hook_ids.len() < 2 || vit.hook_ids[..2].iter().any(|&id| id >= vit.depth) {
            "hook_ids must name two blocks".to_owned()
        } else if 2 * self.merge_padding_x0.max(self.merge_padding_x1) >= vit.grid {
            "a window must keep tokens when its seams are cut".to_owned()
        } else if self.internal_size() > 4096 {
            format!("internal size {} is above 4096", self.internal_size())
        } else {
            return Ok(());
        };
        Err(ConfigError(problem))
    }
}
