//! Working memory that a thread keeps from product to product, and results while they are written.
//!
//! Owns allocation. Always: working memory begins on a cache line and holds numbers, never
//! uninitialised memory; a result becomes a vector only when all of it has been written.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Values of a cache line.
const LINE: usize = 16;
/// A thread keeps at most this much for the next product, 32 MiB: a layer's packed weights. What is
/// larger is given back, so that idle threads do not hold a model's worth of memory.
const KEPT_MAX: usize = 8 << 20;

/// Working memory of one kind of use. Each kind has a slot of its own on each thread.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) enum Use {
    /// A whole right side: a layer's weights, a head's values.
    Whole,
    Left,
    Right,
    Tiles,
}

thread_local! {
    static KEPT: [Cell<Vec<f32>>; 4] = const { [const { Cell::new(Vec::new()) }; 4] };
}

/// Lends memory of at least `length` values, whose content is left from earlier uses.
pub(in crate::nn) fn lend<R>(of: Use, length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // Taken out, not borrowed: while this thread waits in `work`, rayon may run another product on
    // it, which then allocates.
    let mut memory = KEPT.with(|kept| kept[of as usize].take());
    if memory.len() < length + LINE {
        memory = vec![0.0; length + LINE];
    }
    let offset = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = work(&mut memory[offset..][..length]);
    if memory.len() <= KEPT_MAX {
        KEPT.with(|kept| kept[of as usize].set(memory));
    }
    result
}

/// A result that several threads write, each its own parts.
pub(in crate::nn) struct Output {
    values: Vec<f32>,
}

impl Output {
    pub(in crate::nn) fn new(length: usize) -> Self {
        let mut values = Vec::with_capacity(length);
        ask_for_huge_pages(values.spare_capacity_mut());
        Self { values }
    }

    pub(in crate::nn) fn parts(&mut self) -> Parts<'_> {
        Parts {
            start: self.values.as_mut_ptr().cast(),
            length: self.values.capacity(),
            output: PhantomData,
        }
    }

    /// # Safety
    /// All `length` values have been written through [`Parts`].
    #[allow(unsafe_code, reason = "a result is not zeroed before it is written")]
    pub(in crate::nn) unsafe fn into_vec(mut self, length: usize) -> Vec<f32> {
        assert!(length <= self.values.capacity(), "no more than was asked for");
        // SAFETY: within the capacity, and written, as the caller answers for.
        unsafe { self.values.set_len(length) };
        self.values
    }
}

/// Asks the system for pages of 2 MiB under a large result: it is written once, and a fault for
/// each 4 KiB of it takes as long as many a layer. A system that has none to give goes on without.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "advice about our own memory")]
fn ask_for_huge_pages(memory: &mut [MaybeUninit<f32>]) {
    const PAGE: usize = 4096;
    const LEAST_BYTES: usize = 8 << 20;
    let bytes = size_of_val(memory);
    if bytes < LEAST_BYTES {
        return;
    }
    let start = memory.as_mut_ptr().cast::<u8>();
    let skipped = start.addr().next_multiple_of(PAGE) - start.addr();
    let length = (bytes - skipped) / PAGE * PAGE;
    // SAFETY: whole pages inside of an allocation of ours; the advice changes no content.
    unsafe { libc::madvise(start.add(skipped).cast(), length, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_memory: &mut [MaybeUninit<f32>]) {}

/// Hands out the parts of an [`Output`].
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Parts<'a> {
    start: *mut MaybeUninit<f32>,
    length: usize,
    output: PhantomData<&'a mut f32>,
}

// SAFETY: it only hands out parts of memory that is borrowed exclusively; that no two of them
// overlap is what `Parts::part` asks of its callers.
#[allow(unsafe_code, reason = "see above")]
unsafe impl Send for Parts<'_> {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "see above")]
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    /// Values `at .. at + length`.
    ///
    /// # Safety
    /// Nobody else holds a part that overlaps.
    #[allow(unsafe_code, reason = "threads write disjoint parts")]
    pub(in crate::nn) unsafe fn part(self, at: usize, length: usize) -> &'a mut [MaybeUninit<f32>] {
        assert!(at <= self.length && length <= self.length - at, "a part lies in the result");
        // SAFETY: inside the allocation, exclusive, as the caller answers for.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), length) }
    }
}
