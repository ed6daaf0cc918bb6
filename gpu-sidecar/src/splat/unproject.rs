//! From a network's space to metres: Gaussians seen in normalised device coordinates, laid out in
//! front of the camera.
//!
//! Owns the camera's matrix and what it does to means and covariances (SPEC of SHARP, section 10).
//! Knows no network. Always: scales come out by falling size, rotations of length 1. Start at
//! [`unproject`].
//!
//! Departures: the closed form of the matrix, where the reference inverts a product in f32 and
//! keeps noise of 1e-7; a principal point beside the centre; the identity for a quaternion of 0.

use rayon::prelude::*;

use super::Gaussians;
use super::eigen::{Eigen, Symmetric, split};
use super::quaternion;
use crate::vision::simd::{Isa, per_isa};

/// Gaussians per piece of work: some 0.3 ms.
const PIECE: usize = 1 << 10;
/// Gaussians whose covariances are split side by side: a vector of AVX-512 twice.
const LANES: usize = 16;

/// A pinhole camera and the size of its picture. All in pixels of that picture, finite and > 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projection {
    pub focal_px: f32,
    /// Where the optical axis meets the picture, from its top left corner; usually its middle.
    pub principal: [f32; 2],
    pub width: f32,
    pub height: f32,
}

impl Projection {
    /// A camera whose optical axis meets the middle of the picture.
    #[must_use]
    pub fn centred(focal_px: f32, width: u32, height: u32) -> Self {
        let (width, height) = (width as f32, height as f32);
        Self { focal_px, principal: [0.5 * width, 0.5 * height], width, height }
    }

    /// Rows of the matrix from (z x, z y, z) to metres, x and y from -1 (left, top) to 1. There is
    /// no translation; the size at which the network saw the picture cancels.
    #[must_use]
    pub fn matrix(&self) -> [[f32; 3]; 3] {
        let Self { focal_px, principal: [x, y], width, height } = *self;
        [
            [0.5 * width / focal_px, 0.0, (0.5 * width - x) / focal_px],
            [0.0, 0.5 * height / focal_px, (0.5 * height - y) / focal_px],
            [0.0, 0.0, 1.0],
        ]
    }
}

/// Moves `cloud` from the space of [`Projection::matrix`] to metres; colours and opacities stay.
///
/// A Gaussian whose covariance is not finite gets scales of NaN, which `stats` counts.
pub fn unproject(cloud: &mut Gaussians, projection: &Projection) {
    let (matrix, isa) = (projection.matrix(), Isa::best());
    let means = cloud.means.par_chunks_mut(PIECE);
    let scales = cloud.scales.par_chunks_mut(PIECE);
    let rotations = cloud.rotations.par_chunks_mut(PIECE);
    means.zip(scales).zip(rotations).for_each(|((means, scales), rotations)| {
        for mean in means {
            *mean = moved(&matrix, *mean);
        }
        reshape(isa, &matrix, scales, rotations);
    });
}

/// `R diag(s²) Rᵀ` in f32; `rotation` of any length, `scales` standard deviations.
#[must_use]
#[inline(always)]
pub fn covariance(rotation: [f32; 4], scales: [f32; 3]) -> [[f32; 3]; 3] {
    let turn = quaternion::matrix(quaternion::normalized(rotation));
    let variances = scales.map(|scale| scale * scale);
    symmetric(|i, j| {
        let part = |k: usize| turn[i][k] * variances[k] * turn[j][k];
        part(0) + part(1) + part(2)
    })
}

/// `matrix · covariance · matrixᵀ` in f32, both by rows.
#[must_use]
#[inline(always)]
pub fn congruent(matrix: &[[f32; 3]; 3], covariance: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let half = [0, 1, 2].map(|i: usize| {
        [0, 1, 2].map(|j: usize| dot(matrix[i], [0, 1, 2].map(|k: usize| covariance[k][j])))
    });
    symmetric(|i, j| dot(half[i], matrix[j]))
}

/// Standard deviations by falling size, and the turn of their axes, of length 1.
#[must_use]
pub fn decomposed(covariance: &[[f32; 3]; 3]) -> ([f32; 3], [f32; 4]) {
    let mut lanes = Symmetric { diagonal: [[0.0]; 3], beside: [[0.0]; 3] };
    put(&mut lanes, 0, covariance);
    ellipsoid(split(lanes).lane(0))
}

per_isa! {
    /// Scales and rotations of what `matrix` makes of each Gaussian.
    fn reshape = reshape_body(
        matrix: &[[f32; 3]; 3], scales: &mut [[f32; 3]], rotations: &mut [[f32; 4]],
    )
}

