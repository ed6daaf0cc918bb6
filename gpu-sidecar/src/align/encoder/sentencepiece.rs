//! SentencePiece's unigram tokeniser: a text to the ids of the likeliest sequence of pieces.
//!
//! Owns the model file, the index of the pieces and the search. Knows nothing of what the ids are
//! for. Always: a text without spaces at its ends and its neighbour, joined by a space, have the
//! ids of the one followed by those of the other, because no piece has a space inside. Written
//! here because the `tokenizers` crate normalises by grapheme, which gives other ids. Source:
//! `shared/reference/bertalign/SPEC.md`, section 10.1.

use prost::Message;

use super::charsmap::{CharsMap, CharsMapError};

/// Bytes of a model file; known ones have up to five megabytes.
pub const MODEL_BYTES_MAX: usize = 32 << 20;
/// Bytes of a piece; bounds the search per character.
const PIECE_BYTES_MAX: usize = 256;
/// How far below the worst piece an unknown character is.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Why a model file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SentencePieceError {
    /// Larger than any known one.
    #[error("the tokeniser has {0} bytes; {MODEL_BYTES_MAX} are the limit")]
    TooLarge(usize),
    /// Not a model file.
    #[error("the tokeniser is not a SentencePiece model")]
    NotAModel(#[from] prost::DecodeError),
    /// Its map of characters is broken.
    #[error(transparent)]
    CharsMap(#[from] CharsMapError),
    /// It asks for something that this tokeniser does not do.
    #[error("the tokeniser is not of the known kind: {0}")]
    Unsupported(&'static str),
}

/// The model file's messages, as far as they are needed.
#[derive(Clone, PartialEq, Message)]
struct ModelFile {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(float, tag = "2")]
    score: f32,
    #[prost(int32, tag = "3", optional)]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Trainer {
    /// 1 is unigram.
    #[prost(int32, tag = "3", optional)]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Normalizer {
    #[prost(bytes = "vec", tag = "2")]
    map: Vec<u8>,
    #[prost(bool, tag = "3", optional)]
    opens_with_space: Option<bool>,
    #[prost(bool, tag = "4", optional)]
    removes_spaces: Option<bool>,
    #[prost(bool, tag = "5", optional)]
    escapes_spaces: Option<bool>,
}

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const USER_DEFINED: i32 = 4;

/// A unigram tokeniser.
#[derive(Debug)]
pub struct SentencePiece {
    map: CharsMap,
    /// Words that no replacement touches.
    kept: Vec<Box<str>>,
    pieces: Trie,
    /// By id; only those of pieces that can be found are read.
    scores: Vec<f32>,
    unknown: u32,
    unknown_score: f32,
}

impl SentencePiece {
    /// Reads a model file.
    /// # Errors
    /// [`SentencePieceError`].
    pub fn new(file: &[u8]) -> Result<Self, SentencePieceError> {
        if file.len() > MODEL_BYTES_MAX {
            return Err(SentencePieceError::TooLarge(file.len()));
        }
        let file = ModelFile::decode(file)?;
        check(&file)?;
        let kind = |piece: &Piece| piece.kind.unwrap_or(NORMAL);
        let normal = || file.pieces.iter().filter(|piece| kind(piece) == NORMAL);
        let worst = normal().map(|piece| piece.score).fold(f32::INFINITY, f32::min);
        let best = normal().map(|piece| piece.score).fold(f32::NEG_INFINITY, f32::max);
        let mut found = Vec::with_capacity(file.pieces.len());
        let (mut scores, mut kept, mut unknown) = (Vec::new(), Vec::new(), None);
        for (id, piece) in (0u32..).zip(&file.pieces) {
            scores.push(piece.score);
            match kind(piece) {
                NORMAL => found.push((piece.text.as_bytes(), id)),
                USER_DEFINED => {
                    found.push((piece.text.as_bytes(), id));
                    kept.push(piece.text.as_str().into());
                    scores[id as usize] = piece.text.len() as f32 * best - 0.1;
                }
                UNKNOWN => unknown = Some(id),
                _ => {}
            }
        }
        Ok(Self {
            map: CharsMap::new(file.normalizer.as_ref().map_or(&[], |rules| &rules.map))?,
            kept,
            pieces: Trie::new(found),
            scores,
            unknown: unknown.ok_or(SentencePieceError::Unsupported("no unknown piece"))?,
            unknown_score: worst - UNKNOWN_PENALTY,
        })
    }

    /// How many ids there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are no ids; a model that could be read has some.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// The ids of `text`, without any that open or close it. A run of unknown characters is one id.
    #[must_use]
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let text = self.map.normalise(text, &self.kept);
        // The best way to each byte: its score, where its last piece starts and that piece's id.
        let mut best = vec![(f32::NEG_INFINITY, 0usize, 0u32); text.len() + 1];
        best[0].0 = 0.0;
        for (start, c) in text.char_indices() {
            let before = best[start].0;
            let end_of_char = start + c.len_utf8();
            let mut has_char = false;
            let mut node = Trie::ROOT;
            for (offset, &byte) in text.as_bytes()[start..].iter().enumerate() {
                let Some(next) = self.pieces.step(node, byte) else { break };
                node = next;
                let Some(id) = self.pieces.id(node) else { continue };
                let end = start + offset + 1;
                has_char |= end == end_of_char;
                let score = before + self.scores[id as usize];
                if score > best[end].0 {
                    best[end] = (score, start, id);
                }
            }
            let score = before + self.unknown_score;
            if !has_char && score > best[end_of_char].0 {
                best[end_of_char] = (score, start, self.unknown);
            }
        }
        let mut ids = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let (_, start, id) = best[end];
            if id != self.unknown || ids.last() != Some(&id) {
                ids.push(id);
            }
            end = start;
        }
        ids.reverse();
        ids
    }
}

