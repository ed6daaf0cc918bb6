//! Languages: which one a text is in, decided offline.
//!
//! Owns codes and detection. A language decides by which rules a text is split, nothing else.
//! Source: `shared/reference/bertalign/SPEC.md`, section 3.

use std::fmt;

use whatlang::{Detector, Lang};

/// Characters of a text that are looked at.
const CHARS_LOOKED_AT: usize = 2000;
/// Share of thorns among the letters that no language but Icelandic has.
const THORN_SHARE_MIN: f64 = 0.005;

/// A language by its ISO 639 code of two letters, or of three where there is none of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language([u8; 3]);

impl Language {
    /// `de`, `de-CH`, `DE_ch`: the language is the first part. Norwegian's two forms are one here.
    /// `None` when that is not two or three letters.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let first = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let code = match first.as_str() {
            "nb" | "nn" | "nob" | "nno" => "no",
            "cmn" | "yue" => "zh",
            other => other,
        };
        let is_code = matches!(code.len(), 2 | 3) && code.bytes().all(|b| b.is_ascii_lowercase());
        let rest_is_plain = tag.len() <= 35 && tag.bytes().all(|b| b.is_ascii_graphic());
        (is_code && rest_is_plain).then(|| Self::from_code(code))
    }

    /// `code` has two or three lower-case letters.
    fn from_code(code: &str) -> Self {
        let mut bytes = [b' '; 3];
        bytes[..code.len()].copy_from_slice(code.as_bytes());
        Self(bytes)
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("letters").trim_end()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Where a language was guessed from, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detected {
    /// The likeliest.
    pub language: Language,
    /// Whether the text was long and clear enough.
    pub is_reliable: bool,
}

/// The language of a text; `None` when it has no letters.
#[must_use]
pub fn detect(lines: &[String]) -> Option<Detected> {
    let mut sample = String::new();
    let mut left = CHARS_LOOKED_AT;
    for line in lines {
        let part: String = line.chars().take(left).collect();
        left -= part.chars().count();
        sample.push_str(&part);
        sample.push('\n');
        if left == 0 {
            break;
        }
    }
    if has_thorns(&sample) {
        return Some(Detected { language: Language::from_code("is"), is_reliable: true });
    }
    let any = whatlang::detect(&sample)?;
    if any.is_reliable() {
        return Some(Detected { language: of(any.lang()), is_reliable: true });
    }
    // A short text is likelier in a language that people align than in any of seventy.
    let info = Detector::with_allowlist(LIKELY.to_vec()).detect(&sample).unwrap_or(any);
    Some(Detected { language: of(info.lang()), is_reliable: info.is_reliable() })
}

/// Icelandic, which the detector does not know: only it still writes þ.
fn has_thorns(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let thorns = text.chars().filter(|c| matches!(c, 'þ' | 'Þ')).count();
    thorns as f64 > THORN_SHARE_MIN * letters as f64
}

/// Languages with rules of their own, and others with many readers.
const LIKELY: [Lang; 33] = [
    Lang::Cat,
    Lang::Cmn,
    Lang::Ces,
    Lang::Dan,
    Lang::Nld,
    Lang::Eng,
    Lang::Fin,
    Lang::Fra,
    Lang::Deu,
    Lang::Ell,
    Lang::Hun,
    Lang::Ita,
    Lang::Lit,
    Lang::Lav,
    Lang::Nob,
    Lang::Pol,
    Lang::Por,
    Lang::Ron,
    Lang::Rus,
    Lang::Slk,
    Lang::Slv,
    Lang::Spa,
    Lang::Swe,
    Lang::Tur,
    Lang::Jpn,
    Lang::Kor,
    Lang::Ara,
    Lang::Tha,
    Lang::Ukr,
    Lang::Hin,
    Lang::Heb,
    Lang::Vie,
    Lang::Pes,
];

/// Codes of three letters, as the detector gives them, and of two; by the first.
const TWO: [(&str, &str); 70] = [
    ("afr", "af"),
    ("aka", "ak"),
    ("amh", "am"),
    ("ara", "ar"),
    ("aze", "az"),
    ("bel", "be"),
    ("ben", "bn"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("cmn", "zh"),
    ("cym", "cy"),
    ("dan", "da"),
    ("deu", "de"),
    ("ell", "el"),
    ("eng", "en"),
    ("epo", "eo"),
    ("est", "et"),
    ("fin", "fi"),
    ("fra", "fr"),
    ("guj", "gu"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("hye", "hy"),
    ("ind", "id"),
    ("ita", "it"),
    ("jav", "jv"),
    ("jpn", "ja"),
    ("kan", "kn"),
    ("kat", "ka"),
    ("khm", "km"),
    ("kor", "ko"),
    ("lat", "la"),
    ("lav", "lv"),
    ("lit", "lt"),
    ("mal", "ml"),
    ("mar", "mr"),
    ("mkd", "mk"),
    ("mya", "my"),
    ("nep", "ne"),
    ("nld", "nl"),
    ("nob", "no"),
    ("ori", "or"),
    ("pan", "pa"),
    ("pes", "fa"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rus", "ru"),
    ("sin", "si"),
    ("slk", "sk"),
    ("slv", "sl"),
    ("sna", "sn"),
    ("spa", "es"),
    ("srp", "sr"),
    ("swe", "sv"),
    ("tam", "ta"),
    ("tel", "te"),
    ("tgl", "tl"),
    ("tha", "th"),
    ("tuk", "tk"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("urd", "ur"),
    ("uzb", "uz"),
    ("vie", "vi"),
    ("yid", "yi"),
    ("zul", "zu"),
];

/// The detector's three letters as two, where there are two.
fn of(lang: Lang) -> Language {
    let three = lang.code();
    let found = TWO.iter().find(|(code, _)| *code == three);
    Language::from_code(found.map_or(three, |(_, two)| two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_its_first_part() {
        let code = |tag| Language::parse(tag).map(|language| language.code().to_owned());
        assert_eq!(code("de").as_deref(), Some("de"));
        assert_eq!(code("zh-Hant-TW").as_deref(), Some("zh"));
        assert_eq!(code("PT_br").as_deref(), Some("pt"));
        assert_eq!(code("nb").as_deref(), Some("no"));
        assert_eq!(code("gsw").as_deref(), Some("gsw"));
        for bad in ["", "d", "german", "d3", "de\n", "-de", "äö"] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_code_of_the_detector_has_at_most_three_letters() {
        for &lang in Lang::all() {
            assert!(matches!(of(lang).code().len(), 2 | 3), "{lang:?}");
        }
        assert!(detect(&[]).is_none());
        assert!(detect(&["123 …".to_owned()]).is_none());
    }

    #[test]
    fn a_text_in_a_language_without_rules_is_named_all_the_same() {
        let text = "Всички хора се раждат свободни и равни по достойнство и права. Те са \
                    надарени с разум и съвест и следва да се отнасят помежду си в дух на братство.";
        let found = detect(&[text.to_owned()]).expect("has letters");
        assert_eq!(found.language.code(), "bg");
    }
}
