//! `vision@1` on real clips, whole and broken, as the server would call it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::ImageReader;
use postern_sidecar::device::Device;
use postern_sidecar::pipeline::{
    Call, Cancel, Cause, Input, Pipeline, Progress, RunContext, RunError,
};
use postern_sidecar::pipelines::vision::Vision;
use serde_json::{Value, json};
use support::ffmpeg;

/// One second of a moving test picture.
const MOVING: &str = "-f lavfi -i testsrc2=size=160x120:rate=10:duration=1";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn clip(&self, name: &str, arguments: &str) -> PathBuf {
        ffmpeg(self.folder.path(), name, arguments)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }

    fn run(&self, params: Value, inputs: &[(&str, &Path)]) -> Result<Value, RunError> {
        self.run_with(&Arc::new(Cancel::default()), Box::new(drop), params, inputs)
    }

    fn run_with(
        &self,
        cancel: &Arc<Cancel>,
        sink: Box<dyn FnMut(Progress) + Send>,
        params: Value,
        inputs: &[(&str, &Path)],
    ) -> Result<Value, RunError> {
        let input = |&(slot, path): &(&str, &Path)| Input {
            slot: slot.to_owned(),
            path: path.to_owned(),
            media_type: String::new(),
            bytes: 0,
        };
        let inputs = inputs.iter().map(input).collect();
        let call = Call { params: params.to_string(), inputs };
        let device = Arc::new(Device::cpu());
        let mut context = RunContext::new(device, Arc::clone(cancel), self.out(), sink);
        let outcome = Vision.run(&call, &mut context)?;
        Ok(serde_json::from_str(&outcome.metadata).expect("metadata is JSON"))
    }

    #[track_caller]
    fn check_refused(&self, params: Value, inputs: &[(&str, &Path)], want: (&str, &str)) {
        match self.run(params, inputs) {
            Err(RunError::Input { fault, field }) => {
                assert_eq!((fault.code, field.as_str()), want, "{}", fault.detail);
                let folder = self.folder.path().display().to_string();
                assert!(!fault.detail.contains(&folder), "{}", fault.detail);
            }
            other => panic!("{inputs:?} should have been refused: {other:?}"),
        }
    }

    fn picture_size(&self, name: &Value) -> (u32, u32) {
        let name = name.as_str().expect("a name");
        let reader = ImageReader::open(self.out().join(name)).expect("an artifact");
        reader.into_dimensions().expect("a PNG")
    }
}

/// One field of every frame.
fn column<'a>(report: &'a Value, field: &str) -> Vec<&'a Value> {
    let frames = report["frames"].as_array().expect("frames");
    frames.iter().map(|frame| &frame[field]).collect()
}

fn numbers(report: &Value, field: &str) -> Vec<f64> {
    column(report, field).iter().map(|value| value.as_f64().expect("a number")).collect()
}

#[test]
fn a_clip_gives_figures_for_each_frame_and_key_frames() {
    let bench = Bench::new();
    for (name, codec) in [("a.mp4", "h264"), ("b.mp4", "mpeg4"), ("c.mkv", "ffv1")] {
        let encoder = if codec == "h264" { "libx264" } else { codec };
        let clip = bench.clip(name, &format!("{MOVING} -pix_fmt yuv420p -c:v {encoder}"));
        let report = bench.run(json!({}), &[("video", &clip)]).expect("a good clip");
        let source = &report["source"];
        let facts = [&source["kind"], &source["codec"], &source["width"], &source["height"]];
        assert_eq!(facts, [&json!("video"), &json!(codec), &json!(160), &json!(120)]);
        assert_eq!([&source["fps"], &source["frames_total"]], [&json!(10.0), &json!(10)]);
        assert_eq!(source["damaged"], false);
        assert_eq!(report["sampling"]["frames"], 10);
        assert_eq!(numbers(&report, "source_index"), (0..10).map(f64::from).collect::<Vec<_>>());
        let times: Vec<f64> = (0..10).map(|index| f64::from(index) / 10.0).collect();
        assert_eq!(numbers(&report, "time_s"), times);
        let motions = column(&report, "motion_mean");
        assert!(motions[0].is_null());
        assert!(motions[1..].iter().all(|motion| motion.as_f64().is_some_and(|px| px > 0.0)));
        assert!(numbers(&report, "edge_density").iter().all(|&share| share > 0.0 && share < 1.0));
        assert!(numbers(&report, "sharpness").iter().all(|&sharpness| sharpness > 0.0));
        let key_frames = report["key_frames"].as_array().expect("key frames");
        let parts: Vec<u64> = key_frames
            .iter()
            .map(|key| key["index"].as_u64().expect("an index") * 3 / 10)
            .collect();
        assert_eq!(parts, [0, 1, 2]);
        for kind in ["frame", "edges", "mask"] {
            let name = &key_frames[2]["artifacts"][kind];
            assert_eq!(bench.picture_size(name), (160, 120));
        }
        fs::remove_dir_all(bench.out()).expect("the artifacts");
    }
}

