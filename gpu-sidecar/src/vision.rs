//! Classical video-frame kernels: gray, flow, edges, morphology, resizing, sharpness.
//!
//! Owns the plain definition of each kernel on the CPU, parallel over rows; every faster version
//! is tested against it. Knows planes and parameters; not blobs, decoders, pipelines or files.
//! Always: a result does not depend on the number of threads. Sums that could are taken row by
//! row and added in row order. Numbers agree with OpenCV 5.0; `shared/reference/vision/SPEC.md`
//! is the source and its section numbers are quoted as `SPEC §n`. Start at [`plane::Plane`].

mod border;
mod error;

pub mod plane;

pub mod blur;
pub mod canny;
pub mod farneback;
pub mod flow_stats;
pub mod gray;
pub mod morphology;
pub mod regions;
pub mod resize;
pub mod sharpness;
pub mod simd;

pub use error::VisionError;
