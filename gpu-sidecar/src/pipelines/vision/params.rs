//! Parameters of `vision@1`: names, defaults and ranges as customers see them.
//!
//! Owns the ranges. Knows the kernels' parameter types, into which it translates. Defaults here
//! are those of the preset `generic`; `presets.rs` puts the others below what a customer gives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outputs::{self, Output};
use super::presets;
use crate::media::Sampling;
use crate::pipeline::RunError;
use crate::vision::VisionError;
use crate::vision::canny::CannyParams;
use crate::vision::farneback::{FarnebackParams, Window};
use crate::vision::morphology::{MorphologyParams, Operation, Shape};

/// The answer has about 200 bytes a frame and must stay below a message's 4 MiB.
pub(super) const FRAMES_MAX: u32 = 10_000;
/// Three pictures are written for each.
pub(super) const KEY_FRAMES_MAX: u32 = 64;

/// Everything has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Params {
    /// What is shown, `generic`, `comic` or `card`: sets the defaults of the others.
    #[schemars(extend("enum" = presets::NAMES))]
    pub(super) item_type: String,
    /// Which artifacts are made, each at most once; none is allowed.
    #[schemars(length(max = 11))]
    pub(super) outputs: Vec<Output>,
    pub(super) farneback: Farneback,
    pub(super) canny: CannyParams,
    pub(super) morphology: Morphology,
    pub(super) heatmap: Heatmap,
    pub(super) defects: Defects,
    /// Frames per second of the video that are analysed, above 0, at most 240. Not together with
    /// `every_n`. For pictures: the rate at which they were taken.
    #[schemars(range(min = 0.0, max = 240.0))]
    pub(super) sample_fps: Option<f64>,
    /// Every n-th frame is analysed. 1 without `sample_fps`.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) every_n: Option<u32>,
    /// The analysis ends after so many sampled frames.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) max_frames: u32,
    /// How many key frames to choose.
    #[schemars(range(max = 64))]
    pub(super) key_frames: u32,
}

/// Dense optical flow between sampled frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Farneback {
    /// Size of each pyramid level relative to the one below.
    #[schemars(range(min = 0.1, max = 0.9))]
    pub(super) pyr_scale: f64,
    /// Pyramid levels above the original.
    #[schemars(range(max = 10))]
    pub(super) levels: u32,
    /// Side of the averaging window, pixels.
    #[schemars(range(min = 3, max = 101))]
    pub(super) winsize: u32,
    #[schemars(range(min = 1, max = 20))]
    pub(super) iterations: u32,
    /// Radius of the polynomial's neighbourhood, pixels.
    #[schemars(extend("enum" = [5, 7]))]
    pub(super) poly_n: u32,
    /// Its Gaussian's standard deviation, pixels.
    #[schemars(range(min = 0.0, max = 5.0))]
    pub(super) poly_sigma: f64,
    /// 0: box window; 256: Gaussian window.
    #[schemars(extend("enum" = [0, 256]))]
    pub(super) flags: u32,
}

/// How the edges become the mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Morphology {
    pub(super) op: Operation,
    pub(super) shape: Shape,
    /// Of the kernel, pixels.
    #[schemars(range(min = 1, max = 63))]
    pub(super) width: u32,
    /// Of the kernel, pixels.
    #[schemars(range(min = 1, max = 63))]
    pub(super) height: u32,
    #[schemars(range(min = 1, max = 10))]
    pub(super) iterations: u32,
}

/// Where structure is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Heatmap {
    /// Side of the square over which gradients are averaged, pixels.
    #[schemars(range(min = 3, max = 255))]
    pub(super) window: u32,
}

/// What counts as a defect, and what it is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Defects {
    /// Marks that a square of this side covers are looked for, pixels.
    #[schemars(range(min = 3, max = 63))]
    pub(super) size: u32,
    /// How much brighter or darker than its surroundings a mark is, gray levels.
    #[schemars(range(min = 1, max = 254))]
    pub(super) threshold: u32,
    /// Smaller regions are noise, pixels.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) area_min: u64,
    /// Larger regions are no defects, share of the frame.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) area_share_max: f64,
    /// A region this near to the frame's edge is at the border, pixels.
    #[schemars(range(max = 1000))]
    pub(super) margin: u32,
    /// So many regions are listed, the largest first.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) regions_max: u32,
    /// The first whose conditions all hold names a region; without any it is `other`.
    #[schemars(length(max = 32))]
    pub(super) kinds: Vec<Kind>,
}

