//! Memory does not grow with a clip's length. Alone in its file: it looks at the whole process.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use postern_sidecar::device::Device;
use postern_sidecar::pipeline::{Call, Cancel, Input, Pipeline, RunContext};
use postern_sidecar::pipelines::vision::Vision;

/// Largest resident size so far, bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kilobytes = line.split_whitespace().next().expect("a number");
    kilobytes.parse::<u64>().expect("a number") * 1024
}

fn analyse(folder: &Path, seconds: u32) {
    let source = format!("-f lavfi -i testsrc2=size=160x120:rate=30:duration={seconds}");
    let path = support::ffmpeg(folder, &format!("{seconds}.mkv"), &format!("{source} -c:v mpeg4"));
    let video = Input { slot: "video".to_owned(), path, media_type: String::new(), bytes: 0 };
    let call = Call { params: r#"{"farneback":{"iterations":1}}"#.to_owned(), inputs: vec![video] };
    let (device, cancel) = (Arc::new(Device::cpu()), Arc::new(Cancel::default()));
    let out = folder.join(format!("out{seconds}"));
    let mut context = RunContext::new(device, cancel, out, Box::new(drop));
    let outcome = Vision.run(&call, &mut context).expect("a good clip");
    assert!(outcome.metadata.contains(&format!("\"frames\":{}", seconds * 30)));
}

#[test]
fn a_long_clip_takes_no_more_memory_than_a_short_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    analyse(folder.path(), 2);
    let short = peak_bytes();
    analyse(folder.path(), 20);
    let growth = peak_bytes().saturating_sub(short);
    // 540 more frames of 57,600 bytes, and ten times that for what the flow makes of them.
    let kept_would_be = 540 * 57_600;
    assert!(growth < kept_would_be / 2, "{growth} bytes more");
}
