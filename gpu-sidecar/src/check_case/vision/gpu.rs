//! The kernels of a GPU, for the cases.
//!
//! Owns the way from `GpuVision` to [`Engine`]; nothing is computed here.

use super::Refusal;
use super::engine::{Engine, Steps};
use crate::vision::canny::CannyParams;
use crate::vision::cuda::{FlowSteps, GpuVision};
use crate::vision::farneback::FarnebackParams;
use crate::vision::flow_stats::Motion;
use crate::vision::morphology::{Kernel, Operation};
use crate::vision::plane::Plane;
use crate::vision::resize::Size;

/// The first GPU, or why there is none.
pub(super) fn open() -> Result<Box<dyn Engine>, Refusal> {
    Ok(Box::new(GpuVision::open()?))
}

impl Engine for GpuVision {
    fn gray_from_bgr(&self, image: &Plane<[u8; 3]>) -> Result<Plane<u8>, Refusal> {
        Ok(self.gray_from_bgr(image)?)
    }

    fn canny(&self, gray: &Plane<u8>, params: &CannyParams) -> Result<Plane<u8>, Refusal> {
        Ok(self.canny(gray, params)?)
    }

    fn canny_color(
        &self,
        image: &Plane<[u8; 3]>,
        params: &CannyParams,
    ) -> Result<Plane<u8>, Refusal> {
        Ok(self.canny_color(image, params)?)
    }

    fn morphology(
        &self,
        image: &Plane<u8>,
        operation: Operation,
        kernel: &Kernel,
        iterations: u32,
    ) -> Result<Plane<u8>, Refusal> {
        Ok(self.morphology_with(image, operation, kernel, iterations)?)
    }

    fn linear_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, Refusal> {
        Ok(self.linear_u8(image, size)?)
    }

    fn area_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, Refusal> {
        Ok(self.area_u8(image, size)?)
    }

    fn linear_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, Refusal> {
        Ok(self.linear_f32(image, size)?)
    }

    fn area_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, Refusal> {
        Ok(self.area_f32(image, size)?)
    }

    fn laplacian_variance(&self, gray: &Plane<u8>) -> Result<f64, Refusal> {
        Ok(self.laplacian_variance(gray)?)
    }

    fn flow(
        &self,
        [prev, next]: [&Plane<u8>; 2],
        params: &FarnebackParams,
        initial: Option<&Plane<[f32; 2]>>,
    ) -> Result<Plane<[f32; 2]>, Refusal> {
        Ok(self.flow(prev, next, params, initial)?)
    }

    fn motion(&self, flow: &Plane<[f32; 2]>) -> Result<Motion, Refusal> {
        Ok(self.motion(flow)?)
    }

    fn steps(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        k: usize,
    ) -> Result<Vec<Steps>, Refusal> {
        let steps = self.flow_steps(frames, params, k)?;
        let named = |FlowSteps { images, coefficients, matrices, flow }| Steps {
            form: "",
            images,
            coefficients,
            matrices,
            flow,
        };
        Ok(steps.map(named).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::run_with;
    use super::*;
    use crate::vision::cuda::Pace;

    /// The kernels against OpenCV's own results, by emulation; the device's half is
    /// `postern-sidecar check-case vision DIR --device cuda`.
    #[test]
    fn the_goldens_pass_with_the_cuda_kernels() {
        let subset = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/vision");
        let emulated = GpuVision::emulated(Pace::Lazy, 1 << 32);
        let cases = run_with(&subset, &emulated).expect("every case can be checked");
        let failed: Vec<_> = cases.iter().filter(|case| !case.pass).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(cases.len() >= 84, "{} cases", cases.len());
    }
}
