//! What the cases are computed with: the definitions on the CPU, or the kernels of a GPU.
//!
//! Owns the choice. Knows the kernels by what they take and give; not which case asks. `gpu.rs`
//! implements it for a GPU; in builds without CUDA its twin `gpu_none.rs` says that there is none.

use super::Refusal;
use crate::vision::canny::{self, CannyParams};
use crate::vision::farneback::pyramid::{self, Level};
use crate::vision::farneback::{self, FarnebackParams, Frame, expansion, matrices, stages, window};
use crate::vision::flow_stats::{Motion, motion};
use crate::vision::gray::gray_from_bgr;
use crate::vision::morphology::{self, Kernel, Operation};
use crate::vision::plane::Plane;
use crate::vision::resize::{self, Size};
use crate::vision::sharpness::laplacian_variance;
use crate::vision::simd::Isa;

/// The steps between two frames at one scale, from a flow of zero.
pub(super) struct Steps {
    /// Which form of the kernels, where there are several: part of a stage's name.
    pub(super) form: &'static str,
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
    /// The same by its definition, where that is another computation.
    fn plain_flow(
        &self,
        _frames: [&Plane<u8>; 2],
        _params: &FarnebackParams,
        _initial: Option<&Plane<[f32; 2]>>,
    ) -> Result<Option<Plane<[f32; 2]>>, Refusal> {
        Ok(None)
    }
    fn motion(&self, flow: &Plane<[f32; 2]>) -> Result<Motion, Refusal>;
    /// One for each form of the kernels; none when the pyramid does not reach scale `k`.
    fn steps(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        k: usize,
    ) -> Result<Vec<Steps>, Refusal>;
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

    fn plain_flow(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        initial: Option<&Plane<[f32; 2]>>,
    ) -> Result<Option<Plane<[f32; 2]>>, Refusal> {
        let [prev, next] = frames.map(|frame| frame.map(f32::from));
        Ok(Some(farneback::plain::flow(&prev, &next, params, initial)?))
    }

    fn motion(&self, flow: &Plane<[f32; 2]>) -> Result<Motion, Refusal> {
        Ok(motion(flow))
    }

    fn steps(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        k: usize,
    ) -> Result<Vec<Steps>, Refusal> {
        let (width, height) = frames[0].size();
        let levels = pyramid::levels(width, height, params);
        let Some(level) = levels.get(k) else { return Ok(Vec::new()) };
        Ok(vec![rows(frames, params, level), plain(frames, params, level)?])
    }
}

/// The steps as flows are made with them.
fn rows(frames: [&Plane<u8>; 2], params: &FarnebackParams, level: &Level) -> Steps {
    let isa = Isa::best();
    let images = frames.map(|frame| stages::image(isa, Frame::U8(frame), level));
    let coefficients = [0, 1].map(|i| stages::expand(isa, &images[i], params));
    let pair = (&coefficients[0], &coefficients[1]);
    let zero = coefficients[0].map(|_| [0f32; 2]);
    let matrices = stages::matrices(isa, pair, &zero);
    let once = FarnebackParams { iterations: 1, ..params.clone() };
    let flow = stages::iterate(isa, pair, &zero, &once);
    Steps { form: "", images, coefficients, matrices, flow }
}

/// The steps by their definitions.
fn plain(
    frames: [&Plane<u8>; 2],
    params: &FarnebackParams,
    level: &Level,
) -> Result<Steps, Refusal> {
    let [prev, next] = frames.map(|frame| pyramid::image(&frame.map(f32::from), level));
    let images = [prev?, next?];
    let coefficients = [0, 1].map(|i| expansion::expand(&images[i], params));
    let zero = coefficients[0].map(|_| [0f32; 2]);
    let matrices = matrices::compute(&coefficients[0], &coefficients[1], &zero);
    let flow = window::solve(&matrices, &window::Weights::of(params));
    Ok(Steps { form: ", plain", images, coefficients, matrices, flow })
}
