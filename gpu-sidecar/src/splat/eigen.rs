//! Eigenvalues and eigenvectors of symmetric 3 x 3 matrices, by Jacobi's method in f64.
//!
//! Owns that solver. Always: it ends after a bounded number of sweeps whatever the numbers are, and
//! for finite input below 1e75 gives finite output, orthonormal to 1e-12 and true to 1e-11
//! of the largest eigenvalue.

/// Each sweep squares what is left beside the diagonal; six reach [`REST`] from anywhere.
const SWEEPS_MAX: usize = 10;

/// What may stay beside the diagonal of a matrix of size 1.
const REST: f64 = 1e-12;

/// Keeps 0 / 0 away from a matrix of zeros.
const SIZE_MIN: f64 = 1e-290;

/// Keeps 0 / 0 away where there is nothing to turn; below the square of [`REST`].
const NOTHING: f32 = 1e-30;

/// `N` symmetric matrices side by side, so that the processor works on several at once: the
/// diagonal, then the elements (0, 1), (0, 2) and (1, 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Symmetric<const N: usize> {
    pub(crate) diagonal: [[f64; N]; 3],
    pub(crate) beside: [[f64; N]; 3],
}

/// Eigenvalues by falling magnitude, and the vector of each. The vectors are right-handed in this
/// order: as columns they are a turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Eigen {
    pub(crate) values: [f64; 3],
    pub(crate) vectors: [[f64; 3]; 3],
}

/// Of `N` matrices, unsorted: eigenvalues, and vector by vector its parts.
pub(crate) struct Split<const N: usize> {
    values: [[f64; N]; 3],
    vectors: [[[f64; N]; 3]; 3],
}

/// Splits `N` matrices; where eigenvalues are equal, any vectors of their plane.
#[inline(always)]
pub(crate) fn split<const N: usize>(mut matrix: Symmetric<N>) -> Split<N> {
    let (one, zero) = ([1.0; N], [0.0; N]);
    let mut vectors = [[one, zero, zero], [zero, one, zero], [zero, zero, one]];
    let sizes = scale_to_one(&mut matrix);
    for _ in 0..SWEEPS_MAX {
        if is_diagonal(&matrix) {
            break;
        }
        turn::<N, 0, 1>(&mut matrix, &mut vectors);
        turn::<N, 0, 2>(&mut matrix, &mut vectors);
        turn::<N, 1, 2>(&mut matrix, &mut vectors);
    }
    let mut values = matrix.diagonal;
    for values in &mut values {
        for lane in 0..N {
            values[lane] *= sizes[lane];
        }
    }
    Split { values, vectors }
}

impl<const N: usize> Split<N> {
    /// The eigenvalues and vectors of one of the matrices.
    #[inline(always)]
    pub(crate) fn lane(&self, lane: usize) -> Eigen {
        let [a, b, c] = &self.values;
        let part = |vector: usize, axis: usize| self.vectors[vector][axis][lane];
        let vector = |vector: usize| [part(vector, 0), part(vector, 1), part(vector, 2)];
        sorted([a[lane], b[lane], c[lane]], [vector(0), vector(1), vector(2)])
    }
}

/// By the sum of the elements' magnitudes, so that f32 has the range for what [`turn`] does in it.
#[expect(clippy::needless_range_loop, reason = "lanes of several arrays go side by side")]
#[inline(always)]
fn scale_to_one<const N: usize>(matrix: &mut Symmetric<N>) -> [f64; N] {
    let mut sizes = [SIZE_MIN; N];
    for lane in 0..N {
        for k in 0..3 {
            sizes[lane] += matrix.diagonal[k][lane].abs() + matrix.beside[k][lane].abs();
        }
        let scale = 1.0 / sizes[lane];
        for k in 0..3 {
            matrix.diagonal[k][lane] *= scale;
            matrix.beside[k][lane] *= scale;
        }
    }
    sizes
}

#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN counts as done")]
#[inline(always)]
fn is_diagonal<const N: usize>(matrix: &Symmetric<N>) -> bool {
    let [xy, xz, yz] = &matrix.beside;
    let mut is_diagonal = true;
    for lane in 0..N {
        is_diagonal &= !(xy[lane].abs() + xz[lane].abs() + yz[lane].abs() > REST);
    }
    is_diagonal
}