fn check(file: &ModelFile) -> Result<(), SentencePieceError> {
    let rules = file.normalizer.clone().unwrap_or_default();
    let as_known = [rules.opens_with_space, rules.removes_spaces, rules.escapes_spaces]
        .iter()
        .all(|rule| rule.unwrap_or(true));
    let fault = if file.trainer.as_ref().and_then(|trainer| trainer.kind).unwrap_or(1) != 1 {
        "it is not unigram"
    } else if !as_known {
        "it treats spaces in another way"
    } else if file.pieces.iter().any(|piece| piece.text.is_empty()) {
        "a piece is empty"
    } else if file.pieces.iter().any(|piece| piece.text.len() > PIECE_BYTES_MAX) {
        "a piece is too long"
    } else if file.pieces.iter().any(|piece| !piece.score.is_finite()) {
        "a score is not a number"
    } else if !file.pieces.iter().any(|piece| piece.kind.unwrap_or(NORMAL) == NORMAL) {
        "it has no piece"
    } else {
        return Ok(());
    };
    Err(SentencePieceError::Unsupported(fault))
}

/// The pieces by their bytes: each node's children lie together, in the order of their bytes.
#[derive(Debug)]
struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The child of byte `b` is at `children + ` the number of smaller bytes among them.
    children: u32,
    count: u16,
    byte: u8,
    /// No id is the largest number.
    id: u32,
}

impl Trie {
    const ROOT: u32 = 0;
    const NO_ID: u32 = u32::MAX;

