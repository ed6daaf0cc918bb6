//! What a video is, from its headers and packets, before anything is decoded.
//!
//! Owns the refusal of what is not a video or too large. Runs `ffprobe` under the decoder's limits.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::ffmpeg::{Child, Ended, Ffmpeg, on_input};
use super::limits::{PROBE_WALL_MAX, VIDEO_PIXELS_MAX, VIDEO_SIDE_MAX};
use crate::pipeline::{Cancel, RunError};

/// The field that a refusal names.
pub(super) const FIELD: &str = "video";
/// One stream's facts are a few hundred bytes; more is not ffprobe's answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A video file that ffprobe understands.
#[derive(Debug, Clone)]
pub struct Video {
    pub(super) path: PathBuf,
    pub(super) ffmpeg: Ffmpeg,
    /// ffmpeg's name of the codec: `h264`.
    pub codec: String,
    /// How samples are stored: `yuv420p10le`.
    pub pixel_format: Option<String>,
    /// The curve of their values: `bt709`, `smpte2084` (HDR10), `arib-std-b67` (HLG).
    pub color_transfer: Option<String>,
    /// Average frames per second; `None` when the file does not say.
    pub fps: Option<f64>,
    pub duration_s: Option<f64>,
    /// Packets in the video stream, nearly always one a frame; at least 1.
    pub frames: u64,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<StreamAnswer>,
    #[serde(default)]
    format: FormatAnswer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamAnswer {
    codec_name: String,
    pix_fmt: String,
    color_transfer: String,
    width: u32,
    height: u32,
    avg_frame_rate: String,
    r_frame_rate: String,
    duration: String,
    nb_read_packets: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FormatAnswer {
    duration: String,
}

impl Video {
    /// Reads the container once. Cover pictures of songs are no video.
    ///
    /// # Errors
    /// `Input`: undecodable, no frames, too large. `Unavailable`: no ffmpeg here.
    pub fn probe(path: &Path, cancel: &Arc<Cancel>) -> Result<Self, RunError> {
        let file = fs::metadata(path).map_err(|error| RunError::file("the video", &error))?;
        if file.len() == 0 {
            return Err(RunError::input("video_undecodable", FIELD, "the file is empty"));
        }
        let ffmpeg = Ffmpeg::find()?;
        let answer = ask(&ffmpeg, path, cancel)?;
        let Some(stream) = answer.streams.into_iter().next() else {
            let detail = "the file has no video stream";
            return Err(RunError::input("video_has_no_frames", FIELD, detail));
        };
        let frames = stream.nb_read_packets.parse().unwrap_or(0);
        if frames == 0 {
            let detail = "the video stream has no frames";
            return Err(RunError::input("video_has_no_frames", FIELD, detail));
        }
        check_size(stream.width, stream.height)?;
        let seconds = |text: &str| text.parse().ok().filter(|value: &f64| *value > 0.0);
        let duration_s = seconds(&stream.duration).or_else(|| seconds(&answer.format.duration));
        let fps = rate(&stream.avg_frame_rate).or_else(|| rate(&stream.r_frame_rate));
        let path = path.to_owned();
        let known = |text: String| Some(text).filter(|it| !it.is_empty() && it != "unknown");
        Ok(Self {
            path,
            ffmpeg,
            codec: stream.codec_name,
            pixel_format: known(stream.pix_fmt),
            color_transfer: known(stream.color_transfer),
            fps,
            duration_s,
            frames,
        })
    }
}

/// Refuses frames whose planes would not fit the machine.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), RunError> {
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > VIDEO_SIDE_MAX || pixels > VIDEO_PIXELS_MAX {
        let megapixels = VIDEO_PIXELS_MAX / 1_000_000;
        let detail = format!(
            "{width} x {height}; at most {VIDEO_SIDE_MAX} pixels a side and {megapixels} MP"
        );
        return Err(RunError::input("video_too_large", FIELD, detail));
    }
    Ok(())
}

fn ask(ffmpeg: &Ffmpeg, path: &Path, cancel: &Arc<Cancel>) -> Result<Answer, RunError> {
    let mut command = on_input(&ffmpeg.ffprobe, path);
    // `V`: video streams that are not attached pictures.
    command.args(["-select_streams", "V:0", "-count_packets", "-of", "json", "-show_entries"]);
    command.arg(
        "stream=codec_name,pix_fmt,color_transfer,width,height,avg_frame_rate,r_frame_rate,\
         duration,nb_read_packets:format=duration",
    );
    let failed = |error| RunError::file("running ffprobe", &error);
    let (child, stdout) =
        Child::start(command, cancel, PROBE_WALL_MAX, |_| false).map_err(failed)?;
    let mut text = Vec::new();
    stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    let ended = child.wait().map_err(failed)?;
    match serde_json::from_slice(&text) {
        Ok(answer) if ended.status.success() => Ok(answer),
        _ => Err(refusal(&ended, path)),
    }
}

/// Why ffmpeg could not make a frame of the file.
pub(super) fn refusal(ended: &Ended, path: &Path) -> RunError {
    if let Some(cause) = ended.cause {
        return cause.into();
    }
    // Nobody else kills our children: this is a limit, of ours or of the machine.
    if let Some(signal) = ended.status.signal() {
        let detail = format!("the decoder ran out of its processor time or memory ({signal})");
        return RunError::resource("decoder_limit", detail);
    }
    if is_picture(path) {
        let detail = "the file is a picture; send it as `frame`";
        return RunError::input("video_undecodable", FIELD, detail);
    }
    if ended.complaint.contains("not on whitelist") {
        let detail = "not a container that holds its own frames; playlists are not followed";
        return RunError::input("video_undecodable", FIELD, detail);
    }
    let complaint = public(&ended.complaint, path);
    let detail = format!("not a video that ffmpeg can read: {complaint}");
    RunError::input("video_undecodable", FIELD, detail)
}

fn is_picture(path: &Path) -> bool {
    let reader = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
    reader.is_ok_and(|reader| reader.format().is_some())
}

/// The last line of a complaint, without our paths and the decoder's addresses.
pub(super) fn public(complaint: &str, path: &Path) -> String {
    const LINE_CHARS_MAX: usize = 200;
    let line = complaint.lines().last().unwrap_or_default();
    let url = format!("file:{}", path.display());
    let line = line.replace(&url, "the file").replace(&path.display().to_string(), "the file");
    // `[mov,mp4 @ 0x55d0c8a3b2c0] moov atom not found`
    let text = match line.split_once("] ") {
        Some((prefix, text)) if prefix.starts_with('[') => text,
        _ => &line,
    };
    text.chars().filter(|char| !char.is_control()).take(LINE_CHARS_MAX).collect()
}

/// `30000/1001` as a number.
fn rate(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let (above, below): (f64, f64) = (above.parse().ok()?, below.parse().ok()?);
    let rate = above / below;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_rate_is_a_fraction_or_unknown() {
        assert_eq!(rate("25/1"), Some(25.0));
        assert_eq!(rate("0/0"), None);
        assert_eq!(rate(""), None);
    }

    #[test]
    fn absurd_sizes_are_refused_before_decoding() {
        assert!(check_size(7680, 4320).is_ok());
        for (width, height) in [(8193, 2), (2, 8193), (8000, 8000)] {
            assert!(check_size(width, height).is_err(), "{width} x {height}");
        }
    }

    #[test]
    fn a_complaint_is_told_without_our_paths() {
        let complaint = "first\n[mov @ 0x5] moov\u{1b} missing in file:/runs/r/in/0";
        assert_eq!(public(complaint, Path::new("/runs/r/in/0")), "moov missing in the file");
    }
}
