//! `vision@1`: motion, edges, sharpness and key frames of a video or of pictures.
//!
//! Owns the order of the work. Frames are decoded, analysed and dropped one after another, so that
//! memory depends on a frame's size and not on the clip's length. The kernels are in `vision.rs`,
//! the decoders in `media.rs`; `docs/vision.md` is what customers read.

mod analysis;
mod key_frames;
mod params;
mod report;
mod source;

use std::fs::File;
use std::io::{self, BufWriter, Write};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::device::memory_available_bytes;
use crate::media::{Ffmpeg, INSTALL_HINT, PICTURE_PIXELS_MAX, VIDEO_PIXELS_MAX, picture_size};
use crate::pipeline::{
    Call, Manifest, Need, Outcome, Pipeline, RunContext, RunError, Slot, schema_of,
};
use crate::vision::morphology::morphology;
use analysis::{Analysed, Analyst, Picture};
use key_frames::{Candidate, Picker, score};
use params::{KEY_FRAMES_MAX, Params};
use report::{Artifacts, FrameReport, KeyFrame, Report, SamplingReport, Summary};
use source::{FRAME, Source, VIDEO};

/// Memory per pixel of a frame at the default parameters: two expansions (27 each), two sets of
/// matrices and flow (56), planes of the pyramid (20), three coloured frames with edges (12), gray.
const BYTES_PER_PIXEL: u64 = 200;
/// Everything that does not grow with the frame, the decoder's process included.
const BYTES_FIXED: u64 = 256 << 20;
const PNG: &str = "image/png";
/// Pictures of one call.
const PICTURES_MAX: u32 = 1024;

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
            outputs: vec![
                slot("key_frame", PNG, KEY_FRAMES_MAX, "Key frames, as `key_frame_0.png`, …"),
                slot("edges", PNG, KEY_FRAMES_MAX, "Their Canny edges, as `edges_0.png`, …"),
                slot("mask", PNG, KEY_FRAMES_MAX, "Morphology of the edges, as `mask_0.png`, …"),
            ],
            memory: need(1920 * 1080),
            ready: true,
            missing: Ffmpeg::find().map_or_else(|_| INSTALL_HINT.to_owned(), |_| String::new()),
            license: "Apache-2.0",
        }
    }

    fn need(&self, call: &Call) -> Need {
        // A video's header is in a container that only ffprobe reads: the bound is the largest.
        let first = call.slot(FRAME).next();
        let size = first.and_then(|input| picture_size(&input.path, FRAME).ok());
        let pixels = size.map_or(VIDEO_PIXELS_MAX, |(width, height)| pixels_of(width, height));
        need(pixels.min(PICTURE_PIXELS_MAX))
    }

    fn run(&self, call: &Call, context: &mut RunContext) -> Result<Outcome, RunError> {
        let params = call.params::<Params>()?;
        params.check()?;
        let params = params.effective();
        context.progress(0.0, "probe", "");
        let source = Source::open(call, &params, context)?;
        let report = Run::new(params, &source).analyse(source, context)?;
        let metadata = serde_json::to_string(&report)
            .map_err(|error| RunError::internal("report_failed", error))?;
        Ok(Outcome { metadata })
    }
}

/// One call's work in progress.
struct Run {
    params: Params,
    analyst: Analyst,
    picker: Picker<Picture>,
    /// The frame whose outgoing motion is not known yet.
    last: Option<Analysed>,
    frames: Vec<FrameReport>,
    key_frames: Vec<KeyFrame>,
    size: (usize, usize),
}

impl Run {
    fn new(params: Params, source: &Source) -> Self {
        Self {
            analyst: Analyst::new(&params),
            picker: Picker::new(params.key_frames, source.facts().frames_expected),
            params,
            last: None,
            frames: Vec::new(),
            key_frames: Vec::new(),
            size: (0, 0),
        }
    }

