//! Pictures: gray, resizing, blur, Canny, morphology, sharpness. All but f32 to the bit.

use super::{Noise, devices, scene};
use crate::vision::blur::{Taps, blur};
use crate::vision::canny::{CannyParams, canny, canny_color};
use crate::vision::cuda::GpuVision;
use crate::vision::gray::{gray_from_bgr, gray_from_rgb};
use crate::vision::morphology::{Kernel, Operation, Shape, apply};
use crate::vision::plane::Plane;
use crate::vision::resize::{self, Size};
use crate::vision::sharpness::laplacian_variance;

/// One pixel, one line, one block, a bit more than blocks, larger than a block's tile of rows.
const SIZES: [(usize, usize); 7] = [(1, 1), (2, 1), (1, 3), (10, 10), (33, 9), (70, 13), (37, 131)];

#[test]
fn gray_is_the_cpus_to_the_bit() {
    for gpu in devices() {
        for (width, height) in SIZES {
            let image = Noise(1).color(width, height);
            assert_eq!(gpu.gray_from_bgr(&image), Ok(gray_from_bgr(&image)));
            assert_eq!(gpu.gray_from_rgb(&image), Ok(gray_from_rgb(&image)));
        }
    }
}

#[test]
fn sharpness_is_the_cpus_to_the_bit() {
    for gpu in devices() {
        for (width, height) in SIZES {
            let image = Noise(2).gray(width, height);
            assert_eq!(gpu.laplacian_variance(&image), Ok(laplacian_variance(&image)));
        }
    }
}

#[test]
fn resized_bytes_are_the_cpus_to_the_bit() {
    for gpu in devices() {
        for (from, to) in [
            ((40, 30), (20, 15)),
            ((40, 30), (10, 10)),
            ((41, 31), (17, 29)),
            ((13, 7), (64, 50)),
            ((1, 1), (5, 3)),
            ((9, 9), (9, 9)),
        ] {
            let image = Noise(3).gray(from.0, from.1);
            let size = Size { width: to.0, height: to.1 };
            assert_eq!(gpu.linear_u8(&image, size).ok(), resize::linear_u8(&image, size).ok());
            assert_eq!(gpu.area_u8(&image, size).ok(), resize::area_u8(&image, size).ok());
        }
    }
}

/// Largest difference, relative to 255.
fn distance(got: &Plane<f32>, want: &Plane<f32>) -> f32 {
    assert_eq!(got.size(), want.size());
    let pairs = got.data().iter().zip(want.data());
    pairs
        .map(|(got, want)| if got.is_nan() { 1.0 } else { (got - want).abs() / 255.0 })
        .fold(0.0, f32::max)
}

#[test]
fn resized_and_blurred_floats_are_the_cpus_to_the_last_digits() {
    for gpu in devices() {
        for (from, to) in [((40, 30), (20, 15)), ((41, 31), (17, 29)), ((13, 7), (64, 50))] {
            let image = Noise(4).gray(from.0, from.1).map(f32::from);
            let size = Size { width: to.0, height: to.1 };
            let linear = gpu.linear_f32(&image, size).expect("a size");
            assert!(distance(&linear, &resize::linear_f32(&image, size).expect("a size")) < 1e-6);
            if let Ok(area) = resize::area_f32(&image, size) {
                assert!(distance(&gpu.area_f32(&image, size).expect("shrinks"), &area) < 1e-6);
            }
        }
        for (width, height) in SIZES {
            let image = Noise(5).gray(width, height).map(f32::from);
            for taps in [Taps::quarters(), Taps::gaussian(9, 3.5)] {
                let blurred = gpu.blur(&image, &taps).expect("any size");
                assert!(distance(&blurred, &blur(&image, &taps)) < 1e-6);
            }
        }
    }
}

fn check_edges(gpu: &GpuVision, gray: &Plane<u8>, color: &Plane<[u8; 3]>) -> usize {
    let mut found = 0;
    for aperture in [3, 5, 7] {
        for l2 in [false, true] {
            // Thresholds grow with the aperture's gradients.
            let gain = f64::from([1, 6, 40][aperture as usize / 2 - 1]);
            for (low, high) in [(15.0, 60.0), (90.0, 30.0), (0.0, 250.0), (200.0, 480.5)] {
                let params = CannyParams { low: low * gain, high: high * gain, aperture, l2 };
                let want = canny(gray, &params).expect("checked");
                found += want.data().iter().filter(|&&value| value != 0).count();
                assert_eq!(gpu.canny(gray, &params), Ok(want), "{params:?}");
                let want = canny_color(color, &params).expect("checked");
                assert_eq!(gpu.canny_color(color, &params), Ok(want), "{params:?}");
            }
        }
    }
    found
}

