//! JSON bodies of any size: a tree of everything but long strings, which stay where they are.
//!
//! A picture or video inside a JSON body is one string of many megabytes. Copying it into the
//! sandbox to find its end would cost the memory of the whole body, so in a body past
//! `SMALL_BYTES_MAX` a string longer than `LONG_BYTES` is replaced by its place (`Text::Long`)
//! before `serde_json` sees the rest. Depth is bounded by `serde_json` itself: 128 levels.

pub mod unescape;

use serde_json::Value;

use crate::json::unescape::Characters;
use crate::problem::Fault;
use crate::source::{ReadAt, Source, read_all};

/// Bodies up to this are parsed as they are; larger ones may have as much besides long strings.
/// Bounds the tree in guest memory: about 16 bytes of tree for each byte of text at worst.
pub const SMALL_BYTES_MAX: u64 = 256 << 10;
/// Strings longer than this stay in the body, in bodies past `SMALL_BYTES_MAX`.
const LONG_BYTES: usize = 4 << 10;
/// How much of a body is looked at at once.
const WINDOW_BYTES: u32 = 64 << 10;

/// Where a string stands in the body: the bytes between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: u64,
    bytes: u64,
    /// It contains a backslash: the bytes are not yet the text.
    escaped: bool,
}

/// A JSON body.
#[derive(Debug)]
pub struct Document {
    pub value: Value,
    /// Of long strings, which are `"\0<index>"` in `value`.
    long: Vec<Place>,
}

/// A string of a document.
#[derive(Debug)]
pub enum Text<'a, S: Source + ?Sized> {
    Short(&'a str),
    /// Its raw bytes; `escaped`: they contain JSON's backslashes.
    Long {
        body: &'a S,
        start: u64,
        bytes: u64,
        escaped: bool,
    },
}

impl<'a, S: Source + ?Sized> Text<'a, S> {
    /// What it means, from the beginning.
    #[must_use]
    pub fn characters(&self) -> Characters<'_, 'a, S> {
        Characters::new(self)
    }

    /// Bytes as they are read; of an escaped text a little more than it means.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Short(text) => text.len() as u64,
            Self::Long { bytes, .. } => *bytes,
        }
    }

    /// Is it in the tree?
    #[must_use]
    pub fn is_short(&self) -> bool {
        matches!(self, Self::Short(_))
    }

    /// Must what is read still be unescaped?
    #[must_use]
    pub fn is_escaped(&self) -> bool {
        matches!(self, Self::Long { escaped: true, .. })
    }
}

impl<S: Source + ?Sized> ReadAt for Text<'_, S> {
    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        match self {
            Self::Short(text) => text.as_bytes().read(offset, length),
            Self::Long { body, start, bytes, .. } => {
                let rest = u32::try_from(bytes.saturating_sub(offset)).unwrap_or(u32::MAX);
                if rest == 0 { Vec::new() } else { body.read(start + offset, length.min(rest)) }
            }
        }
    }
}

impl Document {
    /// Parses a whole body.
    ///
    /// # Errors
    /// 422 `json_invalid` with line and column; 413 `body_too_large` when more than
    /// `SMALL_BYTES_MAX` remain without the long strings.
    pub fn read<S: Source + ?Sized>(body: &S) -> Result<Self, Fault> {
        if body.size() <= SMALL_BYTES_MAX {
            let bytes = read_all(body, 0, SMALL_BYTES_MAX);
            let value = serde_json::from_slice(&bytes);
            let value = value.map_err(|error| invalid(&error, error.column()))?;
            return Ok(Self { value, long: Vec::new() });
        }
        let short = shorten(body)?;
        let value = serde_json::from_slice(&short.text);
        let value = value.map_err(|error| invalid(&error, short.column(&error)))?;
        Ok(Self { value, long: short.long })
    }

    /// What a string of `value` stands for. `body` is the one that was parsed.
    #[must_use]
    pub fn text<'a, S: Source + ?Sized>(&self, body: &'a S, string: &'a str) -> Text<'a, S> {
        let index = string.strip_prefix('\0').and_then(|index| index.parse::<usize>().ok());
        match index.and_then(|index| self.long.get(index)) {
            None => Text::Short(string),
            Some(place) => {
                let Place { start, bytes, escaped } = *place;
                Text::Long { body, start, bytes, escaped }
            }
        }
    }
}

fn invalid(error: &serde_json::Error, column: usize) -> Fault {
    // serde_json ends its message with the place; ours may differ when strings were taken out.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let place = format!("line {}, column {column}", error.line());
    Fault::new("json_invalid", format!("the body is not JSON: {message} at {place}"))
}

/// A body without its long strings.
#[derive(Default)]
struct Short {
    text: Vec<u8>,
    long: Vec<Place>,
    /// For each of `long`, where its substitute starts in `text`.
    substitutes: Vec<usize>,
}

