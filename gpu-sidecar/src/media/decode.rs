//! Frames of a video, one after another, as ffmpeg decodes them.
//!
//! Owns the sampling filter, the frame pipe and the time stamps. Always: one frame is in memory
//! here at a time, however long the video is; the pipe holds ffmpeg back. Frames travel as PPM,
//! because each then says its own size: ffmpeg turns the picture by the file's rotation first.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::ChildStdout;
use std::sync::{Arc, Mutex, PoisonError};

use super::Frame;
use super::ffmpeg::{Child, on_input};
use super::limits::WALL_MAX;
use super::probe::{FIELD, Video, check_size, refusal};
use crate::pipeline::{Cancel, RunError};

/// Bytes of a pipe read; ffmpeg writes a frame in pieces of the pipe's size.
const READ_BYTES: usize = 256 << 10;
/// `P6`, two numbers of at most five digits, `255`, and their separators.
const PPM_LINE_BYTES_MAX: u64 = 32;

/// Time stamps that are kept: ten hours between two sampled frames, and far more sampled ones than
/// are ever asked for. Protects us from a decoder that a file has taken over.
const STAMPS_MAX: usize = 1 << 21;

/// Which frames of the video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// Frames 0, n, 2n, …; at least 1.
    EveryN(u32),
    /// The first frame in each interval of 1/fps seconds; never one twice, so a rate above the
    /// video's takes every frame.
    Fps(f64),
}

/// A running decoder.
pub struct Frames {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    stamps: Arc<Mutex<Stamps>>,
    video: Video,
    frames_max: u64,
    frames_read: u64,
}

/// What is known of each sampled frame after the end.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stamp {
    /// The frame's number in the video.
    pub source_index: Option<u64>,
    /// Seconds from the video's start; `None` where the file has no time stamps.
    pub time_s: Option<f64>,
}

/// What the end of a decoder showed.
#[derive(Debug, Default)]
pub struct Ending {
    /// One for each frame that was read.
    pub stamps: Vec<Stamp>,
    /// The decoder complained: part of the file is missing or broken.
    pub damaged: bool,
}

