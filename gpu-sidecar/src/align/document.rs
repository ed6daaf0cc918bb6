//! One side of a call: bytes to sentences, and what the caller should know about them.
//!
//! Owns the order of cleaning, detection and splitting, and the bound of sentences. Knows no
//! vectors and no other side.

use serde::Serialize;

use super::language::{self, Language};
use super::overlaps::TEXT_CHARS_MAX;
use super::{TextError, clean, split};

/// Sentences of one text, at most: bounds vectors to a gigabyte a side and the answer to a
/// message.
pub const SENTENCES_MAX: usize = 20_000;

/// How a text becomes sentences.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// `None`: detected.
    pub language: Option<Language>,
    /// Every line is a sentence.
    pub is_split: bool,
    /// At most [`SENTENCES_MAX`].
    pub sentences_max: usize,
}

/// A text as sentences.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Given or detected; `None` when the text has no letters and none was given.
    pub language: Option<Language>,
    /// Whether nobody named the language.
    pub is_detected: bool,
    /// None is empty.
    pub sentences: Vec<String>,
    /// What may make the result worse than expected.
    pub remarks: Vec<Remark>,
}

/// What may make a result worse than expected, and is no failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Public and permanent.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Document {
    /// The sentences of a text.
    /// # Errors
    /// [`TextError`]: what whoever sent it can mend.
    pub fn read(bytes: &[u8], reading: Reading) -> Result<Self, TextError> {
        let lines = clean::lines(clean::decode(bytes)?);
        let mut remarks = Vec::new();
        let language = match reading.language {
            Some(language) => Some(language),
            None => detected(&lines, &mut remarks),
        };
        let sentences = match language {
            _ if reading.is_split => lines,
            Some(language) => {
                if !split::is_supported(language) {
                    let detail = format!(
                        "`{language}` has no rules for sentences here; everybody's were used, \
                         without abbreviations"
                    );
                    remarks.push(Remark { code: "language_unsupported", detail });
                }
                split::sentences(&lines, language)
            }
            // Nothing but numbers and marks: its lines are all there is.
            None => lines,
        };
        let (count, sentences_max) = (sentences.len(), reading.sentences_max.min(SENTENCES_MAX));
        if count > sentences_max {
            return Err(TextError::SentencesTooMany { sentences: count, sentences_max });
        }
        remarks.extend(remarks_on(&sentences));
        let is_detected = reading.language.is_none();
        Ok(Self { language, is_detected, sentences, remarks })
    }
}

fn detected(lines: &[String], remarks: &mut Vec<Remark>) -> Option<Language> {
    let found = language::detect(lines);
    let detail = match found {
        Some(found) if found.is_reliable => return Some(found.language),
        Some(found) => format!("the language looks like `{}`, but that is unsure", found.language),
        // An empty text has a remark of its own.
        None if lines.is_empty() => return None,
        None => "the text has no letters to tell a language by".to_owned(),
    };
    remarks.push(Remark { code: "language_unsure", detail });
    found.map(|found| found.language)
}

fn remarks_on(sentences: &[String]) -> Option<Remark> {
    if sentences.is_empty() {
        let detail = "the text has no sentence; the other's are left alone".to_owned();
        return Some(Remark { code: "text_empty", detail });
    }
    // Fewer bytes than that cannot be more characters.
    let is_long =
        |text: &&String| text.len() > TEXT_CHARS_MAX && text.chars().nth(TEXT_CHARS_MAX).is_some();
    let count = sentences.iter().filter(is_long).count();
    (count > 0).then(|| {
        let detail = format!(
            "{count} sentences have more than {TEXT_CHARS_MAX} characters and are compared by \
             their beginnings"
        );
        Remark { code: "sentence_cut", detail }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: Reading =
        Reading { language: None, is_split: false, sentences_max: SENTENCES_MAX };

    fn read(text: &str, reading: Reading) -> Document {
        Document::read(text.as_bytes(), reading).expect("is a text")
    }

    fn codes(document: &Document) -> Vec<&'static str> {
        document.remarks.iter().map(|remark| remark.code).collect()
    }

    #[test]
    fn a_text_is_detected_and_split_unless_it_is_said_how() {
        let text = "Herr Dr. Müller kam heute Morgen sehr früh an. Er blieb bis zum Abend.\nEnde.";
        let document = read(text, READING);
        assert_eq!(document.language.map(|l| l.to_string()).as_deref(), Some("de"));
        assert_eq!((document.sentences.len(), document.is_detected), (3, true));
        assert!(codes(&document).is_empty(), "{:?}", document.remarks);
        let lines = read(text, Reading { is_split: true, ..READING });
        assert_eq!(lines.sentences.len(), 2);
        let english = Language::parse("en");
        let forced = read("Nr. 7 fehlt.", Reading { language: english, ..READING });
        assert_eq!((forced.language, forced.is_detected), (english, false));
    }

    #[test]
    fn what_may_spoil_a_result_is_remarked_and_no_failure() {
        assert_eq!(codes(&read("", READING)), ["text_empty"]);
        assert_eq!(codes(&read("12 34", READING)), ["language_unsure"]);
        let welsh = Language::parse("cy");
        let document = read("Un. Dau.", Reading { language: welsh, ..READING });
        assert_eq!(codes(&document), ["language_unsupported"]);
        assert_eq!(document.sentences, ["Un.", "Dau."]);
        let long = "word ".repeat(20_000);
        let document = read(&long, Reading { language: Language::parse("en"), ..READING });
        assert_eq!((codes(&document), document.sentences.len()), (vec!["sentence_cut"], 1));
        let lengthless = "é".repeat(TEXT_CHARS_MAX);
        let document = read(&lengthless, Reading { language: Language::parse("fr"), ..READING });
        assert!(codes(&document).is_empty());
    }

    #[test]
    fn more_sentences_than_allowed_are_refused_by_their_number() {
        let reading = Reading { is_split: true, sentences_max: 2, ..READING };
        assert!(Document::read(b"a\nb", reading).is_ok());
        let refused = Document::read(b"a\nb\nc", reading);
        assert_eq!(refused, Err(TextError::SentencesTooMany { sentences: 3, sentences_max: 2 }));
        let boundless = Reading { sentences_max: usize::MAX, ..reading };
        let many = "a\n".repeat(SENTENCES_MAX + 1);
        assert!(Document::read(many.as_bytes(), boundless).is_err());
    }

    #[test]
    fn five_megabytes_in_one_line_are_read() {
        let sentence = "This sentence is repeated until the text has five megabytes of it. ";
        let text = sentence.repeat(5_000_000 / sentence.len());
        let english = Reading { language: Language::parse("en"), ..READING };
        let refused = Document::read(text.as_bytes(), english);
        assert!(matches!(refused, Err(TextError::SentencesTooMany { .. })), "{refused:?}");
        let without_marks = text.replace('.', ",");
        let document = read(&without_marks, english);
        assert_eq!(document.sentences.len(), 1);
    }
}
