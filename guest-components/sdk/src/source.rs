//! `Source`: bytes that are read by place, without being copied as a whole.
//!
//! A blob handle, a slice and a window of either are sources; a base64 text (`base64.rs`) can only
//! be read. Reading past the end gives fewer bytes, never an error: whoever parses decides what is
//! too short.

use crate::bindings::postern::types::blobs::Blob;

/// What one call of `blob.read` gives at most; the contract of `postern:types/blobs`.
pub const READ_BYTES_MAX: u32 = 1 << 20;

/// Random access to immutable bytes.
pub trait ReadAt {
    /// Up to `length` bytes from `offset`; fewer at the end, and possibly fewer anywhere when
    /// `length` is above `READ_BYTES_MAX`.
    fn read(&self, offset: u64, length: u32) -> Vec<u8>;
}

/// Immutable bytes whose length is known and that can be searched.
pub trait Source: ReadAt {
    /// Length in bytes.
    fn size(&self) -> u64;
    /// Offset of the first occurrence of `pattern` (1 to 256 bytes) at or after `start`.
    fn find(&self, pattern: &[u8], start: u64) -> Option<u64>;
}

/// All of `source` from `offset`, up to `length` bytes.
pub fn read_all<S: Source + ?Sized>(source: &S, offset: u64, length: u64) -> Vec<u8> {
    let length = length.min(source.size().saturating_sub(offset));
    let mut bytes = source.read(offset, cut_to_read(length));
    while (bytes.len() as u64) < length {
        let rest = length - bytes.len() as u64;
        let piece = source.read(offset + bytes.len() as u64, cut_to_read(rest));
        if piece.is_empty() {
            break;
        }
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// The most of `length` that one read gives.
pub(crate) fn cut_to_read(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX).min(READ_BYTES_MAX)
}

impl ReadAt for Blob {
    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        Self::read(self, offset, length)
    }
}

impl Source for Blob {
    fn size(&self) -> u64 {
        Self::size(self)
    }
    fn find(&self, pattern: &[u8], start: u64) -> Option<u64> {
        Self::find(self, pattern, start)
    }
}

impl ReadAt for [u8] {
    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let end = start.saturating_add(length).min(self.len());
        self[start..end].to_vec()
    }
}

impl Source for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn find(&self, pattern: &[u8], start: u64) -> Option<u64> {
        if pattern.is_empty() {
            return None;
        }
        let start = usize::try_from(start).ok()?;
        let tail = self.get(start..)?;
        let place = tail.windows(pattern.len()).position(|window| window == pattern)?;
        Some((start + place) as u64)
    }
}

/// So that a slice can be handed on by reference like any other source.
impl ReadAt for &[u8] {
    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        (**self).read(offset, length)
    }
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn find(&self, pattern: &[u8], start: u64) -> Option<u64> {
        (**self).find(pattern, start)
    }
}

/// A part of another source: `length` bytes from `start`.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a, S: Source + ?Sized> {
    source: &'a S,
    start: u64,
    length: u64,
}

impl<'a, S: Source + ?Sized> Window<'a, S> {
    /// Cut at the end of `source`.
    #[must_use]
    pub fn new(source: &'a S, start: u64, length: u64) -> Self {
        let start = start.min(source.size());
        Self { source, start, length: length.min(source.size() - start) }
    }
}

impl<S: Source + ?Sized> ReadAt for Window<'_, S> {
    fn read(&self, offset: u64, length: u32) -> Vec<u8> {
        let rest = self.length.saturating_sub(offset);
        let length = u32::try_from(rest).map_or(length, |rest| length.min(rest));
        if length == 0 {
            return Vec::new();
        }
        self.source.read(self.start + offset, length)
    }
}

impl<S: Source + ?Sized> Source for Window<'_, S> {
    fn size(&self) -> u64 {
        self.length
    }
    fn find(&self, pattern: &[u8], start: u64) -> Option<u64> {
        if start > self.length {
            return None;
        }
        let place = self.source.find(pattern, self.start + start)? - self.start;
        (place + pattern.len() as u64 <= self.length).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_ends_where_it_ends() {
        let bytes: &[u8] = b"0123456789";
        let window = Window::new(bytes, 2, 5);
        assert_eq!(window.read(3, 100), b"56");
        assert_eq!(window.read(u64::MAX - 3, 100), b"");
        assert_eq!(window.find(b"4", 0), Some(2));
        assert_eq!(window.find(b"67", 0), None);
        assert_eq!(Window::new(bytes, 50, 5).size(), 0);
        assert_eq!(bytes.read(u64::MAX, u32::MAX), b"");
    }

    #[test]
    fn short_reads_are_put_together() {
        struct OneByte;
        impl ReadAt for OneByte {
            fn read(&self, offset: u64, _: u32) -> Vec<u8> {
                if offset < 4 { vec![offset as u8] } else { Vec::new() }
            }
        }
        impl Source for OneByte {
            fn size(&self) -> u64 {
                4
            }
            fn find(&self, _: &[u8], _: u64) -> Option<u64> {
                None
            }
        }
        assert_eq!(read_all(&OneByte, 1, 100), [1, 2, 3]);
    }
}
