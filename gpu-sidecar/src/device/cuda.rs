//! Finds an NVIDIA GPU through the driver, which is looked for when the process starts.
//!
//! Owns the handful of driver calls that need no context, and the one device that models share.
//! `postern-late-cuda` binds the driver at
//! run time, so the same binary starts on a machine without one. A fault is a sentence, because
//! the caller falls back to the CPU.
#![expect(unsafe_code, reason = "two calls into the driver's C library")]

use std::sync::{Mutex, PoisonError};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::Gpu;

/// Whether this build looks for a GPU.
pub(crate) const BUILT: bool = true;
/// The CUDA that our code is compiled for; driver 580 is the first that runs it.
const CUDA_MIN: i32 = 13_000;

/// The first GPU that the driver lists, or why there is none.
pub(crate) fn first_gpu() -> Result<Gpu, String> {
    let bound = postern_late_cuda::bind(&[]).map_err(|e| format!("no NVIDIA driver: {e}"))?;
    check_version()?;
    if !bound.absent.is_empty() {
        tracing::debug!(functions = ?bound.absent, "absent from the NVIDIA driver");
    }
    result::init().map_err(|error| refusal("cuInit", error))?;
    let count = result::device::get_count().map_err(|error| refusal("cuDeviceGetCount", error))?;
    if count < 1 {
        return Err("the NVIDIA driver lists no GPU".to_owned());
    }
    let device = result::device::get(0).map_err(|error| refusal("cuDeviceGet", error))?;
    let name =
        result::device::get_name(device).map_err(|error| refusal("cuDeviceGetName", error))?;
    // SAFETY: `device` is what `cuDeviceGet` has just returned.
    let memory = unsafe { result::device::total_mem(device) };
    let memory_bytes = memory.map_err(|error| refusal("cuDeviceTotalMem", error))? as u64;
    Ok(Gpu { name, memory_bytes })
}

/// A driver for an older CUDA refuses our code only when a kernel is first loaded; ask before.
fn check_version() -> Result<(), String> {
    let mut version = 0;
    // SAFETY: writes one int, which lives past the call; allowed before `cuInit`.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result();
    asked.map_err(|error| refusal("cuDriverGetVersion", error))?;
    if version >= CUDA_MIN {
        return Ok(());
    }
    let (major, minor) = (version / 1000, version % 1000 / 10);
    Err(format!("the NVIDIA driver is for CUDA {major}.{minor}; 13.0 (driver 580) is needed"))
}

fn refusal(call: &str, DriverError(code): DriverError) -> String {
    match code {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => "the NVIDIA driver finds no GPU".to_owned(),
        other => format!("`{call}` of the NVIDIA driver failed with {} ({other:?})", other as u32),
    }
}

/// Binds what models need besides the driver, or says what is missing.
pub(crate) fn math() -> Result<(), String> {
    let bound = postern_late_cuda::bind_math(&[]).map_err(|missing| {
        format!("{missing}; models need cuBLAS and cuRAND of CUDA 13 on the library path")
    })?;
    if bound.absent.is_empty() {
        return Ok(());
    }
    Err(format!("cuBLAS and cuRAND here are not CUDA 13's: {} is absent", bound.absent.join(", ")))
}

/// The GPU as candle sees it: one for the whole process, because each that is opened has a queue
/// and compiled modules of its own. What fails is tried again by the next caller.
pub(crate) fn tensors() -> Result<candle_core::Device, String> {
    static OPENED: Mutex<Option<candle_core::Device>> = Mutex::new(None);
    // Whoever panicked here left nothing half-made.
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = &*opened {
        return Ok(device.clone());
    }
    first_gpu()?;
    math()?;
    // A queue of its own: the default one would be another on every thread.
    let device = candle_core::Device::new_cuda_with_stream(0)
        .map_err(|error| format!("candle cannot open the GPU: {error}"))?;
    Ok(opened.insert(device).clone())
}
