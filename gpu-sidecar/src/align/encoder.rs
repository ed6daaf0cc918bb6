//! Sentence encoders: what one is, and the table of vectors that it fills.
//!
//! Owns the trait and the layout of [`Groups`]. Knows texts and vectors; not languages' rules, not
//! who aligns what. Always: a vector of a filler is all zero and its length is 0. The encoders
//! are the files under `encoder/`. Start at [`Encoder`].

pub mod batcher;
pub mod bert;
pub mod charsmap;
pub mod installed;
pub mod labse;
mod neighbourhoods;
pub mod repack;
pub mod sentencepiece;
pub mod token_model;
pub mod usem3;

use std::ops::ControlFlow;

use super::overlaps::Overlaps;

/// Texts that one call of [`Encoder::embed`] is handed by [`Encoder::embed_groups`]: bounds the
/// joined texts in memory, and is enough for an encoder to sort them by length.
const TEXTS_AT_ONCE: usize = 2048;

/// Told how much is done, 0 to 1; answers whether to go on. Called between batches.
pub type Watch<'a> = dyn FnMut(f64) -> ControlFlow<()> + 'a;

/// Texts to unit vectors; texts of the same meaning to near vectors, whatever their language.
pub trait Encoder: Send + Sync {
    /// The word by which a caller chooses it, such as `usem3`.
    fn name(&self) -> &'static str;

    /// Numbers in a vector.
    fn width(&self) -> usize;

    /// Languages that it was trained on, as two-letter codes. Others are encoded too, worse.
    fn languages(&self) -> &'static [&'static str];

    /// Unit vectors of `texts`, row-major `(texts.len(), width)`. A text without any word is
    /// allowed and has a vector too.
    /// # Errors
    /// [`EncodeError`]; `Cancelled` when `watch` broke off.
    fn embed(&self, texts: &[&str], watch: &mut Watch<'_>) -> Result<Vec<f32>, EncodeError>;

    /// Vectors of all groups of 1 to `layers` neighbouring sentences. An encoder whose features
    /// are local may do this without encoding a sentence more than once.
    /// # Errors
    /// As [`Encoder::embed`].
    fn embed_groups(
        &self,
        sentences: &[String],
        layers: usize,
        watch: &mut Watch<'_>,
    ) -> Result<Groups, EncodeError> {
        let overlaps = Overlaps::new(sentences, layers);
        let mut groups = Groups::empty(&overlaps, self.width());
        let places: Vec<(usize, usize)> = overlaps.places().collect();
        let total = places.len().max(1) as f64;
        let mut done = 0;
        for chunk in places.chunks(TEXTS_AT_ONCE) {
            let texts: Vec<_> = chunk.iter().map(|&place| overlaps.text(place)).collect();
            let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
            let share = chunk.len() as f64;
            let mut inner = |fraction: f64| watch((done as f64 + fraction * share) / total);
            let vectors = self.embed(&texts, &mut inner)?;
            for (&place, vector) in chunk.iter().zip(vectors.chunks_exact(self.width())) {
                groups.vector_mut(place).copy_from_slice(vector);
            }
            done += chunk.len();
        }
        Ok(groups)
    }
}

/// Why texts have no vectors.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The watcher broke off.
    #[error("encoding was cancelled")]
    Cancelled,
    /// The model or its device failed.
    #[error("the encoder failed")]
    Model(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Vectors and lengths of one side's groups: layer `o` (0-based) holds the groups of `o + 1`
/// sentences, found by their **last** sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    /// Sentences of the largest group; at least 1.
    pub layers: usize,
    /// Sentences of the text.
    pub sentences: usize,
    /// Numbers in a vector.
    pub width: usize,
    /// `(layers, sentences, width)`, row-major; zero for the first `o` places of layer `o`.
    pub vectors: Vec<f32>,
    /// `(layers, sentences)`: UTF-8 bytes of each group's text, 0 for fillers.
    pub byte_lengths: Vec<u32>,
}

impl Groups {
    /// Lengths filled in, all vectors zero.
    #[must_use]
    pub fn empty(overlaps: &Overlaps<'_>, width: usize) -> Self {
        let (layers, sentences) = (overlaps.layers(), overlaps.sentences());
        let mut groups = Self {
            layers,
            sentences,
            width,
            vectors: vec![0.0; layers * sentences * width],
            byte_lengths: vec![0; layers * sentences],
        };
        for place in overlaps.places() {
            groups.byte_lengths[place.0 * sentences + place.1] = overlaps.byte_length(place);
        }
        groups
    }

    /// The vector of the group `(layer, last sentence)`, both 0-based.
    #[must_use]
    pub fn vector(&self, (layer, last): (usize, usize)) -> &[f32] {
        &self.vectors[(layer * self.sentences + last) * self.width..][..self.width]
    }

    /// As [`Groups::vector`].
    pub fn vector_mut(&mut self, (layer, last): (usize, usize)) -> &mut [f32] {
        &mut self.vectors[(layer * self.sentences + last) * self.width..][..self.width]
    }

    /// UTF-8 bytes of the group `(layer, last sentence)`.
    #[must_use]
    pub fn byte_length(&self, (layer, last): (usize, usize)) -> u32 {
        self.byte_lengths[layer * self.sentences + last]
    }
}
