//! The functions of CUDA's libraries, bound when the process runs instead of when it starts.
//!
//! cudarc is built for link-time binding, because candle asks it to be; a program that links the
//! libraries does not start where there are none. This crate defines the functions itself: each one
//! jumps through a slot, and a slot answers with the library's code for "not there" until [`bind`]
//! (the driver) or [`bind_math`] (what candle needs besides) has found the library. So a machine
//! without a driver is an ordinary error of `cuInit`.
//! Knows names and addresses; calls nothing of CUDA. Always: the lists hold what cudarc and candle
//! call; a program that calls one more does not link, and the linker names it. A further library is
//! one more `late!` list. `absent` stands for what the build leaves out of candle.
#![allow(unsafe_code, reason = "stand-ins for C functions: naked, exported, bound by address")]

mod absent;

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// A library that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name, as the loader knows it.
    pub library: &'static str,
    /// What the loader said.
    pub reason: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cannot be opened: {}", self.library, self.reason)
    }
}

impl std::error::Error for Missing {}

/// A function of ours and the place that holds where it goes on.
struct Entry {
    name: &'static str,
    slot: &'static AtomicPtr<()>,
}

macro_rules! late {
    ($table:ident, $code:literal, $($name:ident)*) => {
        mod $table {
            use super::{AtomicPtr, Entry};

            extern "C" fn unbound() -> i32 {
                $code
            }

            $(
                #[allow(non_snake_case, reason = "the library's own name")]
                mod $name {
                    use super::AtomicPtr;
                    pub(super) static SLOT: AtomicPtr<()> =
                        AtomicPtr::new(super::unbound as *mut ());
                }

                #[unsafe(naked)]
                #[unsafe(no_mangle)]
                unsafe extern "C" fn $name() {
                    #[cfg(target_arch = "x86_64")]
                    core::arch::naked_asm!("jmp qword ptr [rip + {slot}]", slot = sym $name::SLOT);
                    #[cfg(target_arch = "aarch64")]
                    core::arch::naked_asm!(
                        "adrp x16, {slot}",
                        "ldr x16, [x16, :lo12:{slot}]",
                        "br x16",
                        slot = sym $name::SLOT
                    );
                }
            )*

            pub(super) static ENTRIES: &[Entry] =
                &[$(Entry { name: stringify!($name), slot: &$name::SLOT }),*];
        }
    };
}

// 100 is CUDA_ERROR_NO_DEVICE.
late!(driver, 100,
    cuCtxCreate_v3 cuCtxCreate_v4 cuCtxDestroy_v2 cuCtxGetCacheConfig cuCtxGetCurrent
    cuCtxGetLimit cuCtxGetStreamPriorityRange cuCtxSetCacheConfig cuCtxSetCurrent
    cuCtxSetFlags cuCtxSetLimit cuCtxSynchronize cuDestroyExternalMemory cuDeviceGet
    cuDeviceGetAttribute cuDeviceGetCount cuDeviceGetDefaultMemPool cuDeviceGetMemPool
    cuDeviceGetName cuDeviceGetUuid cuDeviceGetUuid_v2 cuDevicePrimaryCtxRelease_v2
    cuDevicePrimaryCtxRetain cuDeviceSetMemPool cuDeviceTotalMem_v2 cuDriverGetVersion
    cuEventCreate cuEventDestroy_v2 cuEventElapsedTime cuEventElapsedTime_v2 cuEventQuery
    cuEventRecord cuEventSynchronize cuExternalMemoryGetMappedBuffer cuFuncGetAttribute
    cuFuncSetAttribute cuFuncSetCacheConfig cuGetErrorName cuGetErrorString cuGraphClone
    cuGraphDestroy cuGraphExecDestroy cuGraphInstantiateWithFlags cuGraphLaunch
    cuGraphUpload cuImportExternalMemory cuInit cuLaunchCooperativeKernel cuLaunchHostFunc
    cuLaunchKernel cuMemAdvise_v2 cuMemAllocAsync cuMemAllocFromPoolAsync cuMemAllocManaged
    cuMemAlloc_v2 cuMemFreeAsync cuMemFreeHost cuMemFree_v2 cuMemGetInfo_v2 cuMemHostAlloc
    cuMemPoolCreate cuMemPoolDestroy cuMemPoolGetAttribute cuMemPoolSetAttribute
    cuMemPoolTrimTo cuMemPrefetchAsync_v2 cuMemcpyDtoDAsync_v2 cuMemcpyDtoD_v2
    cuMemcpyDtoHAsync_v2 cuMemcpyDtoH_v2 cuMemcpyHtoDAsync_v2 cuMemcpyHtoD_v2
    cuMemcpyPeerAsync cuMemsetD8Async cuMemsetD8_v2 cuModuleGetFunction cuModuleGetGlobal_v2
    cuModuleLoad cuModuleLoadData cuModuleUnload cuOccupancyAvailableDynamicSMemPerBlock
    cuOccupancyMaxActiveBlocksPerMultiprocessor
    cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cuOccupancyMaxActiveClusters
    cuOccupancyMaxPotentialBlockSize cuOccupancyMaxPotentialBlockSizeWithFlags
    cuOccupancyMaxPotentialClusterSize cuStreamAttachMemAsync cuStreamBeginCapture_v2
    cuStreamCreate cuStreamCreateWithPriority cuStreamDestroy_v2 cuStreamEndCapture
    cuStreamGetCaptureInfo_v2 cuStreamIsCapturing cuStreamSynchronize cuStreamWaitEvent
    cuTensorMapEncodeTiled
);

