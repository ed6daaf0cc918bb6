//! Sentences of languages that part words by spaces.
//!
//! Owns the rules; the abbreviations are data (`prefixes`). A space, and nothing else, can become
//! the end of a sentence, so nothing is ever lost. Languages without abbreviations of their own
//! have everybody's rules, and the full stops of their scripts count as `?` does. Source:
//! `shared/reference/bertalign/SPEC.md`, 4.1, whose steps are the functions here.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::prefixes::{self, Prefixes};
use crate::align::language::Language;

/// Full stops of Arabic, Urdu, Hindi, Armenian, Ethiopic, Khmer, Burmese and Tibetan.
const OTHER_STOPS: [char; 9] = ['؟', '۔', '।', '॥', '։', '።', '។', '။', '༎'];

/// Unicode's initial quotation marks (Pi), all of them.
const QUOTES_OPENING: [char; 12] = ['«', '‘', '‛', '“', '‟', '‹', '⸂', '⸄', '⸉', '⸌', '⸜', '⸠'];
/// Unicode's final quotation marks (Pf), all of them.
const QUOTES_CLOSING: [char; 10] = ['»', '’', '”', '›', '⸃', '⸅', '⸊', '⸍', '⸝', '⸡'];

/// What a language adds to the rules.
pub(super) struct Rules {
    prefixes: &'static Prefixes,
    /// Beside `?` and `!`.
    stops: &'static [char],
}

impl Rules {
    pub(super) fn of(language: Language) -> Self {
        match prefixes::of(language) {
            Some(prefixes) => Self { prefixes, stops: &[] },
            None => Self { prefixes: prefixes::none(), stops: &OTHER_STOPS },
        }
    }

    fn is_mark(&self, c: char) -> bool {
        matches!(c, '?' | '!') || self.stops.contains(&c)
    }

    fn is_mark_or_dot(&self, c: char) -> bool {
        c == '.' || self.is_mark(c)
    }
}

/// The sentences of a line, whose only space is U+0020.
pub(super) fn split(line: &str, rules: &Rules) -> Vec<String> {
    let mut gaps = gaps(line);
    for rule in [after_mark, after_dots, after_closing, before_opening] {
        for number in 0..gaps.len() {
            let ends = !gaps[number].ends && rule(&Place { line, rules, gaps: &gaps, number });
            gaps[number].ends |= ends;
        }
    }
    // The last step looks at each full stop with its word and the next word.
    for number in 0..gaps.len() {
        let ends = !gaps[number].ends && full_stop(&Place { line, rules, gaps: &gaps, number });
        gaps[number].ends |= ends;
    }
    let mut sentences = Vec::new();
    let mut start = 0;
    for gap in gaps.iter().filter(|gap| gap.ends) {
        sentences.push(line[start..gap.bytes.start].to_owned());
        start = gap.bytes.end;
    }
    sentences.push(line[start..].to_owned());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// A run of spaces between two words.
struct Gap {
    bytes: Range<usize>,
    /// Whether a sentence ends before it.
    ends: bool,
}

fn gaps(line: &str) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for (at, _) in line.match_indices(' ') {
        match gaps.last_mut() {
            Some(gap) if gap.bytes.end == at => gap.bytes.end += 1,
            _ => gaps.push(Gap { bytes: at..at + 1, ends: false }),
        }
    }
    gaps
}

/// One gap, and what stands on both sides of it.
struct Place<'a> {
    line: &'a str,
    rules: &'a Rules,
    gaps: &'a [Gap],
    number: usize,
}

impl<'a> Place<'a> {
    fn before(&self) -> &'a str {
        &self.line[..self.gaps[self.number].bytes.start]
    }

    fn after(&self) -> &'a str {
        &self.line[self.gaps[self.number].bytes.end..]
    }

    /// `text`, which ends `before`, without the spaces at its end, unless a sentence ends there.
    fn without_gap_before(&self, text: &'a str) -> &'a str {
        match self.number.checked_sub(1).map(|number| &self.gaps[number]) {
            Some(gap) if !gap.ends && gap.bytes.end == text.len() => text.trim_end_matches(' '),
            _ => text,
        }
    }

    /// `text`, which begins in `after`, without the spaces before it, unless a sentence ends there.
    fn without_gap_after(&self, text: &'a str) -> &'a str {
        let at = self.line.len() - text.len();
        match self.gaps.get(self.number + 1) {
            Some(gap) if !gap.ends && gap.bytes.start == at => text.trim_start_matches(' '),
            _ => text,
        }
    }

    fn last_before(&self, is: impl Fn(char) -> bool) -> bool {
        self.before().chars().next_back().is_some_and(is)
    }
}

/// Step 1: `?` or `!`, then what begins a sentence.
fn after_mark(place: &Place<'_>) -> bool {
    place.last_before(|c| place.rules.is_mark(c))
        && begins_with_capital(place.after().trim_start_matches(is_opening))
}

/// Step 2: two or more dots, then what begins a sentence.
fn after_dots(place: &Place<'_>) -> bool {
    place.before().ends_with("..")
        && begins_with_capital(place.after().trim_start_matches(is_opening))
}

/// Step 3: a mark and closing quotes or brackets, then what begins a sentence.
fn after_closing(place: &Place<'_>) -> bool {
    let inner = place.before().trim_end_matches(is_closing);
    let closed = inner.len() < place.before().len();
    let inner = place.without_gap_before(inner);
    closed
        && inner.chars().next_back().is_some_and(|c| place.rules.is_mark_or_dot(c))
        && begins_with_capital(
            place.without_gap_after(place.after().trim_start_matches(is_opening)),
        )
}

/// Step 4: a mark, then a quotation that begins a sentence.
fn before_opening(place: &Place<'_>) -> bool {
    let is_quote = |c: char| c != '(' && is_opening(c);
    let inner = place.after().trim_start_matches(is_quote);
    place.last_before(|c| place.rules.is_mark_or_dot(c))
        && inner.len() < place.after().len()
        && begins_with_capital(place.without_gap_after(inner))
}

/// Step 5: a full stop that no abbreviation explains.
fn full_stop(place: &Place<'_>) -> bool {
    let start = place.number.checked_sub(1).map_or(0, |number| place.gaps[number].bytes.end);
    let word = &place.line[start..place.gaps[place.number].bytes.start];
    let Some(end) = WordEnd::of(word) else {
        return false;
    };
    let next = place.after();
    let prefixes = place.rules.prefixes;
    if end.is_plain && prefixes.is_ordinary(end.prefix) || is_acronym(word) {
        return false;
    }
    let opened = next.trim_start_matches(is_opening);
    if !begins_with_capital(opened) && !begins_with_digit(opened) {
        return false;
    }
    !(end.is_plain && prefixes.is_numeric(end.prefix) && begins_with_digit(next))
}

/// The end of a word that ends with dots.
struct WordEnd<'a> {
    /// Letters, digits, dots and hyphens; may be empty.
    prefix: &'a str,
    /// Nothing stands between the prefix and the dots.
    is_plain: bool,
}

