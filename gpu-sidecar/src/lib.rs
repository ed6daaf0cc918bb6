//! The sidecar: runs pipelines behind one socket, so that nothing else decodes customers' media.
//!
//! Owns media decoders, kernels, models and the device. May not know who asks: it sees blobs,
//! parameters and an opaque label. It has no keys, no database and no network.
//! Always: one run's failure, even a panic, ends that run and nothing else.
//! Start at `pipeline::Pipeline`, then `server`.

pub mod align;
pub mod bench;
pub mod check_case;
pub mod clock;
pub mod device;
pub mod media;
pub mod memory;
pub mod nn;
pub mod pipeline;
pub mod pipelines;
pub mod registry;
pub mod server;
pub mod sharp;
pub mod splat;
pub mod vision;
pub mod weights;
