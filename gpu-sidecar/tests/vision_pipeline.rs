//! `vision@1` on real clips, whole and broken, as the server would call it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_sidecar::pipeline::{Cancel, Cause, Progress};
use serde_json::{Value, json};
use support::bench::{Bench, MOVING, column, numbers};

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
