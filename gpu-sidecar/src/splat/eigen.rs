//! Eigenvalues and eigenvectors of symmetric 3 x 3 matrices, by Jacobi's method in f64.
//!
//! Owns that solver. Always: it ends after a bounded number of sweeps whatever the numbers are, and
//! for finite input below 1e75 gives finite output, orthonormal to 1e-14.

/// Each sweep squares what is left beside the diagonal; five reach f64's end from anywhere.
const SWEEPS_MAX: usize = 10;

/// What may stay beside the diagonal, relative to the matrix: far below f64's own rounding.
const REST: f64 = 1e-18;

/// A symmetric matrix: the diagonal, then the elements (0, 1), (0, 2) and (1, 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Symmetric {
    pub(crate) diagonal: [f64; 3],
    pub(crate) beside: [f64; 3],
}

/// Eigenvalues by falling magnitude, and the vector of each. The vectors are right-handed in this
/// order: as columns they are a turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Eigen {
    pub(crate) values: [f64; 3],
    pub(crate) vectors: [[f64; 3]; 3],
}

/// Splits `matrix`; where eigenvalues are equal, any vectors of their plane.
pub(crate) fn eigen(mut matrix: Symmetric) -> Eigen {
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let size: f64 = matrix.diagonal.iter().chain(&matrix.beside).map(|part| part.abs()).sum();
    let rest = REST * size;
    for _ in 0..SWEEPS_MAX {
        // Written so that NaN ends the loop too.
        if !matrix.beside.iter().any(|part| part.abs() > rest) {
            break;
        }
        turn::<0, 1>(&mut matrix, &mut vectors);
        turn::<0, 2>(&mut matrix, &mut vectors);
        turn::<1, 2>(&mut matrix, &mut vectors);
    }
    sorted(matrix.diagonal, vectors)
}

/// Turns the axes `P` and `Q` so that their element beside the diagonal is 0.
#[inline(always)]
fn turn<const P: usize, const Q: usize>(matrix: &mut Symmetric, vectors: &mut [[f64; 3]; 3]) {
    let beside = P + Q - 1;
    // The third axis is 3 - P - Q; its elements with P and with Q.
    let (with_p, with_q) = (2 - Q, 2 - P);
    let element = matrix.beside[beside];
    if element == 0.0 {
        return;
    }
    // The tangent of the smaller of the two angles that do it.
    let half = 0.5 * (matrix.diagonal[Q] - matrix.diagonal[P]);
    let root = (half * half + element * element).sqrt();
    let tangent = element / (half + root.copysign(half));
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    matrix.diagonal[P] -= tangent * element;
    matrix.diagonal[Q] += tangent * element;
    matrix.beside[beside] = 0.0;
    let (p, q) = (matrix.beside[with_p], matrix.beside[with_q]);
    matrix.beside[with_p] = cosine * p - sine * q;
    matrix.beside[with_q] = sine * p + cosine * q;
    for axis in 0..3 {
        let (p, q) = (vectors[P][axis], vectors[Q][axis]);
        vectors[P][axis] = cosine * p - sine * q;
        vectors[Q][axis] = sine * p + cosine * q;
    }
}

/// By falling magnitude; an odd number of swaps makes the vectors left-handed, which the last one
/// mends by pointing the other way.
fn sorted(mut values: [f64; 3], mut vectors: [[f64; 3]; 3]) -> Eigen {
    let mut is_odd = false;
    for (a, b) in [(0, 1), (1, 2), (0, 1)] {
        if values[a].abs() < values[b].abs() {
            values.swap(a, b);
            vectors.swap(a, b);
            is_odd = !is_odd;
        }
    }
    if is_odd {
        vectors[2] = vectors[2].map(|part| -part);
    }
    Eigen { values, vectors }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splat::quaternion;

    fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }

    fn element(m: &Symmetric, i: usize, j: usize) -> f64 {
        if i == j { m.diagonal[i] } else { m.beside[i + j - 1] }
    }

    /// `vectors[k]` times `values[k]` times itself, summed.
    fn composed(values: [f64; 3], vectors: [[f64; 3]; 3]) -> Symmetric {
        let at = |i: usize, j: usize| {
            (0..3).map(|k| values[k] * vectors[k][i] * vectors[k][j]).sum::<f64>()
        };
        Symmetric {
            diagonal: [at(0, 0), at(1, 1), at(2, 2)],
            beside: [at(0, 1), at(0, 2), at(1, 2)],
        }
    }

    #[track_caller]
    fn check(matrix: Symmetric) {
        let Eigen { values, vectors } = eigen(matrix);
        let size = values[0].abs();
        let back = composed(values, vectors);
        for i in 0..3 {
            for j in 0..3 {
                let error = (element(&back, i, j) - element(&matrix, i, j)).abs();
                assert!(error <= 1e-14 * size, "{matrix:?}: ({i}, {j}) is off by {error}");
                let unit = f64::from(u8::from(i == j));
                assert!((dot(vectors[i], vectors[j]) - unit).abs() < 1e-14, "{matrix:?}");
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
        let of = |diagonal, beside| Symmetric { diagonal, beside };
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
        let got = eigen(Symmetric { diagonal: [1e-30, 4.0, 1.0], beside: [0.0; 3] });
        assert_eq!(got.values, [4.0, 1.0, 1e-30]);
    }

    #[test]
    fn what_is_not_finite_ends_too() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let _ = eigen(Symmetric { diagonal: [1.0, bad, 1.0], beside: [1.0, 0.5, 0.1] });
            let _ = eigen(Symmetric { diagonal: [1.0; 3], beside: [bad, 0.5, 0.1] });
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
                prop_assert!((got - want).abs() <= 1e-14 * values.iter().sum::<f64>());
            }
        }

        #[test]
        fn any_symmetric_matrix_is_recomposed(
            diagonal in prop::array::uniform3(-1e3..1e3), beside in prop::array::uniform3(-1e3..1e3),
        ) {
            check(Symmetric { diagonal, beside });
        }
    }
}