impl Frames {
    /// Starts ffmpeg. At most `frames_max` frames come.
    ///
    /// # Errors
    /// `Internal` when the process cannot be started.
    pub fn start(
        video: &Video,
        sampling: Sampling,
        frames_max: u64,
        cancel: &Arc<Cancel>,
    ) -> Result<Self, RunError> {
        let mut command = on_input(&video.ffmpeg.ffmpeg, &video.path);
        command.args(["-nostdin", "-map", "0:V:0", "-an", "-sn", "-dn", "-vf", &filter(sampling)]);
        // Every frame that passes the filter, once. (The newer name of this option is missing in
        // ffmpeg 4, the older one still works in 7.)
        command.args(["-vsync", "passthrough", "-frames:v", &frames_max.to_string()]);
        command.args(["-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "pipe:1"]);
        let stamps = Arc::new(Mutex::new(Stamps::default()));
        let seen = Arc::clone(&stamps);
        let line = move |line: &str| seen.lock().unwrap_or_else(PoisonError::into_inner).take(line);
        let (child, stdout) = Child::start(command, cancel, WALL_MAX, line)
            .map_err(|error| RunError::file("running ffmpeg", &error))?;
        Ok(Self {
            child: Some(child),
            stdout: BufReader::with_capacity(READ_BYTES, stdout),
            stamps,
            video: video.clone(),
            frames_max,
            frames_read: 0,
        })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// `Input`: nothing can be decoded, or frames are too large. `Resource`: a limit was reached.
    /// `Canceled`.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, RunError> {
        if self.frames_read == self.frames_max {
            return Ok(None);
        }
        let Ok(Some((width, height))) = read_header(&mut self.stdout) else { return Ok(None) };
        check_size(width, height)?;
        let mut pixels = vec![[0; 3]; width as usize * height as usize];
        if self.stdout.read_exact(pixels.as_flattened_mut()).is_err() {
            // The decoder ended in the middle of a frame; `finish` says why.
            return Ok(None);
        }
        self.frames_read += 1;
        let frame = Frame::new(width as usize, height as usize, pixels);
        frame.map(Some).map_err(|error| RunError::input("video_undecodable", FIELD, error))
    }

    /// Waits for the decoder's end, after [`Frames::next_frame`] gave `None`.
    ///
    /// # Errors
    /// As `next_frame`; also when there was no frame at all.
    pub fn finish(mut self) -> Result<Ending, RunError> {
        let child = self.child.take().expect("`finish` takes the decoder and runs once");
        let complete = self.frames_read == self.frames_max;
        drop(self.stdout);
        let ended = child.wait().map_err(|error| RunError::file("running ffmpeg", &error))?;
        let killed = ended.cause.is_some() || ended.status.signal().is_some();
        // Closing the pipe after the last wanted frame may end it by SIGPIPE.
        if !complete && (killed || self.frames_read == 0 && !ended.status.success()) {
            return Err(refusal(&ended, &self.video.path));
        }
        if self.frames_read == 0 {
            let detail = "not one frame of the video could be decoded";
            return Err(RunError::input("video_has_no_frames", FIELD, detail));
        }
        let stamps =
            std::mem::take(&mut *self.stamps.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stamps = stamps.sampled;
        let count = usize::try_from(self.frames_read).unwrap_or(usize::MAX);
        stamps.resize(count, Stamp::default());
        Ok(Ending { stamps, damaged: !ended.complaint.is_empty() })
    }
}

/// The filters: number each frame, keep the wanted ones, say which they were. The two `metadata`
/// prints go to standard error, unbuffered, and are read by [`Stamps`].
fn filter(sampling: Sampling) -> String {
    let wanted = match sampling {
        Sampling::EveryN(n) => format!("not(mod(n\\,{n}))"),
        Sampling::Fps(fps) => {
            // The small addend keeps 1/30 s · 30 from being just below 1.
            let cell = |time: &str| format!("floor(({time}-start_t)*{fps}+0.0001)");
            let (now, before) = (cell("t"), cell("prev_selected_t"));
            format!("isnan(prev_selected_t)+gt({now}\\,{before})")
        }
    };
    let print = |key: &str| {
        format!(
            "metadata=mode=add:key={key}:value=1,\
             metadata=mode=print:key={key}:file='pipe\\:2':direct=1"
        )
    };
    format!("{},select='{wanted}',{}", print(DECODED), print(SAMPLED))
}

const DECODED: &str = "postern.decoded";
const SAMPLED: &str = "postern.sampled";

/// Reads the prints: `frame:7 pts:3584 pts_time:0.233333`, then `postern.sampled=1`.
#[derive(Debug, Default)]
struct Stamps {
    line: Option<Line>,
    /// Decoded frames since the last sampled one; the sampled one has the same `pts`.
    decoded: VecDeque<Line>,
    sampled: Vec<Stamp>,
}

#[derive(Debug, Clone)]
struct Line {
    index: u64,
    pts: String,
    time_s: Option<f64>,
}

impl Stamps {
    /// True when the line was one of ours.
    fn take(&mut self, text: &str) -> bool {
        if let Some(line) = Line::parse(text) {
            self.line = Some(line);
            return true;
        }
        let Some((key, _)) = text.split_once('=') else { return false };
        match (key, self.line.take()) {
            (DECODED, Some(line)) => {
                self.decoded.truncate(STAMPS_MAX - 1);
                self.decoded.push_back(line);
            }
            (SAMPLED, Some(line)) => self.sample(&line),
            _ => return false,
        }
        true
    }

    fn sample(&mut self, line: &Line) {
        if self.sampled.len() >= STAMPS_MAX {
            return;
        }
        let mut source_index = None;
        while let Some(decoded) = self.decoded.pop_front() {
            if decoded.pts == line.pts {
                source_index = Some(decoded.index);
                break;
            }
        }
        self.sampled.push(Stamp { source_index, time_s: line.time_s });
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("frame:")?.split_whitespace();
        let index = words.next()?.parse().ok()?;
        let pts = words.next()?.strip_prefix("pts:")?.to_owned();
        let time_s = words.next()?.strip_prefix("pts_time:")?.parse().ok();
        Some(Self { index, pts, time_s: time_s.filter(|time: &f64| time.is_finite()) })
    }
}

/// Width and height of the next frame; `None` at the end of the pipe.
fn read_header(stdout: &mut impl BufRead) -> io::Result<Option<(u32, u32)>> {
    if read_line(stdout)? != "P6" {
        return Ok(None);
    }
    let size = read_line(stdout)?;
    let depth = read_line(stdout)?;
    let size = size.split_once(' ').filter(|_| depth == "255");
    Ok(size.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?))))
}

fn read_line(stdout: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stdout.take(PPM_LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_frames_are_found_among_the_decoded() {
        let mut stamps = Stamps::default();
        let lines = [
            "frame:0    pts:0       pts_time:0",
            "postern.decoded=1",
            "frame:0    pts:0       pts_time:0",
            "postern.sampled=1",
            "frame:1    pts:512     pts_time:0.5",
            "postern.decoded=1",
            "frame:2    pts:1024    pts_time:1",
            "postern.decoded=1",
            "frame:1    pts:1024    pts_time:1",
            "postern.sampled=1",
            "frame:2    pts:NOPTS   pts_time:NOPTS",
            "postern.sampled=1",
        ];
        assert!(lines.iter().all(|line| stamps.take(line)));
        assert!(!stamps.take("[mov @ 0x1] stream broken"));
        assert!(!stamps.take("key=value"));
        let stamp = |source_index, time_s| Stamp { source_index, time_s };
        let want = [stamp(Some(0), Some(0.0)), stamp(Some(2), Some(1.0)), stamp(None, None)];
        assert_eq!(stamps.sampled, want);
    }

    #[test]
    fn a_header_that_is_not_ppm_ends_the_frames() {
        let header = |bytes: &[u8]| read_header(&mut &bytes[..]).expect("reading memory");
        assert_eq!(header(b"P6\n322 242\n255\nabc"), Some((322, 242)));
        for bytes in [&b""[..], b"P6\n", b"P5\n1 1\n255\n", b"P6\n1 1\n65535\n", b"P6\nx y\n255\n"]
        {
            assert_eq!(header(bytes), None);
        }
    }
}