/// A name for regions, and its conditions; those that are absent always hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kind {
    #[schemars(length(min = 1, max = 40))]
    pub(super) kind: String,
    /// Brighter or darker than its surroundings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) polarity: Option<Polarity>,
    /// At the frame's border or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) border: Option<bool>,
    /// How much longer than wide, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) elongation_min: Option<f64>,
    /// How large, at least, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) area_min: Option<u64>,
}

/// How a region differs from what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Polarity {
    Bright,
    Dark,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            item_type: presets::USUAL.to_owned(),
            outputs: outputs::USUAL.to_vec(),
            farneback: Farneback::default(),
            canny: CannyParams::default(),
            morphology: Morphology::default(),
            heatmap: Heatmap::default(),
            defects: Defects::default(),
            sample_fps: None,
            every_n: None,
            max_frames: 1200,
            key_frames: 3,
        }
    }
}

impl Default for Farneback {
    fn default() -> Self {
        Self {
            pyr_scale: 0.5,
            levels: 3,
            winsize: 15,
            iterations: 3,
            poly_n: 5,
            poly_sigma: 1.2,
            flags: 0,
        }
    }
}

impl Default for Morphology {
    fn default() -> Self {
        Self { op: Operation::Close, shape: Shape::Rect, width: 3, height: 3, iterations: 1 }
    }
}

impl Default for Heatmap {
    fn default() -> Self {
        Self { window: 31 }
    }
}

impl Default for Defects {
    fn default() -> Self {
        Self {
            size: 9,
            threshold: 40,
            area_min: 12,
            area_share_max: 0.05,
            margin: 4,
            regions_max: 1000,
            kinds: usual_kinds(),
        }
    }
}

fn usual_kinds() -> Vec<Kind> {
    let named = |kind: &str, polarity| Kind {
        kind: kind.to_owned(),
        polarity: Some(polarity),
        border: None,
        elongation_min: None,
        area_min: None,
    };
    vec![
        Kind { border: Some(true), ..named("edge_wear", Polarity::Bright) },
        Kind { elongation_min: Some(4.0), ..named("scratch", Polarity::Bright) },
        Kind { elongation_min: Some(4.0), ..named("crease", Polarity::Dark) },
        named("speck", Polarity::Bright),
        Kind { area_min: Some(400), ..named("stain", Polarity::Dark) },
        named("spot", Polarity::Dark),
    ]
}

