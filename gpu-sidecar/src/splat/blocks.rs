//! Writing a long list in blocks that all cores fill.
//!
//! Owns the order and the memory: at most two blocks a core exist at a time, whatever the length.
//! Knows no format.

use std::io::{self, Write};
use std::ops::Range;

use rayon::prelude::*;

/// Writes what `fill` appends for each range of `count` items, `per_block` items a call, in order.
/// While one set of blocks is written, the next is filled.
pub(super) fn write<W: Write + Send>(
    out: &mut W,
    count: usize,
    per_block: usize,
    fill: impl Fn(Range<usize>, &mut Vec<u8>) + Sync,
) -> io::Result<()> {
    let lanes = rayon::current_num_threads();
    let (mut filled, mut empty) = (Vec::new(), Vec::new());
    let mut start = 0;
    loop {
        let blocks = (count - start).div_ceil(per_block).min(lanes);
        empty.resize_with(blocks, Vec::new);
        let (written, ()) = rayon::join(
            || filled.iter().try_for_each(|block: &Vec<u8>| out.write_all(block)),
            || {
                empty.par_iter_mut().enumerate().for_each(|(index, block)| {
                    let first = start + index * per_block;
                    block.clear();
                    fill(first..(first + per_block).min(count), block);
                });
            },
        );
        written?;
        if blocks == 0 {
            return Ok(());
        }
        start = (start + blocks * per_block).min(count);
        std::mem::swap(&mut filled, &mut empty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_written_once_and_in_order() {
        for count in [0, 1, 6, 7, 8, 100, 1001] {
            let mut out = Vec::new();
            write(&mut out, count, 7, |range, block| {
                assert!(range.len() <= 7 && block.is_empty());
                block.extend(range.map(|index| index as u8));
            })
            .unwrap();
            let want: Vec<u8> = (0..count).map(|index| index as u8).collect();
            assert_eq!(out, want);
        }
    }

    #[test]
    fn a_full_disk_ends_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = write(&mut Full, 100, 7, |_, block| block.push(0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
