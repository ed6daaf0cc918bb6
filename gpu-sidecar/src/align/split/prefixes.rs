//! Abbreviations: words whose full stop ends no sentence.
//!
//! Owns the lists, which are our own (`../prefixes/`): what a reader of the language meets in
//! prose. Words are parted by space; those after `numeric:` count only before a number; `#` begins
//! a remark. Look-ups know capitals.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use crate::align::language::Language;

/// The lists of all languages that have one.
static LISTS: LazyLock<BTreeMap<&str, Prefixes>> = LazyLock::new(|| {
    let files = FILES.iter().map(|&(code, text)| (code, Prefixes::parse(text)));
    files.collect()
});
static NONE: LazyLock<Prefixes> = LazyLock::new(Prefixes::default);

macro_rules! files {
    ($($code:literal)*) => {
        [$(($code, include_str!(concat!("../prefixes/", $code, ".txt")))),*]
    };
}
const FILES: [(&str, &str); 24] = files! {
    "ca" "cs" "da" "de" "el" "en" "es" "fi" "fr" "hu" "is" "it"
    "lt" "lv" "nl" "no" "pl" "pt" "ro" "ru" "sk" "sl" "sv" "tr"
};

/// One language's abbreviations, without their last full stop.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    ordinary: HashSet<&'static str>,
    numeric: HashSet<&'static str>,
}

impl Prefixes {
    fn parse(text: &'static str) -> Self {
        let mut prefixes = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            match line.strip_prefix("numeric:") {
                Some(words) => prefixes.numeric.extend(words.split_whitespace()),
                None => prefixes.ordinary.extend(line.split_whitespace()),
            }
        }
        prefixes
    }

    /// No sentence ends after it.
    pub(super) fn is_ordinary(&self, prefix: &str) -> bool {
        self.ordinary.contains(prefix)
    }

    /// No sentence ends after it when a number follows.
    pub(super) fn is_numeric(&self, prefix: &str) -> bool {
        self.numeric.contains(prefix)
    }
}

/// Those of a language; `None` for languages whose abbreviations we do not know.
pub(super) fn of(language: Language) -> Option<&'static Prefixes> {
    LISTS.get(language.code())
}

/// No abbreviation at all.
pub(super) fn none() -> &'static Prefixes {
    &NONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_words_and_none_ends_with_the_stop_that_it_explains() {
        for (code, _) in FILES {
            let list = &LISTS[code];
            assert!(list.ordinary.len() >= 30, "{code}: {}", list.ordinary.len());
            for word in list.ordinary.iter().chain(&list.numeric) {
                assert!(!word.ends_with('.'), "{code}: {word}");
            }
            assert!(list.ordinary.is_disjoint(&list.numeric), "{code}");
        }
    }
}
