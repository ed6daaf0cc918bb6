//! `sharp@1` on real pictures, good and bad, with the small network of a golden.

mod support;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use postern_sidecar::pipeline::{Cancel, Cause, RunError};
use postern_sidecar::pipelines::sharp::Sharp;
use postern_sidecar::splat::{ply, splat_file, spz};
use postern_sidecar::weights::{Folder, Models, ModelsSettings};
use serde_json::{Value, json};
use support::bench::Bench;

/// Gaussians of the small network: two layers of 64 x 64.
const COUNT: u64 = 2 * 64 * 64;

fn golden() -> PathBuf {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/sharp");
    cases.join("11_e2e_grid2_no_overlap")
}

/// A folder of weights with the small network under the published file's name.
static WEIGHTS: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("sharp");
    fs::create_dir(&model).expect("a folder");
    let weights = fs::read(golden().join("weights.safetensors")).expect("the golden is tracked");
    fs::write(model.join("sharp_2572gikvuh.pt"), weights).expect("the weights can be written");
    let case = fs::read(golden().join("case.json")).expect("the golden is tracked");
    let case: Value = serde_json::from_slice(&case).expect("JSON");
    fs::write(model.join("config.json"), case["config"].to_string()).expect("the sizes");
    folder
});

fn models() -> Models {
    let folder = Folder::at(WEIGHTS.path().to_owned());
    Models::new(ModelsSettings { folder, idle_unload: None })
}

fn bench() -> Bench {
    Bench::of(Arc::new(Sharp::new(&models())))
}

fn scene(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, (x ^ y) as u8]))
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("it can be encoded");
    bytes.into_inner()
}

fn png(bench: &Bench, width: u32, height: u32) -> PathBuf {
    bench.file("a.png", &encoded(&scene(width, height).into(), ImageFormat::Png))
}

#[test]
fn a_picture_becomes_files_of_the_same_gaussians() {
    let bench = bench();
    let picture = png(&bench, 60, 40);
    let outputs = json!(["ply", "spz", "splat", "sog", "json", "preview", "video"]);
    let params = json!({ "outputs": outputs, "focal_px": 48.0 });
    let report = bench.run(params, &[("image", &picture)]).expect("a good picture");
    assert_eq!(report["num_gaussians"], COUNT);
    assert_eq!([&report["width"], &report["height"]], [&json!(60), &json!(40)]);
    assert_eq!(report["focal_source"], "parameter");
    assert_eq!(report["grid"], json!([64, 64]));
    assert_eq!(report["internal_size"], 128);
    assert!(report["timings_ms"]["patch_encoder"].is_number(), "{report}");

    let file = |name: &str| fs::read(bench.out().join(name)).expect("the file was made");
    let scene = ply::read(&file("gaussians.ply")).expect("our own PLY");
    assert_eq!(scene.gaussians.len() as u64, COUNT);
    assert_eq!((scene.photo.width, scene.photo.focal_px), (60, 48.0));
    assert_eq!(splat_file::read(&file("gaussians.splat")).expect("ours").len() as u64, COUNT);
    assert_eq!(spz::read(&file("gaussians.spz")).expect("ours").len() as u64, COUNT);
    let text: Value = serde_json::from_slice(&file("gaussians.json")).expect("JSON");
    assert_eq!(text["num_gaussians"], COUNT);
    for column in ["means", "scales", "rotations", "colors", "opacities"] {
        assert_eq!(text[column].as_array().map(Vec::len), Some(COUNT as usize), "{column}");
    }
    let first = text["means"][17].as_array().expect("a row");
    let want = scene.gaussians.means[17];
    for (got, want) in first.iter().zip(want) {
        let got = got.as_f64().expect("a number");
        assert!((got - f64::from(want)).abs() <= 1e-6 * f64::from(want).abs().max(1.0));
    }
    assert!(file("gaussians.sog").starts_with(b"PK"));
    let preview = image::load_from_memory(&file("preview.png")).expect("a picture");
    assert_eq!((preview.width(), preview.height()), (60, 40));
    assert!(file("preview.mp4").len() > 500);
}

