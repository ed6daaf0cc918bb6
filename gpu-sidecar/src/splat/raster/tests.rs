//! The tiled form against the definition in `plain.rs` and against what can be said by hand.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::pipeline::Cause;
use crate::splat::camera::Pose;

/// A small generator of numbers from 0 to 1 (xorshift), the same on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.next()
    }
}

fn camera(width: usize, height: usize) -> Camera {
    Camera::of_photo(50.0, (width, height)).expect("a small screen")
}

fn push(cloud: &mut Gaussians, mean: [f32; 3], scale: [f32; 3], color: [f32; 3], opacity: f32) {
    cloud.means.push(mean);
    cloud.scales.push(scale);
    cloud.rotations.push([1.0, 0.0, 0.0, 0.0]);
    cloud.colors.push(color);
    cloud.opacities.push(opacity);
}

fn one(mean: [f32; 3], scale: f32, color: [f32; 3], opacity: f32) -> Gaussians {
    let mut cloud = Gaussians::default();
    push(&mut cloud, mean, [scale; 3], color, opacity);
    cloud
}

/// Turned and stretched Gaussians around the axis of view; scales of one are up to `ratio` apart.
fn random(seed: u64, count: usize, ratio: f32) -> Gaussians {
    let mut numbers = Numbers(seed);
    let mut cloud = Gaussians::default();
    for _ in 0..count {
        let z = numbers.between(0.5, 6.0);
        let mean = [numbers.between(-0.8, 0.8) * z, numbers.between(-0.6, 0.6) * z, z];
        let largest = numbers.between(0.02, 0.4);
        let scale = [0; 3].map(|_| largest * ratio.powf(-numbers.next()));
        let color = [0; 3].map(|_| numbers.next());
        push(&mut cloud, mean, scale, color, numbers.next());
        let last = cloud.rotations.last_mut().expect("one was pushed");
        *last = [0; 4].map(|_| numbers.between(-2.0, 2.0));
    }
    cloud
}

fn pixels(cloud: &Gaussians, camera: &Camera, settings: Settings) -> Vec<plain::Pixel> {
    let mut rasteriser = Rasteriser::new(settings);
    let rendered = rasteriser.render(cloud, camera, &Cancel::default()).expect("it is drawn");
    let (color, alpha, depth) = (rendered.color(), rendered.alpha(), rendered.depth());
    let rest = alpha.data().iter().zip(depth.data());
    let pixels = color.data().iter().zip(rest);
    pixels.map(|(&[r, g, b], (&a, &d))| [r, g, b, a, d].map(f64::from)).collect()
}

/// The tiled form is the definition's picture to a thousandth; the depth to that of its size.
#[track_caller]
fn check(cloud: &Gaussians, camera: &Camera, low_pass: f32) -> Vec<plain::Pixel> {
    let got = pixels(cloud, camera, Settings { low_pass });
    let want = plain::render(cloud, camera, f64::from(low_pass));
    assert_eq!(got.len(), want.len());
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        for (got, want) in got.iter().zip(want) {
            let off = (got - want).abs();
            assert!(off <= 1e-3 * want.max(1.0), "pixel {index}: {got}, not {want}");
        }
    }
    got
}

fn is_black(pixels: &[plain::Pixel]) -> bool {
    pixels.iter().all(|pixel| *pixel == [0.0; 5])
}

#[test]
fn one_splat_is_its_gaussian() {
    let (width, height) = (40, 30);
    // 0.1 m at 2 m and 50 pixels: a deviation of 2.5 pixels, around the middle of the screen.
    let got = check(&one([0.0, 0.0, 2.0], 0.1, [0.2, 0.4, 0.6], 0.8), &camera(width, height), 0.0);
    for (index, pixel) in got.iter().enumerate() {
        let [x, y] = [index % width, index / width].map(|side| side as f64 + 0.5);
        let squared = ((x - 20.0).powi(2) + (y - 15.0).powi(2)) / 2.5f64.powi(2);
        let exact = 0.8 * (-0.5 * squared).exp();
        let alpha = if exact < 1.0 / 255.0 { 0.0 } else { exact };
        assert!((pixel[3] - alpha).abs() < 1e-5, "{x} {y}: {}, not {alpha}", pixel[3]);
        assert!((pixel[2] - 0.6 * alpha).abs() < 1e-5 && (pixel[4] - 2.0 * alpha).abs() < 1e-5);
    }
}

#[test]
fn x_goes_right_and_y_goes_down() {
    let camera = camera(64, 48);
    let rightmost = check(&one([0.4, 0.0, 2.0], 0.01, [1.0; 3], 1.0), &camera, 0.0);
    let lowest = check(&one([0.0, 0.4, 2.0], 0.01, [1.0; 3], 1.0), &camera, 0.0);
    let brightest = |pixels: &[plain::Pixel]| {
        let index = (0..pixels.len()).max_by(|&a, &b| pixels[a][0].total_cmp(&pixels[b][0]));
        index.map(|index| (index % 64, index / 64)).expect("there are pixels")
    };
    // 0.4 m at 2 m and 50 pixels: 10 pixels from the middle (32, 24).
    assert!(matches!(brightest(&rightmost), (41 | 42, 23 | 24)), "{:?}", brightest(&rightmost));
    assert!(matches!(brightest(&lowest), (31 | 32, 33 | 34)), "{:?}", brightest(&lowest));
}

