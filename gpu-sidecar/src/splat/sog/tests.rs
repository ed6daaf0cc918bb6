//! SOG files, read back by a reader of this file's own, after the specification.

use std::io::{Cursor, Read};

use serde_json::Value;
use zip::ZipArchive;

use super::*;
use crate::splat::color::{harmonic_to_component, srgb_to_linear};
use crate::splat::random;
use crate::splat::unproject::covariance;

struct File {
    meta: Value,
    archive: ZipArchive<Cursor<Vec<u8>>>,
}

fn written(cloud: &Gaussians) -> File {
    let mut out = Cursor::new(Vec::new());
    write(&mut out, cloud).unwrap();
    let mut archive = ZipArchive::new(out).unwrap();
    let mut text = String::new();
    archive.by_name("meta.json").unwrap().read_to_string(&mut text).unwrap();
    File { meta: serde_json::from_str(&text).unwrap(), archive }
}

impl File {
    /// Pixels of the picture that `part` names, and how many the file speaks of.
    fn pixels(&mut self, part: &str, index: usize) -> Vec<[u8; 4]> {
        let name = self.meta[part]["files"][index].as_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        self.archive.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().into_rgba8();
        picture.into_raw().as_chunks().0.to_vec()
    }

    fn numbers(&self, part: &str, list: &str) -> Vec<f64> {
        let numbers = self.meta[part][list].as_array().unwrap();
        numbers.iter().map(|number| number.as_f64().unwrap()).collect()
    }

    fn cloud(&mut self) -> Gaussians {
        let (low, high) = (self.pixels("means", 0), self.pixels("means", 1));
        let (mins, maxs) = (self.numbers("means", "mins"), self.numbers("means", "maxs"));
        let (sizes, shades) = (self.numbers("scales", "codebook"), self.numbers("sh0", "codebook"));
        assert_eq!((sizes.len(), shades.len()), (256, 256));
        let (scales, turns) = (self.pixels("scales", 0), self.pixels("quats", 0));
        let colors = self.pixels("sh0", 0);
        let mut cloud = Gaussians::default();
        for index in 0..self.meta["count"].as_u64().unwrap() as usize {
            cloud.means.push([0, 1, 2].map(|axis: usize| {
                let step = f64::from(u16::from_le_bytes([low[index][axis], high[index][axis]]));
                let log = mins[axis] + (maxs[axis] - mins[axis]) * step / 65535.0;
                (log.signum() * log.abs().exp_m1()) as f32
            }));
            let [a, b, c, _] = scales[index].map(|byte| sizes[byte as usize].exp() as f32);
            cloud.scales.push([a, b, c]);
            let [a, b, c, mark] = turns[index];
            let part = |byte: u8| (f32::from(byte) / 255.0 - 0.5) * std::f32::consts::SQRT_2;
            let kept = [part(a), part(b), part(c)];
            cloud.rotations.push(quaternion::of_smallest_three(usize::from(mark - 252), kept));
            let [r, g, b, opacity] = colors[index];
            cloud.colors.push(
                [r, g, b].map(|byte| {
                    srgb_to_linear(harmonic_to_component(shades[byte as usize] as f32))
                }),
            );
            cloud.opacities.push(f32::from(opacity) / 255.0);
        }
        cloud
    }
}

#[test]
fn a_cloud_comes_back_within_the_stated_precision() {
    let cloud = random::cloud(2003, 12);
    let mut file = written(&cloud);
    assert_eq!((&file.meta["version"], &file.meta["count"]), (&json!(2), &json!(2003)));
    let got = file.cloud();
    for index in 0..cloud.len() {
        for axis in 0..3 {
            let (got_at, want) = (got.means[index][axis], cloud.means[index][axis]);
            let most = (1.0 + want.abs()) * 9.0 / 131_070.0;
            assert!((got_at - want).abs() <= most, "{got_at} {want}");
            let ratio = (got.scales[index][axis] / cloud.scales[index][axis]).ln().abs();
            assert!(ratio <= 12.0 / 510.0, "{ratio}");
            let component = |cloud: &Gaussians| linear_to_srgb(cloud.colors[index][axis]);
            assert!((component(&got) - component(&cloud)).abs() <= 1.01 / 510.0);
        }
        assert!((got.opacities[index] - cloud.opacities[index]).abs() <= 0.002);
        let want = covariance(cloud.rotations[index], [1.0, 0.5, 0.1]);
        let turned = covariance(got.rotations[index], [1.0, 0.5, 0.1]);
        for (got, want) in turned.iter().flatten().zip(want.iter().flatten()) {
            assert!((got - want).abs() <= 0.025, "{index}: {got} {want}");
        }
    }
}

#[test]
fn every_mark_of_a_rotation_is_written() {
    for largest in 0..4u8 {
        let mut rotation = [0.1; 4];
        rotation[usize::from(largest)] = -2.0;
        assert_eq!(rotation_pixel(rotation)[3], 252 + largest);
    }
    assert_eq!(rotation_pixel([1.0, 0.0, 0.0, 0.0]), [128, 128, 128, 252]);
}

#[test]
fn odd_clouds_are_files_too() {
    assert_eq!(written(&Gaussians::default()).cloud(), Gaussians::default());
    let mut cloud = random::cloud(1, 3);
    cloud.scales = vec![[0.0, f32::INFINITY, 1.0]];
    cloud.means = vec![[f32::NAN, f32::INFINITY, 2.0]];
    let got = written(&cloud).cloud();
    assert_eq!(got.means[0][..2], [0.0, 0.0]);
    assert!((got.means[0][2] - 2.0).abs() < 1e-4);
    assert!(got.scales[0][0] < 2e-7 && (got.scales[0][1] - 1.0).abs() < 1e-4);
}
