//! Memory that begins on a cache line, kept from frame to frame.
//!
//! Owns the offset to the first line: vectors as wide as a line that straddle two lines cost
//! twice. Knows nothing of what is stored.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE_BYTES: usize = 64;

/// Values of which the first lies at the beginning of a cache line.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    /// Longer than what is asked for by up to a line.
    data: Vec<T>,
    offset: usize,
    length: usize,
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self { data: Vec::new(), offset: 0, length: 0 }
    }
}

impl<T: Copy> Aligned<T> {
    /// `length` times `value`; allocates only where there is not enough memory yet.
    pub(crate) fn refill(&mut self, length: usize, value: T) {
        self.data.clear();
        self.data.resize(length + LINE_BYTES / size_of::<T>(), value);
        // A pointer for which no offset is known is used as it is: alignment is only for speed.
        let offset = self.data.as_ptr().align_offset(LINE_BYTES);
        self.offset = if offset + length <= self.data.len() { offset } else { 0 };
        self.length = length;
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.data[self.offset..][..self.length]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.offset..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_begins_a_line_and_all_are_the_same() {
        let (mut bytes, mut words) = (Aligned::<u8>::default(), Aligned::<i32>::default());
        assert!(bytes.is_empty());
        for length in [0, 1, 63, 64, 1000, 7] {
            bytes.refill(length, 9);
            words.refill(length, -3);
            assert_eq!(*bytes, vec![9; length]);
            assert_eq!(*words, vec![-3; length]);
            assert_eq!(bytes.as_ptr().addr() % LINE_BYTES, 0);
            assert_eq!(words.as_ptr().addr() % LINE_BYTES, 0);
            bytes.fill(1);
            words.fill(1);
        }
    }
}
