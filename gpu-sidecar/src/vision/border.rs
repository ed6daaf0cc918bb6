//! Which pixel stands in for one outside the image.
//!
//! Owns the two border rules the kernels use. Knows indices only.

/// The nearest pixel inside: `aaa|abcd|ddd`. `length` is at least 1.
pub(crate) fn replicate(index: isize, length: usize) -> usize {
    index.clamp(0, length as isize - 1) as usize
}

/// Mirrored without repeating the edge pixel: `dcb|abcd|cba`. `length` is at least 1.
pub(crate) fn reflect_101(index: isize, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let last = length as isize - 1;
    // The mirrored row repeats every 2·(length − 1) pixels: there, up to `last`, and back.
    let phase = index.rem_euclid(2 * last);
    phase.min(2 * last - phase) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_indices_are_replaced_by_the_rule() {
        let four: Vec<usize> = (-3..7).map(|i| reflect_101(i, 4)).collect();
        assert_eq!(four, [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
        let two: Vec<usize> = (-3..4).map(|i| reflect_101(i, 2)).collect();
        assert_eq!(two, [1, 0, 1, 0, 1, 0, 1]);
        assert_eq!((reflect_101(-9, 1), reflect_101(9, 1)), (0, 0));
        let three: Vec<usize> = (-2..5).map(|i| replicate(i, 3)).collect();
        assert_eq!(three, [0, 0, 0, 1, 2, 2, 2]);
    }
}
