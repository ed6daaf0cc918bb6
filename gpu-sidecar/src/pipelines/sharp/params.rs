//! Parameters of `sharp@1`, and what of them is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Call, RunError, Slot};
use crate::splat::Axes;
use crate::splat::trajectory::Path;

/// Longest focal length in pixels; a telescope's, on a sensor of 64 megapixels.
const FOCAL_PX_MAX: f64 = 1e6;
/// How far outside of the picture the optical axis may meet its plane, in widths or heights.
const PRINCIPAL_BEYOND: f64 = 1.0;

/// Parameters of `sharp@1`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Params {
    /// Focal length in pixels of the upright picture. Without it the camera's EXIF block decides,
    /// and without that a lens of 30 mm (full frame) is assumed.
    #[schemars(range(min = 1e-3, max = 1e6))]
    pub(super) focal_px: Option<f64>,
    /// Where the optical axis meets the picture, in pixels from its left edge; half its width by
    /// default.
    pub(super) principal_x: Option<f64>,
    /// In pixels from its top edge; half its height by default.
    pub(super) principal_y: Option<f64>,
    /// Which way the axes of all files point.
    pub(super) axes: AxesName,
    /// Files to make.
    #[schemars(length(min = 1, max = 7))]
    pub(super) outputs: Vec<Output>,
    /// How the camera of `video` moves.
    pub(super) trajectory: TrajectoryName,
}

/// Directions of x, y and z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AxesName {
    /// Right, down, forward, as upstream writes them.
    #[default]
    OpenCv,
    /// Right, up, backward.
    OpenGl,
    /// The same, under the name of the format.
    Gltf,
}

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Output {
    /// 3DGS, as upstream writes it.
    Ply,
    /// Compressed, about a tenth.
    Spz,
    /// 32 bytes a Gaussian.
    Splat,
    /// Compressed as pictures.
    Sog,
    /// Every number as text.
    Json,
    /// A picture from where the photo was taken.
    Preview,
    /// A short film around it.
    Video,
}

/// Movements of the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TrajectoryName {
    /// A circle that goes forward and back.
    #[default]
    RotateForward,
    /// A circle.
    Rotate,
    /// From left to right.
    Swipe,
    /// From side to side, then up and down.
    Shake,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            focal_px: None,
            principal_x: None,
            principal_y: None,
            axes: AxesName::default(),
            outputs: vec![Output::Ply],
            trajectory: TrajectoryName::default(),
        }
    }
}

impl From<AxesName> for Axes {
    fn from(name: AxesName) -> Self {
        match name {
            AxesName::OpenCv => Self::OpenCv,
            AxesName::OpenGl => Self::OpenGl,
            AxesName::Gltf => Self::Gltf,
        }
    }
}

impl From<TrajectoryName> for Path {
    fn from(name: TrajectoryName) -> Self {
        match name {
            TrajectoryName::RotateForward => Self::RotateForward,
            TrajectoryName::Rotate => Self::Rotate,
            TrajectoryName::Swipe => Self::Swipe,
            TrajectoryName::Shake => Self::Shake,
        }
    }
}

impl Params {
    /// The call's parameters, checked as far as they can be without the picture.
    pub(super) fn of(call: &Call) -> Result<Self, RunError> {
        let params: Self = call.params()?;
        if let Some(focal) = params.focal_px {
            // Written so that what is not a number is refused.
            if !(1e-3..=FOCAL_PX_MAX).contains(&focal) {
                let detail = format!("must be 0.001 to {FOCAL_PX_MAX} pixels");
                return Err(out_of_range("focal_px", detail));
            }
        }
        if params.outputs.is_empty() {
            return Err(out_of_range("outputs", "must name at least one file".to_owned()));
        }
        Ok(params)
    }

    /// Whether this file is to be made.
    pub(super) fn wants(&self, output: Output) -> bool {
        self.outputs.contains(&output)
    }

    /// Where the optical axis meets a picture of this size.
    pub(super) fn principal(&self, width: usize, height: usize) -> Result<[f64; 2], RunError> {
        let along = |name: &str, given: Option<f64>, side: usize| {
            let side = side as f64;
            let at = given.unwrap_or(side / 2.0);
            let beyond = PRINCIPAL_BEYOND * side;
            if (-beyond..=side + beyond).contains(&at) {
                return Ok(at);
            }
            let detail = format!("must be {} to {} pixels", -beyond, side + beyond);
            Err(out_of_range(name, detail))
        };
        let x = along("principal_x", self.principal_x, width)?;
        Ok([x, along("principal_y", self.principal_y, height)?])
    }
}

fn out_of_range(field: &str, detail: String) -> RunError {
    RunError::input("params_out_of_range", field, detail)
}

impl Output {
    /// All of them.
    const ALL: [Self; 7] =
        [Self::Ply, Self::Spz, Self::Splat, Self::Sog, Self::Json, Self::Preview, Self::Video];

    /// Name and media type of the file.
    pub(super) fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::Ply => ("gaussians.ply", "application/octet-stream"),
            Self::Spz => ("gaussians.spz", "application/octet-stream"),
            Self::Splat => ("gaussians.splat", "application/octet-stream"),
            Self::Sog => ("gaussians.sog", "application/zip"),
            Self::Json => ("gaussians.json", "application/json"),
            Self::Preview => ("preview.png", "image/png"),
            Self::Video => ("preview.mp4", "video/mp4"),
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Ply => "3DGS PLY, 56 bytes a Gaussian, with the camera.",
            Self::Spz => "SPZ, version 3: positions to 1/4096 m or finer, colours to 8 bits.",
            Self::Splat => "Positions and scales as floats, colour and turn to 8 bits.",
            Self::Sog => "Attributes as lossless WebP pictures in a ZIP archive.",
            Self::Json => "Every attribute as an array.",
            Self::Preview => "The Gaussians seen from where the photo was taken.",
            Self::Video => "60 frames of a camera that moves around that place.",
        }
    }

    /// The manifest's output slots.
    pub(super) fn slots() -> Vec<Slot> {
        let slot = |output: Self| {
            let (name, media_type) = output.file();
            let description = output.description();
            Slot { name, media_types: vec![media_type], count_min: 0, count_max: 1, description }
        };
        Self::ALL.into_iter().map(slot).collect()
    }
}
