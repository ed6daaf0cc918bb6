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

    /// As [`Parameters::take`], but f32 whatever type the others have. Where all are f32, the same.
    ///
    /// # Errors
    /// As [`Parameters::take`].
    fn take_exact(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.take(name, shape)
    }
}

/// The parameters below a prefix.
pub struct Scope<'a> {
    source: &'a mut dyn Parameters,
    prefix: String,
    exact: bool,
}

impl<'a> Scope<'a> {
    /// All parameters of `source`.
    pub fn root(source: &'a mut dyn Parameters) -> Self {
        Self { source, prefix: String::new(), exact: false }
    }

    /// Those whose names go on with `part` and a dot.
    pub fn at(&mut self, part: impl std::fmt::Display) -> Scope<'_> {
        let prefix = format!("{}{part}.", self.prefix);
        Scope { prefix, source: &mut *self.source, exact: self.exact }
    }

    /// The same parameters, in f32 whatever type the model's others have: for a layer that must not
    /// round its operands.
    pub fn exact(&mut self) -> Scope<'_> {
        Scope { prefix: self.prefix.clone(), source: &mut *self.source, exact: true }
    }

    /// The tensor `name` below the prefix.
    ///
    /// # Errors
    /// It is missing, or of another shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        if self.exact {
            self.source.take_exact(&name, shape)
        } else {
            self.source.take(&name, shape)
        }
    }
}
