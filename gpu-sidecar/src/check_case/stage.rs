//! One comparison of numbers we computed with numbers upstream computed.
//!
//! Owns the measures and what passes. Knows numbers only. Always: a comparison of different
//! lengths and a difference that is not a number fail.

use serde::Serialize;

/// The outcome of one comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// What was compared.
    pub name: String,
    /// Largest absolute difference, in the unit of what was compared.
    pub max_abs: f64,
    /// `max_abs` relative to the largest wanted magnitude; `max_abs` itself when all are 0.
    pub max_rel: f64,
    /// Mean absolute difference, where the tolerance is one of the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// 99th percentile of the absolute difference, where the tolerance names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Whether the tolerance holds.
    pub pass: bool,
}

/// What a comparison must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tolerance {
    /// Every number is the wanted one.
    Exact,
    /// Bound of the largest absolute difference.
    Absolute(f64),
    /// Bound of the largest absolute difference relative to the largest wanted magnitude.
    Relative(f64),
    /// Bound of the differences' root mean square relative to that of the wanted numbers.
    Rms(f64),
    /// Bounds, both exclusive, of the mean and the 99th percentile of the absolute difference.
    Spread { mean: f64, p99: f64 },
}

impl Stage {
    /// Compares `got` with `want`, number by number.
    pub(crate) fn compare(
        name: &str,
        got: impl IntoIterator<Item = f64>,
        want: impl IntoIterator<Item = f64>,
        tolerance: Tolerance,
    ) -> Self {
        let (got, want): (Vec<f64>, Vec<f64>) =
            (got.into_iter().collect(), want.into_iter().collect());
        if got.len() != want.len() || want.is_empty() {
            return Self::failed(name);
        }
        let mut differences: Vec<f64> = got.iter().zip(&want).map(difference).collect();
        differences.sort_by(f64::total_cmp);
        let count = differences.len();
        let max_abs = differences[count - 1];
        let largest = want.iter().fold(0f64, |max, v| max.max(v.abs()));
        let max_rel = if largest > 0.0 { max_abs / largest } else { max_abs };
        let mean = differences.iter().sum::<f64>() / count as f64;
        // The smallest difference that at least 99 % do not exceed.
        let p99 = differences[(count * 99).div_ceil(100) - 1];
        let pass = match tolerance {
            Tolerance::Exact => max_abs == 0.0,
            Tolerance::Absolute(bound) => max_abs <= bound,
            Tolerance::Relative(bound) => max_rel <= bound,
            Tolerance::Rms(bound) => rms(&differences) <= bound * rms(&want),
            Tolerance::Spread { mean: m, p99: p } => mean < m && p99 < p,
        };
        let spread = matches!(tolerance, Tolerance::Spread { .. });
        Self {
            name: name.to_owned(),
            max_abs,
            max_rel,
            mean: spread.then_some(mean),
            p99: spread.then_some(p99),
            pass,
        }
    }

    /// Compares `got` with `want` element by element: at most `allowed` of them may be further off
    /// than `atol + rtol * |want|`. What is not finite must be the same.
    pub(crate) fn elements(
        name: &str,
        got: &[f64],
        want: &[f64],
        (atol, rtol, allowed): (f64, f64, f64),
    ) -> Self {
        let off = |(got, want): (&f64, &f64)| {
            let same = got == want || (got.is_nan() && want.is_nan());
            match same {
                true => (0.0, true),
                // No bound makes up for the wrong infinity.
                false if !want.is_finite() => error_of((got, want), 0.0),
                false => error_of((got, want), atol + rtol * want.abs()),
            }
        };
        Self::counted(name, got, want, allowed, got.iter().zip(want).map(off))
    }

    /// Compares rows of `row` numbers by the length of their difference: at most `allowed` of them
    /// may be further off than `rtol` of the row's length, which counts as at least a millionth of
    /// the longest row's.
    pub(crate) fn rows(
        name: &str,
        got: &[f64],
        want: &[f64],
        row: usize,
        (rtol, allowed): (f64, f64),
    ) -> Self {
        let length = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>().sqrt();
        let longest = want.chunks(row).map(length).fold(0.0, f64::max);
        let off = |(got, want): (&[f64], &[f64])| {
            let difference: Vec<f64> = got.iter().zip(want).map(|(g, w)| g - w).collect();
            let bound = rtol * length(want).max(1e-6 * longest);
            error_of((&length(&difference), &0.0), bound)
        };
        let rows = got.chunks(row).zip(want.chunks(row)).map(off);
        Self::counted(name, got, want, allowed, rows)
    }

