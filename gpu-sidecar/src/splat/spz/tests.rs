//! spz files: known bytes, the way there and back, and files that are none.

use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;
use crate::splat::random;
use crate::splat::unproject::covariance;

fn written(cloud: &Gaussians, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, cloud, version).unwrap();
    out
}

fn payload(file: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    GzDecoder::new(file).read_to_end(&mut payload).unwrap();
    payload
}

fn zipped(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    gzip::write(&mut out, payload).unwrap();
    out
}

/// One Gaussian whose every byte can be worked out by hand.
fn plain() -> Gaussians {
    Gaussians {
        means: vec![[1.0, 2.0, 3.0]],
        scales: vec![[1.0, (-10f32).exp(), (2.5f32).exp()]],
        rotations: vec![[-2.0, 0.0, 0.0, 0.0]],
        colors: vec![[0.0, 0.214_041_14, 1.0]],
        opacities: vec![1.0],
    }
}

#[test]
fn a_file_is_as_the_format_has_it() {
    // 0 is 255 (0.5 - 0.15 * 1.77245), 1/2 is 127.5, 1 is the mirror of 0.
    let shared = [
        b"NGSP\x03\0\0\0\x01\0\0\0\0\x0c\0\0".as_slice(),
        // 4096, then -8192 and -12288: up and backward.
        &[0, 16, 0, 0, 0xe0, 0xff, 0, 0xd0, 0xff],
        &[255],
        &[60, 128, 195],
        &[160, 0, 200],
    ]
    .concat();
    // The largest part is the fourth, w; the others are 0.
    let third = [&shared[..], &[0, 0, 0, 0xc0]].concat();
    assert_eq!(payload(&written(&plain(), Version::V3)), third);
    let mut second = [&shared[..], &[128, 128, 128]].concat();
    second[4] = 2;
    assert_eq!(payload(&written(&plain(), Version::V2)), second);
}

#[test]
fn a_packed_rotation_has_its_parts_in_order() {
    // y is largest and negative, so all signs change: x -0.5, z 0.1, w -0.3.
    let rotation = quaternion::normalized([0.3, 0.5, -0.8, -0.1]);
    let [w, x, y, z] = rotation;
    let packed = smallest_three([x, y, z, w]);
    let scale = 511.0 * std::f32::consts::SQRT_2;
    assert_eq!(packed >> 30, 1);
    let part = |shift: u32, value: f32| {
        assert_eq!(packed >> shift & 0x1ff, (value.abs() * scale).round() as u32);
        assert_eq!(packed >> (shift + 9) & 1, u32::from(value < 0.0));
    };
    part(20, -x);
    part(10, -z);
    part(0, -w);
}

#[track_caller]
fn check_round_trip(version: Version, turn_error: f32) {
    let cloud = random::cloud(5000, 9);
    let got = read(&written(&cloud, version)).unwrap();
    assert_eq!(got.len(), cloud.len());
    for index in 0..cloud.len() {
        for axis in 0..3 {
            let off = (got.means[index][axis] - cloud.means[index][axis]).abs();
            assert!(off <= 0.51 / 4096.0, "{off}");
            let ratio = (got.scales[index][axis] / cloud.scales[index][axis]).ln().abs();
            assert!(ratio <= 0.0313, "{ratio}");
            let component = |cloud: &Gaussians| linear_to_srgb(cloud.colors[index][axis]);
            assert!((component(&got) - component(&cloud)).abs() <= 0.0038);
        }
        assert!((got.opacities[index] - cloud.opacities[index]).abs() <= 0.002);
        let scales = [1.0, 0.5, 0.1];
        let want = covariance(cloud.rotations[index], scales);
        let turned = covariance(got.rotations[index], scales);
        for (got, want) in turned.iter().flatten().zip(want.iter().flatten()) {
            assert!((got - want).abs() <= turn_error, "{index}: {got} {want}");
        }
    }
}

#[test]
fn a_cloud_comes_back_within_the_stated_precision() {
    check_round_trip(Version::V3, 0.006);
    check_round_trip(Version::V2, 0.25);
}

#[test]
fn a_wide_cloud_gives_up_bits_of_fraction() {
    let mut cloud = plain();
    cloud.means = vec![[0.0, 0.0, 9000.0]];
    let file = written(&cloud, Version::V3);
    assert_eq!(payload(&file)[13], 9);
    assert_eq!(read(&file).unwrap().means[0][2], 9000.0);
    cloud.means = vec![[1e9, f32::NAN, f32::INFINITY]];
    let means = read(&written(&cloud, Version::V3)).unwrap().means;
    assert_eq!(means, [[8_388_607.0, 0.0, 8_388_607.0]]);
}

#[test]
fn no_gaussians_are_a_file_too() {
    assert!(read(&written(&Gaussians::default(), Version::V3)).unwrap().is_empty());
}

#[track_caller]
fn check_refused(file: &[u8], code: &str) {
    assert_eq!(read(file).map_err(|error| error.code()).unwrap_err(), code);
}

#[test]
fn a_bad_file_is_refused_with_a_code() {
    let good = payload(&written(&plain(), Version::V3));
    let with = |place: usize, byte: u8| {
        let mut changed = good.clone();
        changed[place] = byte;
        zipped(&changed)
    };
    check_refused(b"", "splats_format");
    check_refused(&good, "splats_format");
    check_refused(&with(0, b'X'), "splats_format");
    check_refused(&with(4, 4), "splats_unsupported");
    check_refused(&with(13, 32), "splats_unsupported");
    check_refused(&with(8, 2), "splats_truncated");
    check_refused(&with(11, 0xff), "splats_too_many");
    let file = written(&plain(), Version::V3);
    check_refused(&file[..file.len() - 12], "splats_truncated");
}

proptest! {
    #[test]
    fn changed_bytes_are_an_answer_or_a_refusal(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        is_outer in any::<bool>(),
    ) {
        let file = written(&random::cloud(3, 1), Version::V2);
        let mut bytes = if is_outer { file } else { payload(&file) };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let file = if is_outer { bytes } else { zipped(&bytes) };
        let _ = read(&file).map(|cloud| cloud.len());
    }
}
