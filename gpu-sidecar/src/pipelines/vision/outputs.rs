//! What a customer may ask for: the names of `outputs`, and the file that each becomes.
//!
//! Owns the names of artifacts. Knows no pixels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::params::KEY_FRAMES_MAX;
use crate::pipeline::Slot;

/// One kind of artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Output {
    /// Each key frame in colour.
    KeyFrames,
    /// Its Canny edges.
    Edges,
    /// Morphology of its edges.
    Masks,
    /// Where its structure is, in colours, with a legend.
    Heatmap,
    /// Its defects: a list as JSON and a mask.
    Defects,
    /// Motion into it from the sampled frame before, in Middlebury's format.
    FlowFlo,
    /// The same as a tensor.
    FlowSafetensors,
    /// The same as colours.
    FlowPng,
    /// All sampled frames as a video, with edges and figures drawn in.
    Preview,
    /// Motion and sharpness over time.
    Plot,
    /// Every other artifact and the answer, in one file.
    Zip,
}

pub(super) const PNG: &str = "image/png";
pub(super) const JSON: &str = "application/json";
pub(super) const BYTES: &str = "application/octet-stream";
pub(super) const MP4: &str = "video/mp4";
pub(super) const SVG: &str = "image/svg+xml";
pub(super) const ZIP: &str = "application/zip";

/// Files of the whole clip.
pub(super) const PREVIEW_FILE: &str = "preview.mp4";
pub(super) const PLOT_FILE: &str = "plot.svg";
pub(super) const ARCHIVE_FILE: &str = "artifacts.zip";

/// What is made when nothing is asked for.
pub(super) const USUAL: [Output; 3] = [Output::KeyFrames, Output::Edges, Output::Masks];

/// The manifest's output slots.
pub(super) fn slots() -> Vec<Slot> {
    let slot = |name, media_type, count_max, description| Slot {
        name,
        media_types: vec![media_type],
        count_min: 0,
        count_max,
        description,
    };
    let each = |name, media_type, description| slot(name, media_type, KEY_FRAMES_MAX, description);
    vec![
        each("key_frame", PNG, "Key frames, as `key_frame_0.png`, …"),
        each("edges", PNG, "Their Canny edges, as `edges_0.png`, …"),
        each("mask", PNG, "Morphology of the edges, as `mask_0.png`, …"),
        each("heatmap", PNG, "Where their structure is, as `heatmap_0.png`, …"),
        each("defects", JSON, "Their defects, as `defects_0.json`, …"),
        each("defect_mask", PNG, "The same as a mask, as `defect_mask_0.png`, …"),
        each("flow_flo", BYTES, "Motion into them, as `flow_0.flo`, …"),
        each("flow_safetensors", BYTES, "The same, as `flow_0.safetensors`, …"),
        each("flow_png", PNG, "The same in colours, as `flow_0.png`, …"),
        slot("preview", MP4, 1, "The clip with edges and figures, as `preview.mp4`."),
        slot("plot", SVG, 1, "Motion and sharpness over time, as `plot.svg`."),
        slot("archive", ZIP, 1, "All of them and the answer, as `artifacts.zip`."),
    ]
}
