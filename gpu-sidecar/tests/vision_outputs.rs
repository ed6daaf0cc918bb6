//! The artifacts of `vision@1`: each is what its page says, whoever computed it with how many
//! threads.

mod support;

use std::fs;
use std::io::Read;
use std::process::Command;

use rayon::ThreadPoolBuilder;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use support::bench::{Bench, MOVING};

const ALL: [&str; 11] = [
    "key_frames",
    "edges",
    "masks",
    "heatmap",
    "defects",
    "flow_flo",
    "flow_safetensors",
    "flow_png",
    "preview",
    "plot",
    "zip",
];

/// Names of the files of a run, sorted.
fn files(bench: &Bench) -> Vec<String> {
    let Ok(folder) = fs::read_dir(bench.out()) else { return Vec::new() };
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("ASCII");
    let mut names: Vec<String> = folder.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

#[test]
fn exactly_what_was_asked_for_is_made() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let cases: [(&str, &[&str]); 7] = [
        ("edges", &["edges_0.png"]),
        ("masks", &["mask_0.png"]),
        ("heatmap", &["heatmap_0.png"]),
        ("defects", &["defect_mask_0.png", "defects_0.json"]),
        ("preview", &["preview.mp4"]),
        ("plot", &["plot.svg"]),
        ("zip", &["artifacts.zip"]),
    ];
    for (output, want) in cases {
        let params = json!({"outputs": [output], "key_frames": 1, "every_n": 3});
        bench.run(params, &[("video", &clip)]).expect("a good clip");
        assert_eq!(files(&bench), want, "{output}");
        fs::remove_dir_all(bench.out()).expect("the artifacts");
    }
    let report = bench.run(json!({"outputs": []}), &[("video", &clip)]).expect("a good clip");
    assert_eq!(files(&bench), [""; 0]);
    assert_eq!(report["key_frames"].as_array().map(Vec::len), Some(3), "chosen all the same");
    assert_eq!(report["artifacts"], json!({}));
    let unknown = json!({"outputs": ["edges", "hologram"]});
    bench.check_refused(unknown, &[("video", &clip)], ("params_invalid", "outputs[1]"));
    let twice = json!({"outputs": ["edges", "plot", "edges"]});
    bench.check_refused(twice, &[("video", &clip)], ("params_out_of_range", "outputs[2]"));
    let coin = json!({"item_type": "coin"});
    bench.check_refused(coin, &[("video", &clip)], ("params_out_of_range", "item_type"));
}

#[test]
fn every_artifact_is_what_its_page_says() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let report = bench.run(json!({"outputs": ALL}), &[("video", &clip)]).expect("a good clip");
    let artifacts = &report["key_frames"][1]["artifacts"];
    for name in ["frame", "edges", "mask", "defect_mask", "flow_png"] {
        assert_eq!(bench.picture_size(&artifacts[name]), (160, 120), "{name}");
    }
    assert_eq!(bench.picture_size(&artifacts["heatmap"]), (160, 148), "a legend below");

    let defects: Value = serde_json::from_slice(&bench.bytes(&artifacts["defects"])).expect("JSON");
    let regions = defects["regions"].as_array().expect("regions");
    assert_eq!(report["key_frames"][1]["defects"]["count"], regions.len());
    let listed: u64 = regions.iter().map(|region| region["area"].as_u64().expect("area")).sum();
    let mask = bench.picture(&artifacts["defect_mask"]);
    let marked = mask.pixels().filter(|pixel| pixel.0[0] == 255).count();
    assert!(listed > 0, "the test picture has fine marks");
    assert!(listed as usize >= marked, "a pixel may be bright and dark to its surroundings");

    let flo = bench.bytes(&artifacts["flow_flo"]);
    assert_eq!((&flo[..4], flo.len()), (&b"PIEH"[..], 12 + 160 * 120 * 8));
    let bytes = bench.bytes(&artifacts["flow_safetensors"]);
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let flow = tensors.tensor("flow").expect("one tensor");
    assert_eq!(flow.shape(), [120, 160, 2]);
    assert_eq!(flow.data(), &flo[12..], "the same numbers");
    let lengths = flow.data().chunks_exact(8).map(|pair| {
        let [x, y] =
            [0, 4].map(|at| f32::from_le_bytes(pair[at..at + 4].try_into().expect("four bytes")));
        f64::from(x).hypot(f64::from(y))
    });
    let mean = lengths.sum::<f64>() / f64::from(160 * 120);
    let index = report["key_frames"][1]["index"].as_u64().expect("an index") as usize;
    let reported = report["frames"][index]["motion_mean"].as_f64().expect("a number");
    assert!((mean - reported).abs() < 1e-5 * reported.max(1.0), "{mean} and {reported}");

    let plot = fs::read_to_string(bench.out().join("plot.svg")).expect("a plot");
    assert!(plot.starts_with("<svg ") && plot.matches("class=\"key\"").count() == 3);
    check_archive(&bench, &report);
}

