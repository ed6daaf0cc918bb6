//! Classical video-frame kernels: gray, flow, edges, morphology, resizing, sharpness.
//!
//! Owns the plain definition of each kernel on the CPU, and faster versions that are tested
//! against it, one for each instruction set. Most come as a function that allocates its result
//! and works on all threads, and in a form that keeps its memory and works where `threads` says.
//! Knows planes and parameters; not blobs, decoders, pipelines or files.
//! Always: a result does not depend on the number of threads. Sums that could are taken row by
//! row and added in row order. Numbers agree with OpenCV 5.0; `shared/reference/vision/SPEC.md`
//! is the source and its section numbers are quoted as `SPEC §n`. Start at [`plane::Plane`].

mod aligned;
mod border;
mod error;

pub mod plane;
pub mod threads;

pub mod blur;
pub mod canny;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod farneback;
pub mod flow_stats;
pub mod gray;
pub mod laplacian;
pub mod morphology;
pub mod regions;
pub mod resize;
pub mod sharpness;
pub mod simd;
pub mod sobel;

pub use error::VisionError;
