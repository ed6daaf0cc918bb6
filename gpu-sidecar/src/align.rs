//! Sentence alignment: two texts in two languages in, groups of sentences that say the same out.
//!
//! Owns cleaning, splitting, the two passes over the vectors and the files that an answer comes
//! in. Knows no socket and no weights: an encoder is handed in. What is decided here follows
//! `shared/reference/bertalign/SPEC.md`. Start at `encoder::Encoder`.

pub mod encoder;
pub mod overlaps;
