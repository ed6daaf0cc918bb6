//! Splitting: lines to sentences, by the rules of a language.
//!
//! Owns which rules a language has. Knows no vectors. Source:
//! `shared/reference/bertalign/SPEC.md`, section 4; Japanese and languages beyond the SPEC's are
//! ours (see `japanese` and `latin`).

mod chinese;
mod japanese;
mod latin;
mod prefixes;

use super::language::Language;

/// Chinese and Japanese pieces without a mark are cut at this many characters.
const PIECE_CHARS_MAX: usize = 1000;

/// The sentences of lines that have been cleaned. A line's end always ends a sentence.
#[must_use]
pub fn sentences(lines: &[String], language: Language) -> Vec<String> {
    let lines = lines.iter().map(String::as_str);
    match language.code() {
        "zh" => pieces(lines, chinese::split),
        "ja" => pieces(lines, japanese::split),
        _ => {
            let rules = latin::Rules::of(language);
            lines.flat_map(|line| latin::split(line, &rules)).collect()
        }
    }
}

/// Whether the language has rules of its own, and not only everybody's.
#[must_use]
pub fn is_supported(language: Language) -> bool {
    matches!(language.code(), "zh" | "ja") || prefixes::of(language).is_some()
}

fn pieces<'a>(
    lines: impl Iterator<Item = &'a str>,
    split: impl Fn(&'a str) -> Vec<&'a str>,
) -> Vec<String> {
    let sentences = lines.flat_map(split).map(str::trim).filter(|sentence| !sentence.is_empty());
    sentences.flat_map(cut).map(str::to_owned).collect()
}

/// Pieces of at most [`PIECE_CHARS_MAX`] characters.
fn cut(sentence: &str) -> impl Iterator<Item = &str> {
    let mut rest = sentence;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().nth(PIECE_CHARS_MAX).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}
