//! Where and in which form the command line has things computed.

use clap::ValueEnum;
use postern_sidecar::device::{DeviceChoice, DeviceKind, Precision};
use postern_sidecar::nn::Kernels;

/// What is checked or measured: there is no falling back, or the answer would be of something else.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum ComputeArg {
    #[default]
    Cpu,
    Cuda,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum DtypeArg {
    #[default]
    F32,
    Bf16,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum KernelsArg {
    /// Our own where there are any.
    #[default]
    Own,
    /// The definitions, in candle's operators.
    Plain,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DeviceArg {
    /// A GPU where there is one.
    Auto,
    Cpu,
    /// A GPU, or an error.
    Cuda,
}

impl From<ComputeArg> for DeviceKind {
    fn from(device: ComputeArg) -> Self {
        match device {
            ComputeArg::Cpu => Self::Cpu,
            ComputeArg::Cuda => Self::Cuda,
        }
    }
}

impl From<DtypeArg> for Precision {
    fn from(dtype: DtypeArg) -> Self {
        match dtype {
            DtypeArg::F32 => Self::F32,
            DtypeArg::Bf16 => Self::Bf16,
        }
    }
}

impl From<KernelsArg> for Kernels {
    fn from(kernels: KernelsArg) -> Self {
        match kernels {
            KernelsArg::Own => Self::Own,
            KernelsArg::Plain => Self::Plain,
        }
    }
}

impl From<DeviceArg> for DeviceChoice {
    fn from(device: DeviceArg) -> Self {
        match device {
            DeviceArg::Auto => Self::Auto,
            DeviceArg::Cpu => Self::Cpu,
            DeviceArg::Cuda => Self::Cuda,
        }
    }
}
