//! Flow: within the tolerance that CPU and GPU promise each other.

use super::{Noise, devices, scene};
use crate::vision::cuda::GpuVision;
use crate::vision::farneback::{self, FarnebackParams, Window};
use crate::vision::flow_stats::motion;
use crate::vision::plane::Plane;

/// Mean and 99th percentile of the difference, over both channels.
pub(super) fn distance(got: &Plane<[f32; 2]>, want: &Plane<[f32; 2]>) -> (f64, f64) {
    assert_eq!(got.size(), want.size());
    let pairs = got.data().as_flattened().iter().zip(want.data().as_flattened());
    let mut off: Vec<f64> = pairs.map(|(a, b)| f64::from((a - b).abs())).collect();
    off.sort_by(f64::total_cmp);
    let p99 = off[(off.len() * 99).div_ceil(100) - 1];
    (off.iter().sum::<f64>() / off.len() as f64, p99)
}

#[track_caller]
pub(super) fn assert_agrees(got: &Plane<[f32; 2]>, want: &Plane<[f32; 2]>, what: &str) {
    let (mean, p99) = distance(got, want);
    assert!(mean < 1e-3 && p99 < 1e-2, "{what}: mean {mean:e} px, 99th percentile {p99:e} px");
}

#[track_caller]
fn check(gpu: &GpuVision, frames: [&Plane<u8>; 2], params: &FarnebackParams) {
    let want = farneback::flow(frames[0], frames[1], params, None).expect("checked");
    let got = gpu.flow(frames[0], frames[1], params, None).expect("checked");
    assert_agrees(&got, &want, &format!("{:?} {params:?}", want.size()));
}

#[test]
fn flow_agrees_at_any_size() {
    for gpu in devices() {
        for (width, height) in [(10, 10), (11, 40), (64, 32), (65, 35), (129, 67)] {
            let frames = [scene(width, height, 0.0, 0.0), scene(width, height, 1.4, -0.7)];
            check(&gpu, [&frames[0], &frames[1]], &FarnebackParams::default());
        }
    }
}

#[test]
fn flow_agrees_with_any_parameters() {
    let seed = FarnebackParams::default;
    let frames = [scene(120, 90, 0.0, 0.0), scene(120, 90, 2.3, 1.1)];
    for params in [
        FarnebackParams { window: Window::Gaussian, ..seed() },
        FarnebackParams { winsize: 5, iterations: 1, ..seed() },
        FarnebackParams { winsize: 22, levels: 0, ..seed() },
        FarnebackParams { winsize: 255, ..seed() },
        FarnebackParams { poly_n: 7, poly_sigma: 1.5, pyr_scale: 0.7, levels: 5, ..seed() },
        FarnebackParams { poly_sigma: 0.0, iterations: 10, ..seed() },
        FarnebackParams { pyr_scale: 0.37, ..seed() },
    ] {
        for gpu in devices() {
            check(&gpu, [&frames[0], &frames[1]], &params);
        }
    }
}

#[test]
fn frames_without_a_hold_agree() {
    let flat = Plane::from_rows(80, 60, |_, row| row.fill(255));
    let noise = [Noise(1).gray(80, 60), Noise(2).gray(80, 60)];
    // Diagonal stripes: only the motion across them can be known. Faint ones: of strong ones the
    // system is singular beside its own rounding, and any two implementations differ.
    let stripes = [0, 1].map(|shift| {
        Plane::from_rows(80, 60, |y, row: &mut [u8]| {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = if (x + y + shift) % 16 < 8 { 130 } else { 125 };
            }
        })
    });
    for gpu in devices() {
        check(&gpu, [&flat, &flat], &FarnebackParams::default());
        check(&gpu, [&flat, &noise[0]], &FarnebackParams::default());
        check(&gpu, [&noise[0], &noise[1]], &FarnebackParams::default());
        check(&gpu, [&stripes[0], &stripes[1]], &FarnebackParams::default());
    }
}

#[test]
fn the_search_begins_where_it_is_told() {
    let frames = [scene(130, 100, 0.0, 0.0), scene(130, 100, 9.0, 4.0)];
    let initial = Plane::from_rows(130, 100, |y, row| row.fill([8.0, 0.04 * y as f32]));
    let params = FarnebackParams { levels: 1, iterations: 1, ..FarnebackParams::default() };
    let [prev, next] = &frames;
    let want = farneback::flow(prev, next, &params, Some(&initial)).expect("checked");
    let without = farneback::flow(prev, next, &params, None).expect("checked");
    assert!(distance(&without, &want).0 > 1.0, "the initial flow changes nothing here");
    for gpu in devices() {
        let got = gpu.flow(prev, next, &params, Some(&initial)).expect("checked");
        assert_agrees(&got, &want, "initial");
    }
}

#[test]
fn statistics_of_a_flow_agree() {
    for gpu in devices() {
        for (width, height) in [(1, 1), (37, 131)] {
            let mut noise = Noise(11);
            let flow = Plane::from_rows(width, height, |_, row| row.fill([0.0; 2]))
                .map(|[x, y]: [f32; 2]| [x, y]);
            let flow = Plane::new(
                width,
                height,
                flow.data()
                    .iter()
                    .map(|_| [0; 2].map(|_| noise.next(2000) as f32 / 100.0 - 10.0))
                    .collect(),
            )
            .expect("fits");
            let (got, want) = (gpu.motion(&flow).expect("any size"), motion(&flow));
            assert!((got.mean_px - want.mean_px).abs() < 1e-6, "{got:?} {want:?}");
            assert!((got.max_px - want.max_px).abs() < 1e-5, "{got:?} {want:?}");
        }
    }
}

#[test]
fn small_and_unequal_frames_are_refused() {
    for gpu in devices() {
        let (small, large) = (scene(9, 40, 0.0, 0.0), scene(40, 40, 0.0, 0.0));
        let params = FarnebackParams::default();
        assert!(gpu.flow(&small, &small, &params, None).is_err());
        assert!(gpu.flow(&large, &scene(40, 41, 0.0, 0.0), &params, None).is_err());
        let odd = FarnebackParams { poly_n: 6, ..params };
        assert!(gpu.flow(&large, &large, &odd, None).is_err());
    }
}
