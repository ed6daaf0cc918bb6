//! Which way the axes of a cloud point, and turning it from one way to another.
//!
//! Owns the conventions that we meet. Knows no file format; those say which one they want.

use rayon::prelude::*;

use super::Gaussians;

/// Where x, y and z point, seen from the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Axes {
    /// Right, down, forward: cameras, our clouds, PLY files of splats.
    #[default]
    OpenCv,
    /// Right, up, backward.
    OpenGl,
    /// As `OpenGl`, of which glTF differs only in where it calls a model's front.
    Gltf,
}

impl Axes {
    fn is_up(self) -> bool {
        self != Self::OpenCv
    }
}

impl Gaussians {
    /// Turns the cloud by half a turn about x where the two conventions differ in that.
    ///
    /// Each Gaussian's own axes y and z are turned round as well, which leaves its ellipsoid as it
    /// is and makes the way back exact, bit for bit.
    pub fn turn(&mut self, from: Axes, to: Axes) {
        if from.is_up() == to.is_up() {
            return;
        }
        let means = self.means.par_iter_mut().with_min_len(1 << 14);
        means.for_each(|[_, y, z]| (*y, *z) = (-*y, -*z));
        let rotations = self.rotations.par_iter_mut().with_min_len(1 << 14);
        rotations.for_each(|rotation| *rotation = turned(*rotation));
    }
}

/// The rotation of [`Gaussians::turn`].
pub(super) fn turned([w, x, y, z]: [f32; 4]) -> [f32; 4] {
    [w, x, -y, -z]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splat::random;
    use crate::splat::unproject::covariance;

    #[test]
    fn a_turn_between_like_axes_changes_nothing() {
        let cloud = random::cloud(5, 1);
        for (from, to) in [(Axes::OpenCv, Axes::OpenCv), (Axes::OpenGl, Axes::Gltf)] {
            let mut turned = cloud.clone();
            turned.turn(from, to);
            assert_eq!(turned, cloud);
        }
    }

    proptest! {
        #[test]
        fn covariances_turn_with_the_means_and_come_back(seed in 0u64..1000) {
            let cloud = random::cloud(8, seed);
            let mut turned = cloud.clone();
            turned.turn(Axes::OpenCv, Axes::Gltf);
            let sign = [1.0, -1.0, -1.0];
            for index in 0..cloud.len() {
                let want = covariance(cloud.rotations[index], cloud.scales[index]);
                let got = covariance(turned.rotations[index], turned.scales[index]);
                for i in 0..3 {
                    prop_assert_eq!(turned.means[index][i], sign[i] * cloud.means[index][i]);
                    for j in 0..3 {
                        let error = (got[i][j] - sign[i] * sign[j] * want[i][j]).abs();
                        prop_assert!(error <= 1e-6 * (want[0][0] + want[1][1] + want[2][2]));
                    }
                }
            }
            turned.turn(Axes::OpenGl, Axes::OpenCv);
            prop_assert_eq!(turned, cloud);
        }
    }
}
