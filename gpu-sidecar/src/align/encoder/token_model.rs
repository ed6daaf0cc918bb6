//! What the encoders have in common: a text becomes tokens, and tokens become a unit vector.
//!
//! Owns the trait and the scaling to unit length. Knows no batch; `batcher` makes the encoders out
//! of such models.

use super::{EncodeError, Watch};

/// A model that encodes sequences of tokens, each by itself: a vector does not depend on what else
/// is encoded in the same call, but for rounding (within 1e-6).
pub trait TokenModel: Send + Sync + 'static {
    /// As [`super::Encoder::name`].
    fn name(&self) -> &'static str;

    /// As [`super::Encoder::width`].
    fn width(&self) -> usize;

    /// As [`super::Encoder::languages`].
    fn languages(&self) -> &'static [&'static str];

    /// The tokens of a text, without those that open and close it. Those of two texts joined by a
    /// space are those of the one and then those of the other.
    /// # Errors
    /// `Model`: the text cannot be cut up.
    fn tokens(&self, text: &str) -> Result<Vec<u32>, EncodeError>;

    /// How many tokens fill the device: more at once are not faster, only later.
    fn tokens_at_once(&self) -> usize;

    /// Unit vectors, row-major `(sequences.len(), width)`. Takes memory for a bounded number of
    /// tokens, however many sequences there are.
    /// # Errors
    /// `Cancelled` when `watch` broke off, which it may between batches; `Model`.
    fn encode(
        &self,
        sequences: &[Vec<u32>],
        watch: &mut Watch<'_>,
    ) -> Result<Vec<f32>, EncodeError>;
}

impl From<candle_core::Error> for EncodeError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

/// Divides each vector of `width` numbers by its length, or by `floor` where that is less.
pub(super) fn to_unit(vectors: &mut [f32], width: usize, floor: f64) {
    for vector in vectors.chunks_exact_mut(width) {
        let squares: f64 = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let scale = (1.0 / squares.sqrt().max(floor)) as f32;
        vector.iter_mut().for_each(|v| *v *= scale);
    }
}
