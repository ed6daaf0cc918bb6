//! One kernel with its input and its parameters, ready to be called.
//!
//! Owns the names of the benchmark. They are the ones of `xtask/src/bench/kernels.rs` and
//! `xtask/bench/kernels.py`.

use anyhow::{Result, bail};
use postern_sidecar::vision::canny::{Canny, CannyParams};
use postern_sidecar::vision::farneback::{self, FarnebackParams, Window};
use postern_sidecar::vision::gray::{Order, gray_into};
use postern_sidecar::vision::morphology::{Morphology, MorphologyParams, Operation, Shape};
use postern_sidecar::vision::plane::Plane;
use postern_sidecar::vision::threads::Threads;

use crate::frames::Frames;

/// A kernel and what it made last.
pub(crate) struct Work<'a> {
    kernel: Kernel<'a>,
    gray: Plane<u8>,
    flow: Option<Plane<[f32; 2]>>,
}

enum Kernel<'a> {
    Gray(&'a Plane<[u8; 3]>),
    Canny(&'a Plane<u8>, Canny),
    Morphology(&'a Plane<u8>, Morphology),
    Flow([&'a Plane<u8>; 2], FarnebackParams),
}

impl<'a> Work<'a> {
    pub(crate) fn named(name: &str, frames: &'a Frames) -> Result<Self> {
        let kernel = match name {
            "gray" => Kernel::Gray(&frames.color),
            "canny_shapes" => canny(&frames.shapes, false)?,
            "canny_textured" => canny(&frames.textured, false)?,
            "canny_noise" => canny(&frames.noise, false)?,
            "canny_l2_shapes" => canny(&frames.shapes, true)?,
            "canny_l2_textured" => canny(&frames.textured, true)?,
            "canny_l2_noise" => canny(&frames.noise, true)?,
            "close_3x3" => close(&frames.shapes, Shape::Rect, 3)?,
            "close_5x5_ellipse" => close(&frames.shapes, Shape::Ellipse, 5)?,
            "close_15x15" => close(&frames.shapes, Shape::Rect, 15)?,
            "close_63x63" => close(&frames.shapes, Shape::Rect, 63)?,
            "close_63x63_ellipse" => close(&frames.shapes, Shape::Ellipse, 63)?,
            "farneback_box" => flow(frames, Window::Box),
            "farneback_gaussian" => flow(frames, Window::Gaussian),
            _ => bail!("no kernel is called `{name}`"),
        };
        Ok(Self { kernel, gray: Plane::pixel(), flow: None })
    }

    /// Calls the kernel once, on the threads of the pool that this is called in.
    pub(crate) fn call(&mut self) -> Result<()> {
        let threads = match rayon::current_num_threads() {
            1 => Threads::This,
            _ => Threads::Pool,
        };
        match &mut self.kernel {
            Kernel::Gray(color) => gray_into(color, Order::Bgr, threads, &mut self.gray),
            Kernel::Canny(gray, canny) => canny.run(gray, threads, &mut self.gray),
            Kernel::Morphology(gray, filter) => filter.run(gray, threads, &mut self.gray),
            Kernel::Flow([prev, next], params) => {
                self.flow = Some(farneback::flow(prev, next, params, None)?);
            }
        }
        Ok(())
    }

    /// The result as it lies in memory: bytes, or little-endian f32.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.flow {
            None => self.gray.data().to_vec(),
            Some(flow) => {
                flow.data().as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        }
    }
}

fn canny(frame: &Plane<u8>, l2: bool) -> Result<Kernel<'_>> {
    Ok(Kernel::Canny(frame, Canny::new(&CannyParams { l2, ..Default::default() })?))
}

fn close(frame: &Plane<u8>, shape: Shape, side: u32) -> Result<Kernel<'_>> {
    let params = MorphologyParams {
        operation: Operation::Close,
        shape,
        kernel_width: side,
        kernel_height: side,
        ..Default::default()
    };
    Ok(Kernel::Morphology(frame, Morphology::new(&params)?))
}

fn flow(frames: &Frames, window: Window) -> Kernel<'_> {
    let params = FarnebackParams { window, ..Default::default() };
    Kernel::Flow([&frames.shapes, &frames.shapes_next], params)
}
