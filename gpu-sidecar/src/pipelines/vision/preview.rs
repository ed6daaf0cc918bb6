//! The preview: every sampled frame with its edges and figures, as one video.
//!
//! Owns its rate. Frames come drawn (`annotation.rs`); the encoder is `media.rs`'s.

use super::outputs::{MP4, PREVIEW_FILE};
use super::params::Params;
use super::source::Facts;
use crate::media::{Encoder, Frame};
use crate::pipeline::{RunContext, RunError};

/// Frames per second where nothing says at what rate they were taken.
const FPS_USUAL: f64 = 10.0;
const FPS_MIN: f64 = 1.0;
const FPS_MAX: f64 = 60.0;

/// A preview in the making.
pub(super) struct Preview {
    encoder: Encoder,
}

impl Preview {
    /// Starts the encoder for frames of this size.
    pub(super) fn start(
        size: (usize, usize),
        fps: f64,
        run: &mut RunContext,
    ) -> Result<Self, RunError> {
        let path = run.output_path(PREVIEW_FILE);
        run.make_out_dir()?;
        Ok(Self { encoder: Encoder::start(&path, size, fps, run.cancel())? })
    }

    /// Adds a frame; waits while the encoder is behind.
    pub(super) fn add(&mut self, frame: &Frame) -> Result<(), RunError> {
        self.encoder.write(frame)
    }

    /// Waits for the encoder's end and lists the file.
    pub(super) fn finish(self, run: &mut RunContext) -> Result<(), RunError> {
        self.encoder.finish()?;
        run.output_written(PREVIEW_FILE, MP4)
    }
}

/// The rate of the sampled frames, so that the preview is as long as what it shows.
pub(super) fn fps(params: &Params, facts: &Facts) -> f64 {
    let every = f64::from(params.every_n.unwrap_or(1));
    let sampled = match (params.sample_fps, facts.fps) {
        (Some(wanted), Some(fps)) => wanted.min(fps),
        (Some(wanted), None) => wanted,
        (None, fps) => fps.map_or(FPS_USUAL, |fps| fps / every),
    };
    sampled.clamp(FPS_MIN, FPS_MAX)
}