#[test]
fn axes_are_turned_and_the_answer_says_so() {
    let bench = bench();
    let picture = png(&bench, 32, 32);
    let run = |axes: &str| {
        let params = json!({ "axes": axes });
        let report = bench.run(params, &[("image", &picture)]).expect("a good picture");
        let bytes = fs::read(bench.out().join("gaussians.ply")).expect("the file was made");
        fs::remove_dir_all(bench.out()).expect("the outputs");
        (report["axes"].clone(), ply::read(&bytes).expect("our own").gaussians.means)
    };
    let (name, plain) = run("opencv");
    assert_eq!(name, "opencv");
    let turned = |[x, y, z]: [f32; 3]| [x, -y, -z];
    for axes in ["opengl", "gltf"] {
        let (name, means) = run(axes);
        assert_eq!(name, axes);
        assert!(means.iter().zip(&plain).all(|(got, want)| *got == turned(*want)), "{axes}");
    }
}

#[test]
fn a_principal_point_shifts_the_scene() {
    let bench = bench();
    let picture = png(&bench, 32, 32);
    let mean_x = |params: Value| {
        bench.run(params, &[("image", &picture)]).expect("a good picture");
        let bytes = fs::read(bench.out().join("gaussians.ply")).expect("the file was made");
        fs::remove_dir_all(bench.out()).expect("the outputs");
        let means = ply::read(&bytes).expect("our own").gaussians.means;
        means.iter().map(|mean| f64::from(mean[0])).sum::<f64>() / means.len() as f64
    };
    let centred = mean_x(json!({ "focal_px": 30 }));
    assert!((centred - mean_x(json!({ "focal_px": 30, "principal_x": 16 }))).abs() < 1e-9);
    assert!(mean_x(json!({ "focal_px": 30, "principal_x": 4 })) > centred);
}

#[test]
fn pictures_of_every_kind_have_an_answer() {
    let bench = bench();
    let rgb: DynamicImage = scene(24, 16).into();
    let kinds = [
        ("a.jpg", encoded(&rgb, ImageFormat::Jpeg)),
        ("a.webp", encoded(&rgb, ImageFormat::WebP)),
        ("a.tiff", encoded(&rgb, ImageFormat::Tiff)),
        ("alpha.png", encoded(&rgb.to_rgba8().into(), ImageFormat::Png)),
        ("gray.png", encoded(&rgb.to_luma8().into(), ImageFormat::Png)),
        ("gray_alpha.png", encoded(&rgb.to_luma_alpha8().into(), ImageFormat::Png)),
        ("deep.png", encoded(&rgb.to_rgb16().into(), ImageFormat::Png)),
        ("cmyk.tiff", cmyk_tiff(24, 16)),
    ];
    for (name, bytes) in kinds {
        let picture = bench.file(name, &bytes);
        let report = bench.run(json!({}), &[("image", &picture)]).expect(name);
        assert_eq!(report["num_gaussians"], COUNT, "{name}");
        assert_eq!(report["focal_source"], "default", "{name}");
        assert_eq!(report["non_finite"]["means"], 0, "{name}");
        fs::remove_dir_all(bench.out()).expect("the outputs");
    }
}

#[test]
fn one_pixel_is_a_picture() {
    let bench = bench();
    let report = bench.run(json!({}), &[("image", &png(&bench, 1, 1))]).expect("a picture");
    assert_eq!(report["num_gaussians"], COUNT);
}

#[test]
fn the_cameras_word_is_taken_and_the_picture_stands_upright() {
    let bench = bench();
    let files = golden().join("../01_preprocess/files");
    let report = bench.run(json!({}), &[("image", &files.join("f35_rot6.jpg"))]).expect("a photo");
    assert_eq!(report["focal_source"], "exif35");
    assert_eq!([&report["width"], &report["height"]], [&json!(32), &json!(48)]);
    assert_eq!(report["orientation"], 6);
    assert!((report["focal_mm"].as_f64().expect("a number") - 26.0).abs() < 1e-9, "{report}");
}