#[test]
fn the_key_frame_is_the_steady_and_sharp_one() {
    let bench = Bench::new();
    // Frames 4 to 9 are one still picture; before it the picture jumps about.
    let filter = "crop=160:120:x='if(lt(n\\,4)\\,n*40\\,80)':y=40";
    let arguments = format!(
        "-f lavfi -i mandelbrot=size=320x240:rate=10:end_scale=0.3:start_scale=0.3 -frames:v 10 \
         -vf {filter} -c:v ffv1"
    );
    let clip = bench.clip("a.mkv", &arguments);
    let report = bench.run(json!({"key_frames": 1}), &[("video", &clip)]).expect("a good clip");
    let index = report["key_frames"][0]["index"].as_u64().expect("an index");
    assert!(index > 4, "{report}");
}

#[test]
fn sampling_takes_the_frames_that_were_asked_for() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let cases = [
        (json!({"every_n": 4}), vec![0.0, 4.0, 8.0]),
        (json!({"every_n": 4, "max_frames": 2}), vec![0.0, 4.0]),
        (json!({"every_n": 100}), vec![0.0]),
        (json!({"sample_fps": 5}), vec![0.0, 2.0, 4.0, 6.0, 8.0]),
        (json!({"sample_fps": 4}), vec![0.0, 3.0, 5.0, 8.0]),
        // More than there are: each frame once.
        (json!({"sample_fps": 240}), (0..10).map(f64::from).collect()),
    ];
    for (mut params, want) in cases {
        params["key_frames"] = json!(0);
        let report = bench.run(params.clone(), &[("video", &clip)]).expect("a good clip");
        assert_eq!(numbers(&report, "source_index"), want, "{params}");
        assert_eq!(report["key_frames"], json!([]));
    }
}

#[test]
fn times_follow_a_varying_frame_rate() {
    let bench = Bench::new();
    let uneven = "-vf setpts='(N*N)/10/TB' -vsync passthrough -c:v ffv1";
    let clip = bench.clip("a.mkv", &format!("{MOVING} {uneven} -frames:v 5"));
    let report = bench.run(json!({"every_n": 2}), &[("video", &clip)]).expect("a good clip");
    assert_eq!(numbers(&report, "time_s"), [0.0, 0.4, 1.6]);
    assert_eq!(numbers(&report, "source_index"), [0.0, 2.0, 4.0]);
}

