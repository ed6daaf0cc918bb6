//! The twin of `gpu.rs` for builds without the feature `cuda`: there is no GPU.

use super::analysis::WithEdges;
use super::params::Params;
use super::source::Sampled;
use crate::device::Device;
use crate::pipeline::RunError;

/// Never made.
#[derive(Debug, Clone)]
pub(super) enum Gpu {}

/// Never made.
pub(super) enum Clip {}

/// Always none.
pub(super) fn find(_: &Device) -> Result<Option<Gpu>, RunError> {
    Ok(None)
}

impl Gpu {
    pub(super) fn clip(
        &self,
        _: &Params,
        _: (usize, usize),
        _: &str,
    ) -> Result<Option<Clip>, RunError> {
        match *self {}
    }
}

impl Clip {
    pub(super) fn figures(&mut self, _: &[Sampled], _: bool) -> Result<Vec<WithEdges>, RunError> {
        match *self {}
    }
}
