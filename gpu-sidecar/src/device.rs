//! Devices: what this process runs on, found out once when it starts.
//!
//! Owns the choice between CPU and GPU. Knows no pipeline. A machine without a driver is an
//! ordinary machine: the CPU is used and `reason` says why.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "device/cuda_none.rs"]
mod cuda;

#[cfg(feature = "cuda")]
pub(crate) use cuda::first_gpu;

use std::fs;

use serde::Serialize;

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU.
    Auto,
    Cpu,
    /// A GPU, or the process does not start.
    Cuda,
}

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    #[default]
    Cpu,
    Cuda,
}

/// How wide the weights of a model and the values between its layers are. What a model must not
/// round is f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    #[default]
    F32,
    /// Half the memory, and the type in which a GPU multiplies fastest.
    Bf16,
}

/// What this process runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    pub kind: DeviceKind,
    /// Where models compute: here, or on the CPU where a GPU lacks the libraries that they need.
    pub models: DeviceKind,
    pub name: String,
    /// The device's own memory; 0 on a CPU.
    pub memory_bytes: u64,
    /// Why this is the CPU, or models compute there, although a GPU was looked for; else empty.
    pub reason: String,
}

/// `--device cuda` on a machine where that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("no CUDA device: {reason}")]
pub struct NoDevice {
    pub reason: String,
}

impl DeviceKind {
    /// Devices that this build has kernels for.
    #[must_use]
    pub fn built() -> &'static [Self] {
        if cuda::BUILT { &[Self::Cpu, Self::Cuda] } else { &[Self::Cpu] }
    }

    /// Where the models' tensors live.
    ///
    /// # Errors
    /// There is no usable GPU, or this build cannot use one.
    pub fn tensors(self) -> Result<candle_core::Device, NoDevice> {
        match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
            Self::Cuda => cuda::tensors().map_err(|reason| NoDevice { reason }),
        }
    }

    /// As it is written on the wire: `cpu`, `cuda`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl Precision {
    /// What models take by default on a device.
    #[must_use]
    pub fn of(device: DeviceKind) -> Self {
        match device {
            DeviceKind::Cpu => Self::F32,
            DeviceKind::Cuda => Self::Bf16,
        }
    }

    /// The type of the tensors.
    #[must_use]
    pub fn dtype(self) -> candle_core::DType {
        match self {
            Self::F32 => candle_core::DType::F32,
            Self::Bf16 => candle_core::DType::BF16,
        }
    }

    /// As reports call it: `f32`, `bf16`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl Device {
    /// Looks for what `choice` asks for.
    ///
    /// # Errors
    /// Only `Cuda` can fail: there is no usable GPU, or models cannot use it.
    pub fn find(choice: DeviceChoice) -> Result<Self, NoDevice> {
        match (choice, cuda_device(choice)) {
            (_, Ok(device)) => Ok(device),
            (DeviceChoice::Cuda, Err(reason)) => {
                let reason = format!("{reason}; `--device auto` falls back to the CPU");
                Err(NoDevice { reason })
            }
            (DeviceChoice::Cpu, Err(_)) => Ok(Self::cpu()),
            (DeviceChoice::Auto, Err(reason)) if cuda::BUILT => Ok(Self { reason, ..Self::cpu() }),
            (DeviceChoice::Auto, Err(_)) => Ok(Self::cpu()),
        }
    }

    /// The processor.
    #[must_use]
    pub fn cpu() -> Self {
        let name = cpu_name().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let (kind, reason) = (DeviceKind::Cpu, String::new());
        Self { kind, models: kind, name, memory_bytes: 0, reason }
    }
}

fn cuda_device(choice: DeviceChoice) -> Result<Device, String> {
    if choice == DeviceChoice::Cpu {
        return Err("the CPU was asked for".to_owned());
    }
    let (gpu, kind) = (cuda::first_gpu()?, DeviceKind::Cuda);
    let (models, reason) = match cuda::math() {
        Ok(()) => (kind, String::new()),
        // Who asked for the GPU does not want models that take a hundred times as long.
        Err(reason) if choice == DeviceChoice::Cuda => return Err(reason),
        Err(reason) => (DeviceKind::Cpu, format!("models compute on the CPU: {reason}")),
    };
    Ok(Device { kind, models, name: gpu.name, memory_bytes: gpu.memory_bytes, reason })
}

/// What a driver says of a GPU.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    pub(crate) memory_bytes: u64,
}

/// What a run may still take on this machine or in this container; `None` where nothing says.
#[must_use]
pub fn memory_available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    // "max" is no number and no limit.
    let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    Some((kilobytes * 1024).min(limit))
}

/// The first `model name` of `/proc/cpuinfo`; some architectures have none.
fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_falls_back_to_the_cpu_and_says_why() {
        let device = Device::find(DeviceChoice::Auto).expect("auto always finds a device");
        let fell_back = cuda::BUILT && device.kind == DeviceKind::Cpu;
        assert_eq!(fell_back, !device.reason.is_empty());
        assert!(!device.name.is_empty());
    }

    #[test]
    fn cuda_without_a_gpu_is_an_error_that_says_why() {
        let (asked, found) = (DeviceKind::Cuda.tensors(), Device::find(DeviceChoice::Cuda));
        match (asked, found) {
            (Ok(opened), Ok(device)) => {
                assert!(opened.is_cuda());
                assert_eq!((device.kind, device.models), (DeviceKind::Cuda, DeviceKind::Cuda));
            }
            (Err(tensors), Err(device)) => {
                assert!(!tensors.reason.is_empty() && !device.reason.is_empty());
                assert!(tensors.to_string().starts_with("no CUDA device: "), "{tensors}");
            }
            (asked, found) => panic!("one of both fails: {asked:?}, {found:?}"),
        }
    }

    #[test]
    fn asking_for_the_cpu_is_no_fault() {
        let device = Device::find(DeviceChoice::Cpu).expect("there is always a CPU");
        assert_eq!((device.kind, device.reason.as_str()), (DeviceKind::Cpu, ""));
    }
}
