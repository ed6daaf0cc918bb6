//! Why the GPU did not do what it was asked.
//!
//! Owns the one error of the CUDA kernels. Always: a fault of the device is a value; the caller
//! may go on with the CPU.

use crate::vision::VisionError;

/// Why the GPU did not do what it was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CudaError {
    /// There is no GPU that runs our kernels; the reason is a sentence.
    #[error("no CUDA device: {0}")]
    NoDevice(String),
    /// Something smaller, or the CPU, may still do.
    #[error("the GPU has no {bytes} bytes of memory left")]
    OutOfMemory {
        /// What was asked for in one piece.
        bytes: usize,
    },
    /// A call into the driver failed; after an error of a kernel the process loses the device.
    #[error("`{call}` of the NVIDIA driver failed with {code}")]
    Device {
        /// The function of the driver's library.
        call: &'static str,
        /// Its answer, as the driver names it.
        code: String,
    },
    /// A frame has more pixels than the kernels can count.
    #[error("{width} x {height} pixels are too many for the GPU kernels")]
    TooLarge {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The input is refused, as the CPU refuses it.
    #[error(transparent)]
    Refused(#[from] VisionError),
}
