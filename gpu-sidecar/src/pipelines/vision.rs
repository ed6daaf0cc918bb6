//! `vision@1`: motion, edges, sharpness, key frames and more of a video or of pictures.
//!
//! Owns the order of the work. Frames are decoded, analysed in chunks and dropped, so that memory
//! depends on a frame's size and not on the clip's length. The kernels are in `vision.rs`, the
//! decoders in `media.rs`; `docs/vision.md` is what customers read. Start at `stream::Plan`.

mod stream;

mod source;

mod analysis;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(not(feature = "cuda"))]
#[path = "vision/gpu_none.rs"]
mod gpu;
mod key_frames;

mod outputs;
mod params;
mod presets;
mod report;

mod artifacts;
mod defects;
mod flow_files;
mod heatmap;

mod annotation;
mod archive;
mod plot;
mod preview;

mod canvas;
mod color_map;

use crate::device::{DeviceKind, memory_available_bytes};
use crate::media::{Ffmpeg, INSTALL_HINT, PICTURE_PIXELS_MAX, VIDEO_PIXELS_MAX, picture_size};
use crate::pipeline::{
    Call, Manifest, Need, Outcome, Pipeline, RunContext, RunError, Slot, schema_of,
};
use analysis::{Analysed, Figures, Picture};
use artifacts::Writer;
use key_frames::{Candidate, Picker, score};
use outputs::{ARCHIVE_FILE, Output, PLOT_FILE, PREVIEW_FILE, SVG};
use params::Params;
use preview::Preview;
use report::{ClipArtifacts, FrameReport, KeyFrame, Report, SamplingReport, Summary};
use source::{Ending, FRAME, Facts, Source, VIDEO};
use stream::Plan;

/// Everything that does not grow with the frame, the decoder's process included.
const BYTES_FIXED: u64 = 256 << 20;
/// A key frame's flow is computed again, beside the analysts.
const FLOW_BYTES_PER_PIXEL: u64 = 130;
/// Planes, runs and regions; noise has a region for every fourth pixel.
const DEFECTS_BYTES_PER_PIXEL: u64 = 80;
/// Pictures of one call.
const PICTURES_MAX: u32 = 1024;

/// What `vision/cuda/tests.rs` holds the kernels of both to.
const AGREEMENT: &str = "Edges, masks and sharpness are the same on CPU and GPU; flow differs by \
                         less than 0.001 px in the mean and 0.01 px at the 99th percentile.";

/// The pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Vision;

impl Pipeline for Vision {
    fn manifest(&self) -> Manifest {
        let slot = |name, media_types, count_max, description| Slot {
            name,
            media_types: vec![media_types],
            count_min: 0,
            count_max,
            description,
        };
        Manifest {
            name: "vision",
            version: 1,
            title: "Motion, edges, sharpness and key frames of a video",
            params_schema: schema_of::<Params>(),
            inputs: vec![
                slot(VIDEO, "video/*", 1, "A video in any container and codec of ffmpeg."),
                slot(FRAME, "image/*", PICTURES_MAX, "Pictures of one size, instead of a video."),
            ],
            outputs: outputs::slots(),
            memory: need(plan(1920 * 1080, &Params::default(), false)),
            ready: true,
            missing: Ffmpeg::find().map_or_else(|_| INSTALL_HINT.to_owned(), |_| String::new()),
            license: "Apache-2.0",
            devices: DeviceKind::built().to_vec(),
            agreement: AGREEMENT,
        }
    }

    fn need(&self, call: &Call) -> Need {
        // A video's header is in a container that only ffprobe reads: the bound is the largest.
        let first = call.slot(FRAME).next();
        let size = first.and_then(|input| picture_size(&input.path, FRAME).ok());
        let pixels =
            size.map_or(VIDEO_PIXELS_MAX, |(width, height)| u64::from(width) * u64::from(height));
        let params = call.params::<Params>().unwrap_or_default();
        need(plan(pixels.min(PICTURE_PIXELS_MAX), &params, false))
    }

