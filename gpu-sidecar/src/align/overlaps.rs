//! Overlaps: the texts of all groups of neighbouring sentences, never all in memory at once.
//!
//! Owns how sentences are joined, where a group's text is cut and how long it is. Knows no
//! vectors. Source: `shared/reference/bertalign/SPEC.md`, section 5.

use std::borrow::Cow;

use super::clean::is_space;

/// Characters of a group's text; the rest is cut off. Protects the encoder; part of the results.
pub const TEXT_CHARS_MAX: usize = 10_000;
/// Stands for a sentence without a character.
pub const BLANK: &str = "BLANK_LINE";

/// The groups of one text. A place is `(layer, last)`: the group of `layer + 1` sentences that
/// ends with sentence `last`; both from 0.
#[derive(Debug, Clone)]
pub struct Overlaps<'a> {
    sentences: Vec<&'a str>,
    layers: usize,
    /// Characters before each sentence, one more than there are sentences; spaces not counted.
    chars_before: Vec<usize>,
    /// The same of bytes.
    bytes_before: Vec<usize>,
}

impl<'a> Overlaps<'a> {
    /// Groups of 1 to `layers` of these sentences. Sentences are trimmed, and empty ones become
    /// [`BLANK`].
    #[must_use]
    pub fn new(sentences: &'a [String], layers: usize) -> Self {
        let trimmed = sentences.iter().map(|sentence| match sentence.trim_matches(is_space) {
            "" => BLANK,
            text => text,
        });
        let sentences: Vec<&str> = trimmed.collect();
        let before = |length: fn(&str) -> usize| {
            let ends = sentences.iter().scan(0, |sum, text| {
                *sum += length(text);
                Some(*sum)
            });
            std::iter::once(0).chain(ends).collect()
        };
        let chars_before = before(|text| text.chars().count());
        let bytes_before = before(str::len);
        Self { sentences, layers, chars_before, bytes_before }
    }

    /// Sentences of the largest group.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Sentences of the text.
    #[must_use]
    pub fn sentences(&self) -> usize {
        self.sentences.len()
    }

    /// One sentence as it stands in a group.
    #[must_use]
    pub fn sentence(&self, index: usize) -> &'a str {
        self.sentences[index]
    }

    /// All places that are not fillers, layer by layer.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.sentences();
        (0..self.layers).flat_map(move |layer| (layer..count).map(move |last| (layer, last)))
    }

    /// Whether a group's text is longer than [`TEXT_CHARS_MAX`] and so loses its end.
    #[must_use]
    pub fn is_cut(&self, (layer, last): (usize, usize)) -> bool {
        self.chars_before[last + 1] - self.chars_before[last - layer] + layer > TEXT_CHARS_MAX
    }

    /// The text of the group at a place that is not a filler.
    #[must_use]
    pub fn text(&self, place: (usize, usize)) -> Cow<'a, str> {
        let (layer, last) = place;
        let cut = self.is_cut(place);
        if layer == 0 {
            let text = self.sentences[last];
            return Cow::Borrowed(if cut { &text[..cut_at(text)] } else { text });
        }
        let mut text = self.sentences[last - layer..=last].join(" ");
        if cut {
            text.truncate(cut_at(&text));
        }
        Cow::Owned(text)
    }

    /// UTF-8 bytes of [`Overlaps::text`].
    #[must_use]
    pub fn byte_length(&self, place: (usize, usize)) -> u32 {
        let (layer, last) = place;
        let bytes = if self.is_cut(place) {
            self.text(place).len()
        } else {
            self.bytes_before[last + 1] - self.bytes_before[last - layer] + layer
        };
        u32::try_from(bytes).expect("a cut text has at most 40 000 bytes")
    }
}

/// The byte where the character after the last allowed one starts.
fn cut_at(text: &str) -> usize {
    text.char_indices().nth(TEXT_CHARS_MAX).map_or(text.len(), |(at, _)| at)
}
