//! What the cases are computed with: the definitions on the CPU, or the kernels of a GPU.
//!
//! Owns the choice. Knows the kernels by what they take and give; not which case asks. `gpu.rs`
//! implements it for a GPU; in builds without CUDA its twin `gpu_none.rs` says that there is none.

use super::Refusal;
use crate::vision::canny::{self, CannyParams};
use crate::vision::farneback::{self, FarnebackParams, expansion, matrices, pyramid, window};
use crate::vision::flow_stats::{Motion, motion};
use crate::vision::gray::gray_from_bgr;
use crate::vision::morphology::{self, Kernel, Operation};
use crate::vision::plane::Plane;
use crate::vision::resize::{self, Size};
use crate::vision::sharpness::laplacian_variance;

/// The steps between two frames at one scale, from a flow of zero.
pub(super) struct Steps {
    pub(super) images: [Plane<f32>; 2],
    pub(super) coefficients: [Plane<[f32; 5]>; 2],
    pub(super) matrices: Plane<[f32; 5]>,
    pub(super) flow: Plane<[f32; 2]>,
}

/// The kernels that have goldens.
pub(super) trait Engine {
    fn gray_from_bgr(&self, image: &Plane<[u8; 3]>) -> Result<Plane<u8>, Refusal>;
    fn canny(&self, gray: &Plane<u8>, params: &CannyParams) -> Result<Plane<u8>, Refusal>;
    fn canny_color(
        &self,
        image: &Plane<[u8; 3]>,
        params: &CannyParams,
    ) -> Result<Plane<u8>, Refusal>;
    fn morphology(
        &self,
        image: &Plane<u8>,
        operation: Operation,
        kernel: &Kernel,
        iterations: u32,
    ) -> Result<Plane<u8>, Refusal>;
    fn linear_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, Refusal>;
    fn area_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, Refusal>;
    fn linear_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, Refusal>;
    fn area_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, Refusal>;
    fn laplacian_variance(&self, gray: &Plane<u8>) -> Result<f64, Refusal>;
    fn flow(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        initial: Option<&Plane<[f32; 2]>>,
    ) -> Result<Plane<[f32; 2]>, Refusal>;
    fn motion(&self, flow: &Plane<[f32; 2]>) -> Result<Motion, Refusal>;
    /// None when the pyramid does not reach scale `k`.
    fn steps(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        k: usize,
    ) -> Result<Option<Steps>, Refusal>;
}

/// The definitions.
pub(super) struct Cpu;

impl Engine for Cpu {
    fn gray_from_bgr(&self, image: &Plane<[u8; 3]>) -> Result<Plane<u8>, Refusal> {
        Ok(gray_from_bgr(image))
    }

    fn canny(&self, gray: &Plane<u8>, params: &CannyParams) -> Result<Plane<u8>, Refusal> {
        Ok(canny::canny(gray, params)?)
    }

    fn canny_color(
        &self,
        image: &Plane<[u8; 3]>,
        params: &CannyParams,
    ) -> Result<Plane<u8>, Refusal> {
        Ok(canny::canny_color(image, params)?)
    }

    fn morphology(
        &self,
        image: &Plane<u8>,
        operation: Operation,
        kernel: &Kernel,
        iterations: u32,
    ) -> Result<Plane<u8>, Refusal> {
        Ok(morphology::apply(image, operation, kernel, iterations)?)
    }

    fn linear_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, Refusal> {
        Ok(resize::linear_u8(image, size)?)
    }

    fn area_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, Refusal> {
        Ok(resize::area_u8(image, size)?)
    }

    fn linear_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, Refusal> {
        Ok(resize::linear_f32(image, size)?)
    }

    fn area_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, Refusal> {
        Ok(resize::area_f32(image, size)?)
    }

    fn laplacian_variance(&self, gray: &Plane<u8>) -> Result<f64, Refusal> {
        Ok(laplacian_variance(gray))
    }

    fn flow(
        &self,
        [prev, next]: [&Plane<u8>; 2],
        params: &FarnebackParams,
        initial: Option<&Plane<[f32; 2]>>,
    ) -> Result<Plane<[f32; 2]>, Refusal> {
        Ok(farneback::flow(prev, next, params, initial)?)
    }

    fn motion(&self, flow: &Plane<[f32; 2]>) -> Result<Motion, Refusal> {
        Ok(motion(flow))
    }

    fn steps(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        k: usize,
    ) -> Result<Option<Steps>, Refusal> {
        let (width, height) = frames[0].size();
        let levels = pyramid::levels(width, height, params);
        let Some(level) = levels.get(k) else { return Ok(None) };
        let [prev, next] = frames.map(|frame| pyramid::image(&frame.map(f32::from), level));
        let images = [prev?, next?];
        let coefficients = [0, 1].map(|i| expansion::expand(&images[i], params));
        let zero = coefficients[0].map(|_| [0f32; 2]);
        let matrices = matrices::compute(&coefficients[0], &coefficients[1], &zero);
        let flow = window::solve(&matrices, &window::Weights::of(params));
        Ok(Some(Steps { images, coefficients, matrices, flow }))
    }
}