    fn run(&self, call: &Call, context: &mut RunContext) -> Result<Outcome, RunError> {
        let params = presets::params(call)?;
        context.progress(0.0, "probe", "");
        let source = Source::open(call, &params, context)?;
        let archived = params.wants(Output::Zip);
        let report = Run::new(params, source.facts()).analyse(source, context)?;
        let metadata = serde_json::to_string(&report)
            .map_err(|error| RunError::internal("report_failed", error))?;
        if archived {
            context.progress(0.98, "pack", "");
            archive::write(&metadata, context)?;
        }
        Ok(Outcome { metadata })
    }
}

/// One call's work in progress.
struct Run {
    params: Params,
    facts: Facts,
    picker: Picker<Picture>,
    /// The frame whose outgoing motion is not known yet.
    last: Option<(u64, Figures, Picture)>,
    frames: Vec<FrameReport>,
    key_frames: Vec<KeyFrame>,
    preview: Option<Preview>,
}

impl Run {
    fn new(params: Params, facts: &Facts) -> Self {
        Self {
            picker: Picker::new(params.key_frames, facts.frames_expected),
            params,
            facts: facts.clone(),
            last: None,
            frames: Vec::new(),
            key_frames: Vec::new(),
            preview: None,
        }
    }

    fn analyse(mut self, mut source: Source, run: &mut RunContext) -> Result<Report, RunError> {
        let Some(first) = source.next_frame()? else {
            let ending = source.finish()?;
            return self.report((0, 0), ending, run);
        };
        let size = first.frame.size();
        let gpu = gpu::find(run.device())?;
        let plan = plan(size.0 as u64 * size.1 as u64, &self.params, gpu.is_some());
        check_memory(plan)?;
        if self.params.wants(Output::Preview) {
            let fps = preview::fps(&self.params, &self.facts);
            self.preview = Some(Preview::start(size, fps, run)?);
        }
        let (params, cancel) = (self.params.clone(), std::sync::Arc::clone(run.cancel()));
        let ending = plan.run((first, source), (&params, gpu.as_ref()), &cancel, |chunk| {
            for analysed in chunk {
                self.take(analysed, run)?;
            }
            let (count, expected) = (self.frames.len(), self.facts.frames_expected);
            // The last twentieth is for what comes after the frames.
            let fraction = 0.95 * count as f64 / expected as f64;
            run.progress(fraction.min(0.95), "analyse", format_args!("{count} of {expected}"));
            run.check_cancel()
        })?;
        run.check_cancel()?;
        self.report(size, ending, run)
    }

    /// One frame's figures, in the order of the clip.
    fn take(&mut self, analysed: Analysed, run: &mut RunContext) -> Result<(), RunError> {
        let Analysed { index, figures, picture, annotated } = analysed;
        if let (Some(preview), Some(frame)) = (&mut self.preview, &annotated) {
            preview.add(frame)?;
        }
        self.frames.push(frame_report(index, &figures));
        self.settle_last(Some((index, figures, picture)), run)
    }

    /// The last frame's outgoing motion is now known: it is `next`'s incoming one.
    fn settle_last(
        &mut self,
        next: Option<(u64, Figures, Picture)>,
        run: &mut RunContext,
    ) -> Result<(), RunError> {
        let mean = |figures: &Figures| figures.motion.map(|motion| motion.mean_px);
        let motion_out = next.as_ref().and_then(|(_, figures, _)| mean(figures));
        let Some((index, figures, picture)) = std::mem::replace(&mut self.last, next) else {
            return Ok(());
        };
        let score = score(figures.sharpness, mean(&figures), motion_out);
        if let Some(chosen) = self.picker.offer(Candidate { index, score, picture }) {
            self.write_key_frame(&chosen, run)?;
        }
        Ok(())
    }

    fn write_key_frame(
        &mut self,
        chosen: &Candidate<Picture>,
        run: &mut RunContext,
    ) -> Result<(), RunError> {
        let number = self.key_frames.len();
        let mut writer = Writer { number, params: &self.params, run };
        let (artifacts, defects) = writer.write(&chosen.picture)?;
        let (index, score) = (chosen.index, chosen.score);
        self.key_frames.push(KeyFrame { index, time_s: None, score, defects, artifacts });
        Ok(())
    }