/// Turns the axes `P` and `Q` so that next to nothing of their element beside the diagonal is left.
///
/// The angle is found in f32, where roots and quotients cost a quarter: an angle that is off by
/// 1e-7 leaves that share of the element for the next sweep. The turn itself is one to 1e-14.
#[expect(clippy::needless_range_loop, reason = "the same place of two vectors is turned")]
#[inline(always)]
fn turn<const N: usize, const P: usize, const Q: usize>(
    matrix: &mut Symmetric<N>,
    vectors: &mut [[[f64; N]; 3]; 3],
) {
    // The third axis is 3 - P - Q; its elements with P and with Q are at 2 - Q and 2 - P.
    let (beside, with_p, with_q) = (P + Q - 1, 2 - Q, 2 - P);
    let (mut cosines, mut sines) = ([0.0; N], [0.0; N]);
    for lane in 0..N {
        let element = matrix.beside[beside][lane] as f32;
        // The tangent of the smaller of the two angles that do it.
        let half = 0.5 * (matrix.diagonal[Q][lane] - matrix.diagonal[P][lane]) as f32;
        let root = (half * half + element * element + NOTHING).sqrt();
        let tangent = element / (half + root.copysign(half));
        let guess = f64::from(1.0 / (tangent * tangent + 1.0).sqrt());
        let tangent = f64::from(tangent);
        // One step of Newton's method squares the guess's error.
        let cosine = guess * (1.5 - 0.5 * (tangent * tangent + 1.0) * (guess * guess));
        (cosines[lane], sines[lane]) = (cosine, tangent * cosine);
    }
    for lane in 0..N {
        let (cosine, sine) = (cosines[lane], sines[lane]);
        let (p, q) = (matrix.diagonal[P][lane], matrix.diagonal[Q][lane]);
        let element = matrix.beside[beside][lane];
        let (cc, ss, cs) = (cosine * cosine, sine * sine, cosine * sine);
        matrix.diagonal[P][lane] = cc * p - 2.0 * cs * element + ss * q;
        matrix.diagonal[Q][lane] = ss * p + 2.0 * cs * element + cc * q;
        matrix.beside[beside][lane] = (cc - ss) * element + cs * (p - q);
        let (p, q) = (matrix.beside[with_p][lane], matrix.beside[with_q][lane]);
        matrix.beside[with_p][lane] = cosine * p - sine * q;
        matrix.beside[with_q][lane] = sine * p + cosine * q;
    }
    for axis in 0..3 {
        for lane in 0..N {
            let (cosine, sine) = (cosines[lane], sines[lane]);
            let (p, q) = (vectors[P][axis][lane], vectors[Q][axis][lane]);
            vectors[P][axis][lane] = cosine * p - sine * q;
            vectors[Q][axis][lane] = sine * p + cosine * q;
        }
    }
}