#[test]
fn what_is_no_picture_is_refused() {
    let bench = bench();
    let whole = encoded(&scene(64, 64).into(), ImageFormat::Png);
    let huge = {
        // The header of 20000 x 20000 pixels, with its checksum, and no more.
        let mut bytes = encoded(&scene(1, 1).into(), ImageFormat::Png);
        bytes[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        bytes
    };
    let cases = [
        ("text", b"not a picture at all".to_vec(), "image_undecodable"),
        ("empty", Vec::new(), "image_undecodable"),
        ("cut", whole[..whole.len() / 2].to_vec(), "image_undecodable"),
        ("huge", huge, "image_too_large"),
    ];
    for (name, bytes, code) in cases {
        let picture = bench.file(name, &bytes);
        bench.check_refused(json!({}), &[("image", &picture)], (code, "image"));
    }
}

#[test]
fn a_parameter_out_of_range_is_named() {
    let bench = bench();
    let picture = png(&bench, 8, 8);
    let check = |params: Value, code: &str, field: &str| {
        bench.check_refused(params, &[("image", &picture)], (code, field));
    };
    for focal in [json!(0), json!(-5), json!(1e9)] {
        check(json!({ "focal_px": focal }), "params_out_of_range", "focal_px");
    }
    check(json!({ "focal_px": "NaN" }), "params_invalid", "focal_px");
    check(json!({ "principal_x": 17 }), "params_out_of_range", "principal_x");
    check(json!({ "principal_y": -9 }), "params_out_of_range", "principal_y");
    check(json!({ "outputs": [] }), "params_out_of_range", "outputs");
    check(json!({ "outputs": ["obj"] }), "params_invalid", "outputs[0]");
    check(json!({ "axes": "left" }), "params_invalid", "axes");
    check(json!({ "focal": 4 }), "params_invalid", "focal");
}

#[test]
fn without_weights_the_command_that_fetches_them_is_named() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    let folder = Folder::at(empty.path().to_owned());
    let models = Models::new(ModelsSettings { folder, idle_unload: None });
    let bench = Bench::of(Arc::new(Sharp::new(&models)));
    let picture = png(&bench, 8, 8);
    match bench.run(json!({}), &[("image", &picture)]) {
        Err(RunError::Unavailable(fault)) => {
            assert_eq!(fault.code, "weights_missing");
            assert!(fault.detail.contains("postern pull sharp"), "{}", fault.detail);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_name() {
    let other = tempfile::tempdir().expect("a temporary folder");
    let model = other.path().join("sharp");
    fs::create_dir(&model).expect("a folder");
    // The small checkpoint, taken for the published one.
    let weights = fs::read(golden().join("weights.safetensors")).expect("the golden is tracked");
    fs::write(model.join("sharp_2572gikvuh.pt"), weights).expect("the weights can be written");
    let folder = Folder::at(other.path().to_owned());
    let models = Models::new(ModelsSettings { folder, idle_unload: None });
    let bench = Bench::of(Arc::new(Sharp::new(&models)));
    let picture = png(&bench, 8, 8);
    match bench.run(json!({}), &[("image", &picture)]) {
        Err(RunError::Unavailable(fault)) => {
            assert_eq!(fault.code, "weights_mismatch");
            let names = "missing: feature_model.decoder.convs.0.weight, monodepth_model.";
            assert!(fault.detail.contains(names), "{}", fault.detail);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cancel_ends_a_run_between_two_stages() {
    let bench = bench();
    let picture = png(&bench, 16, 16);
    let cancel = Arc::new(Cancel::default());
    let stopping = Arc::clone(&cancel);
    let sink = Box::new(move |progress: postern_sidecar::pipeline::Progress| {
        if progress.stage == "depth_decoder" {
            stopping.set(Cause::Caller);
        }
    });
    let outcome = bench.run_with(&cancel, sink, json!({}), &[("image", &picture)]);
    assert!(matches!(outcome, Err(RunError::Canceled(_))), "{outcome:?}");
    assert!(!bench.out().join("gaussians.ply").exists());
}

/// Cyan, magenta, yellow and black of 8 bits, uncompressed.
fn cmyk_tiff(width: u32, height: u32) -> Vec<u8> {
    const ENTRIES: u16 = 10;
    let data_at = 8 + 2 + u32::from(ENTRIES) * 12 + 4;
    let depths_at = data_at + width * height * 4;
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend(ENTRIES.to_le_bytes());
    let mut entry = |tag: u16, kind: u16, count: u32, value: u32| {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    };
    entry(256, 4, 1, width);
    entry(257, 4, 1, height);
    entry(258, 3, 4, depths_at);
    entry(259, 3, 1, 1);
    entry(262, 3, 1, 5);
    entry(273, 4, 1, data_at);
    entry(277, 3, 1, 4);
    entry(278, 4, 1, height);
    entry(279, 4, 1, width * height * 4);
    entry(284, 3, 1, 1);
    bytes.extend(0u32.to_le_bytes());
    bytes.extend((0..width * height).flat_map(|index| [index as u8, 40, 200, 10]));
    bytes.extend([8u16; 4].map(u16::to_le_bytes).as_flattened());
    bytes
}

/// The checksum of PNG chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}