    fn analyse(mut self, mut source: Source, run: &mut RunContext) -> Result<Report, RunError> {
        let expected = source.facts().frames_expected;
        while let Some(sampled) = source.next_frame()? {
            run.check_cancel()?;
            if self.frames.is_empty() {
                self.size = sampled.frame.size();
                check_memory(self.size)?;
            }
            let analysed = self.analyst.analyse(sampled)?;
            self.frames.push(frame_report(self.frames.len(), &analysed));
            self.settle_last(Some(analysed), run)?;
            let count = self.frames.len();
            // The last twentieth is for what comes after the frames.
            let fraction = 0.95 * count as f64 / expected as f64;
            run.progress(fraction.min(0.95), "analyse", format_args!("{count} of {expected}"));
        }
        run.check_cancel()?;
        run.progress(0.95, "finish", "");
        let facts = source.facts().clone();
        let ending = source.finish()?;
        self.settle_last(None, run)?;
        let Self { picker, mut key_frames, mut frames, params, size, .. } = self;
        if let Some(chosen) = picker.finish() {
            key_frames.push(write_key_frame(key_frames.len(), chosen, &params, run)?);
        }
        for (frame, stamp) in frames.iter_mut().zip(ending.stamps) {
            (frame.source_index, frame.time_s) = (stamp.source_index, stamp.time_s);
        }
        for key_frame in &mut key_frames {
            let frame = usize::try_from(key_frame.index).ok().and_then(|index| frames.get(index));
            key_frame.time_s = frame.and_then(|frame| frame.time_s);
        }
        let sampling = SamplingReport {
            every_n: params.every_n,
            sample_fps: params.sample_fps,
            max_frames: params.max_frames,
            frames: frames.len(),
        };
        let summary = Summary::of(&frames);
        let source = facts.report(size, ending.damaged);
        Ok(Report { source, sampling, summary, frames, key_frames, params })
    }

    /// The last frame's outgoing motion is now known: it is `next`'s incoming one.
    fn settle_last(
        &mut self,
        next: Option<Analysed>,
        run: &mut RunContext,
    ) -> Result<(), RunError> {
        let motion_out = next.as_ref().and_then(|next| next.motion).map(|motion| motion.mean_px);
        let settled = std::mem::replace(&mut self.last, next);
        let Some(last) = settled else { return Ok(()) };
        let index = (self.frames.len() - usize::from(self.last.is_some()) - 1) as u64;
        let motion_in = last.motion.map(|motion| motion.mean_px);
        let score = score(last.sharpness, motion_in, motion_out);
        let candidate = Candidate { index, score, picture: last.picture };
        if let Some(chosen) = self.picker.offer(candidate) {
            let number = self.key_frames.len();
            self.key_frames.push(write_key_frame(number, chosen, &self.params, run)?);
        }
        Ok(())
    }
}

/// Times are filled in at the end, when the decoder has told them.
fn frame_report(index: usize, analysed: &Analysed) -> FrameReport {
    FrameReport {
        index: index as u64,
        source_index: None,
        time_s: None,
        motion_mean: analysed.motion.map(|motion| motion.mean_px),
        motion_max: analysed.motion.map(|motion| motion.max_px),
        edge_density: analysed.edge_density,
        sharpness: analysed.sharpness,
    }
}

fn write_key_frame(
    number: usize,
    chosen: Candidate<Picture>,
    params: &Params,
    run: &mut RunContext,
) -> Result<KeyFrame, RunError> {
    let Picture { color, edges } = chosen.picture;
    let mask = morphology(&edges, &params.mask())
        .map_err(|error| RunError::internal("kernel_refused", error))?;
    let artifacts = Artifacts {
        frame: format!("key_frame_{number}.png"),
        edges: format!("edges_{number}.png"),
        mask: format!("mask_{number}.png"),
    };
    let (size, rgb, gray) = (color.size(), ExtendedColorType::Rgb8, ExtendedColorType::L8);
    let color = color.data().as_flattened();
    run.output(&artifacts.frame, PNG, |file| write_png(file, color, size, rgb))?;
    run.output(&artifacts.edges, PNG, |file| write_png(file, edges.data(), size, gray))?;
    run.output(&artifacts.mask, PNG, |file| write_png(file, mask.data(), size, gray))?;
    Ok(KeyFrame { index: chosen.index, time_s: None, score: chosen.score, artifacts })
}

fn write_png(
    file: &mut BufWriter<File>,
    samples: &[u8],
    (width, height): (usize, usize),
    color: ExtendedColorType,
) -> io::Result<()> {
    let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
    let encoder =
        PngEncoder::new_with_quality(file.by_ref(), CompressionType::Fast, FilterType::Adaptive);
    encoder.write_image(samples, side(width)?, side(height)?, color).map_err(|error| match error {
        image::ImageError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// Refuses before the kernel of the system would kill the whole process for it.
fn check_memory((width, height): (usize, usize)) -> Result<(), RunError> {
    let need = need(width as u64 * height as u64).memory_cpu_bytes;
    match memory_available_bytes() {
        Some(available) if available < need => {
            let (need, available) = (need >> 20, available >> 20);
            let detail = format!("frames of this size need {need} MiB; {available} MiB are free");
            Err(RunError::resource("memory_short", detail))
        }
        _ => Ok(()),
    }
}

fn need(pixels: u64) -> Need {
    let memory_cpu_bytes = BYTES_FIXED + pixels.saturating_mul(BYTES_PER_PIXEL);
    Need { memory_cpu_bytes, memory_gpu_bytes: 0 }
}

fn pixels_of(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}
