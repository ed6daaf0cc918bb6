//! Order: the splats from near to far.
//!
//! Owns a radix sort by depth. Always: splats of one depth stay in the order of the cloud, splats
//! that are not seen come last, and the result does not depend on the number of threads.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

/// Values of a digit: the tables of all parts fit the second cache.
const DIGITS: usize = 1 << DIGIT_BITS;
const DIGIT_BITS: u32 = 11;
/// Parts of the list that are counted and moved by themselves.
const PARTS_MAX: usize = 64;
/// Entries of a part at least.
const PART_MIN: usize = 1 << 14;

/// A depth above, the splat's number in the cloud below. Atomic so that parts can write into one
/// list without `unsafe`; a relaxed store costs what a store costs.
#[derive(Debug, Default)]
pub(super) struct Key(AtomicU64);

impl Key {
    /// Depths are positive, and the bits of positive numbers are in their order.
    pub(super) fn seen(depth: f32, number: usize) -> Self {
        Self(AtomicU64::new(u64::from(depth.to_bits()) << 32 | number as u64))
    }

    pub(super) fn unseen() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    pub(super) fn number(&self) -> usize {
        (self.get() & u64::from(u32::MAX)) as usize
    }

    /// The depth's bits; those of a splat that is not seen are the largest.
    fn depth_bits(&self) -> u32 {
        (self.get() >> 32) as u32
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sorted keys, and memory for the next sort.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// To be filled before [`Order::sort`], in the order of the cloud.
    pub(super) keys: Vec<Key>,
    moved: Vec<Key>,
    /// `(parts, DIGITS)`.
    counts: Vec<u32>,
}

impl Order {
    /// Sorts `keys`; returns those of the splats that are seen.
    pub(super) fn sort(&mut self) -> &[Key] {
        let depths = self.keys.par_iter().map(Key::depth_bits).filter(|&bits| bits != u32::MAX);
        let none = || (u32::MAX, 0, 0);
        let (least, most, seen) = depths
            .fold(none, |(least, most, count), bits| (least.min(bits), most.max(bits), count + 1))
            .reduce(none, |a, b| (a.0.min(b.0), a.1.max(b.1), a.2 + b.2));
        if seen == 0 {
            return &[];
        }
        // Depths of a picture differ by few powers of two: fewer digits are enough.
        let last = most - least + 1;
        self.moved.resize_with(self.keys.len(), Key::default);
        for shift in (0..u32::BITS - last.leading_zeros()).step_by(DIGIT_BITS as usize) {
            self.pass(|key| {
                let rank = (key.depth_bits() - least).min(last);
                (rank >> shift) as usize % DIGITS
            });
        }
        &self.keys[..seen]
    }

    /// Sorts by one digit and leaves keys of one digit in their order.
    fn pass(&mut self, digit: impl Fn(&Key) -> usize + Sync) {
        let part = part(self.keys.len());
        self.counts.clear();
        self.counts.resize(self.keys.len().div_ceil(part) * DIGITS, 0);
        let parts = self.keys.par_chunks(part).zip(self.counts.par_chunks_mut(DIGITS));
        parts.for_each(|(keys, counts)| keys.iter().for_each(|key| counts[digit(key)] += 1));
        let mut place = 0;
        for value in 0..DIGITS {
            place = places(&mut self.counts, (value, DIGITS), place);
        }
        let moved = &self.moved;
        let parts = self.keys.par_chunks(part).zip(self.counts.par_chunks_mut(DIGITS));
        parts.for_each(|(keys, places)| {
            for key in keys {
                let place = &mut places[digit(key)];
                moved[*place as usize].0.store(key.get(), Ordering::Relaxed);
                *place += 1;
            }
        });
        std::mem::swap(&mut self.keys, &mut self.moved);
    }
}

/// Entries of a part of so many; the last has fewer.
pub(super) fn part(count: usize) -> usize {
    count.div_ceil(PARTS_MAX).max(PART_MIN)
}

/// In a table of a row per part, each count of a column becomes the place where that part's first
/// entry goes, from `place` on; returns the place behind the last. `column` is its number and the
/// table's width.
pub(super) fn places(counts: &mut [u32], column: (usize, usize), mut place: u32) -> u32 {
    for count in counts.iter_mut().skip(column.0).step_by(column.1) {
        place += std::mem::replace(count, place);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of those seen, sorted by the standard library.
    #[track_caller]
    fn check(depths: &[Option<f32>]) {
        let mut order = Order::default();
        for _ in 0..2 {
            order.keys.clear();
            order.keys.extend(depths.iter().enumerate().map(|(number, depth)| {
                depth.map_or_else(Key::unseen, |depth| Key::seen(depth, number))
            }));
            let got: Vec<usize> = order.sort().iter().map(Key::number).collect();
            let mut want: Vec<usize> = (0..depths.len()).filter(|&n| depths[n].is_some()).collect();
            want.sort_by(|&a, &b| depths[a].partial_cmp(&depths[b]).expect("numbers"));
            assert_eq!(got, want);
        }
    }

    #[test]
    fn depths_are_sorted_and_ties_keep_their_order() {
        check(&[]);
        check(&[None]);
        check(&[Some(3.0)]);
        check(&[Some(3.0), None, Some(1.0), Some(3.0), Some(1.0)]);
        check(&[Some(0.01), Some(f32::MAX), Some(1.0), None, Some(f32::MIN_POSITIVE)]);
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / 1e5
        };
        for count in [1000, PART_MIN - 1, PART_MIN, PART_MIN + 1, 3 * PART_MIN + 7] {
            let depths: Vec<_> = (0..count)
                .map(|_| Some(next() + 0.01).filter(|depth| *depth < 150.0).map(|d| d.powi(3)))
                .collect();
            check(&depths);
        }
    }
}
