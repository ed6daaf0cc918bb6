//! Manifests: what a pipeline says of itself, to the host and to people.
//!
//! Owns the record. The parameters' schema is made from the type that parses them, so it cannot
//! lie.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Need;
use crate::device::DeviceKind;

/// What a pipeline is and what it takes.
#[derive(Debug, Clone, Serialize)]
pub struct Manifest {
    pub name: &'static str,
    /// A call names `name@version`.
    pub version: u32,
    pub title: &'static str,
    /// JSON Schema (2020-12).
    pub params_schema: Value,
    pub inputs: Vec<Slot>,
    pub outputs: Vec<Slot>,
    /// Upper bound for a usual call, for display; the exact need is computed per call.
    pub memory: Need,
    /// False when nothing can run before something is installed.
    pub ready: bool,
    /// What is missing and how to install it. With `ready`, only part of it does not work.
    pub missing: String,
    pub license: &'static str,
    /// Devices that this build has kernels for; the operator and the machine choose among them.
    pub devices: Vec<DeviceKind>,
    /// How far results of two devices may differ; empty with one device.
    pub agreement: &'static str,
}

/// A named place for blobs.
#[derive(Debug, Clone, Serialize)]
pub struct Slot {
    pub name: &'static str,
    /// `image/*` matches any image. Empty: any.
    pub media_types: Vec<&'static str>,
    pub count_min: u32,
    pub count_max: u32,
    pub description: &'static str,
}

impl Manifest {
    /// `name@version`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The JSON Schema of a parameter type.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}
