//! Base64 texts and data URLs inside JSON, decoded in pieces; strict (RFC 4648 §4, with padding).
//!
//! A text is never copied or decoded as a whole. `Encoded` can be read by place, so that a
//! picture's header is found wherever it stands; `pieces` goes through all of it once.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::json::Text;
use crate::problem::Fault;
use crate::source::{ReadAt, Source};

/// Characters that are read at once: a multiple of 4, and 64 KiB when decoded.
const PIECE_CHARS: u32 = 87_384;
/// `data:image/png;base64,` and the parameters that a media type may have.
const DATA_URL_HEAD_BYTES_MAX: u32 = 256;

/// A base64 text whose head has been checked.
#[derive(Debug)]
pub struct Encoded<'a, S: Source + ?Sized> {
    text: Text<'a, S>,
    /// Where the base64 starts in the text.
    start: u64,
    /// What a data URL calls it; lower case.
    pub media_type: Option<String>,
    /// Where an escaped text, which can only be read forwards, has been read to.
    cursor: RefCell<Option<Cursor>>,
}

impl<'a, S: Source + ?Sized> Encoded<'a, S> {
    /// Reads the head of `text`: base64 as it is, or `data:<media type>;base64,` and base64.
    ///
    /// # Errors
    /// `field_invalid`: a URL of another kind, or a data URL that is not base64.
    pub fn new(text: Text<'a, S>) -> Result<Self, Fault> {
        let raw = text.read(0, DATA_URL_HEAD_BYTES_MAX);
        let mut encoded = Self { text, start: 0, media_type: None, cursor: RefCell::new(None) };
        if raw.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:")) {
            let comma = raw.iter().position(|byte| *byte == b',');
            let comma = comma.ok_or_else(|| invalid("is a data URL without a comma"))?;
            encoded.start = comma as u64 + 1;
            encoded.media_type = declared(&raw[5..comma], encoded.text.is_escaped())?;
        } else if raw.windows(3).any(|window| window == b"://") {
            return Err(invalid("is a URL; send the bytes themselves, as base64 or a data URL"));
        }
        Ok(encoded)
    }

    /// The decoded bytes from the beginning, in pieces of 64 KiB or less.
    #[must_use]
    pub fn pieces(&self) -> Pieces<'_, 'a, S> {
        Pieces { encoded: self, cursor: Cursor { position: self.start, ..Cursor::default() } }
    }
}

/// The media type of a data URL, from what stands between `data:` and the comma.
fn declared(head: &[u8], escaped: bool) -> Result<Option<String>, Fault> {
    let mut characters = Vec::new();
    if escaped {
        unescape(head, &mut characters)?;
    } else {
        characters.extend_from_slice(head);
    }
    let head = String::from_utf8_lossy(&characters).to_ascii_lowercase();
    let media_type = head.strip_suffix(";base64");
    let media_type = media_type.ok_or_else(|| invalid("is a data URL that is not base64"))?;
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    Ok((!media_type.is_empty()).then(|| media_type.to_owned()))
}

/// How far a text has been decoded.
#[derive(Debug, Default)]
struct Cursor {
    /// The next byte of the text.
    position: u64,
    /// Raw bytes of an escape that is not complete.
    raw: Vec<u8>,
    /// Characters that wait for the rest of their group of four. Always 1 to 4 of them before
    /// the end: the last group alone may be padded.
    waiting: Vec<u8>,
    /// Characters decoded.
    characters: u64,
    /// Bytes decoded that `ReadAt` has not gone past, and where they start.
    decoded: Vec<u8>,
    decoded_start: u64,
}

impl Cursor {
    /// Decodes the next piece of `encoded`; empty at the end.
    fn advance<S: Source + ?Sized>(&mut self, encoded: &Encoded<'_, S>) -> Result<Vec<u8>, Fault> {
        let text = &encoded.text;
        loop {
            let raw = text.read(self.position, PIECE_CHARS);
            self.position += raw.len() as u64;
            let at_end = raw.is_empty() || self.position >= text.size();
            self.take(&raw, text.is_escaped())?;
            let bytes = self.decode(at_end)?;
            if !bytes.is_empty() || at_end {
                return Ok(bytes);
            }
        }
    }

    /// Adds raw bytes to the waiting characters.
    fn take(&mut self, raw: &[u8], escaped: bool) -> Result<(), Fault> {
        if !escaped {
            self.waiting.extend_from_slice(raw);
            return Ok(());
        }
        self.raw.extend_from_slice(raw);
        let done = unescape(&self.raw, &mut self.waiting)?;
        self.raw.drain(..done);
        Ok(())
    }

