//! The manifest of the vision goldens, as it stands in `manifest.json`.
//!
//! Owns the format. An unknown section, field, mode or tolerance does not parse, so that nothing
//! is skipped. Fields that are only remarks are read and dropped.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::vision::morphology::{Operation, Shape};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    #[serde(rename = "reference")]
    _reference: IgnoredAny,
    pub(crate) frames: BTreeMap<String, Frame>,
    #[serde(default)]
    pub(crate) gray: Vec<Gray>,
    #[serde(default)]
    pub(crate) flow: Vec<Flow>,
    #[serde(default)]
    pub(crate) canny: Vec<Canny>,
    #[serde(default)]
    pub(crate) morphology: Vec<Morphology>,
    #[serde(default)]
    pub(crate) structuring_elements: Vec<Element>,
    #[serde(default)]
    pub(crate) resize: Vec<Resize>,
    #[serde(default)]
    pub(crate) flow_stages: Option<FlowStages>,
    #[serde(default)]
    pub(crate) i420: Option<I420>,
    #[serde(default)]
    pub(crate) sharpness: Vec<Sharpness>,
}

/// An input picture. `shape` is `[H, W]` of gray or `[H, W, 3]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame {
    pub(crate) file: String,
    pub(crate) shape: Vec<usize>,
    #[serde(rename = "source")]
    _source: IgnoredAny,
}

#[derive(Deserialize)]
pub(crate) enum Exact {
    #[serde(rename = "exact")]
    Exact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gray {
    pub(crate) bgr: String,
    pub(crate) expected: String,
    #[serde(rename = "tolerance")]
    _tolerance: Exact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flow {
    pub(crate) name: String,
    pub(crate) prev: String,
    pub(crate) next: String,
    pub(crate) params: FlowParams,
    pub(crate) file: String,
    pub(crate) tensor: String,
    #[serde(default, rename = "layout")]
    _layout: IgnoredAny,
    pub(crate) tolerance: Spread,
    pub(crate) subsample: Option<Subsample>,
    pub(crate) init: Option<Init>,
    /// Mean length of the whole flow, pixels.
    pub(crate) mean_mag: Option<f64>,
}

/// OpenCV's arguments; `flags` is the sum of 4 (initial flow) and 256 (Gaussian window).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowParams {
    pub(crate) pyr_scale: f64,
    pub(crate) levels: u32,
    pub(crate) winsize: u32,
    pub(crate) iterations: u32,
    pub(crate) poly_n: u32,
    pub(crate) poly_sigma: f64,
    pub(crate) flags: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) p99: f64,
}

/// The golden holds `flow[y0::step, x0::step]`.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subsample {
    pub(crate) y0: usize,
    pub(crate) x0: usize,
    pub(crate) step: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Init {
    pub(crate) file: String,
    pub(crate) tensor: String,
    pub(crate) rule: InitRule,
}

#[derive(Deserialize)]
pub(crate) enum InitRule {
    #[serde(rename = "initial flow at (y,x) = init_blocks[y//3, x//3]")]
    Blocks,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Canny {
    pub(crate) input: String,
    pub(crate) channels: usize,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) aperture: u32,
    pub(crate) l2gradient: bool,
    pub(crate) expected: String,
    pub(crate) edge_pixels: usize,
    #[serde(rename = "tolerance")]
    _tolerance: Exact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Morphology {
    pub(crate) input: String,
    pub(crate) op: Operation,
    /// A name for readers; `kernel` says which cells count.
    #[serde(rename = "kernel_shape")]
    _kernel_shape: IgnoredAny,
    /// Width and height.
    pub(crate) ksize: [usize; 2],
    pub(crate) kernel: Vec<Vec<u8>>,
    /// Column and row; −1 is the middle.
    pub(crate) anchor: [i32; 2],
    pub(crate) iterations: u32,
    pub(crate) expected: String,
    #[serde(rename = "tolerance")]
    _tolerance: Exact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Element {
    pub(crate) shape: Shape,
    pub(crate) ksize: [usize; 2],
    /// A string of 0 and 1 for each row.
    pub(crate) rows: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resize {
    /// A file, or `file:tensor`.
    pub(crate) input: String,
    /// Width and height.
    pub(crate) dsize: [usize; 2],
    pub(crate) mode: Mode,
    pub(crate) dtype: Dtype,
    pub(crate) expected: String,
    pub(crate) tolerance: ResizeTolerance,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Linear,
    Area,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dtype {
    U8,
    F32,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
pub(crate) enum ResizeTolerance {
    #[serde(rename = "exact")]
    Exact,
    #[serde(rename = "max abs 2.5e-3 for linear with non-integer ratio (see SPEC on float/double \
                  source coordinates), 1e-4 otherwise")]
    ByRatio,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowStages {
    pub(crate) file: String,
    /// The name of the flow case these are stages of.
    pub(crate) of: String,
    #[serde(rename = "note")]
    _note: IgnoredAny,
    #[serde(rename = "tolerance")]
    _tolerance: StagesTolerance,
}

#[derive(Deserialize)]
pub(crate) enum StagesTolerance {
    #[serde(rename = "I: 2e-3 abs on 0..255; R: 1e-4 abs; M0 relative 1e-4 of max; flow1 1e-4 px")]
    ByKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct I420 {
    pub(crate) file: String,
    #[serde(rename = "note")]
    _note: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sharpness {
    pub(crate) frame: String,
    pub(crate) laplacian_variance: f64,
}
