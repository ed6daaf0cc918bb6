//! What is worth saying about a cloud in a few numbers (SPEC of SHARP, sections 11 and 12).
//!
//! Owns these numbers and the quantile that they use. Always: bounds, depths and the histogram
//! speak of finite values only; the others are counted.

use rayon::prelude::*;
use serde::Serialize;

use super::Gaussians;

/// Bars of [`Stats::opacity_histogram`], each a tenth wide.
const BARS: usize = 10;
/// Gaussians per piece of work.
const PIECE: usize = 1 << 14;
/// Which shares of all disparities the metadata states.
const SHARES: [f32; 2] = [0.1, 0.9];

/// A cloud in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    pub num_gaussians: usize,
    /// The box around the means, metres; none of a cloud without a finite mean.
    pub bounds: Option<Bounds>,
    /// z of each layer's means, metres.
    pub depth_per_layer: Vec<Option<Depth>>,
    /// See [`disparity_quantiles`].
    pub disparity_quantiles: Option<[f32; 2]>,
    /// Gaussians whose opacity is in 0 to 0.1, 0.1 to 0.2 and so on; 1 is in the last.
    pub opacity_histogram: [u64; BARS],
    pub non_finite: NonFinite,
}

/// Corners of a box, metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    pub min: [f32; 3],
    pub max: [f32; 3],
}

/// Metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Depth {
    pub min: f32,
    pub max: f32,
    pub mean: f64,
}

/// Gaussians with a NaN or an infinity in the attribute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct NonFinite {
    pub means: u64,
    pub scales: u64,
    pub rotations: u64,
    pub colors: u64,
    pub opacities: u64,
}

impl NonFinite {
    /// Whether all attributes of all Gaussians are finite.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Stats {
    /// Looks at each Gaussian once. `layers` of equal size follow one another in the cloud.
    #[must_use]
    pub fn of(cloud: &Gaussians, layers: usize) -> Self {
        let per_layer = cloud.len().div_ceil(layers.max(1)).max(1);
        let depth_per_layer = cloud.means.chunks(per_layer).map(depth).collect();
        Self {
            num_gaussians: cloud.len(),
            bounds: bounds(&cloud.means),
            depth_per_layer,
            disparity_quantiles: disparity_quantiles(&cloud.means),
            opacity_histogram: histogram(&cloud.opacities),
            non_finite: NonFinite {
                means: count_non_finite(&cloud.means),
                scales: count_non_finite(&cloud.scales),
                rotations: count_non_finite(&cloud.rotations),
                colors: count_non_finite(&cloud.colors),
                opacities: count_non_finite(cloud.opacities.as_chunks::<1>().0),
            },
        }
    }
}

/// The quantiles 0.1 and 0.9 of `1 / z`, per metre; none of no Gaussians, NaN if one is NaN.
#[must_use]
pub fn disparity_quantiles(means: &[[f32; 3]]) -> Option<[f32; 2]> {
    let mut disparities: Vec<f32> = means.iter().map(|mean| 1.0 / mean[2]).collect();
    if disparities.iter().any(|disparity| disparity.is_nan()) {
        return Some([f32::NAN; 2]);
    }
    let [low, high] = SHARES.map(|share| quantile(&mut disparities, share));
    Some([low?, high?])
}

/// The value that `share` (0 to 1) of `values` lie below, straight between two neighbours; none of
/// an empty list. Reorders `values`, none of which is NaN. As in the reference the share is an f32,
/// its rank an f64 and what lies between an f32 again.
#[must_use]
pub fn quantile(values: &mut [f32], share: f32) -> Option<f32> {
    let last = values.len().checked_sub(1)?;
    let rank = f64::from(share) * last as f64;
    let index = (rank as usize).min(last);
    let weight = (rank - index as f64) as f32;
    let (_, &mut below, above) = values.select_nth_unstable_by(index, f32::total_cmp);
    let Some(above) = above.iter().copied().min_by(f32::total_cmp) else { return Some(below) };
    if below == above {
        return Some(below);
    }
    // From the nearer end, so that the ends themselves are exact.
    Some(if weight < 0.5 {
        below + weight * (above - below)
    } else {
        above - (above - below) * (1.0 - weight)
    })
}

fn bounds(means: &[[f32; 3]]) -> Option<Bounds> {
    let of_piece = |piece: &[[f32; 3]]| {
        let finite = piece.iter().filter(|mean| is_finite(mean));
        finite.map(|&mean| Bounds { min: mean, max: mean }).reduce(Bounds::with)
    };
    means.par_chunks(PIECE).filter_map(of_piece).reduce_with(Bounds::with)
}

impl Bounds {
    fn with(self, other: Self) -> Self {
        let axes = [0, 1, 2];
        Self {
            min: axes.map(|axis: usize| self.min[axis].min(other.min[axis])),
            max: axes.map(|axis: usize| self.max[axis].max(other.max[axis])),
        }
    }
}