impl<'a> WordEnd<'a> {
    fn of(word: &'a str) -> Option<Self> {
        let one_less = word.strip_suffix('.')?;
        let undotted = one_less.trim_end_matches('.');
        let unpunctuated = undotted.trim_end_matches(|c| c == '%' || is_closing(c));
        // With nothing between, all dots but the last belong to the prefix.
        let is_plain = unpunctuated.len() == undotted.len();
        let rest = if is_plain { one_less } else { unpunctuated };
        let prefix = &rest[rest.trim_end_matches(is_word).len()..];
        Some(Self { prefix, is_plain })
    }
}

/// Ends with a dot, capitals or hyphens, and dots: `U.S.`
fn is_acronym(word: &str) -> bool {
    let undotted = word.trim_end_matches('.');
    let inner = undotted.trim_end_matches(|c| c == '-' || is_capital(c));
    undotted.len() < word.len() && inner.len() < undotted.len() && inner.ends_with('.')
}

fn is_opening(c: char) -> bool {
    matches!(c, '\'' | '"' | '(' | '[' | '¿' | '¡') || QUOTES_OPENING.contains(&c)
}

fn is_closing(c: char) -> bool {
    matches!(c, '\'' | '"' | ')' | ']') || QUOTES_CLOSING.contains(&c)
}

fn begins_with_capital(text: &str) -> bool {
    text.starts_with(is_capital)
}

fn begins_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// A capital, or a letter of a script that has none.
fn is_capital(c: char) -> bool {
    static CAPITAL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[\p{Lu}\p{Lo}]").expect("the pattern is constant"));
    if c.is_ascii() { c.is_ascii_uppercase() } else { is_in(&CAPITAL, c) }
}

/// What a word is made of, with dots and hyphens.
fn is_word(c: char) -> bool {
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\w").expect("the pattern is constant"));
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
    } else {
        is_in(&WORD, c)
    }
}

fn is_in(class: &Regex, c: char) -> bool {
    class.is_match(c.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, line: &str) {
        let rules = Rules::of(Language::parse(code).expect("a code"));
        let got = split(&line.replace('|', " "), &rules).join("|");
        assert_eq!(got, line);
    }

    #[test]
    fn an_acronym_or_an_abbreviation_ends_no_sentence() {
        check("en", "The U.S. Army left.|Dr. Smith stayed.");
        check("en", "No. 5 is here.|No.|He is not.");
        check("en", "J.-P. Sartre wrote.|Then 3 left.");
        check("xx", "Dr.|Smith stayed.");
    }

    #[test]
    fn quotes_and_brackets_stay_with_their_sentence() {
        check("en", "He said \"Stop.\"|Then he left.|(It was late.)|[So.]|What?");
        check("fr", "Il a dit : « Bonjour. »|Puis il est parti.");
        check("en", "Wait...|What?|\u{201c}Really?\u{201d}|He nodded.");
    }

    #[test]
    fn stops_of_other_scripts_end_sentences_where_no_rules_are_known() {
        check("hi", "यह पहला है।|यह दूसरा है।");
        check("ar", "هل هذا واحد؟|نعم.|هذا اثنان.");
    }

    #[test]
    fn nothing_is_lost_but_spaces() {
        for line in ["", ".", "...", "a. . B", "? ' A", ". \" ' A", "x.%\" 9"] {
            let rules = Rules::of(Language::parse("en").expect("a code"));
            let got: String = split(line, &rules).concat().replace(' ', "");
            assert_eq!(got, line.replace(' ', ""));
        }
    }
}