    /// Of pieces that are not empty; of equal ones, the first counts.
    fn new(mut pieces: Vec<(&[u8], u32)>) -> Self {
        pieces.sort_unstable();
        pieces.dedup_by_key(|piece| piece.0);
        let node = |byte| Node { children: 0, count: 0, byte, id: Self::NO_ID };
        let mut trie = Self { nodes: vec![node(0)] };
        // What is left to spread: a node, its depth, and its pieces.
        let mut open = vec![(Self::ROOT as usize, 0, pieces.as_slice())];
        while let Some((index, depth, mut below)) = open.pop() {
            if below[..below.len().min(1)].iter().any(|piece| piece.0.len() == depth) {
                trie.nodes[index].id = below[0].1;
                below = &below[1..];
            }
            trie.nodes[index].children = u32::try_from(trie.nodes.len())
                .expect("a file of at most 32 MiB has fewer bytes than that");
            for children in below.chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                open.push((trie.nodes.len(), depth + 1, children));
                trie.nodes.push(node(children[0].0[depth]));
                trie.nodes[index].count += 1;
            }
        }
        trie
    }

    fn step(&self, node: u32, byte: u8) -> Option<u32> {
        let Node { children, count, .. } = self.nodes[node as usize];
        let among = &self.nodes[children as usize..][..usize::from(count)];
        let place = among.binary_search_by_key(&byte, |child| child.byte).ok()?;
        Some(children + place as u32)
    }

    fn id(&self, node: u32) -> Option<u32> {
        Some(self.nodes[node as usize].id).filter(|&id| id != Self::NO_ID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of these pieces, in the order of their ids, each with its score and kind.
    fn model(pieces: &[(&str, f32, i32)]) -> SentencePiece {
        let pieces = pieces.iter().map(|&(text, score, kind)| Piece {
            text: text.to_owned(),
            score,
            kind: Some(kind),
        });
        let file = ModelFile { pieces: pieces.collect(), trainer: None, normalizer: None };
        SentencePiece::new(&file.encode_to_vec()).unwrap()
    }

    fn small() -> SentencePiece {
        model(&[
            ("<unk>", 0.0, UNKNOWN),
            ("<s>", 0.0, 3),
            ("▁", -3.0, NORMAL),
            ("▁a", -2.0, NORMAL),
            ("a", -2.5, NORMAL),
            ("b", -4.0, NORMAL),
            ("ab", -1.0, NORMAL),
            ("▁ab", -6.5, NORMAL),
        ])
    }

    #[test]
    fn the_likeliest_pieces_win() {
        assert_eq!(small().ids("ab"), [2, 6]);
        assert_eq!(small().ids("a b"), [3, 2, 5]);
        assert_eq!(small().ids(""), [0u32; 0]);
    }

    #[test]
    fn a_run_of_unknown_characters_is_one_id() {
        assert_eq!(small().ids("xyz"), [2, 0]);
        assert_eq!(small().ids("x a ü漢"), [2, 0, 3, 2, 0]);
    }

    #[test]
    fn the_spelling_of_a_control_piece_is_ordinary_text() {
        assert_eq!(small().ids("<s>"), [2, 0]);
    }

    #[test]
    fn of_equal_ways_the_one_that_starts_earlier_stays() {
        let pieces = [("<unk>", 0.0, UNKNOWN), ("▁a", -1.0, NORMAL), ("a", -1.0, NORMAL)];
        let pieces = [&pieces[..], &[("▁aa", -2.0, NORMAL), ("▁", -9.0, NORMAL)]].concat();
        assert_eq!(model(&pieces).ids("aa"), [3]);
    }

    #[test]
    fn texts_joined_by_a_space_have_the_ids_of_both() {
        let (model, texts) = (small(), ["ab", "b a", "xx", "aab"]);
        for first in texts {
            for second in texts {
                let both = [model.ids(first), model.ids(second)].concat();
                assert_eq!(model.ids(&format!("{first} {second}")), both);
            }
        }
    }

    #[test]
    fn a_broken_file_is_an_error() {
        let refused = |file: &ModelFile| SentencePiece::new(&file.encode_to_vec()).is_err();
        let piece = |text: &str, score| Piece { text: text.into(), score, kind: Some(NORMAL) };
        let unknown = Piece { text: "<unk>".into(), score: 0.0, kind: Some(UNKNOWN) };
        let with = |pieces| ModelFile { pieces, trainer: None, normalizer: None };
        assert!(!refused(&with(vec![unknown.clone(), piece("a", -1.0)])));
        assert!(refused(&with(vec![piece("a", -1.0)])), "no unknown piece");
        assert!(refused(&with(vec![unknown.clone()])), "no piece");
        assert!(refused(&with(vec![unknown.clone(), piece("", -1.0)])));
        assert!(refused(&with(vec![unknown.clone(), piece("a", f32::NAN)])));
        assert!(refused(&with(vec![unknown, piece(&"a".repeat(300), -1.0)])));
        assert!(SentencePiece::new(&[0xff; 64]).is_err());
        assert!(SentencePiece::new(&vec![0; MODEL_BYTES_MAX + 1]).is_err());
    }
}
