//! The answer of `vision@1` as JSON. `docs/vision.md` describes every field.
//!
//! Owns the names and the rounding: six significant digits, more than the kernels promise.

use serde::{Serialize, Serializer};

use super::params::Params;

/// The run's metadata.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) source: Source,
    pub(super) sampling: SamplingReport,
    pub(super) summary: Summary,
    pub(super) frames: Vec<FrameReport>,
    pub(super) key_frames: Vec<KeyFrame>,
    pub(super) artifacts: ClipArtifacts,
    pub(super) params: Params,
}

/// What was sent.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Source {
    /// `video` or `frames`.
    pub(super) kind: &'static str,
    pub(super) width: usize,
    pub(super) height: usize,
    #[serde(serialize_with = "optional")]
    pub(super) fps: Option<f64>,
    #[serde(serialize_with = "optional")]
    pub(super) duration_s: Option<f64>,
    pub(super) codec: Option<String>,
    /// ffmpeg's name of how samples are stored: `yuv420p10le`.
    pub(super) pixel_format: Option<String>,
    /// ffmpeg's name of the transfer curve: `smpte2084` is HDR10, `arib-std-b67` HLG.
    pub(super) color_transfer: Option<String>,
    /// Before sampling.
    pub(super) frames_total: Option<u64>,
    /// Part of the file could not be decoded.
    pub(super) damaged: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct SamplingReport {
    pub(super) every_n: Option<u32>,
    pub(super) sample_fps: Option<f64>,
    pub(super) max_frames: u32,
    /// How many were analysed.
    pub(super) frames: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    #[serde(serialize_with = "optional")]
    pub(super) motion_mean: Option<f64>,
    #[serde(serialize_with = "optional")]
    pub(super) motion_max: Option<f64>,
    #[serde(serialize_with = "number")]
    pub(super) edge_density_mean: f64,
    #[serde(serialize_with = "number")]
    pub(super) sharpness_mean: f64,
}

/// One sampled frame.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FrameReport {
    pub(super) index: u64,
    pub(super) source_index: Option<u64>,
    #[serde(serialize_with = "optional")]
    pub(super) time_s: Option<f64>,
    /// Pixels, from the frame before; none for the first.
    #[serde(serialize_with = "optional")]
    pub(super) motion_mean: Option<f64>,
    #[serde(serialize_with = "optional")]
    pub(super) motion_max: Option<f64>,
    #[serde(serialize_with = "number")]
    pub(super) edge_density: f64,
    #[serde(serialize_with = "number")]
    pub(super) sharpness: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct KeyFrame {
    pub(super) index: u64,
    #[serde(serialize_with = "optional")]
    pub(super) time_s: Option<f64>,
    #[serde(serialize_with = "number")]
    pub(super) score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) defects: Option<DefectSummary>,
    pub(super) artifacts: Artifacts,
}

/// Names of a key frame's output blobs; those that were not asked for are absent.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Artifacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frame: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) edges: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) heatmap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) defects: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) defect_mask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_flo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_safetensors: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_png: Option<String>,
}

/// Names of the whole clip's output blobs; those that were not asked for are absent.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ClipArtifacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preview: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plot: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<&'static str>,
}

/// What a key frame's list of defects comes to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct DefectSummary {
    pub(super) count: usize,
    /// Of the frame, 0 to 1.
    pub(super) area_share: f64,
}

impl Summary {
    /// Means over the frames; of motion, over those that have one.
    pub(super) fn of(frames: &[FrameReport]) -> Self {
        let motions = || frames.iter().filter_map(|frame| frame.motion_mean);
        let maxima = frames.iter().filter_map(|frame| frame.motion_max);
        Self {
            motion_mean: mean(motions()),
            motion_max: maxima.reduce(f64::max),
            edge_density_mean: mean(frames.iter().map(|frame| frame.edge_density)).unwrap_or(0.0),
            sharpness_mean: mean(frames.iter().map(|frame| frame.sharpness)).unwrap_or(0.0),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(round(*value))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn optional<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(round).serialize(serializer)
}

/// Six significant digits.
fn round(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_six_digits() {
        let cases = [(0.0, 0.0), (1.0 / 3.0, 0.333_333), (123_456_789.0, 123_457_000.0)];
        for (value, want) in cases {
            assert_eq!(round(value), want);
        }
    }
}
