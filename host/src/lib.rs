//! Postern's host: the guarded gate.
//!
//! Serves HTTP, keeps tenants, jobs and blobs, and runs sandboxed components. Knows no model: a new
//! service is a component and a pipeline, and this crate is not recompiled. It never decodes a
//! customer's media. Arrows go one way: `http` → `gate` (`engine`) → `jobs` → `sidecar`, with the
//! stores below; no module imports its caller. Start at [`app::Host::start`].

pub mod app;
pub mod blobs;
pub mod cli;
pub mod clock;
pub mod counters;
pub mod engine;
pub mod gate;
pub mod http;
pub mod ids;
pub mod jobs;
pub mod lanes;
pub mod metrics;
pub mod problem;
pub mod secret;
pub mod settings;
pub mod sidecar;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod tenancy;
pub mod tokens;
pub mod trace;
pub mod weights;
