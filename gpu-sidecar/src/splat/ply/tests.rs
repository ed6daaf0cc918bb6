//! PLY files against the reference's bytes, and files that are none.

use proptest::prelude::*;

use super::*;
use crate::splat::goldens::Goldens;
use crate::splat::{ReadError, random};

const PHOTO: Photo = Photo { width: 640, height: 480, focal_px: 500.0 };

fn written(cloud: &Gaussians, photo: &Photo) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, cloud, photo).unwrap();
    assert_eq!(out.len() as u64, bytes(cloud.len()));
    out
}

/// The golden's file, and ours of the same cloud.
fn golden(case: &str) -> (Goldens, Vec<u8>, Vec<u8>) {
    let goldens = Goldens::open(case);
    let pixels = |key| goldens.number(key) as u32;
    let photo = Photo {
        width: pixels("image_width"),
        height: pixels("image_height"),
        focal_px: goldens.number("f_px") as f32,
    };
    let got = written(&goldens.cloud(), &photo);
    let want = goldens.file("expected.ply");
    (goldens, want, got)
}

/// Byte for byte, except that the colours come from another library's power function and may be
/// off by what the case allows (2e-6); they are compared as numbers.
#[track_caller]
fn check_bytes(case: &str) {
    let (goldens, want, mut got) = golden(case);
    let count = goldens.cloud().len();
    let body = head(count).len();
    assert_eq!(got.len(), want.len());
    for index in 0..count {
        for column in 3..6 {
            let place = body + index * STRIDE + column * 4;
            let number = |file: &[u8]| f32::from_le_bytes(*file[place..].first_chunk().unwrap());
            let (number_got, number_want) = (number(&got), number(&want));
            assert!(
                (number_got - number_want).abs() <= 2e-6,
                "{index}: {number_got} {number_want}"
            );
            got[place..place + 4].copy_from_slice(&want[place..place + 4]);
        }
    }
    assert!(got == want, "{case} differs outside of the colours");
}

#[test]
fn a_file_is_the_reference_s() {
    check_bytes("09_ply");
}

#[test]
fn infinities_are_written_as_the_reference_does() {
    check_bytes("10_ply_edge_values");
}

#[test]
fn the_reference_s_file_is_read() {
    let (goldens, file, _) = golden("09_ply");
    let scene = read(&file).unwrap();
    goldens.check("loaded.mean_vectors", scene.gaussians.means.as_flattened());
    goldens.check("loaded.singular_values", scene.gaussians.scales.as_flattened());
    goldens.check("loaded.quaternions", scene.gaussians.rotations.as_flattened());
    goldens.check("loaded.colors", scene.gaussians.colors.as_flattened());
    goldens.check("loaded.opacities", &scene.gaussians.opacities);
    assert_eq!(scene.photo, Photo { width: 1023, height: 767, focal_px: 812.345_7 });
}

#[test]
fn a_full_cloud_has_the_size_that_the_reference_s_has() {
    assert_eq!(bytes(1_179_648), 66_061_086);
}

#[test]
fn no_gaussians_are_a_file_too() {
    let scene = read(&written(&Gaussians::default(), &PHOTO)).unwrap();
    assert!(scene.gaussians.is_empty());
    assert_eq!(scene.photo, PHOTO);
}

#[test]
fn blocks_join_without_a_seam() {
    let cloud = random::cloud(3 * PER_BLOCK + 5, 3);
    let scene = read(&written(&cloud, &PHOTO)).unwrap();
    assert_eq!(scene.gaussians.means, cloud.means);
    assert_eq!(scene.gaussians.rotations, cloud.rotations);
    for (got, want) in scene.gaussians.scales.iter().zip(&cloud.scales) {
        assert!((got[2] - want[2]).abs() <= 1e-5 * want[2]);
    }
}

