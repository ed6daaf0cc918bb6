//! The score of a bead: how alike its two groups are, compared with their neighbours.
//!
//! Owns the score's definition, for one bead at a time. `tables` computes many at once and is
//! tested against it. Source: `shared/reference/bertalign/SPEC.md`, section 8.

use super::dots::dot;
use super::encoder::Groups;

/// How beads are scored and searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlignParams {
    /// Sentences of a bead, both sides together; 2 to [`MAX_ALIGN_MAX`].
    pub max_align: usize,
    /// Neighbours of a sentence in the first pass; 1 to [`TOP_K_MAX`].
    pub top_k: usize,
    /// Cells around the anchors in the second pass; 0 to [`WIN_MAX`].
    pub win: usize,
    /// The score of a sentence without a counterpart; -1 to 1.
    pub skip: f64,
    /// Whether likeness to neighbours counts against a bead.
    pub margin: bool,
    /// Whether different lengths do.
    pub len_penalty: bool,
}

/// More makes groups that no translator does, and time and memory grow with its square.
pub const MAX_ALIGN_MAX: usize = 10;
/// More has no effect: the first pass only asks which sentences are near.
pub const TOP_K_MAX: usize = 50;
/// More makes the second pass as slow as a full table.
pub const WIN_MAX: usize = 100;

impl Default for AlignParams {
    fn default() -> Self {
        Self { max_align: 5, top_k: 3, win: 5, skip: -0.1, margin: true, len_penalty: true }
    }
}

impl AlignParams {
    /// Sentences of the largest group.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.max_align - 1
    }
}

/// Both texts as vectors, and what a score needs besides.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// The source text, at least one sentence.
    pub source: &'a Groups,
    /// The target text, at least one sentence.
    pub target: &'a Groups,
    /// How to score.
    pub params: AlignParams,
    /// Bytes of the source for each byte of the target.
    pub char_ratio: f64,
}

impl<'a> Sides<'a> {
    /// Neither side is empty, and both have the layers that `params` asks for.
    #[must_use]
    pub fn new(source: &'a Groups, target: &'a Groups, params: AlignParams) -> Self {
        assert!(source.sentences > 0 && target.sentences > 0, "both sides have a sentence");
        assert!(source.layers == params.layers() && target.layers == source.layers, "layers");
        assert_eq!(source.width, target.width, "one encoder");
        let bytes = |side: &Groups| -> f64 {
            side.byte_lengths[..side.sentences].iter().map(|&bytes| f64::from(bytes)).sum()
        };
        let char_ratio = bytes(source) / bytes(target);
        Self { source, target, params, char_ratio }
    }

    /// Sentences of both.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.source.sentences, self.target.sentences)
    }

    /// The score of the bead of `a` source and `b` target sentences that ends after the first `i`
    /// and `j` sentences.
    #[must_use]
    pub fn bead_score(&self, (a, b): (usize, usize), (i, j): (usize, usize)) -> f64 {
        if a == 0 || b == 0 {
            return self.params.skip;
        }
        let (m, n) = self.counts();
        let u = self.source.vector((a - 1, i - 1));
        let v = self.target.vector((b - 1, j - 1));
        let single = |side: &'a Groups, at: usize| side.vector((0, at - 1));
        let around = Around {
            target_after: (j < n).then(|| dot(u, single(self.target, j + 1))),
            target_before: (j > b).then(|| dot(u, single(self.target, j - b))),
            source_after: (i < m).then(|| dot(single(self.source, i + 1), v)),
            source_before: (i > a).then(|| dot(single(self.source, i - a), v)),
        };
        self.score(((a, b), (i, j)), dot(u, v), &around)
    }

    /// As [`Sides::bead_score`] with its products given; neither `a` nor `b` is 0.
    #[must_use]
    #[inline(always)]
    pub(super) fn score(
        &self,
        ((a, b), (i, j)): ((usize, usize), (usize, usize)),
        similarity: f32,
        around: &Around,
    ) -> f64 {
        let mut score = f64::from(similarity);
        if self.params.margin {
            let target = mean_of_present(around.target_after, around.target_before);
            let source = mean_of_present(around.source_after, around.source_before);
            score -= 0.5 * (target + source);
        }
        if self.params.len_penalty {
            let p = f64::from(self.source.byte_length((a - 1, i - 1)));
            let q = f64::from(self.target.byte_length((b - 1, j - 1))) * self.char_ratio;
            score *= (1.0 + p.min(q) / p.max(q)).log2();
        }
        score
    }
}

/// Products of a bead's groups with the single sentences next to the other group; absent beyond a
/// text's ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub(super) target_after: Option<f32>,
    pub(super) target_before: Option<f32>,
    pub(super) source_after: Option<f32>,
    pub(super) source_before: Option<f32>,
}

/// An absent product counts as 0, and a 0 counts as absent.
#[inline(always)]
fn mean_of_present(after: Option<f32>, before: Option<f32>) -> f64 {
    let (after, before) = (f64::from(after.unwrap_or(0.0)), f64::from(before.unwrap_or(0.0)));
    if after != 0.0 && before != 0.0 { (after + before) / 2.0 } else { after + before }
}
