//! Every kernel against its definition on the CPU, and the session against frame by frame.
//!
//! The kernels are the files that nvcc compiles, run by the emulation, and what drives them is
//! what drives a GPU. On a machine with a GPU the same checks run on the device too.

#[path = "flow_tests.rs"]
mod flows;
#[path = "picture_tests.rs"]
mod pictures;
#[path = "session_tests.rs"]
mod sessions;

use std::sync::Arc;

use super::emulation::{Emulation, Pace};
use super::{CudaError, GpuVision};
use crate::vision::plane::Plane;

/// More than any test needs.
const BYTES_MAX: usize = 1 << 30;

impl GpuVision {
    /// The kernels on the CPU, with so much "device" memory.
    pub(crate) fn emulated(pace: Pace, bytes_max: usize) -> Self {
        Self { backend: Arc::new(Emulation::new(pace, bytes_max)) }
    }
}

/// The devices that a check runs on: the emulation, and the GPU where there is one.
fn devices() -> Vec<GpuVision> {
    let mut devices = vec![GpuVision::emulated(Pace::Lazy, BYTES_MAX)];
    match GpuVision::open() {
        Ok(gpu) => devices.push(gpu),
        Err(CudaError::NoDevice(reason)) => println!("no GPU, its half is left out: {reason}"),
        Err(error) => panic!("the GPU does not work: {error}"),
    }
    devices
}

/// Numbers that look random and are the same every time.
struct Noise(u64);

impl Noise {
    /// Below `bound`.
    fn next(&mut self, bound: u64) -> u64 {
        // Numerical Recipes' 64-bit generator; the high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn gray(&mut self, width: usize, height: usize) -> Plane<u8> {
        let data = (0..width * height).map(|_| self.next(256) as u8).collect();
        Plane::new(width, height, data).expect("fits")
    }

    fn color(&mut self, width: usize, height: usize) -> Plane<[u8; 3]> {
        let pixel = |_| [self.next(256), self.next(256), self.next(256)].map(|v| v as u8);
        let data = (0..width * height).map(pixel).collect();
        Plane::new(width, height, data).expect("fits")
    }
}

/// Waves of several lengths, moved by (dx, dy), with a flat corner: something to follow, something
/// without a hold, and edges between.
fn scene(width: usize, height: usize, dx: f64, dy: f64) -> Plane<u8> {
    Plane::from_rows(width, height, |y, row| {
        for (x, pixel) in row.iter_mut().enumerate() {
            let (u, v) = (x as f64 - dx, y as f64 - dy);
            let waves = (u / 3.1).sin()
                + (v / 4.3).sin()
                + ((u + v) / 7.9).sin()
                + ((u - 2.0 * v) / 11.3).cos();
            let flat = x < width / 3 && y < height / 3;
            *pixel = if flat { 200 } else { (128.0 + 30.0 * waves) as u8 };
        }
    })
}

/// Gray as red, green, blue.
fn colored(gray: &Plane<u8>) -> Plane<[u8; 3]> {
    gray.map(|v| [v, v.wrapping_add(9), v.wrapping_mul(3)])
}