    /// Compares rows of `row` numbers by the length of their difference over their own length,
    /// which counts as at least a millionth of the longest row's: the median and the 99th
    /// percentile of that are bounded.
    pub(crate) fn row_spread(
        name: &str,
        got: &[f64],
        want: &[f64],
        row: usize,
        [median, p99]: [f64; 2],
    ) -> Self {
        let length = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>().sqrt();
        let longest = want.chunks(row).map(length).fold(0.0, f64::max);
        let error = |(got, want): (&[f64], &[f64])| {
            let difference: Vec<f64> = got.iter().zip(want).map(|(g, w)| g - w).collect();
            let error = length(&difference) / length(want).max(1e-6 * longest);
            if error.is_finite() { error } else { f64::MAX }
        };
        let mut errors: Vec<f64> = got.chunks(row).zip(want.chunks(row)).map(error).collect();
        if got.len() != want.len() || errors.is_empty() {
            return Self::failed(name);
        }
        errors.sort_by(f64::total_cmp);
        let count = errors.len();
        let at = |percent: usize| errors[(count * percent).div_ceil(100) - 1];
        let stage = Self::elements(name, got, want, (0.0, 0.0, 1.0));
        let pass = at(50) <= median && at(99) <= p99 && errors[count - 1] < f64::MAX;
        Self { p99: Some(at(99)), pass, ..stage }
    }

    /// Numbers that are told and not judged.
    pub(crate) fn shown(name: &str, got: &[f64], want: &[f64]) -> Self {
        let stage = Self::elements(name, got, want, (0.0, 0.0, 1.0));
        Self { name: format!("{name} (not compared)"), ..stage }
    }

    /// `errors`: how far off each is, and whether that is within its bound.
    fn counted(
        name: &str,
        got: &[f64],
        want: &[f64],
        allowed: f64,
        errors: impl Iterator<Item = (f64, bool)>,
    ) -> Self {
        if got.len() != want.len() || want.is_empty() {
            return Self::failed(name);
        }
        let (mut max_abs, mut wrong, mut count) = (0f64, 0usize, 0usize);
        for (error, within) in errors {
            max_abs = max_abs.max(error);
            wrong += usize::from(!within);
            count += 1;
        }
        let largest = want.iter().filter(|v| v.is_finite()).fold(0f64, |max, v| max.max(v.abs()));
        let max_rel = if largest > 0.0 { max_abs / largest } else { max_abs };
        let pass = wrong as f64 <= allowed * count as f64;
        Self { name: name.to_owned(), max_abs, max_rel, mean: None, p99: None, pass }
    }

    /// A comparison that could not be made because the shapes differ.
    pub(crate) fn failed(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, max_abs: f64::MAX, max_rel: f64::MAX, mean: None, p99: None, pass: false }
    }
}

/// Root of the mean of the squares.
fn rms(numbers: &[f64]) -> f64 {
    (numbers.iter().map(|v| v * v).sum::<f64>() / numbers.len() as f64).sqrt()
}

/// |got − want|; the largest number when that is not finite, since JSON has no infinity.
fn difference((got, want): (&f64, &f64)) -> f64 {
    let difference = (got - want).abs();
    if difference.is_finite() { difference } else { f64::MAX }
}

