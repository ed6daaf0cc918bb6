//! Texts as blobs: a part of a form is a slice of the body, a string of JSON is written anew.

use postern_guest::bindings::postern::pipelines::types::Input;
use postern_guest::json::Text;
use postern_guest::{Blob, BlobWriter, Fault, Source};

use crate::request::{Given, TEXT_BYTES_MAX};

const TEXT: &str = "text/plain";

/// The input for `slot`.
///
/// # Errors
/// 422 `text_too_large`, `json_invalid`; 413 `body_too_large`.
pub(crate) fn input(body: &Blob, slot: &str, given: &Given<'_, Blob>) -> Result<Input, Fault> {
    let blob = match given {
        Given::Part { start, bytes } => body.slice(*start, *bytes, TEXT),
        Given::Member(text) => {
            let writer = BlobWriter::new(TEXT);
            write(text, |piece| writer.write(piece))?;
            writer.finish()
        }
    };
    Ok(Input { slot: slot.to_owned(), blob })
}

/// Hands all characters to `taken`, which says whether it took them.
fn write<S: Source>(text: &Text<'_, S>, mut taken: impl FnMut(&[u8]) -> bool) -> Result<(), Fault> {
    let mut bytes = 0;
    for piece in text.characters() {
        let piece = piece?;
        bytes += piece.len() as u64;
        if bytes > TEXT_BYTES_MAX {
            let detail = format!("a text has at most {TEXT_BYTES_MAX} bytes; send parts");
            return Err(Fault::new("text_too_large", detail));
        }
        if !taken(&piece) {
            let fault = Fault::new("body_too_large", "is larger than bodies may be here");
            return Err(fault.with_status(413));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &str, room: usize) -> Result<usize, &'static str> {
        let (bytes, body) = (body.len() as u64, body.as_bytes());
        let text = Text::Long { body: &body, start: 0, bytes, escaped: true };
        let mut out = Vec::new();
        let taken = |piece: &[u8]| {
            out.extend_from_slice(piece);
            out.len() <= room
        };
        write(&text, taken).map_err(|fault| fault.code)?;
        Ok(out.len())
    }

    #[test]
    fn the_limit_is_of_what_a_text_means_and_not_of_how_it_is_written() {
        let most = TEXT_BYTES_MAX as usize;
        let plain = "a".repeat(most);
        assert_eq!(written(&plain, usize::MAX), Ok(most));
        assert_eq!(written(&(plain + r"\n"), usize::MAX), Err("text_too_large"));
        let count = most / 6 + 1;
        assert_eq!(written(&r"\u00e9".repeat(count), usize::MAX), Ok(2 * count));
        assert_eq!(written("abc", 2), Err("body_too_large"));
        assert_eq!(written(r"\ud800", usize::MAX), Err("json_invalid"));
    }
}