/// By falling magnitude; an odd number of swaps makes the vectors left-handed, which the last one
/// mends by pointing the other way.
#[expect(clippy::needless_range_loop, reason = "two vectors are exchanged")]
#[inline(always)]
fn sorted(mut values: [f64; 3], mut vectors: [[f64; 3]; 3]) -> Eigen {
    let mut sign = 1.0;
    for (a, b) in [(0, 1), (1, 2), (0, 1)] {
        // Chosen, not branched on: no processor could guess these.
        let is_less = values[a].abs() < values[b].abs();
        let choose = |yes: f64, no: f64| if is_less { yes } else { no };
        (values[a], values[b]) = (choose(values[b], values[a]), choose(values[a], values[b]));
        for axis in 0..3 {
            let (p, q) = (vectors[a][axis], vectors[b][axis]);
            (vectors[a][axis], vectors[b][axis]) = (choose(q, p), choose(p, q));
        }
        sign = choose(-sign, sign);
    }
    vectors[2] = vectors[2].map(|part| part * sign);
    Eigen { values, vectors }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splat::quaternion;

    /// One matrix.
    #[derive(Debug, Clone, Copy)]
    struct Matrix {
        diagonal: [f64; 3],
        beside: [f64; 3],
    }

    /// The matrix in the middle of others, none of which may matter to it.
    fn eigen(matrix: Matrix) -> Eigen {
        let others = |at: f64| [at, 1.0, 0.0, 1e9];
        let mut lanes = Symmetric { diagonal: [3.0, 2.0, 1.0].map(others), beside: [[0.5; 4]; 3] };
        for index in 0..3 {
            lanes.diagonal[index][2] = matrix.diagonal[index];
            lanes.beside[index][2] = matrix.beside[index];
        }
        split(lanes).lane(2)
    }

    fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }

    fn element(m: &Matrix, i: usize, j: usize) -> f64 {
        if i == j { m.diagonal[i] } else { m.beside[i + j - 1] }
    }

    /// `vectors[k]` times `values[k]` times itself, summed.
    fn composed(values: [f64; 3], vectors: [[f64; 3]; 3]) -> Matrix {
        let at = |i: usize, j: usize| {
            (0..3).map(|k| values[k] * vectors[k][i] * vectors[k][j]).sum::<f64>()
        };
        Matrix { diagonal: [at(0, 0), at(1, 1), at(2, 2)], beside: [at(0, 1), at(0, 2), at(1, 2)] }
    }

    #[track_caller]
    fn check(matrix: Matrix) {
        let Eigen { values, vectors } = eigen(matrix);
        let size = values[0].abs();
        let back = composed(values, vectors);
        for i in 0..3 {
            for j in 0..3 {
                let error = (element(&back, i, j) - element(&matrix, i, j)).abs();
                // What may stay, times the six elements that the size is the sum of, and rounding.
                assert!(error <= 10.0 * REST * size, "{matrix:?}: ({i}, {j}) is off by {error}");
                let unit = f64::from(u8::from(i == j));
                assert!((dot(vectors[i], vectors[j]) - unit).abs() < 1e-12, "{matrix:?}");
            }
        }
        assert!(values[0].abs() >= values[1].abs() && values[1].abs() >= values[2].abs());
        assert!(dot(cross(vectors[0], vectors[1]), vectors[2]) > 0.99, "{matrix:?} left-handed");
    }

    /// Columns of the turn of a quaternion, orthonormal to f64's rounding.
    fn turned(parts: [f32; 4]) -> [[f64; 3]; 3] {
        let rows = quaternion::matrix(quaternion::normalized(parts)).map(|row| row.map(f64::from));
        let unit = |v: [f64; 3]| v.map(|part| part / dot(v, v).sqrt());
        let a = unit(rows[0]);
        let along = dot(a, rows[1]);
        let b = unit([0, 1, 2].map(|k: usize| rows[1][k] - along * a[k]));
        [a, b, cross(a, b)]
    }

    #[test]
    fn special_matrices_are_split() {
        let of = |diagonal, beside| Matrix { diagonal, beside };
        check(of([0.0; 3], [0.0; 3]));
        check(of([1.0; 3], [0.0; 3]));
        check(of([1.0, 2.0, 3.0], [0.0; 3]));
        check(of([1.0; 3], [1.0; 3]));
        check(of([0.0; 3], [1.0, -1.0, 1.0]));
        check(of([1.0, 1.0 + 1e-15, 1.0], [1e-16, 0.0, -1e-16]));
        check(of([1e30, 1.0, 1e-30], [1e14, 1e-1, 1e-16]));
        check(of([1e75, 1e75, 1.0], [1e75, 1e74, -1e74]));
        check(of([1e-90, 2e-90, 0.0], [1e-91, 0.0, 1e-92]));
        check(of([-1.0, 0.5, 1e-9], [0.0, 0.0, 0.0]));
    }

    #[test]
    fn a_diagonal_matrix_is_exact() {
        let got = eigen(Matrix { diagonal: [1e-30, 4.0, 1.0], beside: [0.0; 3] });
        for (got, want) in got.values.into_iter().zip([4.0, 1.0, 1e-30]) {
            assert!((got - want).abs() <= 1e-15 * want, "{got}");
        }
        assert_eq!(got.vectors, [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
    }

    #[test]
    fn what_is_not_finite_ends_too() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let _ = eigen(Matrix { diagonal: [1.0, bad, 1.0], beside: [1.0, 0.5, 0.1] });
            let _ = eigen(Matrix { diagonal: [1.0; 3], beside: [bad, 0.5, 0.1] });
        }
    }

    /// Eigenvalues over 24 orders of magnitude, and often equal or nearly so, or zero.
    fn values() -> impl Strategy<Value = [f64; 3]> {
        let one = prop_oneof![
            4 => (-18.0..6.0).prop_map(|exponent| 10f64.powf(exponent)),
            1 => Just(0.0),
            1 => Just(1.0),
            1 => (-1e-7..1e-7).prop_map(|off| 1.0 + off),
            1 => (-4.0..4.0).prop_map(|off| 1.0 + off * f64::EPSILON),
        ];
        [one.clone(), one.clone(), one]
    }

    proptest! {
        #[test]
        fn turned_covariances_are_recomposed(
            values in values(), parts in prop::array::uniform4(-1.0f32..1.0),
        ) {
            let matrix = composed(values, turned(parts));
            check(matrix);
            let mut want = values;
            want.sort_by(|a, b| b.total_cmp(a));
            let got = eigen(matrix).values;
            for (got, want) in got.into_iter().zip(want) {
                prop_assert!((got - want).abs() <= 10.0 * REST * values.iter().sum::<f64>());
            }
        }

        #[test]
        fn any_symmetric_matrix_is_recomposed(
            diagonal in prop::array::uniform3(-1e3..1e3),
            beside in prop::array::uniform3(-1e3..1e3),
        ) {
            check(Matrix { diagonal, beside });
        }
    }
}
