//! Cleaning: bytes of a text to lines without needless space.
//!
//! Owns what counts as space and as the end of a line, and what bytes are refused. Knows no
//! language. Source: `shared/reference/bertalign/SPEC.md`, section 2; a byte order mark in front
//! of the whole text is an encoding's and is dropped, which the SPEC leaves open.

use super::TextError;

/// Most of one text. A novel in a script of three bytes a character fits.
pub const TEXT_BYTES_MAX: usize = 8 << 20;

/// The text in `bytes`.
/// # Errors
/// `TooLarge`, `NotUtf8`, `Nul`: what they say.
pub fn decode(bytes: &[u8]) -> Result<&str, TextError> {
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLarge { bytes: bytes.len(), bytes_max: TEXT_BYTES_MAX });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| TextError::NotUtf8 { offset: error.valid_up_to() })?;
    if let Some(offset) = text.bytes().position(|byte| byte == 0) {
        return Err(TextError::Nul { offset });
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// White space as Python knows it: Unicode's, and the four separators U+001C to U+001F.
#[must_use]
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Lines of a text, trimmed, each run of space one U+0020, without empty ones.
#[must_use]
pub fn lines(text: &str) -> Vec<String> {
    text.split(is_line_end).map(squeezed).filter(|line| !line.is_empty()).collect()
}

/// CR LF needs no case of its own: the empty line between the two is dropped.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn squeezed(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for word in line.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_squeezed_and_every_line_end_ends_a_line() {
        assert_eq!(lines("  one  \n\n two\tthree \r\n four  "), ["one", "two three", "four"]);
        assert_eq!(
            lines("a\u{b}b\u{c}c\u{1c}d\u{85}e\u{2029}f\u{1f}g"),
            ["a", "b", "c", "d", "e", "f g"]
        );
        assert_eq!(lines("x\u{3000}\u{a0}y \u{200b}"), ["x y \u{200b}"]);
        assert!(lines(" \n\t\r\n").is_empty());
    }

    #[test]
    fn bytes_that_are_no_plain_text_are_refused_where_they_stand() {
        assert_eq!(decode(b"\xef\xbb\xbfab"), Ok("ab"));
        assert_eq!(decode(b""), Ok(""));
        assert_eq!(decode(b"ab\xff"), Err(TextError::NotUtf8 { offset: 2 }));
        assert_eq!(decode("äö".as_bytes().split_last().map_or(&[][..], |(_, rest)| rest)), {
            Err(TextError::NotUtf8 { offset: 2 })
        });
        assert_eq!(decode(b"a\0b"), Err(TextError::Nul { offset: 1 }));
        let large = vec![b' '; TEXT_BYTES_MAX + 1];
        assert!(matches!(decode(&large), Err(TextError::TooLarge { .. })));
        assert!(decode(&large[1..]).is_ok());
    }
}