#[test]
fn the_nearer_covers_the_farther_whatever_their_order_in_the_list() {
    let (red, green) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
    for near_first in [true, false] {
        let mut cloud = Gaussians::default();
        let both = [([0.0, 0.0, 1.0], red), ([0.0, 0.0, 3.0], green)];
        for index in if near_first { [0, 1] } else { [1, 0] } {
            push(&mut cloud, both[index].0, [0.5; 3], both[index].1, 0.75);
        }
        let got = check(&cloud, &camera(17, 17), 0.0);
        let middle = got[8 * 17 + 8];
        assert!((middle[0] - 0.75).abs() < 1e-3 && (middle[1] - 0.1875).abs() < 1e-3);
    }
}

#[test]
fn no_splat_covers_more_than_99_in_100_and_a_finished_pixel_takes_no_more() {
    let mut cloud = Gaussians::default();
    for z in 1..=5u8 {
        push(&mut cloud, [0.0, 0.0, f32::from(z)], [50.0; 3], [1.0; 3], 1.0);
    }
    let got = check(&cloud, &camera(20, 20), 0.0);
    // The second would let 1e-4 through, no more than the bound: the first stands alone.
    assert!(got.iter().all(|pixel| (pixel[3] - 0.99).abs() < 1e-5), "{:?}", got[0]);
}

#[test]
fn faint_splats_leave_a_pixel_as_it_is() {
    assert!(is_black(&check(&one([0.0, 0.0, 2.0], 1.0, [1.0; 3], 0.0039), &camera(9, 9), 0.0)));
    assert!(!is_black(&check(&one([0.0, 0.0, 2.0], 1.0, [1.0; 3], 0.004), &camera(9, 9), 0.0)));
}

#[test]
fn what_is_behind_too_near_or_off_the_screen_is_not_drawn() {
    for mean in [
        [0.0, 0.0, -2.0],
        [0.0, 0.0, 0.0],
        [0.0, 0.0, 0.009],
        [9.0, 0.0, 2.0],
        [0.0, -9.0, 2.0],
        [3e38, 0.0, 0.02],
    ] {
        let got = check(&one(mean, 0.01, [1.0; 3], 1.0), &camera(33, 18), 0.0);
        assert!(is_black(&got), "{mean:?}");
    }
}

#[test]
fn attributes_that_are_no_numbers_leave_the_others_alone() {
    let good = one([0.0, 0.0, 2.0], 0.1, [0.5; 3], 0.9);
    let alone = pixels(&good, &camera(20, 20), Settings::default());
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let spoil: [fn(&mut Gaussians, f32); 5] = [
            |cloud, bad| cloud.means[0][2] = bad,
            |cloud, bad| cloud.scales[0][1] = bad,
            |cloud, bad| cloud.rotations[0][3] = bad,
            |cloud, bad| cloud.colors[0][0] = bad,
            |cloud, bad| cloud.opacities[0] = bad,
        ];
        for (which, spoil) in spoil.into_iter().enumerate() {
            let mut cloud = one([0.0, 0.0, 1.0], 0.1, [0.5; 3], 0.9);
            spoil(&mut cloud, bad);
            push(&mut cloud, good.means[0], good.scales[0], good.colors[0], 0.9);
            let got = pixels(&cloud, &camera(20, 20), Settings::default());
            assert_eq!(got, alone, "{which} is {bad}");
        }
    }
    let mut cloud = good.clone();
    cloud.rotations[0] = [0.0; 4];
    assert!(is_black(&pixels(&cloud, &camera(20, 20), Settings::default())));
}

#[test]
fn a_splat_without_an_area_is_not_drawn_unless_it_is_widened() {
    let mut cloud = Gaussians::default();
    push(&mut cloud, [0.0, 0.0, 2.0], [0.3, 0.0, 0.0], [1.0; 3], 1.0);
    assert!(is_black(&check(&cloud, &camera(16, 16), 0.0)));
    assert!(!is_black(&check(&cloud, &camera(16, 16), 0.3)));
}

#[test]
fn random_clouds_are_as_defined() {
    for (seed, count, ratio) in [(1, 40, 1.0), (2, 300, 5.0), (3, 300, 100.0), (4, 400, 1e4)] {
        let got = check(&random(seed, count, ratio), &camera(75, 50), 0.0);
        assert!(got.iter().any(|pixel| pixel[3] > 0.5), "{seed}");
        check(&random(seed + 10, count, ratio), &camera(75, 50), 0.3);
    }
}

