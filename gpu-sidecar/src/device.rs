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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    Cpu,
    Cuda,
}

/// What this process runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    pub kind: DeviceKind,
    pub name: String,
    /// The device's own memory; 0 on a CPU.
    pub memory_bytes: u64,
    /// Why this is the CPU although a GPU was looked for; empty otherwise.
    pub reason: String,
}

/// `--device cuda` on a machine where that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("no CUDA device: {reason}; `--device auto` falls back to the CPU")]
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

impl Device {
    /// Looks for what `choice` asks for.
    ///
    /// # Errors
    /// Only `Cuda` can fail: there is no usable GPU.
    pub fn find(choice: DeviceChoice) -> Result<Self, NoDevice> {
        match (choice, cuda_device(choice)) {
            (_, Ok(device)) => Ok(device),
            (DeviceChoice::Cuda, Err(reason)) => Err(NoDevice { reason }),
            (DeviceChoice::Cpu, Err(_)) => Ok(Self::cpu()),
            (DeviceChoice::Auto, Err(reason)) if cuda::BUILT => Ok(Self { reason, ..Self::cpu() }),
            (DeviceChoice::Auto, Err(_)) => Ok(Self::cpu()),
        }
    }

    /// The processor.
    #[must_use]
    pub fn cpu() -> Self {
        let name = cpu_name().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        Self { kind: DeviceKind::Cpu, name, memory_bytes: 0, reason: String::new() }
    }
}

fn cuda_device(choice: DeviceChoice) -> Result<Device, String> {
    if choice == DeviceChoice::Cpu {
        return Err("the CPU was asked for".to_owned());
    }
    let gpu = cuda::first_gpu()?;
    let (name, memory_bytes) = (gpu.name, gpu.memory_bytes);
    Ok(Device { kind: DeviceKind::Cuda, name, memory_bytes, reason: String::new() })
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
    fn asking_for_the_cpu_is_no_fault() {
        let device = Device::find(DeviceChoice::Cpu).expect("there is always a CPU");
        assert_eq!((device.kind, device.reason.as_str()), (DeviceKind::Cpu, ""));
    }
}
