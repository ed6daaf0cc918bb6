//! Width and height of a picture from its header alone, before anything decodes it.
//!
//! PNG, JPEG, GIF, WebP, BMP and TIFF (classic and big). Reads a few hundred bytes by place; a
//! JPEG's segments and a TIFF's directory are followed with a bound on the steps.

use crate::source::ReadAt;

/// The formats that the sidecar decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Png,
    Jpeg,
    Gif,
    WebP,
    Bmp,
    Tiff,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    pub width: u32,
    pub height: u32,
}

/// Segments before a JPEG's frame header: a large colour profile takes about 60.
const JPEG_SEGMENTS_MAX: usize = 1_024;
/// Entries of a TIFF directory; the two that we want come first, sorted by number.
const TIFF_ENTRIES_MAX: u64 = 64;

impl Format {
    /// Names for problem texts.
    pub const NAMES: &'static str = "PNG, JPEG, GIF, WebP, BMP and TIFF";

    /// From the first 12 bytes or more.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Format); 8] = [
            (b"\x89PNG\r\n\x1a\n", Format::Png),
            (b"\xff\xd8\xff", Format::Jpeg),
            (b"GIF87a", Format::Gif),
            (b"GIF89a", Format::Gif),
            (b"II*\0", Format::Tiff),
            (b"MM\0*", Format::Tiff),
            (b"II+\0", Format::Tiff),
            (b"MM\0+", Format::Tiff),
        ];
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
            return Some(Self::WebP);
        }
        // "BM" alone is two letters of any text: the reserved bytes of a bitmap are zero.
        if head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]) {
            return Some(Self::Bmp);
        }
        MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, format)| *format)
    }

    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
        }
    }
}

/// Reads the header of a picture; `None` when it is no picture, broken, or has a side of 0.
pub fn header<S: ReadAt + ?Sized>(source: &S) -> Option<Header> {
    let head = source.read(0, 64);
    let format = Format::of(&head)?;
    let (width, height) = match format {
        Format::Png => png(&head),
        Format::Jpeg => jpeg(source),
        Format::Gif => Some((le16(&head, 6)?, le16(&head, 8)?)),
        Format::WebP => webp(&head),
        Format::Bmp => bmp(&head),
        Format::Tiff => tiff(source, &head),
    }?;
    (width > 0 && height > 0).then_some(Header { format, width, height })
}

fn png(head: &[u8]) -> Option<(u32, u32)> {
    (head.get(12..16)? == b"IHDR").then_some(())?;
    Some((be32(head, 16)?, be32(head, 20)?))
}

fn bmp(head: &[u8]) -> Option<(u32, u32)> {
    match le32(head, 14)? {
        // The OS/2 header has 16-bit sides.
        12 => Some((le16(head, 18)?, le16(head, 20)?)),
        // A negative height means "top row first".
        40.. => {
            let side = |at| le32(head, at).map(|value| (value as i32).unsigned_abs());
            Some((side(18)?, side(22)?))
        }
        _ => None,
    }
}

fn webp(head: &[u8]) -> Option<(u32, u32)> {
    match head.get(12..16)? {
        b"VP8 " => {
            (head.get(23..26)? == [0x9d, 0x01, 0x2a]).then_some(())?;
            Some((le16(head, 26)? & 0x3fff, le16(head, 28)? & 0x3fff))
        }
        b"VP8L" => {
            (*head.get(20)? == 0x2f).then_some(())?;
            let bits = le32(head, 21)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let side = |at| Some((le32(head, at)? & 0x00ff_ffff) + 1);
            Some((side(24)?, side(27)?))
        }
        _ => None,
    }
}

/// Follows the segments up to the frame header (SOF0 to SOF15 without DHT, JPG and DAC).
fn jpeg<S: ReadAt + ?Sized>(source: &S) -> Option<(u32, u32)> {
    let mut position = 2;
    for _ in 0..JPEG_SEGMENTS_MAX {
        let bytes = source.read(position, 16);
        (*bytes.first()? == 0xff).then_some(())?;
        match *bytes.get(1)? {
            // A marker may be preceded by any number of fill bytes.
            0xff => position += 1,
            0x01 | 0xd0..=0xd8 => position += 2,
            // Picture data or the end, and no frame header before it.
            0xd9 | 0xda => return None,
            marker @ 0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((be16(&bytes, 7)?, be16(&bytes, 5)?));
            }
            _ => position += 2 + u64::from(be16(&bytes, 2)?),
        }
    }
    None
}

/// Where a TIFF keeps what, in its byte order and its flavour.
struct Tiff {
    big_endian: bool,
    /// BigTIFF: counts and offsets of 8 bytes.
    big: bool,
}

fn tiff<S: ReadAt + ?Sized>(source: &S, head: &[u8]) -> Option<(u32, u32)> {
    let tiff = Tiff { big_endian: head.starts_with(b"MM"), big: head.get(2..4)?.contains(&b'+') };
    let (directory, count_bytes, entry_bytes) = if tiff.big {
        (tiff.number(head, 8, 8)?, 8, 20)
    } else {
        (tiff.number(head, 4, 4)?, 2, 12)
    };
    let count = source.read(directory, 8);
    let count = tiff.number(&count, 0, count_bytes)?.min(TIFF_ENTRIES_MAX);
    let start = directory.checked_add(count_bytes as u64)?;
    let length = u32::try_from(count).ok()? * entry_bytes;
    let entries = source.read(start, length);
    let (mut width, mut height) = (None, None);
    for entry in entries.chunks_exact(entry_bytes as usize) {
        match tiff.number(entry, 0, 2)? {
            256 => width = tiff.value(entry),
            257 => height = tiff.value(entry),
            _ => {}
        }
    }
    Some((width?, height?))
}

impl Tiff {
    /// An unsigned number of `bytes` bytes.
    fn number(&self, from: &[u8], at: usize, bytes: usize) -> Option<u64> {
        let digits = from.get(at..at + bytes)?;
        let join = |sum: u64, digit: &u8| sum << 8 | u64::from(*digit);
        Some(if self.big_endian {
            digits.iter().fold(0, join)
        } else {
            digits.iter().rev().fold(0, join)
        })
    }

    /// The single number in a directory entry.
    fn value(&self, entry: &[u8]) -> Option<u32> {
        let at = if self.big { 12 } else { 8 };
        let value = match self.number(entry, 2, 2)? {
            1 => self.number(entry, at, 1),
            3 => self.number(entry, at, 2),
            4 => self.number(entry, at, 4),
            16 => self.number(entry, at, 8),
            _ => None,
        }?;
        // More than 4 Gi pixels a side is refused by any rule; it must not wrap to a small number.
        Some(u32::try_from(value).unwrap_or(u32::MAX))
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
