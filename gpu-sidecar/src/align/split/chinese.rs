//! Chinese sentences: they end at full-width marks.
//!
//! Owns the rule of two passes. Always: nothing is lost, the pieces are the line again. Two marks
//! in a row are parted, as upstream's are. Source: `shared/reference/bertalign/SPEC.md`, 4.2.

/// Ends a sentence.
const MARKS: [char; 3] = ['。', '？', '！'];
/// Closes a quotation or a bracket, which then ends the sentence instead of the mark before.
const CLOSING: [char; 5] = ['”', '’', '"', '\'', '）'];

/// The sentences of a line.
pub(super) fn split(line: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut before = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let closed_by_next = chars.peek().is_some_and(|(_, next)| CLOSING.contains(next));
        let ends = if CLOSING.contains(&c) {
            before.is_some_and(|mark| MARKS.contains(&mark) || mark == '…')
        } else {
            MARKS.contains(&c) && !closed_by_next
        };
        if ends {
            let end = at + c.len_utf8();
            sentences.push(&line[start..end]);
            start = end;
        }
        before = Some(c);
    }
    sentences.push(&line[start..]);
    sentences
}