    /// Decodes what is waiting: all of it at the end, else whole groups but for the last.
    fn decode(&mut self, at_end: bool) -> Result<Vec<u8>, Fault> {
        if at_end && !self.raw.is_empty() {
            return Err(invalid("ends inside an escape"));
        }
        let count =
            if at_end { self.waiting.len() } else { self.waiting.len().saturating_sub(1) / 4 * 4 };
        let group = &self.waiting[..count];
        let result = if at_end { STANDARD.decode(group) } else { STANDARD_NO_PAD.decode(group) };
        let bytes = result.map_err(|error| refused(&error, self.characters))?;
        self.waiting.drain(..count);
        self.characters += count as u64;
        Ok(bytes)
    }
}

/// All the bytes of a text, once. Ends after an error.
#[derive(Debug)]
pub struct Pieces<'e, 'a, S: Source + ?Sized> {
    encoded: &'e Encoded<'a, S>,
    cursor: Cursor,
}

impl<S: Source + ?Sized> Iterator for Pieces<'_, '_, S> {
    type Item = Result<Vec<u8>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.cursor.advance(self.encoded);
        match &piece {
            Ok(bytes) if bytes.is_empty() => return None,
            Ok(_) => {}
            Err(_) => {
                let end = self.encoded.text.size();
                self.cursor = Cursor { position: end, ..Cursor::default() };
            }
        }
        Some(piece)
    }
}

/// By place, for headers. What does not decode reads as if it were not there.
impl<S: Source + ?Sized> ReadAt for Encoded<'_, S> {
    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        let mut slot = self.cursor.borrow_mut();
        let mut cursor = match slot.take() {
            Some(cursor) if self.can_go_on(&cursor, offset) => cursor,
            _ => self.cursor_at(offset),
        };
        let end = offset.saturating_add(u64::from(length));
        while cursor.decoded_start + (cursor.decoded.len() as u64) < end {
            let Ok(piece) = cursor.advance(self) else { break };
            if piece.is_empty() {
                break;
            }
            cursor.decoded.extend_from_slice(&piece);
            let past = offset.saturating_sub(cursor.decoded_start);
            let past = usize::try_from(past).unwrap_or(usize::MAX).min(cursor.decoded.len());
            cursor.decoded.drain(..past);
            cursor.decoded_start += past as u64;
        }
        let bytes = cursor.decoded.as_slice().read(offset - cursor.decoded_start, length);
        *slot = Some(cursor);
        bytes
    }
}

impl<S: Source + ?Sized> Encoded<'_, S> {
    /// Is `cursor` at or before `offset`, with nothing between them that could be jumped over?
    fn can_go_on(&self, cursor: &Cursor, offset: u64) -> bool {
        let decoded_end = cursor.decoded_start + cursor.decoded.len() as u64;
        let near = self.text.is_escaped() || offset <= decoded_end;
        cursor.decoded_start <= offset && near
    }

    /// A cursor at the group of `offset`; at the beginning when groups cannot be counted.
    fn cursor_at(&self, offset: u64) -> Cursor {
        let group = if self.text.is_escaped() { 0 } else { offset / 3 };
        let position = self.start.saturating_add(group.saturating_mul(4));
        Cursor { position, decoded_start: group * 3, ..Cursor::default() }
    }
}

/// Resolves JSON's escapes of ASCII characters: PHP writes `\/`, .NET `\u002B`. Returns how many
/// bytes of `raw` were used; less than all when it ends inside an escape.
fn unescape(raw: &[u8], into: &mut Vec<u8>) -> Result<usize, Fault> {
    let mut index = 0;
    while index < raw.len() {
        if raw[index] != b'\\' {
            into.push(raw[index]);
            index += 1;
            continue;
        }
        match raw.get(index + 1) {
            None => return Ok(index),
            Some(b'/') => {
                into.push(b'/');
                index += 2;
            }
            Some(b'u') => {
                let Some(digits) = raw.get(index + 2..index + 6) else { return Ok(index) };
                let code = std::str::from_utf8(digits).ok();
                let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                into.push(code.ok_or_else(|| invalid("is not base64: it has an odd escape"))?);
                index += 6;
            }
            Some(b'n' | b'r') => return Err(invalid("has line breaks; send base64 without them")),
            Some(_) => return Err(invalid("is not base64: it has an odd escape")),
        }
    }
    Ok(index)
}

fn invalid(detail: &str) -> Fault {
    Fault::new("field_invalid", detail)
}

fn refused(error: &base64::DecodeError, before: u64) -> Fault {
    let at = |offset: usize| before + offset as u64 + 1;
    invalid(&match error {
        base64::DecodeError::InvalidByte(offset, byte @ (b'-' | b'_')) => {
            let character = char::from(*byte);
            let place = at(*offset);
            format!("is not base64: `{character}` at character {place} is of the URL alphabet")
        }
        base64::DecodeError::InvalidByte(offset, _)
        | base64::DecodeError::InvalidLastSymbol(offset, _) => {
            format!("is not base64 at character {}", at(*offset))
        }
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
            "is not base64: it is cut short, or its padding (`=`) is missing".to_owned()
        }
    })
}

#[cfg(test)]
mod tests;