#[test]
fn from_another_place_too() {
    let pose = Pose::look_at([0.3, -0.2, -0.4], [0.0, 0.0, 2.0]).expect("ahead");
    let screen = Camera::of_screen(40.0, (61, 47)).expect("a small screen");
    let squeezed = screen.resized((50, 60)).expect("a small screen").with_pose(pose);
    let got = check(&random(5, 300, 20.0), &squeezed, 0.0);
    assert!(got.iter().any(|pixel| pixel[3] > 0.5));
}

#[test]
fn every_size_of_screen_is_filled() {
    let cloud = random(6, 200, 10.0);
    for (width, height) in [(1, 1), (1, 40), (15, 16), (16, 17), (17, 15), (33, 1)] {
        check(&cloud, &camera(width, height), 0.0);
    }
    let covered = check(&one([0.0, 0.0, 1.0], 9.0, [1.0; 3], 1.0), &camera(1, 1), 0.0);
    assert!(covered[0][3] > 0.98);
}

#[test]
fn an_empty_cloud_is_black() {
    assert!(is_black(&check(&Gaussians::default(), &camera(20, 10), 0.0)));
}

#[test]
fn the_picture_is_the_same_on_any_number_of_threads_and_in_used_memory() {
    let cloud = random(7, 40_000, 10.0);
    let camera = camera(90, 70);
    let mut used = Rasteriser::default();
    let first = used.render(&cloud, &camera, &Cancel::default()).expect("it is drawn").color();
    let other = Camera::of_photo(80.0, (120, 33)).expect("a small screen");
    used.render(&random(8, 900, 3.0), &other, &Cancel::default()).expect("it is drawn");
    let again = used.render(&cloud, &camera, &Cancel::default()).expect("it is drawn").color();
    assert_eq!(first, again);
    for count in [1, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().expect("threads");
        let cancel = Arc::new(Cancel::default());
        let drawn = pool.install(|| {
            Rasteriser::default().render(&cloud, &camera, &cancel).expect("it is drawn").color()
        });
        assert_eq!(drawn, first, "{count} threads");
    }
}

#[test]
fn every_instruction_set_draws_the_same() {
    let cloud = random(9, 300, 10.0);
    let mut projected = Projected::default();
    let mut order = Order::default();
    Lens::new(&camera(TILE, TILE), 0.0).project(&cloud, &mut projected, &mut order.keys);
    let sorted = order.sort().iter().map(|key| AtomicU32::new(key.number() as u32));
    let list: Vec<AtomicU32> = sorted.collect();
    let draw = |isa| {
        let mut tile = TilePixels::default();
        blend_tile(isa, &mut tile, &projected.splats, &list, [0, 0]);
        tile
    };
    let portable = draw(Isa::Portable);
    assert!(portable.through.as_flattened().iter().any(|through| through.abs() < 0.5));
    for isa in Isa::available() {
        let drawn = draw(isa);
        for (got, want) in [
            (&drawn.red, &portable.red),
            (&drawn.green, &portable.green),
            (&drawn.blue, &portable.blue),
            (&drawn.depth, &portable.depth),
        ] {
            let pairs = got.as_flattened().iter().zip(want.as_flattened());
            let off = pairs.map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            assert!(off < 1e-4, "{isa:?}: {off:e}");
        }
    }
}

#[test]
fn splats_at_one_depth_are_blended_in_the_order_of_the_list() {
    let mut cloud = Gaussians::default();
    for index in 0..40u8 {
        push(&mut cloud, [0.0, 0.0, 2.0], [1.0; 3], [f32::from(index); 3], 0.5);
    }
    check(&cloud, &camera(20, 20), 0.0);
}

#[test]
fn bytes_follow_the_curve_of_srgb() {
    let mut rasteriser = Rasteriser::default();
    for (linear, byte) in [(0.5, 187), (1.0, 254), (4.0, 255), (0.0, 0), (-1.0, 0), (0.002, 7)] {
        let cloud = one([0.0, 0.0, 1.0], 90.0, [linear, 0.0, 0.0], 1.0);
        let rendered = rasteriser.render(&cloud, &camera(3, 2), &Cancel::default());
        let picture = rendered.expect("it is drawn").picture();
        assert_eq!(picture.size(), (3, 2));
        assert_eq!(picture.data()[3], [byte, 0, 0], "{linear}");
    }
}

#[test]
fn broken_clouds_and_cancelled_runs_are_refused() {
    let mut cloud = one([0.0, 0.0, 1.0], 1.0, [1.0; 3], 1.0);
    let cancel = Cancel::default();
    cancel.set(Cause::Caller);
    let mut rasteriser = Rasteriser::default();
    let canceled = rasteriser.render(&cloud, &camera(2, 2), &cancel).expect_err("cancelled");
    assert!(matches!(canceled, RunError::Canceled(_)), "{canceled}");
    cloud.opacities.clear();
    let broken = rasteriser.render(&cloud, &camera(2, 2), &Cancel::default());
    assert_eq!(broken.expect_err("a list is short").fault().code, "cloud_invalid");
}
