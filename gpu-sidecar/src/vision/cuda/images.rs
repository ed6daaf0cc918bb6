//! Gray, resizing and blur of single pictures.
//!
//! Owns the launches of `gray.cu`, `resize.cu` and `blur.cu`.

use super::error::CudaError;
use super::kernels::{self, Kernel, Shape};
use super::memory::{Memory, Sample};
use super::queue::{Call, Queue};
use super::{GpuVision, plane, plane_of, size_of_plane};
use crate::vision::VisionError;
use crate::vision::blur::Taps;
use crate::vision::plane::Plane;
use crate::vision::resize::Size;

/// How a pixel's channels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    BlueFirst,
    RedFirst,
}

/// Pixels that one thread of `gray` makes.
const GRAY_PIXELS: usize = 4;

/// Enqueues gray of `pixels` pixels, which may be several frames one after another.
pub(crate) fn gray(
    queue: &Queue,
    color: &Memory<u8>,
    to: &Memory<u8>,
    pixels: usize,
    order: Order,
) -> Result<(), CudaError> {
    let shape = Shape::line(pixels.div_ceil(GRAY_PIXELS));
    let call = Call::new(kernels::GRAY, shape).memory(color, 3 * pixels).memory(to, pixels);
    queue.launch(call.long(pixels).int((order == Order::RedFirst).into()))
}

/// A resize of planes of some channels: from which size to which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resize {
    pub(crate) from: [usize; 2],
    pub(crate) to: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) planes: usize,
}

impl Resize {
    fn call<T: Sample>(self, kernel: Kernel, from: &Memory<T>, to: &Memory<T>) -> Call {
        let [width, height] = self.from;
        let [to_width, to_height] = self.to;
        let shape = Shape::pixels([to_width * self.channels, to_height], self.planes);
        let samples = |[width, height]: [usize; 2]| width * height * self.channels * self.planes;
        Call::new(kernel, shape)
            .memory(from, samples(self.from))
            .memory(to, samples(self.to))
            .int(width)
            .int(height)
            .int(to_width)
            .int(to_height)
            .int(self.channels)
    }

    /// Linear interpolation of f32, times `factor`.
    pub(crate) fn linear(
        self,
        queue: &Queue,
        from: &Memory<f32>,
        to: &Memory<f32>,
        factor: f64,
    ) -> Result<(), CudaError> {
        queue.launch(self.call(kernels::RESIZE_LINEAR_F32, from, to).double(factor))
    }

    /// Means of areas of f32, times `factor`.
    pub(crate) fn area(
        self,
        queue: &Queue,
        from: &Memory<f32>,
        to: &Memory<f32>,
        factor: f64,
    ) -> Result<(), CudaError> {
        queue.launch(self.call(kernels::RESIZE_AREA_F32, from, to).double(factor))
    }

    fn of<T>(image: &Plane<T>, to: Size) -> Result<Self, CudaError> {
        to.check()?;
        GpuVision::check_size(to.width, to.height)?;
        let from = size_of_plane(image)?;
        Ok(Self { from, to: [to.width, to.height], channels: 1, planes: 1 })
    }

    /// As `of`, when neither side grows.
    fn shrinking<T>(image: &Plane<T>, to: Size) -> Result<Self, CudaError> {
        let resize = Self::of(image, to)?;
        if to.width > image.width() || to.height > image.height() {
            let refusal = VisionError::Enlarges { from: image.size(), to: (to.width, to.height) };
            return Err(refusal.into());
        }
        Ok(resize)
    }

    fn length(self) -> usize {
        self.to[0] * self.to[1]
    }

    fn is_half(self) -> bool {
        self.from == self.to.map(|side| 2 * side)
    }
}

impl GpuVision {
    /// Gray of a picture whose pixels are blue, green, red.
    /// # Errors
    /// Of the device.
    pub fn gray_from_bgr(&self, image: &Plane<[u8; 3]>) -> Result<Plane<u8>, CudaError> {
        self.gray(image, Order::BlueFirst)
    }

    /// Gray of a picture whose pixels are red, green, blue.
    /// # Errors
    /// Of the device.
    pub fn gray_from_rgb(&self, image: &Plane<[u8; 3]>) -> Result<Plane<u8>, CudaError> {
        self.gray(image, Order::RedFirst)
    }

