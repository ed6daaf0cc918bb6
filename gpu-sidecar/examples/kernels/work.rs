//! One kernel with its input and its parameters, ready to be called.
//!
//! Owns the names of the benchmark. They are the ones of `xtask/src/bench/kernels.rs` and
//! `xtask/bench/kernels.py`.

use anyhow::{Result, bail};
use postern_sidecar::vision::canny::{CannyParams, canny};
use postern_sidecar::vision::farneback::{self, FarnebackParams, Window};
use postern_sidecar::vision::gray::gray_from_bgr;
use postern_sidecar::vision::morphology::{MorphologyParams, Operation, Shape, morphology};
use postern_sidecar::vision::plane::Plane;

use crate::frames::Frames;

/// A kernel and what it made last.
pub(crate) struct Work<'a> {
    kernel: Kernel<'a>,
    result: Output,
}

enum Kernel<'a> {
    Gray(&'a Plane<[u8; 3]>),
    Canny(&'a Plane<u8>, CannyParams),
    Close(&'a Plane<u8>, MorphologyParams),
    Flow([&'a Plane<u8>; 2], FarnebackParams),
}

enum Output {
    Nothing,
    Gray(Plane<u8>),
    Flow(Plane<[f32; 2]>),
}

impl<'a> Work<'a> {
    pub(crate) fn named(name: &str, frames: &'a Frames) -> Result<Self> {
        let canny = |frame, l2| Kernel::Canny(frame, CannyParams { l2, ..Default::default() });
        let close = |shape, side| {
            let operation = Operation::Close;
            let (kernel_width, kernel_height) = (side, side);
            let params = MorphologyParams {
                operation,
                shape,
                kernel_width,
                kernel_height,
                ..Default::default()
            };
            Kernel::Close(&frames.shapes, params)
        };
        let flow = |window| {
            let params = FarnebackParams { window, ..Default::default() };
            Kernel::Flow([&frames.shapes, &frames.shapes_next], params)
        };
        let kernel = match name {
            "gray" => Kernel::Gray(&frames.color),
            "canny_shapes" => canny(&frames.shapes, false),
            "canny_textured" => canny(&frames.textured, false),
            "canny_noise" => canny(&frames.noise, false),
            "canny_l2_shapes" => canny(&frames.shapes, true),
            "canny_l2_textured" => canny(&frames.textured, true),
            "canny_l2_noise" => canny(&frames.noise, true),
            "close_3x3" => close(Shape::Rect, 3),
            "close_5x5_ellipse" => close(Shape::Ellipse, 5),
            "close_15x15" => close(Shape::Rect, 15),
            "farneback_box" => flow(Window::Box),
            "farneback_gaussian" => flow(Window::Gaussian),
            _ => bail!("no kernel is called `{name}`"),
        };
        Ok(Self { kernel, result: Output::Nothing })
    }

    /// Calls the kernel once, on the threads of the pool that this is called in.
    pub(crate) fn call(&mut self) -> Result<()> {
        self.result = match &self.kernel {
            Kernel::Gray(color) => Output::Gray(gray_from_bgr(color)),
            Kernel::Canny(gray, params) => Output::Gray(canny(gray, params)?),
            Kernel::Close(gray, params) => Output::Gray(morphology(gray, params)?),
            Kernel::Flow([prev, next], params) => {
                Output::Flow(farneback::flow(prev, next, params, None)?)
            }
        };
        Ok(())
    }

    /// The result as it lies in memory: bytes, or little-endian f32.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.result {
            Output::Nothing => Vec::new(),
            Output::Gray(plane) => plane.data().to_vec(),
            Output::Flow(flow) => {
                flow.data().as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        }
    }
}
