//! Where frames come from: a video or a list of pictures, one frame at a time.
//!
//! Owns the choice between the two and what the answer says of them. Knows decoders and sampling,
//! not what is done with a frame.

use std::sync::Arc;

use crate::media::{Frame, Frames, Sampling, Stamp, Video, picture};
use crate::pipeline::{Call, Cancel, Input, RunContext, RunError};

use super::params::Params;
use super::report;

/// The slot of a video.
pub(super) const VIDEO: &str = "video";
/// The slot of pictures.
pub(super) const FRAME: &str = "frame";

/// Frames of one call.
pub(super) struct Source {
    facts: Facts,
    kind: Kind,
}

enum Kind {
    Video(Box<Frames>),
    Pictures(Pictures),
}

struct Pictures {
    /// The sampled ones, with their places in the caller's list.
    files: std::vec::IntoIter<(u64, Input)>,
    stamps: Vec<Stamp>,
    fps: Option<f64>,
    size: Option<(usize, usize)>,
    cancel: Arc<Cancel>,
}

/// What is known before the first frame.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) fps: Option<f64>,
    pub(super) duration_s: Option<f64>,
    pub(super) codec: Option<String>,
    pub(super) pixel_format: Option<String>,
    pub(super) color_transfer: Option<String>,
    pub(super) frames_total: u64,
    /// After sampling; a guess for a video of varying frame rate.
    pub(super) frames_expected: u64,
}

/// A frame and what a refusal of it would name.
pub(super) struct Sampled {
    pub(super) frame: Arc<Frame>,
    pub(super) field: String,
}

/// What the end showed.
pub(super) struct Ending {
    pub(super) stamps: Vec<Stamp>,
    pub(super) damaged: bool,
}

impl Source {
    /// Looks at the inputs; decodes nothing yet.
    pub(super) fn open(
        call: &Call,
        params: &Params,
        context: &RunContext,
    ) -> Result<Self, RunError> {
        let video = call.slot(VIDEO).next();
        let pictures: Vec<Input> = call.slot(FRAME).cloned().collect();
        match (video, pictures.is_empty()) {
            (Some(video), true) => Self::open_video(video, params, context),
            (None, false) => Ok(Self::open_pictures(pictures, params, context)),
            (None, true) => {
                let detail = "send a `video`, or pictures as `frame`";
                Err(RunError::input("input_missing", VIDEO, detail))
            }
            (Some(_), false) => {
                let detail = "send a `video` or pictures as `frame`, not both";
                Err(RunError::input("input_conflict", FRAME, detail))
            }
        }
    }

    fn open_video(input: &Input, params: &Params, run: &RunContext) -> Result<Self, RunError> {
        let video = Video::probe(&input.path, run.cancel())?;
        let frames_max = u64::from(params.max_frames);
        let facts = Facts {
            fps: video.fps,
            duration_s: video.duration_s,
            codec: Some(video.codec.clone()),
            pixel_format: video.pixel_format.clone(),
            color_transfer: video.color_transfer.clone(),
            frames_total: video.frames,
            frames_expected: expected(&video, params.sampling()).clamp(1, frames_max),
        };
        let frames = Frames::start(&video, params.sampling(), frames_max, run.cancel())?;
        Ok(Self { facts, kind: Kind::Video(Box::new(frames)) })
    }

    fn open_pictures(inputs: Vec<Input>, params: &Params, run: &RunContext) -> Self {
        let step = params.every_n.unwrap_or(1) as usize;
        let frames_total = inputs.len() as u64;
        let files: Vec<(u64, Input)> =
            (0..).zip(inputs).step_by(step).take(params.max_frames as usize).collect();
        let facts = Facts {
            fps: params.sample_fps,
            duration_s: None,
            codec: None,
            pixel_format: None,
            color_transfer: None,
            frames_total,
            frames_expected: files.len() as u64,
        };
        let (files, fps) = (files.into_iter(), params.sample_fps);
        let cancel = Arc::clone(run.cancel());
        let pictures = Pictures { files, stamps: Vec::new(), fps, size: None, cancel };
        Self { facts, kind: Kind::Pictures(pictures) }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The next sampled frame; `None` at the end.
    pub(super) fn next_frame(&mut self) -> Result<Option<Sampled>, RunError> {
        match &mut self.kind {
            Kind::Video(frames) => {
                let field = VIDEO.to_owned();
                let frame = frames.next_frame()?.map(Arc::new);
                Ok(frame.map(|frame| Sampled { frame, field }))
            }
            Kind::Pictures(pictures) => pictures.next_frame(),
        }
    }

    /// Ends the decoder and says what it knows only now.
    pub(super) fn finish(self) -> Result<Ending, RunError> {
        match self.kind {
            Kind::Video(frames) => {
                let ending = frames.finish()?;
                Ok(Ending { stamps: ending.stamps, damaged: ending.damaged })
            }
            Kind::Pictures(pictures) => Ok(Ending { stamps: pictures.stamps, damaged: false }),
        }
    }
}

impl Pictures {
    fn next_frame(&mut self) -> Result<Option<Sampled>, RunError> {
        let Some((place, input)) = self.files.next() else { return Ok(None) };
        let field = format!("{FRAME}[{place}]");
        let frame = picture(&input.path, &field, &self.cancel)?;
        let (width, height) = *self.size.get_or_insert(frame.size());
        if frame.size() != (width, height) {
            let (other_width, other_height) = frame.size();
            let detail = format!(
                "{other_width} x {other_height}, but the first is {width} x {height}; \
                 all frames of one call have one size"
            );
            return Err(RunError::input("frame_size_differs", &field, detail));
        }
        let index = self.stamps.len() as f64;
        let time_s = self.fps.map(|fps| index / fps);
        self.stamps.push(Stamp { source_index: Some(place), time_s });
        Ok(Some(Sampled { frame: Arc::new(frame), field }))
    }
}

impl Facts {
    /// As the answer tells it.
    pub(super) fn report(self, size: (usize, usize), damaged: bool) -> report::Source {
        report::Source {
            kind: if self.codec.is_some() { "video" } else { "frames" },
            width: size.0,
            height: size.1,
            fps: self.fps,
            duration_s: self.duration_s,
            codec: self.codec,
            pixel_format: self.pixel_format,
            color_transfer: self.color_transfer,
            frames_total: Some(self.frames_total),
            damaged,
        }
    }
}

/// How many frames a sampling takes from a video, as its headers have it.
fn expected(video: &Video, sampling: Sampling) -> u64 {
    match sampling {
        Sampling::EveryN(n) => video.frames.div_ceil(u64::from(n.max(1))),
        Sampling::Fps(fps) => {
            let by_rate = video.fps.map(|rate| video.frames as f64 / rate);
            let intervals = video.duration_s.or(by_rate).map(|seconds| (seconds * fps).ceil());
            intervals.map_or(video.frames, |count| video.frames.min(count as u64))
        }
    }
}