#[inline(always)]
fn reshape_body<const FMA: bool>(
    matrix: &[[f32; 3]; 3],
    scales: &mut [[f32; 3]],
    rotations: &mut [[f32; 4]],
) {
    for (scales, rotations) in scales.chunks_mut(LANES).zip(rotations.chunks_mut(LANES)) {
        // Side by side in memory first, so that each step is a vector's.
        let (mut sizes, mut turns) = ([[0.0; LANES]; 3], [[0.0; LANES]; 4]);
        for (lane, (scales, rotation)) in scales.iter().zip(&*rotations).enumerate() {
            (0..3).for_each(|k| sizes[k][lane] = scales[k]);
            (0..4).for_each(|k| turns[k][lane] = rotation[k]);
        }
        let mut lanes = Symmetric { diagonal: [[0.0; LANES]; 3], beside: [[0.0; LANES]; 3] };
        for lane in 0..LANES {
            let rotation = [turns[0][lane], turns[1][lane], turns[2][lane], turns[3][lane]];
            let scales = [sizes[0][lane], sizes[1][lane], sizes[2][lane]];
            put(&mut lanes, lane, &congruent(matrix, &covariance(rotation, scales)));
        }
        let split = split(lanes);
        for lane in 0..LANES {
            let ([a, b, c], [w, x, y, z]) = ellipsoid(split.lane(lane));
            (sizes[0][lane], sizes[1][lane], sizes[2][lane]) = (a, b, c);
            (turns[0][lane], turns[1][lane]) = (w, x);
            (turns[2][lane], turns[3][lane]) = (y, z);
        }
        for (lane, (scales, rotation)) in scales.iter_mut().zip(rotations).enumerate() {
            (0..3).for_each(|k| scales[k] = sizes[k][lane]);
            (0..4).for_each(|k| rotation[k] = turns[k][lane]);
        }
    }
}

#[inline(always)]
fn put<const N: usize>(lanes: &mut Symmetric<N>, lane: usize, covariance: &[[f32; 3]; 3]) {
    let [[xx, xy, xz], [_, yy, yz], [_, _, zz]] = covariance.map(|row| row.map(f64::from));
    for (slot, part) in lanes.diagonal.iter_mut().zip([xx, yy, zz]) {
        slot[lane] = part;
    }
    for (slot, part) in lanes.beside.iter_mut().zip([xy, xz, yz]) {
        slot[lane] = part;
    }
}

#[inline(always)]
fn ellipsoid(split: Eigen) -> ([f32; 3], [f32; 4]) {
    // Rounding makes a variance of 0 a small one of either sign; its size is what is known of it.
    let scales = split.values.map(|value| value.abs().sqrt() as f32);
    let rotation = quaternion::of_columns(&split.vectors);
    let is_finite = (scales[0] + rotation[0]).is_finite();
    let choose = |yes: f32, no: f32| if is_finite { yes } else { no };
    let [w, x, y, z] = rotation;
    (
        scales.map(|scale| choose(scale, f32::NAN)),
        [choose(w, 1.0), choose(x, 0.0), choose(y, 0.0), choose(z, 0.0)],
    )
}

#[inline(always)]
fn symmetric(at: impl Fn(usize, usize) -> f32) -> [[f32; 3]; 3] {
    let (xy, xz, yz) = (at(0, 1), at(0, 2), at(1, 2));
    [[at(0, 0), xy, xz], [xy, at(1, 1), yz], [xz, yz, at(2, 2)]]
}

fn moved(matrix: &[[f32; 3]; 3], mean: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| dot(row, mean))
}

