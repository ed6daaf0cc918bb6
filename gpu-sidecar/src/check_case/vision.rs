//! The vision goldens: which sections there are and how their inputs are found.
//!
//! Owns the walk over the manifest. Knows that pictures lie as red, green, blue on disk and that
//! the kernels take blue, green, red. `images` checks the pixel sections, `flow` the flows.

mod engine;
mod flow;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(not(feature = "cuda"))]
#[path = "vision/gpu_none.rs"]
mod gpu;
mod images;
mod manifest;

use std::path::Path;

use super::files::{self, Picture, Tensor, Values};
use super::{Case, CheckError, Setting};
use crate::device::DeviceKind;
use crate::vision::gray::gray_from_bgr;
use crate::vision::plane::Plane;
use engine::{Cpu, Engine};
use manifest::Manifest;

/// A kernel's error, whatever it was computed with.
type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// Ends the name of a colour frame that is to be made gray before it is used.
const GRAY_FIRST: [&str; 2] = [" (BGR->gray first)", "_gray"];

/// Checks every entry of every section of `dir/manifest.json` on a device.
pub(super) fn run(dir: &Path, setting: Setting) -> Result<Vec<Case>, CheckError> {
    match setting.device_alone("vision")? {
        DeviceKind::Cpu => run_with(dir, &Cpu),
        DeviceKind::Cuda => run_with(dir, &*gpu::open().map_err(CheckError::Device)?),
    }
}

fn run_with(dir: &Path, engine: &dyn Engine) -> Result<Vec<Case>, CheckError> {
    let manifest: Manifest = files::read_json(&dir.join("manifest.json"))?;
    let goldens = Goldens { dir, manifest: &manifest, engine };
    let mut cases = Vec::new();
    for (i, entry) in manifest.gray.iter().enumerate() {
        cases.push(images::gray(&goldens, format!("gray/{i:02}"), entry)?);
    }
    for entry in &manifest.flow {
        cases.push(flow::flow(&goldens, format!("flow/{}", entry.name), entry)?);
    }
    for (i, entry) in manifest.canny.iter().enumerate() {
        cases.push(images::canny(&goldens, format!("canny/{i:02}"), entry)?);
    }
    for (i, entry) in manifest.morphology.iter().enumerate() {
        cases.push(images::morphology(&goldens, format!("morphology/{i:02}"), entry)?);
    }
    for (i, entry) in manifest.structuring_elements.iter().enumerate() {
        cases.push(images::element(format!("structuring_elements/{i:02}"), entry)?);
    }
    for (i, entry) in manifest.resize.iter().enumerate() {
        cases.push(images::resize(&goldens, format!("resize/{i:02}"), entry)?);
    }
    if let Some(entry) = &manifest.flow_stages {
        cases.push(flow::stages(&goldens, format!("flow_stages/{}", entry.of), entry)?);
    }
    if let Some(entry) = &manifest.i420 {
        cases.push(images::i420(&goldens, "i420/00".to_owned(), entry)?);
    }
    for entry in &manifest.sharpness {
        cases.push(images::sharpness(&goldens, format!("sharpness/{}", entry.frame), entry)?);
    }
    Ok(cases)
}

/// Where inputs and wanted outputs come from, and what computes ours.
struct Goldens<'a> {
    dir: &'a Path,
    manifest: &'a Manifest,
    engine: &'a dyn Engine,
}

/// A picture in the kernels' channel order.
enum Image {
    Gray(Plane<u8>),
    Bgr(Plane<[u8; 3]>),
}

impl Goldens<'_> {
    /// The picture in a file.
    fn picture(&self, file: &str) -> Result<Image, CheckError> {
        let Picture { width, height, channels, data } = files::read_picture(&self.dir.join(file))?;
        if channels == 1 {
            return plane(file, Plane::new(width, height, data)).map(Image::Gray);
        }
        let pixels = data.as_chunks().0.iter().map(|&[red, green, blue]| [blue, green, red]);
        plane(file, Plane::new(width, height, pixels.collect())).map(Image::Bgr)
    }

    /// A listed frame; a name may ask for its gray version.
    fn frame(&self, case: &str, name: &str) -> Result<Image, CheckError> {
        if let Some(frame) = self.manifest.frames.get(name) {
            let image = self.picture(&frame.file)?;
            let shape = match &image {
                Image::Gray(gray) => vec![gray.height(), gray.width()],
                Image::Bgr(bgr) => vec![bgr.height(), bgr.width(), 3],
            };
            if shape != frame.shape {
                return Err(unsupported(case, format!("{name} has the shape {shape:?}")));
            }
            return Ok(image);
        }
        let base = GRAY_FIRST.iter().find_map(|suffix| name.strip_suffix(suffix));
        match base.map(|base| self.frame(case, base)).transpose()? {
            Some(Image::Bgr(bgr)) => Ok(Image::Gray(gray_from_bgr(&bgr))),
            Some(Image::Gray(_)) => Err(unsupported(case, format!("{name}: it is gray already"))),
            None => Err(unsupported(case, format!("no frame `{name}` is listed"))),
        }
    }

    /// A frame that must be gray.
    fn gray_frame(&self, case: &str, name: &str) -> Result<Plane<u8>, CheckError> {
        match self.frame(case, name)? {
            Image::Gray(gray) => Ok(gray),
            Image::Bgr(_) => Err(unsupported(case, format!("{name} is not gray"))),
        }
    }

    /// One tensor of a file.
    fn tensor(&self, case: &str, file: &str, name: &str) -> Result<Tensor, CheckError> {
        let mut tensors = files::read_tensors(&self.dir.join(file))?;
        tensors.remove(name).ok_or_else(|| unsupported(case, format!("{file} has no `{name}`")))
    }
}

fn unsupported(case: &str, problem: impl Into<String>) -> CheckError {
    CheckError::Unsupported { case: case.to_owned(), problem: problem.into() }
}

/// Names the case in a kernel's refusal.
fn plane<T>(case: &str, result: Result<T, impl Into<Refusal>>) -> Result<T, CheckError> {
    result.map_err(|e| CheckError::Refused { case: case.to_owned(), source: e.into() })
}

/// A `(H, W)` or `(H, W, N)` tensor of f32 as a plane of N numbers per pixel.
fn f32_plane<const N: usize>(case: &str, tensor: Tensor) -> Result<Plane<[f32; N]>, CheckError> {
    let Values::F32(values) = tensor.values else {
        return Err(unsupported(case, "the tensor is not f32"));
    };
    let (height, width) = match tensor.shape[..] {
        [height, width] if N == 1 => (height, width),
        [height, width, n] if n == N => (height, width),
        _ => return Err(unsupported(case, format!("a tensor has shape {:?}", tensor.shape))),
    };
    plane(case, Plane::new(width, height, values.as_chunks().0.to_vec()))
}
