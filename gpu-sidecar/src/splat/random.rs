//! Clouds of random Gaussians, for tests.

use super::Gaussians;

/// `count` Gaussians as a network might give them: some flat, some needles, quaternions of any
/// length, metres from 0.5 to 60. The same for the same `seed`.
pub(crate) fn cloud(count: usize, seed: u64) -> Gaussians {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let mut cloud = Gaussians::default();
    for _ in 0..count {
        let depth = 0.5 * 120f32.powf(next());
        cloud.means.push([(next() - 0.5) * depth, (next() - 0.5) * depth, depth]);
        cloud.scales.push([(); 3].map(|()| depth * 1e-4 * 1000f32.powf(next())));
        cloud.rotations.push([(); 4].map(|()| next() * 2.0 - 1.0));
        cloud.colors.push([(); 3].map(|()| next()));
        cloud.opacities.push(next());
    }
    cloud
}
