//! Quaternions w, x, y, z and the turns that they mean.
//!
//! Owns their arithmetic; knows no cloud. Always: a result has length 1 unless a part was not
//! finite.

/// The turn that changes nothing.
pub(crate) const IDENTITY: [f32; 4] = [1.0, 0.0, 0.0, 0.0];

/// The same turn at length 1; the identity for length 0. A part that is not finite gives NaN.
pub(crate) fn normalized(quaternion: [f32; 4]) -> [f32; 4] {
    // In f64, as the square of a small f32 is 0.
    let length = quaternion.iter().map(|&part| f64::from(part).powi(2)).sum::<f64>().sqrt();
    if length == 0.0 {
        return IDENTITY;
    }
    let scale = 1.0 / length;
    quaternion.map(|part| (f64::from(part) * scale) as f32)
}

/// The turn of a quaternion of length 1 as rows of a matrix.
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
pub(crate) fn of_columns(columns: &[[f64; 3]; 3]) -> [f32; 4] {
    let [[xx, yx, zx], [xy, yy, zy], [xz, yz, zz]] = *columns;
    let trace = xx + yy + zz;
    let largest = [trace, xx, yy, zz].into_iter().fold(f64::MIN, f64::max);
    let parts = if largest == trace {
        [1.0 + trace, zy - yz, xz - zx, yx - xy]
    } else if largest == xx {
        [zy - yz, 1.0 + xx - yy - zz, xy + yx, xz + zx]
    } else if largest == yy {
        [xz - zx, xy + yx, 1.0 + yy - xx - zz, yz + zy]
    } else {
        [yx - xy, xz + zx, yz + zy, 1.0 + zz - xx - yy]
    };
    let length = parts.iter().map(|part| part * part).sum::<f64>().sqrt();
    parts.map(|part| (part / length) as f32)
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
            prop_assert!(kept.iter().all(|part| part.abs() <= 0.707_107));
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