impl Short {
    /// The column in the body of an error in `text`: what was taken out on that line is added.
    fn column(&self, error: &serde_json::Error) -> usize {
        let line_start = self.text.split(|byte| *byte == b'\n').take(error.line() - 1);
        let line_start: usize = line_start.map(|line| line.len() + 1).sum();
        let on_line = line_start..line_start + error.column();
        let taken = self.substitutes.iter().enumerate().filter(|(_, at)| on_line.contains(at));
        let taken = taken.map(|(index, _)| {
            let bytes = usize::try_from(self.long[index].bytes).unwrap_or(usize::MAX);
            bytes - substitute(index).len()
        });
        error.column() + taken.sum::<usize>()
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if (self.text.len() + bytes.len()) as u64 > SMALL_BYTES_MAX {
            let detail = format!(
                "JSON may have {} KiB besides strings of more than {} KiB",
                SMALL_BYTES_MAX >> 10,
                LONG_BYTES >> 10
            );
            return Err(Fault::new("body_too_large", detail).with_status(413));
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn push_short(&mut self, string: &[u8]) -> Result<(), Fault> {
        // Only our substitutes may look like one.
        if string.starts_with(b"\\u0000") {
            let detail = "a string of a large body may not start with \\u0000";
            return Err(Fault::new("json_invalid", detail));
        }
        self.push(string)
    }

    fn push_long(&mut self, place: Place) -> Result<(), Fault> {
        let substitute = substitute(self.long.len());
        self.substitutes.push(self.text.len());
        self.long.push(place);
        self.push(substitute.as_bytes())
    }
}

/// What stands between the quotes instead of long string `index`.
fn substitute(index: usize) -> String {
    format!("\\u0000{index}")
}

/// Copies `body` without its long strings. Does not check JSON beyond where strings end.
fn shorten<S: Source + ?Sized>(body: &S) -> Result<Short, Fault> {
    let mut short = Short::default();
    let mut scan = Scan { body, backslash: Some(0) };
    let mut position = 0;
    while position < body.size() {
        let window = body.read(position, WINDOW_BYTES);
        if window.is_empty() {
            break;
        }
        position += scan.window(&window, position, &mut short)?;
    }
    Ok(short)
}

struct Scan<'a, S: Source + ?Sized> {
    body: &'a S,
    /// The first backslash at or after what has been searched; `None`: there is none.
    backslash: Option<u64>,
}

impl<S: Source + ?Sized> Scan<'_, S> {
    /// Goes through one window at `base`; returns how many bytes of the body are done, which is
    /// more than the window has when a string reaches out of it.
    fn window(&mut self, window: &[u8], base: u64, short: &mut Short) -> Result<u64, Fault> {
        let mut index = 0;
        loop {
            let quote = window[index..].iter().position(|byte| *byte == b'"');
            let Some(quote) = quote else {
                short.push(&window[index..])?;
                return Ok(window.len() as u64);
            };
            let start = index + quote + 1;
            short.push(&window[index..start])?;
            match string_end(&window[start..], 0) {
                End::At { bytes, .. } if bytes <= LONG_BYTES => {
                    short.push_short(&window[start..start + bytes])?;
                    index = start + bytes;
                }
                End::At { bytes, escaped } => {
                    let start_in_body = base + start as u64;
                    short.push_long(Place {
                        start: start_in_body,
                        bytes: bytes as u64,
                        escaped,
                    })?;
                    index = start + bytes;
                }
                End::Beyond { .. } => {
                    let place = self.place(base + start as u64)?;
                    if place.bytes <= LONG_BYTES as u64 {
                        short.push_short(&read_all(self.body, place.start, place.bytes))?;
                    } else {
                        short.push_long(place)?;
                    }
                    short.push(b"\"")?;
                    return Ok(place.start + place.bytes + 1 - base);
                }
            }
            // The closing quote.
            short.push(b"\"")?;
            index += 1;
        }
    }

    /// Finds the end of the string that starts at `start`.
    fn place(&mut self, start: u64) -> Result<Place, Fault> {
        let quote = self.body.find(b"\"", start).ok_or_else(|| endless(start))?;
        // Each stretch of the body is searched for a backslash once, however many strings it has.
        if self.backslash.is_some_and(|at| at < start) {
            self.backslash = self.body.find(b"\\", start);
        }
        if self.backslash.is_none_or(|at| at > quote) {
            return Ok(Place { start, bytes: quote - start, escaped: false });
        }
        let mut position = start;
        let mut skip = 0;
        loop {
            let window = self.body.read(position, WINDOW_BYTES);
            if window.is_empty() {
                return Err(endless(start));
            }
            match string_end(&window, skip) {
                End::At { bytes, .. } => {
                    let bytes = position - start + bytes as u64;
                    return Ok(Place { start, bytes, escaped: true });
                }
                End::Beyond { skip: next } => skip = next,
            }
            position += window.len() as u64;
        }
    }
}

fn endless(start: u64) -> Fault {
    let detail = format!("the body is not JSON: the string at byte {start} does not end");
    Fault::new("json_invalid", detail)
}

/// Where a string ends within a window.
enum End {
    /// After this many bytes.
    At { bytes: usize, escaped: bool },
    /// Not here; so many bytes of the next window belong to an escape.
    Beyond { skip: usize },
}

/// Looks for the closing quote; the first `skip` bytes belong to an escape.
fn string_end(bytes: &[u8], skip: usize) -> End {
    let mut index = skip;
    let mut escaped = skip > 0;
    while let Some(offset) = bytes
        .get(index..)
        .and_then(|rest| rest.iter().position(|byte| matches!(byte, b'"' | b'\\')))
    {
        index += offset;
        if bytes[index] == b'"' {
            return End::At { bytes: index, escaped };
        }
        escaped = true;
        index += 2;
    }
    End::Beyond { skip: index.saturating_sub(bytes.len()) }
}

#[cfg(test)]
mod tests;