// 1 is CUBLAS_STATUS_NOT_INITIALIZED.
late!(blas, 1,
    cublasCreate_v2 cublasDestroy_v2 cublasGemmEx cublasGemmStridedBatchedEx cublasSetStream_v2
    cublasDgemmStridedBatched cublasDgemm_v2 cublasSgemmStridedBatched cublasSgemm_v2
);
// 101 is CURAND_STATUS_NOT_INITIALIZED.
late!(rand, 101,
    curandCreateGenerator curandDestroyGenerator curandGenerateNormal curandGenerateNormalDouble
    curandGenerateUniform curandGenerateUniformDouble curandSetPseudoRandomGeneratorSeed
    curandSetStream
);

/// The driver, by the name that has stayed the same since the first CUDA.
const DRIVER: &[Wanted] = &[("libcuda.so.1", driver::ENTRIES)];
/// Products, and the generator that candle makes with every device. The names are CUDA 13's.
const MATH: &[Wanted] = &[("libcublas.so.13", blas::ENTRIES), ("libcurand.so.10", rand::ENTRIES)];

/// A library's name and what is wanted of it.
type Wanted = (&'static str, &'static [Entry]);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Functions that the libraries here do not have; calling one fails as if it was unbound.
    pub absent: Vec<&'static str>,
}

/// Finds the driver, first in `dirs` and then where the loader looks, and binds to it.
///
/// The first call decides; later ones return its answer. It comes before every CUDA call.
/// # Errors
/// [`Missing`] names the library; every function then goes on answering "no device".
pub fn bind(dirs: &[PathBuf]) -> Result<Bound, Missing> {
    static DONE: OnceLock<Result<Bound, Missing>> = OnceLock::new();
    DONE.get_or_init(|| bind_all(DRIVER, dirs)).clone()
}

/// Finds cuBLAS and cuRAND in the same way. After [`bind`], and before candle makes a device.
///
/// The first call decides; later ones return its answer.
/// # Errors
/// [`Missing`] names the library; every function then goes on answering "not initialised".
pub fn bind_math(dirs: &[PathBuf]) -> Result<Bound, Missing> {
    static DONE: OnceLock<Result<Bound, Missing>> = OnceLock::new();
    DONE.get_or_init(|| bind_all(MATH, dirs)).clone()
}

fn bind_all(wanted: &[Wanted], dirs: &[PathBuf]) -> Result<Bound, Missing> {
    // All are opened before the first slot changes: half a binding would be worse than none.
    let mut opened = Vec::new();
    for &(name, entries) in wanted {
        opened.push((open(name, dirs)?, entries));
    }
    let mut absent = Vec::new();
    for (library, entries) in opened {
        for entry in entries {
            // SAFETY: the symbol is only kept as an address; its callers know its signature.
            match unsafe { library.get::<*mut ()>(entry.name) } {
                Ok(address) => entry.slot.store(address.as_raw_ptr().cast(), Ordering::Release),
                Err(_) => absent.push(entry.name),
            }
        }
        // Stays open for as long as the process runs: the slots point into it.
        std::mem::forget(library);
    }
    Ok(Bound { absent })
}

fn open(name: &'static str, dirs: &[PathBuf]) -> Result<Library, Missing> {
    let known = dirs.iter().map(|dir| dir.join(name)).filter(|path| path.exists());
    let mut reasons = Vec::new();
    for path in known.chain([PathBuf::from(name)]) {
        // SAFETY: runs the initialisers of the vendor's library, found in the operator's folders
        // or on the system's library path, which only the machine's administrator can write.
        match unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => return Ok(library),
            Err(error) => {
                reasons.push(error.source().map_or_else(|| error.to_string(), ToString::to_string));
            }
        }
    }
    Err(Missing { library: name, reason: reasons.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_answers_that_nothing_is_there_before_it_is_bound() {
        unsafe extern "C" {
            fn cuInit(flags: u32) -> i32;
            fn cublasDestroy_v2(handle: *mut ()) -> i32;
            fn curandDestroyGenerator(generator: *mut ()) -> i32;
        }
        let null = std::ptr::null_mut();
        // SAFETY: our own stand-ins above; unbound, they read no argument.
        let codes = unsafe { [cuInit(0), cublasDestroy_v2(null), curandDestroyGenerator(null)] };
        assert_eq!(codes, [100, 1, 101]);
    }

    #[test]
    fn a_library_that_is_nowhere_is_named() {
        let missing = open("libnosuchlibrary.so.7", &[]).expect_err("there is none");
        assert_eq!(missing.library, "libnosuchlibrary.so.7");
        assert!(missing.to_string().contains("libnosuchlibrary.so.7 cannot be opened"));
    }
}