/// A file with one vertex of zeros, `more` in its head and `tail` after its body.
fn small(more: &str, tail: &[u8]) -> Vec<u8> {
    let mut text = "ply\r\nformat binary_little_endian 1.0\ncomment by hand\n".to_owned();
    text += "element vertex 1\nproperty double x\nproperty uchar label\n";
    for column in &COLUMNS[1..] {
        text += &format!("property float {column}\n");
    }
    let mut file = (text + more + "end_header\n").into_bytes();
    file.extend(2.5f64.to_le_bytes());
    file.push(9);
    file.extend([0; 13 * 4]);
    file.extend(tail);
    file
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn other_types_and_unknown_properties_are_passed_over() {
    let scene = read(&small("", &[])).unwrap();
    assert_eq!(scene.gaussians.means, [[2.5, 0.0, 0.0]]);
    assert_eq!(scene.gaussians.scales, [[1.0; 3]]);
    assert_eq!(scene.gaussians.rotations, [quaternion_of_no_turn()]);
    assert_eq!(scene.gaussians.colors, [[0.5; 3]]);
    assert_eq!(scene.gaussians.opacities, [0.5]);
}

fn quaternion_of_no_turn() -> [f32; 4] {
    [1.0, 0.0, 0.0, 0.0]
}

#[track_caller]
fn check_photo(more: &str, tail: &[u8], want: (u32, u32, f32)) {
    let (width, height, focal_px) = want;
    assert_eq!(read(&small(more, tail)).unwrap().photo, Photo { width, height, focal_px });
}

#[test]
fn absent_metadata_falls_back_as_in_the_reference() {
    check_photo("", &[], (640, 480, 512.0));
    let size = "element image_size 2\nproperty uint image_size\n";
    check_photo(size, &[100, 0, 0, 0, 50, 0, 0, 0], (100, 50, 512.0));
    let legacy = "element intrinsic 4\nproperty float intrinsic\n";
    check_photo(legacy, &floats(&[700.0, 701.0, 320.0, 240.0]), (320, 240, 700.0));
    let nine = "element intrinsic 9\nproperty float intrinsic\n";
    let matrix = [300.0, 0.0, 50.0, 0.0, 300.0, 25.0, 0.0, 0.0, 1.0];
    check_photo(nine, &floats(&matrix), (100, 50, 300.0));
}

#[test]
fn lists_of_unknown_elements_are_walked() {
    let faces = "element face 2\nproperty list uchar int vertex_indices\nproperty uchar flag\n";
    let mut tail = vec![2, 1, 1, 1, 1, 2, 2, 2, 2, 7, 0, 7];
    tail.extend(floats(&[700.0, 700.0, 320.0, 240.0]));
    let more = faces.to_owned() + "element intrinsic 4\nproperty float intrinsic\n";
    check_photo(&more, &tail, (320, 240, 700.0));
}

#[track_caller]
fn check_refused(file: &[u8], code: &str) {
    assert_eq!(read(file).map_err(|error| error.code()).unwrap_err(), code);
}

#[test]
fn a_bad_file_is_refused_with_a_code() {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    check_refused(b"", "splats_format");
    check_refused(b"glb\n", "splats_format");
    check_refused(&[b"ply\n".to_vec(), vec![b'a'; 1 << 20]].concat(), "splats_format");
    check_refused(b"ply\nend_header\n", "splats_format");
    check_refused(b"ply\nformat ascii 1.0\nend_header\n", "splats_unsupported");
    check_refused(b"ply\nformat binary_little_endian 1.0\nend_header\n", "splats_incomplete");
    let good = text(small("", &[]));
    check_refused(good.replace("float opacity", "float opaque").as_bytes(), "splats_incomplete");
    check_refused(good.replace("vertex 1", "vertex -1").as_bytes(), "splats_format");
    check_refused(good.replace("vertex 1", "vertex 9").as_bytes(), "splats_truncated");
    let huge = good.replace("vertex 1", "vertex 18446744073709551615");
    check_refused(huge.as_bytes(), "splats_truncated");
    let endless = "element face 4000000000\nproperty list uchar double numbers\n";
    check_refused(&small(endless, &[0; 100]), "splats_truncated");
    let zero = "element intrinsic 4\nproperty float intrinsic\n";
    check_refused(&small(zero, &[0; 16]), "splats_unsupported");
    let many = ReadError::check_count(1 << 25).unwrap_err();
    assert_eq!(many.code(), "splats_too_many");
}

proptest! {
    #[test]
    fn changed_bytes_are_an_answer_or_a_refusal(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(), is_cut in any::<bool>(),
    ) {
        let mut file = written(&random::cloud(2, 1), &PHOTO);
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if is_cut {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(scene) = read(&file) {
            prop_assert_eq!(scene.gaussians.len(), scene.gaussians.opacities.len());
        }
    }

    #[test]
    fn a_cloud_is_read_as_it_was_written(seed in 0u64..1000, count in 0usize..20) {
        let cloud = random::cloud(count, seed);
        let got = read(&written(&cloud, &PHOTO)).unwrap().gaussians;
        prop_assert_eq!(&got.means, &cloud.means);
        prop_assert_eq!(&got.rotations, &cloud.rotations);
        for (got, want) in got.colors.iter().flatten().zip(cloud.colors.iter().flatten()) {
            prop_assert!((got - want).abs() < 1e-5);
        }
        for (got, want) in got.opacities.iter().zip(&cloud.opacities) {
            prop_assert!((got - want).abs() < 1e-5);
        }
    }
}
