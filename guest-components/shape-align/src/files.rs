//! The files of the pipeline: what each is called among the `outputs`.

/// Beads, scores, sentences and languages.
pub(crate) const RESULT: &str = "result.json";
/// Its name in `outputs`; also the usual `format`.
pub(crate) const JSON: &str = "json";

/// Name in `outputs`, name of the file.
const FILES: [(&str, &str); 3] = [(JSON, RESULT), ("tsv", "result.tsv"), ("tmx", "result.tmx")];

/// The file of one of `outputs`.
pub(crate) fn file_of(output: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == output).map(|(_, file)| *file)
}