#[test]
fn odd_sizes_and_rotation_come_out_as_they_are_shown() {
    let bench = Bench::new();
    let odd = "-f lavfi -i testsrc=size=161x97:rate=10:duration=0.3 -pix_fmt yuv444p";
    let clip = bench.clip("odd.mp4", odd);
    let report = bench.run(json!({}), &[("video", &clip)]).expect("a good clip");
    assert_eq!([&report["source"]["width"], &report["source"]["height"]], [161, 97]);
    bench.clip("flat.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let turned = bench.clip("turned.mp4", "-i flat.mp4 -c copy -metadata:s:v rotate=90");
    let report = bench.run(json!({}), &[("video", &turned)]).expect("a good clip");
    let size = [&report["source"]["width"], &report["source"]["height"]];
    // Newer versions of ffmpeg ignore this tag when they write the file.
    assert!(size == [120, 160] || size == [160, 120], "{size:?}");
    let name = &report["key_frames"][0]["artifacts"]["frame"];
    let (width, height) = bench.picture_size(name);
    assert_eq!(size, [width, height]);
}

#[test]
fn what_is_no_video_is_refused_with_a_reason() {
    let bench = Bench::new();
    let good = bench.clip("good.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let whole = fs::read(&good).expect("a clip");
    let sound = "-f lavfi -i sine=duration=0.2";
    let cover = &format!("-i one.png {sound} -map 1 -map 0 -c:v png -disposition:v attached_pic");
    let picture = bench.clip("one.png", "-f lavfi -i testsrc2=size=64x64 -frames:v 1");
    let wide = "-f lavfi -i color=size=8200x16:duration=0.2 -c:v ffv1";
    let tiny = "-f lavfi -i testsrc2=size=8x8:rate=5:duration=1 -c:v ffv1";
    let cases = [
        (bench.clip("sound.m4a", sound), "video_has_no_frames"),
        (bench.clip("cover.m4a", cover), "video_has_no_frames"),
        (bench.file("cut.mp4", &whole[..whole.len() / 2]), "video_undecodable"),
        (bench.file("empty.mp4", b""), "video_undecodable"),
        (bench.file("text.mp4", b"not a video at all\n"), "video_undecodable"),
        (picture, "video_undecodable"),
        (bench.clip("wide.mkv", wide), "video_too_large"),
        (bench.clip("tiny.mkv", tiny), "frame_too_small"),
    ];
    for (path, code) in cases {
        bench.check_refused(json!({}), &[("video", &path)], (code, "video"));
    }
}

#[test]
fn a_playlist_never_opens_another_file() {
    let bench = Bench::new();
    let good = bench.clip("good.ts", &format!("{MOVING} -pix_fmt yuv420p"));
    let secret = good.display();
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n");
    let hls = format!("{hls}#EXT-X-ENDLIST\n");
    let concat = format!("ffconcat version 1.0\nfile '{secret}'\n");
    let dash = format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet><Representation id=\"0\">\
         <BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    );
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n\
               m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let texts =
        [("a.m3u8", &hls[..]), ("b", &hls), ("c.txt", &concat), ("d.mpd", &dash), ("e.sdp", sdp)];
    for (name, text) in texts {
        let path = bench.file(name, text.as_bytes());
        bench.check_refused(json!({}), &[("video", &path)], ("video_undecodable", "video"));
    }
}

#[test]
fn what_is_left_of_a_damaged_clip_is_analysed() {
    let bench = Bench::new();
    let clip = bench.clip("whole.mkv", &format!("{MOVING} -c:v ffv1"));
    let whole = fs::read(clip).expect("a clip");
    let cut = bench.file("cut.mkv", &whole[..whole.len() * 2 / 3]);
    let report = bench.run(json!({}), &[("video", &cut)]).expect("the first frames are there");
    let frames = report["sampling"]["frames"].as_u64().expect("a count");
    assert!((1..10).contains(&frames), "{report}");
    assert_eq!(report["source"]["damaged"], true);
}

#[test]
fn pictures_are_frames_too() {
    let bench = Bench::new();
    bench.clip("p%d.png", MOVING);
    let paths: Vec<PathBuf> =
        (1..=5).map(|number| bench.folder.path().join(format!("p{number}.png"))).collect();
    let inputs: Vec<(&str, &Path)> = paths.iter().map(|path| ("frame", path.as_path())).collect();
    let report = bench.run(json!({}), &inputs).expect("good pictures");
    let source = &report["source"];
    assert_eq!([&source["kind"], &source["frames_total"]], [&json!("frames"), &json!(5)]);
    assert!(column(&report, "time_s").iter().all(|time| time.is_null()));
    assert_eq!(report["key_frames"].as_array().map(Vec::len), Some(3));

    let timed = bench_again(&bench, json!({"sample_fps": 2, "max_frames": 3}), &inputs);
    assert_eq!(numbers(&timed, "time_s"), [0.0, 0.5, 1.0]);
    let sparse = bench_again(&bench, json!({"every_n": 2}), &inputs);
    assert_eq!(numbers(&sparse, "source_index"), [0.0, 2.0, 4.0]);
    let single = bench_again(&bench, json!({}), &inputs[..1]);
    assert!(single["summary"]["motion_mean"].is_null());
    assert_eq!(single["key_frames"].as_array().map(Vec::len), Some(1));
}

fn bench_again(bench: &Bench, params: Value, inputs: &[(&str, &Path)]) -> Value {
    fs::remove_dir_all(bench.out()).expect("the artifacts before");
    bench.run(params, inputs).expect("good pictures")
}

#[test]
fn a_bad_picture_is_named_by_its_place() {
    let bench = Bench::new();
    let good = bench.clip("good.png", "-f lavfi -i testsrc2=size=64x64 -frames:v 1");
    let other = bench.clip("other.jpg", "-f lavfi -i testsrc2=size=66x64 -frames:v 1");
    let bytes = fs::read(&good).expect("a picture");
    let cut = bench.file("cut.png", &bytes[..bytes.len() / 2]);
    let text = bench.file("text.png", b"no picture");
    let bomb = bench.file("bomb.png", &png_header(&bytes, 100_000));
    let large = bench.file("large.png", &png_header(&bytes, 9_000));
    let cases = [
        (&other, "frame_size_differs"),
        (&cut, "image_undecodable"),
        (&text, "image_undecodable"),
        (&bomb, "image_too_large"),
        (&large, "image_too_large"),
    ];
    for (bad, code) in cases {
        let inputs = [("frame", good.as_path()), ("frame", bad.as_path())];
        bench.check_refused(json!({}), &inputs, (code, "frame[1]"));
    }
    bench.check_refused(json!({}), &[], ("input_missing", "video"));
    let both = [("frame", good.as_path()), ("video", good.as_path())];
    bench.check_refused(json!({}), &both, ("input_conflict", "frame"));
    let params = json!({"canny": {"aperture": 4}});
    bench.check_refused(params, &both[..1], ("params_out_of_range", "canny.aperture"));
    let params = json!({"canny": {"lo": 4}});
    bench.check_refused(params, &both[..1], ("params_invalid", "canny.lo"));
}

/// `png` with a header that says `side` x `side`, and its checksum.
fn png_header(png: &[u8], side: u32) -> Vec<u8> {
    let mut header = png.to_vec();
    header[16..20].copy_from_slice(&side.to_be_bytes());
    header[20..24].copy_from_slice(&side.to_be_bytes());
    let mut crc = u32::MAX;
    for &byte in &header[12..29] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    header[29..33].copy_from_slice(&(!crc).to_be_bytes());
    header
}

#[test]
fn a_cancelled_run_stops_in_the_middle() {
    let bench = Bench::new();
    let long = "-f lavfi -i testsrc2=size=160x120:rate=30:duration=60 -c:v mpeg4";
    let clip = bench.clip("long.mp4", long);
    for (cause, code) in [(Cause::Caller, "canceled"), (Cause::TimedOut, "timed_out")] {
        let cancel = Arc::new(Cancel::default());
        let flag = Arc::clone(&cancel);
        let sink = Box::new(move |progress: Progress| {
            if progress.stage == "analyse" {
                flag.set(cause);
            }
        });
        let error = bench.run_with(&cancel, sink, json!({}), &[("video", &clip)]);
        assert_eq!(error.expect_err("cancelled").fault().code, code);
    }
}
