//! Whether bytes that come in pieces are UTF-8. Keeps at most the start of one character.

/// The pieces seen so far.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// The first bytes of a character that the last piece cut in two; at most 3.
    rest: Vec<u8>,
}

/// Some byte is of no character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8;

impl Utf8 {
    /// Looks at the next piece.
    ///
    /// # Errors
    /// The pieces up to here are the start of no text.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        if self.rest.is_empty() {
            self.rest = cut_off(piece)?.to_vec();
            return Ok(());
        }
        self.rest.extend_from_slice(piece);
        let start = self.rest.len() - cut_off(&self.rest)?.len();
        self.rest.drain(..start);
        Ok(())
    }

    /// Says that there are no more pieces.
    ///
    /// # Errors
    /// The last character is not whole.
    pub fn end(self) -> Result<(), NotUtf8> {
        if self.rest.is_empty() { Ok(()) } else { Err(NotUtf8) }
    }
}

/// The start of a character at the end of `bytes`, which are UTF-8 otherwise.
fn cut_off(bytes: &[u8]) -> Result<&[u8], NotUtf8> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(&[]),
        Err(error) if error.error_len().is_none() => Ok(&bytes[error.valid_up_to()..]),
        Err(_) => Err(NotUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_text(pieces: &[&[u8]]) -> bool {
        let mut utf8 = Utf8::default();
        pieces.iter().try_for_each(|piece| utf8.take(piece)).is_ok() && utf8.end().is_ok()
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "aé€𝄞z".as_bytes();
        for at in 0..=text.len() {
            assert!(is_text(&[&text[..at], &text[at..]]), "{at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert!(is_text(&bytes) && is_text(&[]));
    }

    #[test]
    fn bytes_of_no_character_are_found_at_once_or_at_the_end() {
        assert!(!is_text(&[b"a\xff"]));
        assert!(!is_text(&[b"\xe2\x82", b"a"]));
        assert!(!is_text(&[b"a\xe2\x82"]));
        assert!(!is_text(&[b"\xed\xa0\x80"]), "a surrogate");
    }
}