    fn gray(&self, image: &Plane<[u8; 3]>, order: Order) -> Result<Plane<u8>, CudaError> {
        let size = size_of_plane(image)?;
        let pixels = image.data().len();
        let samples = image.data().as_flattened();
        let steps = |queue: &Queue, from: &_, to: &_| gray(queue, from, to, pixels, order);
        plane(size, self.there_and_back(samples, pixels, steps)?)
    }

    /// As [`crate::vision::resize::linear_f32`].
    /// # Errors
    /// As there, and of the device.
    pub fn linear_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, CudaError> {
        let resize = Resize::of(image, size)?;
        let steps = |queue: &Queue, from: &_, to: &_| resize.linear(queue, from, to, 1.0);
        plane(resize.to, self.there_and_back(image.data(), resize.length(), steps)?)
    }

    /// As [`crate::vision::resize::area_f32`].
    /// # Errors
    /// As there, and of the device.
    pub fn area_f32(&self, image: &Plane<f32>, size: Size) -> Result<Plane<f32>, CudaError> {
        let resize = Resize::shrinking(image, size)?;
        let steps = |queue: &Queue, from: &_, to: &_| resize.area(queue, from, to, 1.0);
        plane(resize.to, self.there_and_back(image.data(), resize.length(), steps)?)
    }

    /// As [`crate::vision::resize::linear_u8`].
    /// # Errors
    /// As there, and of the device.
    pub fn linear_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, CudaError> {
        let resize = Resize::of(image, size)?;
        let half = resize.is_half();
        let kernel = if half { kernels::RESIZE_AREA_U8 } else { kernels::RESIZE_LINEAR_U8 };
        self.resize_u8(image, resize, kernel)
    }

    /// As [`crate::vision::resize::area_u8`].
    /// # Errors
    /// As there, and of the device.
    pub fn area_u8(&self, image: &Plane<u8>, size: Size) -> Result<Plane<u8>, CudaError> {
        let resize = Resize::shrinking(image, size)?;
        self.resize_u8(image, resize, kernels::RESIZE_AREA_U8)
    }

    fn resize_u8(
        &self,
        image: &Plane<u8>,
        resize: Resize,
        kernel: Kernel,
    ) -> Result<Plane<u8>, CudaError> {
        let steps = |queue: &Queue, from: &_, to: &_| queue.launch(resize.call(kernel, from, to));
        plane(resize.to, self.there_and_back(image.data(), resize.length(), steps)?)
    }

    /// As [`crate::vision::blur::blur`].
    /// # Errors
    /// Of the device.
    pub fn blur(&self, image: &Plane<f32>, taps: &Taps) -> Result<Plane<f32>, CudaError> {
        let size = size_of_plane(image)?;
        let pixels = image.data().len();
        let steps = |queue: &Queue, from: &Memory<f32>, to: &Memory<f32>| {
            let weights = queue.send(taps.weights())?;
            let across = Memory::new(&self.backend, pixels)?;
            let call = |kernel, from: &Memory<f32>, to: &Memory<f32>| {
                let call = Call::new(kernel, Shape::pixels(size, 1));
                let call = call.memory(from, pixels).memory(to, pixels);
                let call = call.int(size[0]).int(size[1]);
                call.memory(&weights, weights.len()).int(taps.radius())
            };
            queue.launch(call(kernels::BLUR_ACROSS, from, &across))?;
            queue.launch(call(kernels::BLUR_DOWN, &across, to))?;
            // The weights and the plane between go when this returns.
            queue.finish()
        };
        plane(size, self.there_and_back(image.data(), pixels, steps)?)
    }

    /// Sobel derivatives (dx, dy) with an aperture of 3, 5 or 7, as Canny takes them.
    /// # Errors
    /// Of the device.
    pub fn sobel(&self, gray: &Plane<u8>, aperture: u32) -> Result<Plane<[i16; 2]>, CudaError> {
        let size = size_of_plane(gray)?;
        let pixels = gray.data().len();
        let gradient = super::edges::Gradient { size, channels: 1, frames: 1, aperture, l2: false };
        let steps = |queue: &Queue, from: &_, to: &_| gradient.enqueue(queue, from, to);
        plane_of(size, &self.there_and_back(gray.data(), 2 * pixels, steps)?)
    }
}
