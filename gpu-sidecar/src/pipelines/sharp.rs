//! `sharp@1`: one picture to metric 3D Gaussians.
//!
//! Owns the order of the work from a file to files. The network is in `sharp.rs`, Gaussians and
//! their formats are in `splat.rs`, weights come and go by `weights.rs`; `docs/sharp.md` is what
//! customers read.

mod files;
mod model;
mod params;
mod report;
mod watch;

use crate::device::DeviceKind;
use crate::media::{Photo, photo, picture_size};
use crate::pipeline::{
    Call, Manifest, Need, Outcome, Pipeline, RunContext, RunError, Slot, schema_of,
};
use crate::sharp::config::LAYERS;
use crate::sharp::focal::{self, FocalSource, Lens};
use crate::sharp::preprocess::resize;
use crate::sharp::probe::Stage;
use crate::splat::stats::Stats;
use crate::splat::unproject::{Projection, unproject};
use crate::weights::{Files, Models, Resident};
use model::Model;
use params::{Output, Params};
use report::{CameraReport, Report};
use watch::Watch;

/// The input slot.
const IMAGE: &str = "image";
/// Of the weights' source.
const MODEL: &str = "sharp";
/// The largest maps of the published network that are alive at once, and what is around them.
const ACTIVATION_BYTES: u64 = 6 << 30;
/// Its parameters as f32; half as bf16.
const WEIGHT_BYTES: u64 = 2_616_162_040;
/// On a GPU: the maps as bf16, the windows of a convolution, the scores of attention and what
/// becomes of them in f32.
const ACTIVATION_GPU_BYTES: u64 = 8 << 30;
/// A decoded picture and the decoder's own copy.
const BYTES_PER_PIXEL: u64 = 16;

/// The pipeline.
pub struct Sharp {
    models: Models,
    model: Resident<Model>,
}

impl Sharp {
    /// The pipeline with its place for the model; nothing is loaded.
    #[must_use]
    pub fn new(models: &Models) -> Self {
        Self { models: models.clone(), model: models.resident(MODEL) }
    }
}

impl Pipeline for Sharp {
    fn manifest(&self) -> Manifest {
        let readiness = self.models.folder().readiness(MODEL);
        Manifest {
            name: MODEL,
            version: 1,
            title: "One picture to metric 3D Gaussians",
            params_schema: schema_of::<Params>(),
            inputs: vec![Slot {
                name: IMAGE,
                media_types: vec!["image/*"],
                count_min: 1,
                count_max: 1,
                description: "A photo: JPEG, PNG, WebP, TIFF, BMP or GIF.",
            }],
            outputs: Output::slots(),
            memory: memory(0),
            ready: readiness.is_ok(),
            missing: readiness.err().unwrap_or_default(),
            license: "LicenseRef-Apple-ML-Research-Model",
            devices: DeviceKind::built().to_vec(),
            agreement: "",
        }
    }

    fn models(&self) -> &'static [&'static str] {
        &[MODEL]
    }

    fn check_weights(&self, _model: &str, files: &Files) -> Result<(), RunError> {
        Model::check(files)
    }

    fn need(&self, call: &Call) -> Need {
        let size = call.slot(IMAGE).next().and_then(|input| picture_size(&input.path, IMAGE).ok());
        let pixels = size.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
        memory(pixels)
    }

    fn run(&self, call: &Call, context: &mut RunContext) -> Result<Outcome, RunError> {
        let params = Params::of(call)?;
        let input = call.slot(IMAGE).next().expect("the slot's count has been checked");
        // Before the model is loaded: a bad picture is refused at once.
        let photo = photo(&input.path, IMAGE, context.cancel())?;
        let camera = camera(&params, &photo)?;
        let device = context.device().models;
        let model =
            self.model.acquire(context, |files, loading| Model::load(files, loading, device))?;
        let config = model.predictor.config();

        let mut watch = Watch::new(context, model.predictor.device());
        watch.enter(Stage::Preprocess)?;
        let image = resize(&photo.frame, config.internal_size(), model.predictor.device());
        let image = image.map_err(|error| watch.failed(&error))?;
        drop(photo);
        let factors = [camera.disparity_factor];
        let prediction = model.predictor.predict(&image, &factors, &mut watch);
        let mut prediction = prediction.map_err(|error| watch.failed(&error))?;
        drop(image);
        watch.enter(Stage::Unproject)?;
        let mut cloud = prediction.clouds.pop().expect("one picture has one cloud");
        unproject(&mut cloud, &camera.projection());
        let stats = Stats::of(&cloud, LAYERS);
        let report = report(&model, camera, &params, &stats, prediction.global_scale[0]);
        let report = Report { timings_ms: watch.timings(), ..report };
        drop(model);
        files::write(cloud, &params, &report, context)?;
        let metadata = serde_json::to_string(&report)
            .map_err(|error| RunError::internal("report_failed", error))?;
        Ok(Outcome { metadata })
    }
}

/// What a picture of `pixels` needs where it runs on the CPU, and where it runs on a GPU.
fn memory(pixels: u64) -> Need {
    let memory_cpu_bytes = WEIGHT_BYTES + ACTIVATION_BYTES + pixels * BYTES_PER_PIXEL;
    let has_gpu = DeviceKind::built().contains(&DeviceKind::Cuda);
    let memory_gpu_bytes = if has_gpu { WEIGHT_BYTES / 2 + ACTIVATION_GPU_BYTES } else { 0 };
    Need { memory_cpu_bytes, memory_gpu_bytes }
}

/// The camera of `photo`: the caller's word before the file's, the file's before a guess.
fn camera(params: &Params, photo: &Photo) -> Result<CameraReport, RunError> {
    let (width, height) = photo.frame.size();
    let lens = Lens { equivalent_mm: photo.focal_35mm, focal_mm: photo.focal_mm };
    let (mm, source) = lens.full_frame_mm();
    let per_mm = focal::pixels(1.0, width, height);
    let (focal_px, focal_source) = match params.focal_px {
        Some(focal_px) => (focal_px, FocalSource::Parameter),
        None => (focal::pixels(mm, width, height), source),
    };
    let principal = params.principal(width, height)?;
    let [x, y] = principal;
    Ok(CameraReport {
        width,
        height,
        orientation: photo.orientation,
        focal_px,
        focal_mm: focal_px / per_mm,
        focal_source,
        principal,
        intrinsics: [[focal_px, 0.0, x], [0.0, focal_px, y], [0.0, 0.0, 1.0]],
        disparity_factor: (focal_px / width as f64) as f32,
    })
}

impl CameraReport {
    fn projection(&self) -> Projection {
        Projection {
            focal_px: self.focal_px as f32,
            principal: self.principal.map(|at| at as f32),
            width: self.width as f32,
            height: self.height as f32,
        }
    }
}

fn report(
    model: &Model,
    camera: CameraReport,
    params: &Params,
    stats: &Stats,
    global_scale: f32,
) -> Report {
    let config = model.predictor.config();
    let grid = config.internal_size() / crate::sharp::config::STRIDE;
    Report {
        num_gaussians: stats.num_gaussians,
        layers: LAYERS,
        grid: [grid; 2],
        camera,
        axes: params.axes,
        color_space: "sRGB",
        global_scale,
        figures: stats.clone().into(),
        internal_size: config.internal_size(),
        timings_ms: serde_json::Map::new(),
        device: model.kind.as_str(),
        dtype: model.precision.as_str(),
    }
}
