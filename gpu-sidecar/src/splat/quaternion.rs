//! Quaternions w, x, y, z and the turns that they mean.
//!
//! Owns their arithmetic; knows no cloud. Always: a result has length 1 unless a part was not
//! finite.

/// The turn that changes nothing.
pub(crate) const IDENTITY: [f32; 4] = [1.0, 0.0, 0.0, 0.0];

/// The same turn at length 1; the identity for length 0. A part that is not finite gives NaN.
#[inline(always)]
pub(crate) fn normalized(quaternion: [f32; 4]) -> [f32; 4] {
    let [w, x, y, z] = quaternion.map(f64::from);
    // In f64, as the square of a small f32 is 0.
    let length = (w * w + x * x + y * y + z * z).sqrt();
    let is_zero = length == 0.0;
    let scale = 1.0 / if is_zero { 1.0 } else { length };
    let w = if is_zero { 1.0 } else { w * scale };
    [w as f32, (x * scale) as f32, (y * scale) as f32, (z * scale) as f32]
}

/// The turn of a quaternion of length 1 as rows of a matrix.
#[inline(always)]
pub(crate) fn matrix([w, x, y, z]: [f32; 4]) -> [[f32; 3]; 3] {
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

/// The quaternion of an orthonormal matrix of determinant 1, given by its columns.
///
/// Divides by the largest of the four parts, which is never below 1/2.
#[inline(always)]
pub(crate) fn of_columns(columns: &[[f64; 3]; 3]) -> [f32; 4] {
    let [[xx, yx, zx], [xy, yy, zy], [xz, yz, zz]] = *columns;
    // Four times the square of each part, and of each two their product.
    let squares = [1.0 + xx + yy + zz, 1.0 + xx - yy - zz, 1.0 + yy - xx - zz, 1.0 + zz - xx - yy];
    let (wx, wy, wz) = (zy - yz, xz - zx, yx - xy);
    let (xy, xz, yz) = (xy + yx, xz + zx, yz + zy);
    let rows = [
        [squares[0], wx, wy, wz],
        [wx, squares[1], xy, xz],
        [wy, xy, squares[2], yz],
        [wz, xz, yz, squares[3]],
    ];
    let (mut largest, mut parts) = (squares[0], rows[0]);
    for (square, row) in squares.into_iter().zip(rows) {
        // Chosen, not branched on: no processor could guess these.
        let is_more = square > largest;
        largest = if is_more { square } else { largest };
        for (part, other) in parts.iter_mut().zip(row) {
            *part = if is_more { other } else { *part };
        }
    }
    let scale = 1.0 / parts.iter().map(|part| part * part).sum::<f64>().sqrt();
    parts.map(|part| (part * scale) as f32)
}

/// The three smaller parts, in their order, and the index of the one left out: the largest, which
/// is positive in this form of the turn. `quaternion` has length 1.
pub(crate) fn smallest_three(quaternion: [f32; 4]) -> (usize, [f32; 3]) {
    let largest =
        (1..4).fold(
            0,
            |best, index| {
                if quaternion[index].abs() > quaternion[best].abs() { index } else { best }
            },
        );
    let sign = if quaternion[largest] < 0.0 { -1.0 } else { 1.0 };
    let mut kept = [0.0; 3];
    let others = quaternion.iter().enumerate().filter(|&(index, _)| index != largest);
    for (slot, (_, part)) in kept.iter_mut().zip(others) {
        *slot = sign * part;
    }
    (largest, kept)
}

/// The inverse of [`smallest_three`]; parts that are too long together leave 0 for the largest.
pub(crate) fn of_smallest_three(largest: usize, kept: [f32; 3]) -> [f32; 4] {
    let rest = 1.0 - kept.iter().map(|part| part * part).sum::<f32>();
    let mut quaternion = [0.0; 4];
    quaternion[largest] = rest.max(0.0).sqrt();
    let others = quaternion.iter_mut().enumerate().filter(|(index, _)| *index != largest);
    for ((_, slot), part) in others.zip(kept) {
        *slot = part;
    }
    normalized(quaternion)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any() -> impl Strategy<Value = [f32; 4]> {
        prop::array::uniform4(-2.0f32..2.0)
    }

    /// Largest difference of the two turns' matrices.
    fn distance(a: [f32; 4], b: [f32; 4]) -> f32 {
        let (a, b) = (matrix(a), matrix(b));
        a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn length_zero_is_no_turn() {
        assert_eq!(normalized([0.0; 4]), IDENTITY);
        assert_eq!(normalized([-0.0, 0.0, 0.0, 1e-44]), [-0.0, 0.0, 0.0, 1.0]);
        assert!(normalized([f32::NAN, 0.0, 0.0, 0.0])[0].is_nan());
    }

    proptest! {
        #[test]
        fn a_matrix_gives_its_quaternion_back(quaternion in any()) {
            let unit = normalized(quaternion);
            let rows = matrix(unit);
            let column = |k: usize| [0, 1, 2].map(|i: usize| f64::from(rows[i][k]));
            let back = of_columns(&[column(0), column(1), column(2)]);
            prop_assert!(distance(unit, back) < 1e-6, "{unit:?} {back:?}");
        }

        #[test]
        fn three_parts_give_the_turn_back(quaternion in any()) {
            let unit = normalized(quaternion);
            let (largest, kept) = smallest_three(unit);
            let bound = std::f32::consts::FRAC_1_SQRT_2 + 1e-6;
            prop_assert!(kept.iter().all(|part| part.abs() <= bound));
            prop_assert!(distance(unit, of_smallest_three(largest, kept)) < 2e-6);
        }
    }

    #[test]
    fn half_turns_about_each_axis_survive_the_matrix() {
        for axis in 1..4 {
            let mut turn = [0.0; 4];
            turn[axis] = 1.0;
            let rows = matrix(turn);
            let column = |k: usize| [0, 1, 2].map(|i: usize| f64::from(rows[i][k]));
            assert_eq!(of_columns(&[column(0), column(1), column(2)]), turn);
        }
    }
}