#[inline(always)]
fn dot([a, b, c]: [f32; 3], [x, y, z]: [f32; 3]) -> f32 {
    a * x + b * y + c * z
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splat::goldens::Goldens;
    use crate::splat::random;

    fn golden() -> (Goldens, Projection) {
        let goldens = Goldens::open("08_unproject");
        let pixels = |key| goldens.number(key) as u32;
        let focal_px = goldens.number("f_px") as f32;
        let projection =
            Projection::centred(focal_px, pixels("image_width"), pixels("image_height"));
        (goldens, projection)
    }

    /// In f64, as the goldens' own comparison does.
    fn covariances(cloud: &Gaussians) -> Vec<f32> {
        let one = |(rotation, scales): (&[f32; 4], &[f32; 3])| {
            let [w, x, y, z] = rotation.map(f64::from);
            let turn = [
                [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
                [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
                [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
            ];
            let at = |i: usize, j: usize| -> f64 {
                (0..3).map(|k| turn[i][k] * f64::from(scales[k]).powi(2) * turn[j][k]).sum()
            };
            [0, 1, 2].map(|i| [0, 1, 2].map(|j| at(i, j) as f32))
        };
        cloud.rotations.iter().zip(&cloud.scales).flat_map(one).flatten().collect()
    }

    #[test]
    fn every_stage_is_the_reference_s() {
        let (goldens, projection) = golden();
        let mut cloud = goldens.cloud();
        let ndc: Vec<_> = cloud.rotations.iter().zip(&cloud.scales).collect();
        let ndc: Vec<_> =
            ndc.into_iter().map(|(&turn, &scales)| covariance(turn, scales)).collect();
        goldens.check("unproject.cov_ndc", ndc.as_flattened().as_flattened());
        let matrix = projection.matrix();
        let metric: Vec<_> = ndc.iter().map(|one| congruent(&matrix, one)).collect();
        goldens.check("unproject.cov_metric", metric.as_flattened().as_flattened());
        let rows = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]];
        let want = goldens.f32("unproject.matrix");
        for (row, got) in rows.iter().zip(matrix) {
            for (&at, got) in row.iter().zip(got.into_iter().chain([0.0])) {
                assert!((got - want[at]).abs() < 2e-6, "{at}: {got}, {}", want[at]);
            }
        }
        unproject(&mut cloud, &projection);
        goldens.check("out.mean_vectors", cloud.means.as_flattened());
        goldens.check("out.singular_values", cloud.scales.as_flattened());
        goldens.check("out.covariances", &covariances(&cloud));
    }

    #[test]
    fn scales_fall_and_rotations_are_of_length_one() {
        let mut cloud = random::cloud(3000, 4);
        cloud.rotations[7] = [0.0; 4];
        cloud.scales[8] = [0.0; 3];
        cloud.scales[9] = [1e-20, 0.0, 1.0];
        unproject(&mut cloud, &Projection::centred(1500.0, 4000, 3000));
        for (scales, rotation) in cloud.scales.iter().zip(&cloud.rotations) {
            assert!(scales[0] >= scales[1] && scales[1] >= scales[2] && scales[2] >= 0.0);
            let length = rotation.iter().map(|part| part * part).sum::<f32>();
            assert!((length - 1.0).abs() < 1e-5, "{rotation:?}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_visible() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut cloud = random::cloud(3, 5);
            cloud.scales[0][1] = bad;
            cloud.rotations[1][2] = bad;
            unproject(&mut cloud, &Projection::centred(500.0, 640, 480));
            assert!(cloud.scales[0][0].is_nan() && cloud.scales[1][0].is_nan());
            assert!(cloud.scales[2].iter().all(|scale| scale.is_finite()));
            assert!(cloud.rotations.iter().flatten().all(|part| part.is_finite()));
        }
    }

    proptest! {
        #[test]
        fn a_mean_is_seen_where_it_came_from(
            ndc in prop::array::uniform2(-1.0f32..1.0), depth in 0.1f32..100.0,
            principal in prop::array::uniform2(100.0f32..500.0),
        ) {
            let projection =
                Projection { focal_px: 700.0, principal, width: 640.0, height: 480.0 };
            let [x, y, z] = moved(&projection.matrix(), [ndc[0] * depth, ndc[1] * depth, depth]);
            prop_assert_eq!(z, depth);
            let pixel = |at: f32, centre: f32| 700.0 * at / z + centre;
            prop_assert!((pixel(x, principal[0]) - (ndc[0] + 1.0) * 320.0).abs() < 1e-3);
            prop_assert!((pixel(y, principal[1]) - (ndc[1] + 1.0) * 240.0).abs() < 1e-3);
        }

        #[test]
        fn a_decomposition_gives_the_covariance_back(
            rotation in prop::array::uniform4(-1.0f32..1.0),
            exponents in prop::array::uniform3(-3.0f32..1.0), equal in 0usize..4,
        ) {
            let mut scales = exponents.map(|exponent| 10f32.powf(exponent));
            for index in 1..equal.clamp(1, 3) {
                scales[index] = scales[0];
            }
            let want = covariance(rotation, scales);
            let (got_scales, got_rotation) = decomposed(&want);
            let got = covariance(got_rotation, got_scales);
            let size = want[0][0] + want[1][1] + want[2][2];
            for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                prop_assert!((got - want).abs() <= 2e-6 * size);
            }
        }
    }
}