fn depth(means: &[[f32; 3]]) -> Option<Depth> {
    let of_piece = |piece: &[[f32; 3]]| {
        let mut sums = (f32::INFINITY, f32::NEG_INFINITY, 0.0f64, 0usize);
        for z in piece.iter().map(|mean| mean[2]).filter(|z| z.is_finite()) {
            sums = (sums.0.min(z), sums.1.max(z), sums.2 + f64::from(z), sums.3 + 1);
        }
        sums
    };
    // Pieces are collected first, so that the sum does not depend on how work was shared out.
    let pieces: Vec<_> = means.par_chunks(PIECE).map(of_piece).collect();
    let (min, max, sum, count) =
        pieces.into_iter().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1), a.2 + b.2, a.3 + b.3))?;
    (count > 0).then(|| Depth { min, max, mean: sum / count as f64 })
}

fn histogram(opacities: &[f32]) -> [u64; BARS] {
    let mut bars = [0; BARS];
    for opacity in opacities.iter().filter(|opacity| opacity.is_finite()) {
        bars[((opacity * BARS as f32) as usize).min(BARS - 1)] += 1;
    }
    bars
}

fn is_finite<const N: usize>(row: &[f32; N]) -> bool {
    row.iter().all(|part| part.is_finite())
}

fn count_non_finite<const N: usize>(rows: &[[f32; N]]) -> u64 {
    let of_piece = |piece: &[[f32; N]]| piece.iter().filter(|row| !is_finite(row)).count() as u64;
    rows.par_chunks(PIECE).map(of_piece).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splat::random;

    #[test]
    fn a_small_cloud_is_told_in_numbers() {
        let mut cloud = random::cloud(4, 1);
        cloud.means = vec![[1.0, -2.0, 4.0], [3.0, 0.0, 2.0], [-1.0, 5.0, 8.0], [0.0, 0.0, 10.0]];
        cloud.opacities = vec![0.0, 0.15, 0.99, 1.0];
        let stats = Stats::of(&cloud, 2);
        let bounds = Bounds { min: [-1.0, -2.0, 2.0], max: [3.0, 5.0, 10.0] };
        assert_eq!(stats.bounds, Some(bounds));
        let depths = [(2.0, 4.0, 3.0), (8.0, 10.0, 9.0)];
        let depths = depths.map(|(min, max, mean)| Some(Depth { min, max, mean }));
        assert_eq!(stats.depth_per_layer, depths);
        assert_eq!(stats.opacity_histogram, [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert!(stats.non_finite.is_none());
    }

    #[test]
    fn what_is_not_finite_is_counted_and_left_out() {
        let mut cloud = random::cloud(3, 2);
        cloud.means[0][1] = f32::NAN;
        cloud.means[1] = [1.0, 2.0, 3.0];
        cloud.means[2][0] = f32::INFINITY;
        cloud.scales[2][2] = f32::INFINITY;
        cloud.opacities[1] = f32::NAN;
        let stats = Stats::of(&cloud, 1);
        let want = NonFinite { means: 2, scales: 1, opacities: 1, ..NonFinite::default() };
        assert_eq!(stats.non_finite, want);
        assert_eq!(stats.bounds, Some(Bounds { min: [1.0, 2.0, 3.0], max: [1.0, 2.0, 3.0] }));
        assert_eq!(stats.opacity_histogram.iter().sum::<u64>(), 2);
    }

    #[test]
    fn no_gaussians_have_no_numbers() {
        let stats = Stats::of(&Gaussians::default(), 2);
        assert_eq!((stats.bounds, stats.disparity_quantiles), (None, None));
        assert!(stats.depth_per_layer.is_empty());
        assert!(serde_json::to_string(&stats).unwrap().starts_with(r#"{"num_gaussians":0,"#));
    }

    #[test]
    fn the_ends_are_the_least_and_the_greatest() {
        let mut values = [3.0, -1.0, 7.0, 2.0];
        assert_eq!(quantile(&mut values, 0.0), Some(-1.0));
        assert_eq!(quantile(&mut values, 1.0), Some(7.0));
        assert_eq!(quantile(&mut values, 0.5), Some(2.5));
        assert_eq!(quantile(&mut [f32::INFINITY; 3], 0.5), Some(f32::INFINITY));
        assert_eq!(quantile(&mut [], 0.5), None);
        assert!(disparity_quantiles(&[[0.0, 0.0, f32::NAN]]).unwrap()[0].is_nan());
    }

    proptest! {
        #[test]
        fn a_quantile_is_that_of_the_sorted_list(
            values in prop::collection::vec(-100f32..100.0, 1..200), share in 0f32..=1.0,
        ) {
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            let rank = f64::from(share) * (sorted.len() - 1) as f64;
            let at = |index: f64| f64::from(sorted[(index as usize).min(sorted.len() - 1)]);
            let (below, above) = (at(rank.floor()), at(rank.floor() + 1.0));
            let want = below + rank.fract() * (above - below);
            let got = quantile(&mut values.clone(), share).unwrap();
            prop_assert!((f64::from(got) - want).abs() < 1e-2, "{got} {want}");
        }
    }
}
