//! One kernel with its input and its parameters, ready to be called.
//!
//! Owns the names of the benchmark. They are the ones of `xtask/src/bench/kernels.rs` and
//! `xtask/bench/kernels.py`.

use anyhow::{Context, Result, bail};
use postern_sidecar::vision::canny::{Canny, CannyParams};
use postern_sidecar::vision::farneback::{Expansion, Farneback, FarnebackParams, Window};
use postern_sidecar::vision::gray::{Order, gray_into};
use postern_sidecar::vision::laplacian::{Neighbours, laplacian};
use postern_sidecar::vision::morphology::{Morphology, MorphologyParams, Operation, Shape};
use postern_sidecar::vision::plane::Plane;
use postern_sidecar::vision::resize::{self, Size};
use postern_sidecar::vision::sobel::{Axis, sobel};
use postern_sidecar::vision::threads::Threads;

use crate::frames::Frames;

/// A kernel and what it made last.
pub(crate) struct Work<'a> {
    kernel: Kernel<'a>,
    gray: Plane<u8>,
    wide: Plane<i16>,
    flow: Plane<[f32; 2]>,
}

enum Kernel<'a> {
    Gray(&'a Plane<[u8; 3]>),
    Canny(&'a Plane<u8>, Canny),
    Morphology(&'a Plane<u8>, Morphology),
    Sobel(&'a Plane<u8>, u32, Axis),
    Laplacian(&'a Plane<u8>, Neighbours),
    Linear(&'a Plane<u8>, Size),
    Area(&'a Plane<u8>, Size),
    Flow(Box<Pair<'a>>),
}

/// Two frames, each of which is expanded for every flow, as a caller with two frames has to.
struct Pair<'a> {
    frames: [&'a Plane<u8>; 2],
    params: FarnebackParams,
    /// For how many threads, with its memory and that of two expansions.
    tools: Option<(usize, Farneback, [Expansion; 2])>,
}

impl<'a> Work<'a> {
    pub(crate) fn named(name: &str, frames: &'a Frames) -> Result<Self> {
        let (width, height) = frames.shapes.size();
        let part = |numerator: usize, of: usize| Size {
            width: width * numerator / of,
            height: height * numerator / of,
        };
        let kernel = match name {
            "gray" => Kernel::Gray(&frames.color),
            "canny_shapes" => canny(&frames.shapes, false)?,
            "canny_textured" => canny(&frames.textured, false)?,
            "canny_noise" => canny(&frames.noise, false)?,
            "canny_l2_shapes" => canny(&frames.shapes, true)?,
            "canny_l2_textured" => canny(&frames.textured, true)?,
            "canny_l2_noise" => canny(&frames.noise, true)?,
            "sobel_x_3" => Kernel::Sobel(&frames.textured, 3, Axis::X),
            "sobel_y_5" => Kernel::Sobel(&frames.textured, 5, Axis::Y),
            "sobel_x_7" => Kernel::Sobel(&frames.noise, 7, Axis::X),
            "laplacian_1" => Kernel::Laplacian(&frames.textured, Neighbours::Direct),
            "laplacian_3" => Kernel::Laplacian(&frames.textured, Neighbours::Diagonal),
            "resize_linear_2_3" => Kernel::Linear(&frames.textured, part(2, 3)),
            "resize_linear_1_2" => Kernel::Linear(&frames.textured, part(1, 2)),
            "resize_area_2_5" => Kernel::Area(&frames.textured, part(2, 5)),
            "resize_area_1_4" => Kernel::Area(&frames.textured, part(1, 4)),
            "farneback_box" => flow(frames, Window::Box),
            "farneback_gaussian" => flow(frames, Window::Gaussian),
            _ => match name.strip_prefix("close_") {
                Some(element) => close(&frames.shapes, element)?,
                None => bail!("no kernel is called `{name}`"),
            },
        };
        Ok(Self { kernel, gray: Plane::pixel(), wide: Plane::pixel(), flow: Plane::pixel() })
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
            Kernel::Sobel(gray, aperture, axis) => {
                sobel(gray, (*aperture, *axis), threads, &mut self.wide)?;
            }
            Kernel::Laplacian(gray, neighbours) => {
                laplacian(gray, *neighbours, threads, &mut self.wide);
            }
            Kernel::Linear(gray, size) => {
                resize::linear_u8_into(gray, *size, threads, &mut self.gray)?;
            }
            Kernel::Area(gray, size) => {
                resize::area_u8_into(gray, *size, threads, &mut self.gray)?;
            }
            Kernel::Flow(pair) => pair.flow(&mut self.flow)?,
        }
        Ok(())
    }

    /// The result as it lies in memory, little-endian.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.kernel {
            Kernel::Flow(..) => {
                let values = self.flow.data().as_flattened().iter();
                values.flat_map(|value| value.to_le_bytes()).collect()
            }
            Kernel::Sobel(..) | Kernel::Laplacian(..) => {
                self.wide.data().iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            _ => self.gray.data().to_vec(),
        }
    }
}

impl Pair<'_> {
    fn flow(&mut self, out: &mut Plane<[f32; 2]>) -> Result<()> {
        let threads = rayon::current_num_threads();
        if self.tools.as_ref().is_none_or(|(of, ..)| *of != threads) {
            let (width, height) = self.frames[0].size();
            let flow = Farneback::new(&self.params, width, height)?.on_threads(threads);
            let expansions = [flow.expansion(), flow.expansion()];
            self.tools = Some((threads, flow, expansions));
            *out = Plane::new(width, height, vec![[0.0; 2]; width * height])?;
        }
        let (_, flow, [prev, next]) = self.tools.as_mut().context("they have just been made")?;
        flow.expand(self.frames[0], prev)?;
        flow.expand(self.frames[1], next)?;
        Ok(flow.flow((prev, next), None, out)?)
    }
}

fn canny(frame: &Plane<u8>, l2: bool) -> Result<Kernel<'_>> {
    Ok(Kernel::Canny(frame, Canny::new(&CannyParams { l2, ..Default::default() })?))
}

/// `3x3` is a rectangle, `5x5_ellipse` an ellipse.
fn close<'a>(frame: &'a Plane<u8>, element: &str) -> Result<Kernel<'a>> {
    let (sides, shape) = match element.strip_suffix("_ellipse") {
        Some(sides) => (sides, Shape::Ellipse),
        None => (element, Shape::Rect),
    };
    let (width, height) = sides.split_once('x').context("an element is written 3x3")?;
    let params = MorphologyParams {
        operation: Operation::Close,
        shape,
        kernel_width: width.parse()?,
        kernel_height: height.parse()?,
        ..Default::default()
    };
    Ok(Kernel::Morphology(frame, Morphology::new(&params)?))
}

fn flow(frames: &Frames, window: Window) -> Kernel<'_> {
    let params = FarnebackParams { window, ..Default::default() };
    let frames = [&frames.shapes, &frames.shapes_next];
    Kernel::Flow(Box::new(Pair { frames, params, tools: None }))
}
