//! Real clips, made by ffmpeg's test sources.
//!
//! Owns the usual clip, which is made once per process. What a clip is, is the ffmpeg command line
//! that made it.

use std::process::Command;
use std::sync::LazyLock;

use bytes::Bytes;

/// Frames of [`MOVING`], its rate and its sides.
pub const FRAMES: u64 = 20;
pub const FPS: f64 = 10.0;
pub const WIDTH: u32 = 160;
pub const HEIGHT: u32 = 120;

/// Two seconds of a moving test picture, H.264 in MP4.
pub static MOVING: LazyLock<Bytes> =
    LazyLock::new(|| encode("clip.mp4", &format!("{} {H264}", source(WIDTH, HEIGHT, 2))));

/// Arguments for H.264 as cameras and browsers write it.
pub const H264: &str = "-c:v libx264 -pix_fmt yuv420p";

/// Arguments for a moving test picture, [`FPS`] frames a second.
#[must_use]
pub fn source(width: u32, height: u32, seconds: u32) -> String {
    format!("-f lavfi -i testsrc2=size={width}x{height}:rate={FPS}:duration={seconds}")
}

/// What ffmpeg makes of these arguments; the name's end chooses the container.
///
/// # Panics
/// When ffmpeg is missing or does not like the arguments.
#[must_use]
pub fn encode(name: &str, arguments: &str) -> Bytes {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error"]).args(arguments.split_whitespace()).arg(&path);
    let output = ffmpeg.output().expect("ffmpeg is installed: run cargo xtask test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).expect("ffmpeg wrote it").into()
}

/// An MP4 with `bytes` bytes more, in a box that every reader passes over.
#[must_use]
pub fn padded(clip: &Bytes, bytes: u32) -> (Bytes, u64) {
    let mut head = clip.to_vec();
    head.extend(bytes.to_be_bytes());
    head.extend(b"free");
    (head.into(), u64::from(bytes) - 8)
}