    /// What comes after the frames: the last key frame, times, files of the whole clip.
    fn report(
        mut self,
        size: (usize, usize),
        ending: Ending,
        run: &mut RunContext,
    ) -> Result<Report, RunError> {
        run.progress(0.95, "finish", "");
        self.settle_last(None, run)?;
        if let Some(chosen) = self.picker.take() {
            self.write_key_frame(&chosen, run)?;
        }
        for (frame, stamp) in self.frames.iter_mut().zip(ending.stamps) {
            (frame.source_index, frame.time_s) = (stamp.source_index, stamp.time_s);
        }
        for key_frame in &mut self.key_frames {
            let index = usize::try_from(key_frame.index).ok();
            key_frame.time_s = index.and_then(|index| self.frames.get(index)?.time_s);
        }
        let artifacts = self.write_clip_artifacts(run)?;
        let Self { frames, key_frames, params, facts, .. } = self;
        let sampling = SamplingReport {
            every_n: params.every_n,
            sample_fps: params.sample_fps,
            max_frames: params.max_frames,
            frames: frames.len(),
        };
        let summary = Summary::of(&frames);
        let source = facts.report(size, ending.damaged);
        Ok(Report { source, sampling, summary, frames, key_frames, artifacts, params })
    }

    fn write_clip_artifacts(&mut self, run: &mut RunContext) -> Result<ClipArtifacts, RunError> {
        let mut artifacts = ClipArtifacts::default();
        if let Some(preview) = self.preview.take() {
            run.progress(0.96, "encode", "");
            preview.finish(run)?;
            artifacts.preview = Some(PREVIEW_FILE);
        }
        if self.params.wants(Output::Plot) {
            let write = |file: &mut _| plot::write(file, &self.frames, &self.key_frames);
            run.output(PLOT_FILE, SVG, write)?;
            artifacts.plot = Some(PLOT_FILE);
        }
        // Written when the answer is complete, because it holds the answer.
        artifacts.archive = self.params.wants(Output::Zip).then_some(ARCHIVE_FILE);
        Ok(artifacts)
    }
}

/// Times are filled in at the end, when the decoder has told them.
fn frame_report(index: u64, figures: &Figures) -> FrameReport {
    FrameReport {
        index,
        source_index: None,
        time_s: None,
        motion_mean: figures.motion.map(|motion| motion.mean_px),
        motion_max: figures.motion.map(|motion| motion.max_px),
        edge_density: figures.edge_density,
        sharpness: figures.sharpness,
    }
}

/// As many threads as the pool has in which the run was started: usually one for each core.
fn plan(pixels: u64, params: &Params, on_gpu: bool) -> Plan {
    let copies = if params.wants(Output::Preview) { 2 } else { 1 };
    let made = if on_gpu { Plan::alone } else { Plan::new };
    let mut plan = made(pixels, copies, rayon::current_num_threads());
    let flows = [Output::FlowFlo, Output::FlowSafetensors, Output::FlowPng];
    if flows.into_iter().any(|output| params.wants(output)) {
        plan.memory_bytes += pixels.saturating_mul(FLOW_BYTES_PER_PIXEL);
    }
    if params.wants(Output::Defects) {
        plan.memory_bytes += pixels.saturating_mul(DEFECTS_BYTES_PER_PIXEL);
    }
    plan
}

/// Refuses before the kernel of the system would kill the whole process for it.
fn check_memory(plan: Plan) -> Result<(), RunError> {
    let need = need(plan).memory_cpu_bytes;
    match memory_available_bytes() {
        Some(available) if available < need => {
            let (need, available) = (need >> 20, available >> 20);
            let detail = format!("frames of this size need {need} MiB; {available} MiB are free");
            Err(RunError::resource("memory_short", detail))
        }
        _ => Ok(()),
    }
}

fn need(plan: Plan) -> Need {
    Need { memory_cpu_bytes: BYTES_FIXED + plan.memory_bytes, memory_gpu_bytes: 0 }
}
