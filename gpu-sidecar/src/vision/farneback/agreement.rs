//! The row-wise steps against their plain definitions, and stripes and tiles against each other.

use super::scale_rows::Frame;
use super::*;
use crate::vision::flow_stats::motion;
use crate::vision::simd::Isa;

const SIZES: [(usize, usize); 8] =
    [(10, 10), (11, 13), (31, 97), (32, 32), (33, 64), (65, 40), (257, 12), (13, 211)];

/// Numbers that look random; the same for the same seed.
struct Noise(u64);

impl Noise {
    /// From 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn plane<const N: usize>(
        &mut self,
        (width, height): (usize, usize),
        reach: f32,
    ) -> Plane<[f32; N]> {
        let pixel = |_| std::array::from_fn(|_| (self.next() - 0.5) * reach);
        let data = (0..width * height).map(pixel).collect();
        Plane::new(width, height, data).expect("as many pixels as the size says")
    }
}

/// Waves with a little noise, moved by `shift`.
fn frame((width, height): (usize, usize), shift: (f64, f64), seed: u64) -> Plane<u8> {
    let mut noise = Noise(seed);
    let data = (0..width * height).map(|i| {
        let (x, y) = ((i % width) as f64 - shift.0, (i / width) as f64 - shift.1);
        let wave = (x * 0.31).sin() + (y * 0.27).cos() + (x * 0.11 + y * 0.17).sin();
        (127.0 + 38.0 * wave) as u8 + (noise.next() * 4.0) as u8
    });
    Plane::new(width, height, data.collect()).expect("as many pixels as the size says")
}

/// Largest difference of two planes of one size, relative to the largest number in `want`.
#[track_caller]
fn close<const N: usize>(got: &Plane<[f32; N]>, want: &Plane<[f32; N]>, bound: f32, what: &str) {
    assert_eq!(got.size(), want.size(), "{what}");
    let largest = want.data().iter().flatten().fold(1f32, |max, v| max.max(v.abs()));
    let pairs = got.data().iter().flatten().zip(want.data().iter().flatten());
    for (i, (got, want)) in pairs.enumerate() {
        assert!((got - want).abs() <= bound * largest, "{what}: {got} is not {want} at {i}");
    }
}

/// Every parameter away from its default, one or more at a time.
fn parameters() -> Vec<FarnebackParams> {
    let default = FarnebackParams::default;
    let gaussian = Window::Gaussian;
    vec![
        default(),
        FarnebackParams { window: gaussian, ..default() },
        FarnebackParams { winsize: 5, iterations: 7, ..default() },
        FarnebackParams { winsize: 10, pyr_scale: 0.6, ..default() },
        FarnebackParams { winsize: 37, iterations: 2, levels: 1, ..default() },
        FarnebackParams { winsize: 101, iterations: 2, window: gaussian, ..default() },
        FarnebackParams { poly_n: 7, poly_sigma: 1.5, levels: 0, ..default() },
        FarnebackParams { poly_sigma: 0.0, pyr_scale: 0.8, levels: 5, iterations: 1, ..default() },
        FarnebackParams { pyr_scale: 0.25, winsize: 14, ..default() },
    ]
}

