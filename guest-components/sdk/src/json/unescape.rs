//! The characters of a JSON string, in pieces: what a long one in a body means.
//!
//! As strict as `serde_json` is with short strings: control characters, lone surrogates, unknown
//! escapes and bytes that are no UTF-8 are refused.

use crate::json::Text;
use crate::problem::Fault;
use crate::source::{ReadAt as _, Source};
use crate::utf8::Utf8;

/// Bytes of the body that are read at once.
const PIECE_BYTES: u32 = 256 << 10;

/// All characters of a text, once, as UTF-8; a piece may end inside a character. Ends after an
/// error, which is `json_invalid`.
#[derive(Debug)]
pub struct Characters<'t, 'a, S: Source + ?Sized> {
    text: &'t Text<'a, S>,
    /// The next byte of the text.
    position: u64,
    /// An escape that the last piece cut in two.
    raw: Vec<u8>,
    utf8: Utf8,
}

impl<'t, 'a, S: Source + ?Sized> Characters<'t, 'a, S> {
    pub(super) fn new(text: &'t Text<'a, S>) -> Self {
        Self { text, position: 0, raw: Vec::new(), utf8: Utf8::default() }
    }

    fn advance(&mut self) -> Result<Vec<u8>, Fault> {
        let bytes = self.text.read(self.position, PIECE_BYTES);
        self.position += bytes.len() as u64;
        if self.text.is_short() {
            return Ok(bytes);
        }
        let at_end = bytes.is_empty() || self.position >= self.text.size();
        self.raw.extend_from_slice(&bytes);
        let mut characters = Vec::with_capacity(self.raw.len());
        let done = unescape(&self.raw, &mut characters)?;
        self.raw.drain(..done);
        if at_end && !self.raw.is_empty() {
            return Err(invalid("ends inside an escape"));
        }
        let not_utf8 = |_| invalid("is not UTF-8");
        self.utf8.take(&characters).map_err(not_utf8)?;
        if at_end {
            std::mem::take(&mut self.utf8).end().map_err(not_utf8)?;
        }
        Ok(characters)
    }
}

impl<S: Source + ?Sized> Iterator for Characters<'_, '_, S> {
    type Item = Result<Vec<u8>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.text.size() {
            return None;
        }
        let piece = self.advance();
        if piece.is_err() {
            self.position = self.text.size();
        }
        Some(piece)
    }
}

/// Resolves the escapes of `raw`. Returns how many of its bytes were used: less than all when it
/// ends inside an escape.
fn unescape(raw: &[u8], into: &mut Vec<u8>) -> Result<usize, Fault> {
    let mut index = 0;
    loop {
        let plain = raw[index..].iter().position(|&byte| byte == b'\\' || byte < b' ');
        let plain = plain.unwrap_or(raw.len() - index);
        into.extend_from_slice(&raw[index..index + plain]);
        index += plain;
        match raw.get(index) {
            None => return Ok(index),
            Some(b'\\') => match escape(&raw[index + 1..])? {
                Some((character, bytes)) => {
                    into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    index += 1 + bytes;
                }
                None => return Ok(index),
            },
            Some(_) => return Err(invalid("has a control character that is not escaped")),
        }
    }
}

/// The character that `rest`, what follows a backslash, stands for, and how many bytes of it;
/// `None` when there are too few to tell.
fn escape(rest: &[u8]) -> Result<Option<(char, usize)>, Fault> {
    let character = match rest.first() {
        None => return Ok(None),
        Some(b'u') => return unicode(&rest[1..]),
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(_) => return Err(invalid("has an escape that JSON does not know")),
    };
    Ok(Some((character, 1)))
}

/// The same after `\u`: four digits, and for a pair of surrogates another `\u` with four.
fn unicode(rest: &[u8]) -> Result<Option<(char, usize)>, Fault> {
    let lone = || invalid("has half of a surrogate pair");
    let Some(first) = digits(rest)? else { return Ok(None) };
    if let Some(character) = char::from_u32(first.into()) {
        return Ok(Some((character, 5)));
    }
    let follows = rest.get(4..).unwrap_or_default();
    if !b"\\u".starts_with(follows.get(..2).unwrap_or(follows)) {
        return Err(lone());
    }
    let Some(second) = digits(follows.get(2..).unwrap_or_default())? else { return Ok(None) };
    let character = char::decode_utf16([first, second]).next().and_then(Result::ok);
    Ok(Some((character.ok_or_else(lone)?, 11)))
}

fn digits(rest: &[u8]) -> Result<Option<u16>, Fault> {
    let Some(digits) = rest.get(..4) else { return Ok(None) };
    let digit = |code: u16, byte: &u8| Some(code << 4 | char::from(*byte).to_digit(16)? as u16);
    let code = digits.iter().try_fold(0, digit);
    code.map(Some).ok_or_else(|| invalid("has `\\u` without four digits"))
}

fn invalid(detail: &str) -> Fault {
    Fault::new("json_invalid", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `serde_json` makes of the same string is the definition.
    fn check(inner: &[u8]) {
        let quoted = [b"\"".as_slice(), inner, b"\""].concat();
        let want = serde_json::from_slice::<String>(&quoted).ok();
        for at in 0..=inner.len() {
            let mut raw = Vec::new();
            let mut characters = Vec::new();
            let mut utf8 = Utf8::default();
            let pieces = [&inner[..at], &inner[at..]].into_iter();
            let done = pieces.map(|piece| {
                raw.extend_from_slice(piece);
                let start = characters.len();
                let done = unescape(&raw, &mut characters)?;
                raw.drain(..done);
                utf8.take(&characters[start..]).map_err(|_| invalid("is not UTF-8"))
            });
            let done: Result<Vec<()>, Fault> = done.collect();
            let is_whole = done.is_ok() && raw.is_empty() && utf8.end().is_ok();
            let found = is_whole.then(|| String::from_utf8(characters).expect("was checked"));
            let shown = String::from_utf8_lossy(inner);
            assert_eq!(found, want, "{shown} cut at {at}");
        }
    }

    #[test]
    fn strings_mean_what_serde_json_says_wherever_they_are_cut() {
        for inner in [
            r"plain",
            r#"\"\\\/\b\f\n\r\t"#,
            r"\u00e9\u20AC x\ud834\udd1e.",
            "é€𝄞 \\u0000",
            r"\ud834",
            r"\ud834x",
            r"\ud834\n",
            r"\ud834\u0041",
            r"\udd1e\ud834",
            r"\u12g4",
            r"\u+123",
            r"\x41",
            "line\nend",
            "\u{1f}",
            "\u{7f}",
        ] {
            check(inner.as_bytes());
        }
        check(b"\xff");
        check(b"\xe2\x82");
    }

    fn all(text: &Text<'_, [u8]>) -> Result<Vec<u8>, Fault> {
        text.characters().collect::<Result<Vec<_>, _>>().map(|pieces| pieces.concat())
    }

    #[test]
    fn a_text_is_read_from_the_body_and_a_short_one_as_it_is() {
        assert_eq!(all(&Text::Short(r"a\n")), Ok(br"a\n".to_vec()));
        assert_eq!(all(&Text::Short("")), Ok(Vec::new()));
        let body = format!("..{}..", r"\u00e9".repeat(100_000));
        let bytes = body.len() as u64 - 4;
        let long = |bytes| Text::Long { body: body.as_bytes(), start: 2, bytes, escaped: true };
        assert_eq!(all(&long(bytes)), Ok("é".repeat(100_000).into_bytes()));
        let cut = all(&long(bytes - 3)).expect_err("inside an escape");
        assert_eq!(cut.code, "json_invalid");
    }
}
