//! The answer of `sharp@1` besides its files.

use serde::Serialize;

use super::params::AxesName;
use crate::sharp::focal::FocalSource;
use crate::splat::stats::{Bounds, Depth, NonFinite, Stats};

/// Everything that a file of Gaussians leaves open.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) num_gaussians: usize,
    pub(super) layers: usize,
    /// Rows and columns of a layer.
    pub(super) grid: [usize; 2],
    #[serde(flatten)]
    pub(super) camera: CameraReport,
    pub(super) axes: AxesName,
    /// Of the colours in all files.
    pub(super) color_space: &'static str,
    /// Metres to the nearest point.
    pub(super) global_scale: f32,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) internal_size: usize,
    /// Milliseconds of each stage, in the order in which they ran.
    pub(super) timings_ms: serde_json::Map<String, serde_json::Value>,
    pub(super) device: &'static str,
    pub(super) dtype: &'static str,
}

/// The camera that the Gaussians are seen from, in pixels of the upright picture.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CameraReport {
    pub(super) width: usize,
    pub(super) height: usize,
    /// The EXIF tag by which the picture was turned upright; 1: it was.
    pub(super) orientation: u8,
    pub(super) focal_px: f64,
    /// For a full frame of 36 x 24 mm.
    pub(super) focal_mm: f64,
    pub(super) focal_source: FocalSource,
    pub(super) principal: [f64; 2],
    /// By rows.
    pub(super) intrinsics: [[f64; 3]; 3],
    /// Focal length over width.
    pub(super) disparity_factor: f32,
}

/// Figures of the cloud.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// 10th and 90th percentile of 1 / z, per metre.
    disparity_quantiles: Option<[f32; 2]>,
    /// Metres, a layer after the other.
    depth: Vec<Option<Depth>>,
    bounds: Option<Bounds>,
    /// Gaussians per tenth of opacity.
    opacity_histogram: [u64; 10],
    non_finite: NonFinite,
}

impl From<Stats> for Figures {
    fn from(stats: Stats) -> Self {
        Self {
            disparity_quantiles: stats.disparity_quantiles,
            depth: stats.depth_per_layer,
            bounds: stats.bounds,
            opacity_histogram: stats.opacity_histogram,
            non_finite: stats.non_finite,
        }
    }
}
