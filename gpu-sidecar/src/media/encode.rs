//! Frames of ours become a video: ffmpeg in a process of its own, fed through a pipe.
//!
//! Owns the choice of the encoder and the preview's size. The child sees only pixels that we made;
//! it still runs under limits, because what it is given may be large.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;

use super::Frame;
use super::ffmpeg::{Child, Ended, Ffmpeg};
use super::limits::{PREVIEW_FILE_BLOCKS_MAX, WALL_MAX, limited_to};
use crate::pipeline::{Cancel, RunError};

/// Longest side of the video: frames are made smaller to fit.
const SIDE_MAX: u32 = 1280;
/// Encoders that make a video every browser plays, the best first; the last is always there.
const ENCODERS: [&str; 3] = ["libx264", "libopenh264", "mpeg4"];
/// `ffmpeg -encoders` writes about 20 KiB.
const LIST_BYTES_MAX: u64 = 256 << 10;

/// A running encoder.
pub struct Encoder {
    child: Child,
    pixels: Option<ChildStdin>,
    size: (usize, usize),
    /// A write failed: the child has ended, and `finish` learns why.
    broken: bool,
}

impl Encoder {
    /// Starts ffmpeg, which will write an MP4 to `path`; all frames have this `size`.
    ///
    /// # Errors
    /// `Unavailable`: no ffmpeg here. `Internal` when the process cannot be started.
    pub fn start(
        path: &Path,
        size: (usize, usize),
        fps: f64,
        cancel: &Arc<Cancel>,
    ) -> Result<Self, RunError> {
        let failed = |error| RunError::file("running ffmpeg", &error);
        let ffmpeg = Ffmpeg::find()?;
        let encoder = choose(&ffmpeg, cancel)?;
        let mut command = limited_to(&ffmpeg.ffmpeg, PREVIEW_FILE_BLOCKS_MAX);
        command.args(["-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,pipe"]);
        command.args(["-f", "rawvideo", "-pix_fmt", "rgb24"]);
        let (width, height) = size;
        command.args(["-s", &format!("{width}x{height}"), "-r", &format!("{fps:.3}")]);
        // Even sides: 4:2:0 has one colour sample for two pixels.
        let scale = format!(
            "scale=w='max(2,min({SIDE_MAX},iw))':h='max(2,min({SIDE_MAX},ih))':\
             force_original_aspect_ratio=decrease:force_divisible_by=2,format=yuv420p"
        );
        command.args(["-i", "pipe:0", "-vf", &scale, "-c:v", encoder, "-threads", "2"]);
        command.args(match encoder {
            "libx264" => ["-preset", "veryfast", "-crf", "25"],
            _ => ["-b:v", "2500k", "-g", "60"],
        });
        let path = std::path::absolute(path).map_err(failed)?;
        let mut url = std::ffi::OsString::from("file:");
        url.push(path);
        command.args(["-movflags", "+faststart", "-f", "mp4", "-y"]).arg(url);
        command.stdin(Stdio::piped());
        let (child, _) = Child::start(command, cancel, WALL_MAX, |_| false).map_err(failed)?;
        let pixels = child.stdin();
        Ok(Self { child, pixels, size, broken: false })
    }

    /// Adds a frame; waits while ffmpeg is behind. After a failure it does nothing.
    ///
    /// # Errors
    /// `Internal` when the frame has another size.
    pub fn write(&mut self, frame: &Frame) -> Result<(), RunError> {
        if frame.size() != self.size {
            return Err(RunError::internal("preview_failed", "frames of different sizes"));
        }
        if let Some(pixels) = self.pixels.as_mut().filter(|_| !self.broken) {
            self.broken = pixels.write_all(frame.data().as_flattened()).is_err();
        }
        Ok(())
    }

    /// Waits for the end of the file.
    ///
    /// # Errors
    /// `Canceled`, `Resource` when a limit was reached, `Internal` otherwise.
    pub fn finish(mut self) -> Result<(), RunError> {
        drop(self.pixels.take());
        let ended = self.child.wait().map_err(|error| RunError::file("running ffmpeg", &error))?;
        let Ended { status, cause, complaint } = ended;
        match cause {
            Some(cause) => Err(cause.into()),
            None if status.success() && !self.broken => Ok(()),
            None if complaint.contains("No space left") => {
                Err(RunError::resource("disk_full", "writing the preview"))
            }
            None => {
                let detail = format!("the preview could not be encoded ({status}): {complaint}");
                Err(RunError::internal("preview_failed", detail))
            }
        }
    }
}

/// The best of [`ENCODERS`] that this ffmpeg has.
fn choose(ffmpeg: &Ffmpeg, cancel: &Arc<Cancel>) -> Result<&'static str, RunError> {
    use std::io::Read;

    let failed = |error| RunError::file("running ffmpeg", &error);
    let mut command = limited_to(&ffmpeg.ffmpeg, 0);
    command.args(["-hide_banner", "-loglevel", "error", "-encoders"]);
    let (child, stdout) = Child::start(command, cancel, WALL_MAX, |_| false).map_err(failed)?;
    let mut list = String::new();
    stdout.take(LIST_BYTES_MAX).read_to_string(&mut list).map_err(failed)?;
    child.wait().map_err(failed)?;
    let has = |name: &str| list.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
    Ok(ENCODERS.into_iter().find(|name| has(name)).unwrap_or("mpeg4"))
}