/// The archive holds every other file and the answer.
fn check_archive(bench: &Bench, report: &Value) {
    let file = fs::File::open(bench.out().join("artifacts.zip")).expect("an archive");
    let mut archive = zip::ZipArchive::new(file).expect("a ZIP");
    let mut names: Vec<String> =
        archive.file_names().map(|name| name.expect("a name").into_owned()).collect();
    names.sort();
    let mut want = files(bench);
    want.retain(|name| name != "artifacts.zip");
    want.push("report.json".to_owned());
    want.sort();
    assert_eq!(names, want);
    let mut text = String::new();
    archive.by_name("report.json").expect("the answer").read_to_string(&mut text).expect("text");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), *report);
    let mut edges = Vec::new();
    archive.by_name("edges_0.png").expect("a file").read_to_end(&mut edges).expect("bytes");
    assert_eq!(edges, bench.bytes(&json!("edges_0.png")));
}

#[test]
fn the_first_frame_has_no_flow() {
    let bench = Bench::new();
    let picture = bench.clip("one.png", "-f lavfi -i testsrc2=size=64x64 -frames:v 1");
    let params = json!({"outputs": ["flow_png", "flow_flo"]});
    let report = bench.run(params, &[("frame", &picture)]).expect("a good picture");
    assert_eq!(report["key_frames"][0]["artifacts"], json!({}));
    assert_eq!(files(&bench), [""; 0]);
}

#[test]
fn the_preview_plays_as_long_as_the_clip() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let params = json!({"outputs": ["preview"], "every_n": 2});
    let report = bench.run(params, &[("video", &clip)]).expect("a good clip");
    assert_eq!(report["artifacts"], json!({"preview": "preview.mp4"}));
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-count_frames", "-of", "json", "-show_entries"]);
    probe.arg("stream=codec_name,width,height,nb_read_frames,duration");
    let output = probe.arg(bench.out().join("preview.mp4")).output().expect("ffprobe");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let stream = &answer["streams"][0];
    assert_eq!((&stream["width"], &stream["height"]), (&json!(160), &json!(120)));
    assert_eq!(stream["nb_read_frames"], "5");
    let seconds: f64 = stream["duration"].as_str().expect("a text").parse().expect("a number");
    assert!((seconds - 1.0).abs() < 0.05, "{seconds}");
}

#[test]
fn a_preset_sets_what_is_not_given() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let params = json!({"item_type": "card", "key_frames": 1, "canny": {"high": 90}});
    let report = bench.run(params, &[("video", &clip)]).expect("a good clip");
    let params = &report["params"];
    assert_eq!(params["item_type"], "card");
    assert_eq!(params["canny"], json!({"low": 25.0, "high": 90.0, "aperture": 3, "l2": true}));
    assert_eq!(params["morphology"]["width"], 5);
    let want = [
        "defect_mask_0.png",
        "defects_0.json",
        "edges_0.png",
        "heatmap_0.png",
        "key_frame_0.png",
        "mask_0.png",
    ];
    assert_eq!(files(&bench), want);
}

#[test]
fn figures_and_files_do_not_depend_on_the_number_of_threads() {
    let bench = Bench::new();
    // More frames than several chunks, and a size at which chunks differ with the threads.
    let long = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -pix_fmt yuv420p";
    let clip = bench.clip("a.mp4", long);
    let mut runs = Vec::new();
    for threads in [1, 2, 3, 7] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let params =
            json!({"key_frames": 5, "outputs": ["key_frames", "masks", "flow_flo", "zip"]});
        let report = pool.install(|| bench.run(params, &[("video", &clip)])).expect("a good clip");
        assert_eq!(report["frames"].as_array().map(Vec::len), Some(50));
        let archive = bench.bytes(&report["artifacts"]["archive"]);
        fs::remove_dir_all(bench.out()).expect("the artifacts");
        runs.push((threads, report, archive));
    }
    let (_, report, archive) = &runs[0];
    for (threads, other, other_archive) in &runs[1..] {
        assert_eq!(other, report, "{threads} threads");
        assert!(other_archive == archive, "{threads} threads: other files");
    }
}
