//! Finds an NVIDIA GPU through the driver library, which is opened when the process starts.
//!
//! Owns the handful of driver calls that need no context. Nothing is linked: the same binary starts
//! on a machine without a driver. A fault is a sentence, because the caller falls back to the CPU.
#![expect(unsafe_code, reason = "calls into the driver's C library")]

use std::ffi::{c_char, c_int, c_uint};

use libloading::{Library, Symbol};

use super::Gpu;

/// Whether this build looks for a GPU.
pub(crate) const BUILT: bool = true;
/// Part of the driver; the soname has stayed the same since the first CUDA.
const DRIVER: &str = "libcuda.so.1";
/// The driver cuts a longer name itself.
const NAME_BYTES_MAX: usize = 256;

type Init = unsafe extern "C" fn(c_uint) -> c_int;
type DeviceGetCount = unsafe extern "C" fn(*mut c_int) -> c_int;
type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
type DeviceGetName = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
type DeviceTotalMem = unsafe extern "C" fn(*mut usize, c_int) -> c_int;

/// The first GPU that the driver lists, or why there is none.
pub(crate) fn first_gpu() -> Result<Gpu, String> {
    // SAFETY: runs the initialisers of the vendor's driver library, found on the system's library
    // path, which only the machine's administrator can write.
    let driver =
        unsafe { Library::new(DRIVER) }.map_err(|error| format!("no NVIDIA driver ({error})"))?;
    // The driver's own threads and state outlive us; unloading it again is not supported.
    let driver: &'static Library = Box::leak(Box::new(driver));
    // SAFETY: `CUresult cuInit(unsigned int flags)` in cuda.h.
    let init: Symbol<'_, Init> = unsafe { symbol(driver, "cuInit") }?;
    // SAFETY: flags must be 0, and it may be called at any time on any thread.
    check("cuInit", unsafe { init(0) })?;
    let device = first_device(driver)?;
    Ok(Gpu { name: device_name(driver, device)?, memory_bytes: device_memory(driver, device)? })
}

fn first_device(driver: &Library) -> Result<c_int, String> {
    // SAFETY: `CUresult cuDeviceGetCount(int *count)` in cuda.h.
    let get_count: Symbol<'_, DeviceGetCount> = unsafe { symbol(driver, "cuDeviceGetCount") }?;
    // SAFETY: `CUresult cuDeviceGet(CUdevice *device, int ordinal)`; CUdevice is an int.
    let get: Symbol<'_, DeviceGet> = unsafe { symbol(driver, "cuDeviceGet") }?;
    let mut count: c_int = 0;
    // SAFETY: writes one int, which lives past the call; `cuInit` has succeeded.
    check("cuDeviceGetCount", unsafe { get_count(&raw mut count) })?;
    if count < 1 {
        return Err("the NVIDIA driver lists no GPU".to_owned());
    }
    let mut device: c_int = 0;
    // SAFETY: writes one int, which lives past the call; ordinal 0 is below `count`.
    check("cuDeviceGet", unsafe { get(&raw mut device, 0) })?;
    Ok(device)
}

fn device_name(driver: &Library, device: c_int) -> Result<String, String> {
    // SAFETY: `CUresult cuDeviceGetName(char *name, int len, CUdevice dev)` in cuda.h.
    let get_name: Symbol<'_, DeviceGetName> = unsafe { symbol(driver, "cuDeviceGetName") }?;
    let mut name = [0_u8; NAME_BYTES_MAX];
    // SAFETY: writes at most the given number of bytes, the array's length, with a final NUL.
    let code = unsafe { get_name(name.as_mut_ptr().cast(), NAME_BYTES_MAX as c_int, device) };
    check("cuDeviceGetName", code)?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..end]).into_owned())
}

fn device_memory(driver: &Library, device: c_int) -> Result<u64, String> {
    // SAFETY: `CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)` in cuda.h.
    let get: Symbol<'_, DeviceTotalMem> = unsafe { symbol(driver, "cuDeviceTotalMem_v2") }?;
    let mut bytes: usize = 0;
    // SAFETY: writes one size_t, which lives past the call.
    check("cuDeviceTotalMem", unsafe { get(&raw mut bytes, device) })?;
    Ok(bytes as u64)
}

/// # Safety
/// `T` must be the C signature of `name`.
unsafe fn symbol<'lib, T>(driver: &'lib Library, name: &str) -> Result<Symbol<'lib, T>, String> {
    // SAFETY: the caller vouches for the signature.
    unsafe { driver.get(name.as_bytes()) }
        .map_err(|_| format!("the NVIDIA driver is too old: it has no `{name}`"))
}

fn check(call: &str, code: c_int) -> Result<(), String> {
    match code {
        0 => Ok(()),
        // CUDA_ERROR_NO_DEVICE
        100 => Err("the NVIDIA driver finds no GPU".to_owned()),
        other => Err(format!("`{call}` of the NVIDIA driver failed with {other}")),
    }
}
