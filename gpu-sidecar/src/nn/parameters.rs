//! Where a model's parameters come from, by name.
//!
//! Owns prefixes. Knows neither files nor models: a checkpoint and a random generator both are
//! [`Parameters`].

use candle_core::{Result, Tensor};

/// Hands out a model's tensors. Each has one owner: a name is asked for once.
pub trait Parameters {
    /// The tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// It is missing, or of another shape.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor>;
}

/// The parameters below a prefix.
pub struct Scope<'a> {
    source: &'a mut dyn Parameters,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// All parameters of `source`.
    pub fn root(source: &'a mut dyn Parameters) -> Self {
        Self { source, prefix: String::new() }
    }

    /// Those whose names go on with `part` and a dot.
    pub fn at(&mut self, part: impl std::fmt::Display) -> Scope<'_> {
        Scope { prefix: format!("{}{part}.", self.prefix), source: &mut *self.source }
    }

    /// The tensor `name` below the prefix.
    ///
    /// # Errors
    /// It is missing, or of another shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.source.take(&format!("{}{name}", self.prefix), shape)
    }
}