#[test]
fn images_of_every_scale_agree() {
    for isa in Isa::available() {
        for size in [(10, 10), (65, 40), (97, 131), (256, 96), (320, 64), (271, 260)] {
            let frame = frame(size, (0.0, 0.0), 3);
            let wide = frame.map(f32::from);
            for pyr_scale in [0.5, 0.3, 0.8] {
                let params = FarnebackParams { pyr_scale, levels: 4, ..Default::default() };
                for level in pyramid::levels(size.0, size.1, &params) {
                    let want = pyramid::image(&wide, &level).expect("a size").map(|v| [v]);
                    for frame in [Frame::U8(&frame), Frame::F32(&wide)] {
                        let got = stages::image(isa, frame, &level).map(|v| [v]);
                        close(&got, &want, 1e-6, &format!("{isa:?} {level:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn polynomials_agree() {
    let polynomials = [(5, 1.2), (7, 1.5), (5, 0.0)];
    for isa in Isa::available() {
        for (size, (poly_n, poly_sigma)) in
            SIZES.into_iter().flat_map(|size| polynomials.map(|fit| (size, fit)))
        {
            let params = FarnebackParams { poly_n, poly_sigma, ..Default::default() };
            let image = Noise(7).plane::<1>(size, 255.0).map(|[v]| v);
            let want = expansion::expand(&image, &params);
            let got = stages::expand(isa, &image, &params);
            close(&got, &want, 2e-6, &format!("{isa:?} {size:?} {poly_n} {poly_sigma}"));
        }
    }
}

#[test]
fn matrices_agree_however_far_pixels_move_apart() {
    for isa in Isa::available() {
        for size in SIZES {
            let mut noise = Noise(11);
            let (prev, next) = (noise.plane::<5>(size, 20.0), noise.plane::<5>(size, 20.0));
            // Still, on both sides of a whole pixel, apart, mostly outside, far outside, no number.
            for reach in [0.0, 0.9, 6.0, 90.0, 1e9, f32::NAN] {
                let flow = noise.plane::<2>(size, reach);
                let want = matrices::compute(&prev, &next, &flow);
                let got = stages::matrices(isa, (&prev, &next), &flow);
                if reach.is_nan() {
                    assert!(got.data().iter().all(|matrix| matrix[3].is_nan()));
                    continue;
                }
                close(&got, &want, 2e-6, &format!("{isa:?} {size:?} {reach}"));
            }
        }
    }
}

#[test]
fn iterations_of_every_window_agree() {
    for isa in Isa::available() {
        for size in SIZES {
            let mut noise = Noise(5);
            let (prev, next) = (noise.plane::<5>(size, 20.0), noise.plane::<5>(size, 20.0));
            let flow = noise.plane::<2>(size, 2.0);
            for (winsize, window) in [3u32, 5, 10, 15, 33, 101]
                .into_iter()
                .flat_map(|side| [Window::Box, Window::Gaussian].map(|window| (side, window)))
            {
                let params =
                    FarnebackParams { winsize, window, iterations: 1, ..Default::default() };
                let matrices = matrices::compute(&prev, &next, &flow);
                let want = window::solve(&matrices, &window::Weights::of(&params));
                let got = stages::iterate(isa, (&prev, &next), &flow, &params);
                // So small a window hardly averages: no sharp solution (SPEC §2.4).
                let bound = if winsize < 5 { 1e-3 } else { 2e-5 };
                close(&got, &want, bound, &format!("{isa:?} {size:?} {winsize} {window:?}"));
            }
        }
    }
}

#[test]
fn flows_agree_for_all_parameters() {
    let sizes = SIZES.into_iter().chain([(200, 150), (750, 40)]);
    for (size, isa) in sizes.flat_map(|size| Isa::available().map(move |isa| (size, isa))) {
        let (prev, next) = (frame(size, (0.0, 0.0), 1), frame(size, (1.3, -0.8), 2));
        let wide = [prev.map(f32::from), next.map(f32::from)];
        let initial = Noise(1).plane::<2>(size, 3.0);
        for params in parameters() {
            for initial in [None, Some(&initial)] {
                let want = plain::flow(&wide[0], &wide[1], &params, initial).expect("a size");
                let mut workspace =
                    Farneback::new(&params, size.0, size.1).expect("large enough").with(isa);
                let (mut from, mut to) = (workspace.expansion(), workspace.expansion());
                workspace.expand(&prev, &mut from).expect("its size");
                workspace.expand_f32(&wide[1], &mut to).expect("its size");
                let mut got = want.map(|_| [f32::NAN; 2]);
                workspace.flow((&from, &to), initial, &mut got).expect("its expansions");
                let pairs = got.data().iter().flatten().zip(want.data().iter().flatten());
                let mut apart: Vec<f32> = pairs.map(|(got, want)| (got - want).abs()).collect();
                apart.sort_by(f32::total_cmp);
                let (mean, p99) =
                    (apart.iter().sum::<f32>() / apart.len() as f32, apart[apart.len() * 99 / 100]);
                assert!(mean < 1e-4 && p99 < 1e-3, "{isa:?} {size:?} {params:?}: {mean} {p99}");
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_digit() {
    let size = (710, 203);
    let frames = [frame(size, (0.0, 0.0), 1), frame(size, (2.2, 0.7), 2)];
    for params in parameters() {
        let run = |threads: usize| {
            let mut workspace =
                Farneback::new(&params, size.0, size.1).expect("large enough").on_threads(threads);
            let mut expansions = [workspace.expansion(), workspace.expansion()];
            let mut flow = frames[0].map(|_| [f32::NAN; 2]);
            // Twice: what the first run leaves behind must not show.
            for _ in 0..2 {
                for (frame, expansion) in frames.iter().zip(&mut expansions) {
                    workspace.expand(frame, expansion).expect("its size");
                }
                let [prev, next] = &expansions;
                workspace.flow((prev, next), None, &mut flow).expect("its expansions");
            }
            let [prev, next] = &expansions;
            let moved = workspace.motion((prev, next), None).expect("its expansions");
            (flow, moved)
        };
        let (alone, moved) = run(1);
        let expected = motion(&alone);
        assert!((moved.mean_px - expected.mean_px).abs() < 1e-9);
        assert_eq!(moved.max_px, expected.max_px);
        for threads in [2, 3, 16] {
            assert_eq!(run(threads), (alone.clone(), moved), "{params:?} on {threads}");
        }
    }
}

#[test]
fn a_workspace_refuses_what_is_not_its_own() {
    let params = FarnebackParams::default();
    let mut workspace = Farneback::new(&params, 20, 20).expect("large enough");
    let mut expansion = workspace.expansion();
    let large = frame((20, 21), (0.0, 0.0), 1);
    let refused = workspace.expand(&large, &mut expansion);
    assert!(matches!(refused, Err(VisionError::SizesDiffer { .. })));
    let other = Expansion::of(&large, &params).expect("large enough");
    let mut flow = Plane::new(20, 20, vec![[0f32; 2]; 400]).expect("20 x 20");
    let refused = workspace.flow((&expansion, &other), None, &mut flow);
    assert!(matches!(refused, Err(VisionError::SizesDiffer { .. })));
    let seven = FarnebackParams { poly_n: 7, ..params };
    let mut other = Farneback::new(&seven, 20, 20).expect("large enough");
    assert_eq!(other.motion((&expansion, &expansion), None), Err(VisionError::OtherExpansion));
    let mut small = Plane::new(10, 10, vec![[0f32; 2]; 100]).expect("10 x 10");
    let refused = other.flow((&other.expansion(), &other.expansion()), None, &mut small);
    assert!(matches!(refused, Err(VisionError::SizesDiffer { .. })));
}