/// [`difference`], and whether it is within `bound`.
fn error_of(pair: (&f64, &f64), bound: f64) -> (f64, bool) {
    let error = difference(pair);
    (error, error <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(got: &[f64], want: &[f64], tolerance: Tolerance) -> bool {
        Stage::compare("s", got.to_vec(), want.to_vec(), tolerance).pass
    }

    #[test]
    fn only_numbers_within_the_tolerance_pass() {
        let spread = Tolerance::Spread { mean: 0.1, p99: 0.5 };
        assert!(passes(&[1.0, 2.0], &[1.0, 2.0], Tolerance::Exact));
        assert!(!passes(&[1.0, 2.0], &[1.0, 2.0 + 1e-12], Tolerance::Exact));
        assert!(passes(&[1.0], &[1.5], Tolerance::Absolute(0.5)));
        assert!(!passes(&[1.0], &[1.6], Tolerance::Absolute(0.5)));
        assert!(passes(&[99.0, 0.0], &[100.0, 0.5], Tolerance::Relative(0.01)));
        assert!(!passes(&[98.0, 0.0], &[100.0, 0.0], Tolerance::Relative(0.01)));
        // Two of 0.3 among eight are a root mean square of 0.15.
        let two_off = [1.3, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        assert!(passes(&two_off, &[1.0; 8], Tolerance::Rms(0.16)));
        assert!(!passes(&two_off, &[1.0; 8], Tolerance::Rms(0.14)));
        assert!(passes(&[0.0; 8], &[0.05; 8], spread));
        assert!(!passes(&[0.0; 8], &[0.2; 8], spread));
    }

    #[test]
    fn one_in_a_hundred_may_be_far_off_but_not_two() {
        let tolerance = Tolerance::Spread { mean: 1.0, p99: 0.5 };
        let mut got = vec![0.0; 100];
        got[3] = 10.0;
        assert!(passes(&got, &[0.0; 100], tolerance));
        got[4] = 10.0;
        assert!(!passes(&got, &[0.0; 100], tolerance));
    }

    #[test]
    fn what_cannot_be_compared_fails() {
        for tolerance in [Tolerance::Exact, Tolerance::Absolute(1e300)] {
            assert!(!passes(&[1.0], &[1.0, 2.0], tolerance));
            assert!(!passes(&[], &[], tolerance));
            assert!(!passes(&[f64::NAN], &[1.0], tolerance));
            assert!(!passes(&[f64::INFINITY], &[1.0], tolerance));
        }
        assert!(!passes(&[f64::NAN], &[1.0], Tolerance::Rms(1e100)));
        assert!(!Stage::row_spread("s", &[f64::NAN], &[1.0], 1, [1e300; 2]).pass);
        assert!(!Stage::row_spread("s", &[], &[], 1, [1e300; 2]).pass);
    }

    #[test]
    fn a_share_of_elements_may_be_off_and_infinities_must_agree() {
        let inf = f64::INFINITY;
        let elements = |got: &[f64], want: &[f64], allowed| {
            Stage::elements("s", got, want, (0.1, 0.01, allowed)).pass
        };
        assert!(elements(&[1.0, 101.0], &[1.1, 100.0], 0.0));
        assert!(!elements(&[1.0, 101.2], &[1.1, 100.0], 0.0));
        assert!(elements(&[1.0, 9.0], &[1.0, 1.0], 0.5));
        assert!(!elements(&[9.0, 9.0], &[1.0, 1.0], 0.5));
        assert!(elements(&[inf, -inf], &[inf, -inf], 0.0));
        assert!(!elements(&[inf], &[-inf], 0.0));
        assert!(!elements(&[f64::NAN], &[1.0], 0.0));
        assert!(!elements(&[1.0], &[1.0, 1.0], 0.0));
    }

    #[test]
    fn rows_are_held_to_their_median_and_99th_percentile() {
        let mut got = vec![1.0; 200];
        let spread = |got: &[f64], bounds| Stage::row_spread("s", got, &[1.0; 200], 2, bounds).pass;
        // One row of a hundred far off is in no percentile that is bounded.
        got[0] = 50.0;
        assert!(spread(&got, [0.01, 0.1]));
        got[2] = 50.0;
        assert!(!spread(&got, [0.01, 0.1]));
        assert!(!spread(&[1.1; 200], [0.01, 0.2]));
        assert!(spread(&[1.1; 200], [0.11, 0.11]));
    }

    #[test]
    fn rows_are_measured_by_their_length() {
        let rows = |got: &[f64], want: &[f64], allowed| {
            Stage::rows("s", got, want, 2, (0.1, allowed)).pass
        };
        // The first number alone is far off, its row is not.
        assert!(rows(&[0.5, 10.0], &[0.0, 10.0], 0.0));
        assert!(!rows(&[2.0, 10.0], &[0.0, 10.0], 0.0));
        assert!(rows(&[2.0, 10.0, 3.0, 4.0], &[0.0, 10.0, 3.0, 4.0], 0.5));
        assert!(!rows(&[f64::NAN, 1.0], &[1.0, 1.0], 0.0));
    }
}