impl Params {
    /// Whether this artifact was asked for.
    pub(super) fn wants(&self, output: Output) -> bool {
        self.outputs.contains(&output)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// `Input` with the path of the first parameter outside its range.
    pub(super) fn check(&self) -> Result<(), RunError> {
        if self.sample_fps.is_some() && self.every_n.is_some() {
            let detail = "give `sample_fps` or `every_n`, not both";
            return Err(RunError::input("params_conflict", "every_n", detail));
        }
        let fps = self.sample_fps.is_none_or(|fps| fps > 0.0 && fps <= 240.0);
        in_range(fps, "sample_fps", "above 0 and at most 240")?;
        let n = self.every_n.is_none_or(|n| (1..=100_000).contains(&n));
        in_range(n, "every_n", "from 1 to 100000")?;
        let frames = (1..=FRAMES_MAX).contains(&self.max_frames);
        in_range(frames, "max_frames", "from 1 to 10000")?;
        in_range(self.key_frames <= KEY_FRAMES_MAX, "key_frames", "from 0 to 64")?;
        let twice = |(index, output)| self.outputs[..index].contains(output);
        if let Some((index, _)) = self.outputs.iter().enumerate().find(|&pair| twice(pair)) {
            return Err(out_of_range(&format!("outputs[{index}]"), "given once"));
        }
        self.farneback.check()?;
        self.flow().check().map_err(|error| kernel_error("farneback", &error))?;
        self.canny.check().map_err(|error| kernel_error("canny", &error))?;
        self.morphology.check()?;
        let window = (3..=255).contains(&self.heatmap.window);
        in_range(window, "heatmap.window", "from 3 to 255")?;
        self.defects.check()
    }

    /// What was given, with the default that its absence means.
    pub(super) fn effective(mut self) -> Self {
        if self.sample_fps.is_none() {
            self.every_n.get_or_insert(1);
        }
        self
    }

    pub(super) fn sampling(&self) -> Sampling {
        self.sample_fps.map_or(Sampling::EveryN(self.every_n.unwrap_or(1)), Sampling::Fps)
    }

    pub(super) fn flow(&self) -> FarnebackParams {
        let Farneback { pyr_scale, levels, winsize, iterations, poly_n, poly_sigma, flags } =
            self.farneback;
        let window = if flags == 256 { Window::Gaussian } else { Window::Box };
        FarnebackParams { pyr_scale, levels, winsize, iterations, poly_n, poly_sigma, window }
    }

    pub(super) fn mask(&self) -> MorphologyParams {
        let Morphology { op, shape, width, height, iterations } = self.morphology;
        MorphologyParams {
            operation: op,
            shape,
            kernel_width: width,
            kernel_height: height,
            anchor: None,
            iterations,
        }
    }
}

impl Farneback {
    /// Narrower than the kernels allow: a run must end before its customer's patience.
    fn check(&self) -> Result<(), RunError> {
        let scale = (0.1..=0.9).contains(&self.pyr_scale);
        in_range(scale, "farneback.pyr_scale", "from 0.1 to 0.9")?;
        in_range(self.levels <= 10, "farneback.levels", "from 0 to 10")?;
        in_range((3..=101).contains(&self.winsize), "farneback.winsize", "from 3 to 101")?;
        let iterations = (1..=20).contains(&self.iterations);
        in_range(iterations, "farneback.iterations", "from 1 to 20")?;
        let sigma = (0.0..=5.0).contains(&self.poly_sigma);
        in_range(sigma, "farneback.poly_sigma", "from 0 to 5")?;
        in_range(matches!(self.flags, 0 | 256), "farneback.flags", "0 or 256")
    }
}

impl Morphology {
    fn check(&self) -> Result<(), RunError> {
        in_range((1..=63).contains(&self.width), "morphology.width", "from 1 to 63")?;
        in_range((1..=63).contains(&self.height), "morphology.height", "from 1 to 63")?;
        let iterations = (1..=10).contains(&self.iterations);
        in_range(iterations, "morphology.iterations", "from 1 to 10")
    }
}

impl Defects {
    fn check(&self) -> Result<(), RunError> {
        in_range((3..=63).contains(&self.size), "defects.size", "from 3 to 63")?;
        in_range((1..=254).contains(&self.threshold), "defects.threshold", "from 1 to 254")?;
        let area = (1..=1_000_000).contains(&self.area_min);
        in_range(area, "defects.area_min", "from 1 to 1000000")?;
        let share = (0.0..=1.0).contains(&self.area_share_max);
        in_range(share, "defects.area_share_max", "from 0 to 1")?;
        in_range(self.margin <= 1000, "defects.margin", "from 0 to 1000")?;
        let regions = (1..=10_000).contains(&self.regions_max);
        in_range(regions, "defects.regions_max", "from 1 to 10000")?;
        in_range(self.kinds.len() <= 32, "defects.kinds", "at most 32 kinds")?;
        for (index, kind) in self.kinds.iter().enumerate() {
            let named = (1..=40).contains(&kind.kind.chars().count());
            let field = format!("defects.kinds[{index}].kind");
            in_range(named, &field, "1 to 40 characters long")?;
            let elongation = kind.elongation_min.is_none_or(|least| least >= 1.0);
            let field = format!("defects.kinds[{index}].elongation_min");
            in_range(elongation, &field, "at least 1")?;
        }
        Ok(())
    }
}

fn in_range(holds: bool, field: &str, allowed: &str) -> Result<(), RunError> {
    if holds { Ok(()) } else { Err(out_of_range(field, allowed)) }
}

fn out_of_range(field: &str, allowed: &str) -> RunError {
    RunError::input("params_out_of_range", field, format_args!("must be {allowed}"))
}

/// A kernel's own check, with the path that the customer knows.
fn kernel_error(group: &str, error: &VisionError) -> RunError {
    match error {
        VisionError::Parameter { field, allowed } => {
            out_of_range(&format!("{group}.{field}"), allowed)
        }
        other => RunError::internal("kernel_refused", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, field_want: Option<&str>) {
        let params: Params = serde_json::from_str(json).expect("the type fits");
        match (params.check(), field_want) {
            (Ok(()), None) => {}
            (Err(RunError::Input { field, .. }), Some(want)) => assert_eq!(field, want),
            (got, want) => panic!("{json}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn a_parameter_out_of_range_is_named() {
        check("{}", None);
        check(r#"{"sample_fps": 2.5, "max_frames": 10000, "key_frames": 0}"#, None);
        check(r#"{"farneback": {"poly_n": 7, "poly_sigma": 1.5, "flags": 256}}"#, None);
        check(r#"{"sample_fps": 2, "every_n": 2}"#, Some("every_n"));
        check(r#"{"sample_fps": 0}"#, Some("sample_fps"));
        check(r#"{"sample_fps": 1e9}"#, Some("sample_fps"));
        check(r#"{"every_n": 0}"#, Some("every_n"));
        check(r#"{"max_frames": 0}"#, Some("max_frames"));
        check(r#"{"max_frames": 10001}"#, Some("max_frames"));
        check(r#"{"key_frames": 65}"#, Some("key_frames"));
        check(r#"{"farneback": {"pyr_scale": 1}}"#, Some("farneback.pyr_scale"));
        check(r#"{"farneback": {"poly_n": 6}}"#, Some("farneback.poly_n"));
        check(r#"{"farneback": {"winsize": 2}}"#, Some("farneback.winsize"));
        check(r#"{"farneback": {"flags": 4}}"#, Some("farneback.flags"));
        check(r#"{"canny": {"aperture": 4}}"#, Some("canny.aperture"));
        check(r#"{"canny": {"low": -1}}"#, Some("canny.low"));
        check(r#"{"morphology": {"width": 0}}"#, Some("morphology.width"));
        check(r#"{"morphology": {"iterations": 11}}"#, Some("morphology.iterations"));
        check(r#"{"outputs": []}"#, None);
        check(r#"{"outputs": ["plot", "zip", "plot"]}"#, Some("outputs[2]"));
        check(r#"{"heatmap": {"window": 2}}"#, Some("heatmap.window"));
        check(r#"{"defects": {"size": 64}}"#, Some("defects.size"));
        check(r#"{"defects": {"threshold": 0}}"#, Some("defects.threshold"));
        check(r#"{"defects": {"area_share_max": 2}}"#, Some("defects.area_share_max"));
        check(r#"{"defects": {"kinds": [{"kind": ""}]}}"#, Some("defects.kinds[0].kind"));
        let flat = r#"{"defects": {"kinds": [{"kind": "a", "elongation_min": 0.5}]}}"#;
        check(flat, Some("defects.kinds[0].elongation_min"));
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let mut json = serde_json::to_value(Params::default().effective()).expect("plain data");
        // Compared with their data file in `presets.rs`.
        let defects = json.as_object_mut().and_then(|json| json.remove("defects"));
        assert_eq!(defects.expect("is there")["kinds"][0]["kind"], "edge_wear");
        let want = serde_json::json!({
            "item_type": "generic", "outputs": ["key_frames", "edges", "masks"],
            "heatmap": {"window": 31},
            "farneback": {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3,
                "poly_n": 5, "poly_sigma": 1.2, "flags": 0},
            "canny": {"low": 15.0, "high": 60.0, "aperture": 3, "l2": false},
            "morphology": {"op": "close", "shape": "rect", "width": 3, "height": 3,
                "iterations": 1},
            "sample_fps": null, "every_n": 1, "max_frames": 1200, "key_frames": 3,
        });
        assert_eq!(json, want);
    }
}