#[test]
fn edges_are_the_cpus_to_the_bit() {
    for gpu in devices() {
        let mut found = 0;
        for (width, height) in SIZES {
            let mut noise = Noise(6);
            let (gray, color) = (noise.gray(width, height), noise.color(width, height));
            found += check_edges(&gpu, &gray, &color);
        }
        let (gray, color) = (scene(75, 52, 0.0, 0.0), Noise(7).color(75, 52));
        found += check_edges(&gpu, &gray, &color);
        assert!(found > 1000, "{found} edge pixels prove nothing");
    }
}

/// A faint spiral that is strong at its outer end only: every pixel of it is an edge, however far
/// away the strong one is.
#[test]
fn a_long_faint_edge_is_followed_to_its_end() {
    let spiral = |strong: bool| {
        Plane::from_rows(150, 150, |y, row| {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (u, v) = (x as f64 - 75.0, y as f64 - 75.0);
                let inside = (u.hypot(v) * 0.6 - v.atan2(u)).sin() > 0.0;
                let bright = if strong && y < 12 { 200 } else { 60 };
                *pixel = if inside { bright } else { 40 };
            }
        })
    };
    let params = CannyParams { low: 10.0, high: 300.0, ..CannyParams::default() };
    let edges = |image: &Plane<u8>| canny(image, &params).expect("checked");
    let count = |edges: &Plane<u8>| edges.data().iter().filter(|&&value| value != 0).count();
    assert_eq!(count(&edges(&spiral(false))), 0, "nothing is strong");
    let image = spiral(true);
    let want = edges(&image);
    let middle = (60..90).any(|y| want.row(y)[60..90].iter().any(|&value| value != 0));
    assert!(count(&want) > 1000 && middle, "the picture does not test what it should");
    for gpu in devices() {
        assert_eq!(gpu.canny(&image, &params).as_ref(), Ok(&want));
    }
}

#[test]
fn derivatives_are_whole_sums() {
    for gpu in devices() {
        // A step of 10 to the right, and down.
        let across = Plane::from_rows(12, 11, |_, row| row[6..].fill(10));
        let down = Plane::from_rows(12, 11, |y, row| row.fill(if y < 5 { 0 } else { 10 }));
        for (aperture, height) in [(3, 40), (5, 16 * 3 * 10), (7, 400)] {
            let gradient = gpu.sobel(&across, aperture).expect("any size");
            assert_eq!(gradient.row(5)[6], [height, 0], "aperture {aperture}");
            assert_eq!(gpu.sobel(&down, aperture).expect("any size").row(5)[6], [0, height]);
        }
    }
}

fn check_morphology(gpu: &GpuVision, image: &Plane<u8>, kernel: &Kernel, iterations: u32) {
    for operation in [
        Operation::Erode,
        Operation::Dilate,
        Operation::Open,
        Operation::Close,
        Operation::Gradient,
        Operation::TopHat,
        Operation::BlackHat,
    ] {
        let want = apply(image, operation, kernel, iterations).expect("checked");
        let got = gpu.morphology_with(image, operation, kernel, iterations);
        assert_eq!(got, Ok(want), "{operation:?} {kernel:?}");
    }
}

#[test]
fn morphology_is_the_cpus_to_the_bit() {
    for gpu in devices() {
        for (width, height) in SIZES {
            let image = Noise(8).gray(width, height);
            for shape in [Shape::Rect, Shape::Cross, Shape::Ellipse] {
                for (kernel_width, kernel_height) in [(3, 3), (4, 7), (15, 2), (1, 1)] {
                    let kernel = Kernel::shaped(shape, kernel_width, kernel_height);
                    let kernel = kernel.expect("sides are small");
                    check_morphology(&gpu, &image, &kernel, 1);
                    let corner = kernel.with_anchor(0, kernel_height - 1).expect("a cell");
                    check_morphology(&gpu, &image, &corner, 2);
                }
            }
            // One cell, off the pixel; and none at all.
            let lone = Kernel::new(3, 3, (0..9).map(|i| i == 2).collect()).expect("3 x 3");
            check_morphology(&gpu, &image, &lone, 3);
            let none = Kernel::new(2, 2, vec![false; 4]).expect("2 x 2");
            check_morphology(&gpu, &image, &none, 1);
        }
    }
}

#[test]
fn what_the_cpu_refuses_is_refused() {
    for gpu in devices() {
        let image = Noise(9).gray(8, 8);
        let params = CannyParams { aperture: 4, ..CannyParams::default() };
        assert!(gpu.canny(&image, &params).is_err());
        assert!(gpu.linear_u8(&image, Size { width: 0, height: 3 }).is_err());
        assert!(gpu.area_u8(&image, Size { width: 9, height: 3 }).is_err());
        let kernel = Kernel::shaped(Shape::Rect, 3, 3).expect("3 x 3");
        assert!(gpu.morphology_with(&image, Operation::Open, &kernel, 0).is_err());
    }
}
