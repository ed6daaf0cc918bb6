//! The fast form against the definition in `plain`, and edges that can be checked by eye.

use super::*;
use crate::vision::simd::Isa;
use crate::vision::threads::on_three;

/// Pictures with every kind of content: noise, fine and soft texture, shapes, steps.
fn pictures(width: usize, height: usize) -> Vec<Plane<u8>> {
    let mut state = (width * 31 + height) as u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..width * height).map(|_| next()).collect();
    let made = |pixel: &dyn Fn(usize, usize) -> u8| {
        let pixels = (0..width * height).map(|i| pixel(i % width, i / width));
        Plane::new(width, height, pixels.collect()).expect("fits")
    };
    let at = |x: usize, y: usize| u32::from(noise[(y % height) * width + x % width]);
    vec![
        made(&|x, y| at(x, y) as u8),
        made(&|x, y| (0..25).map(|i| at(x + i % 5, y + i / 5)).sum::<u32>().div_euclid(25) as u8),
        made(&|x, y| ((x * x + y * y * 3) / 40) as u8),
        made(&|x, y| if (x / 7 + y / 5) % 2 == 0 { 200 } else { (at(x, y) / 16) as u8 }),
        made(&|x, y| if x > y { 255 } else { 0 }),
    ]
}

fn all_params() -> Vec<CannyParams> {
    let thresholds = [(15.0, 60.0), (0.0, 0.0), (40.0, 41.5), (100.0, 700.0), (3.0, 1e9)];
    let mut all = Vec::new();
    for aperture in [3, 5, 7] {
        for l2 in [false, true] {
            let each = thresholds.map(|(low, high)| CannyParams { low, high, aperture, l2 });
            all.extend(each);
        }
    }
    all
}

#[test]
fn edges_are_those_of_the_definition_on_any_processor_and_any_number_of_threads() {
    let sizes =
        [(1, 1), (1, 9), (9, 1), (3, 3), (2, 40), (64, 5), (65, 4), (61, 97), (131, 33), (300, 70)];
    let mut got = Plane::pixel();
    for (i, (width, height)) in sizes.into_iter().enumerate() {
        for gray in pictures(width, height) {
            // All parameters meet all sizes, but not on all pictures.
            for params in all_params().into_iter().skip(i % 3).step_by(3) {
                let want = plain::canny(&gray, &params);
                for isa in Isa::available() {
                    let mut canny = Canny::new(&params).expect("in range").on(isa);
                    for threads in [Threads::Pool, Threads::This] {
                        on_three(|| canny.run(&gray, threads, &mut got));
                        assert!(got == want, "{:?} {params:?} {isa:?} {threads:?}", gray.size());
                    }
                }
            }
        }
    }
}

#[test]
fn colour_takes_the_longest_gradient() {
    let mut got = Plane::pixel();
    for (width, height) in [(1, 1), (5, 3), (67, 101)] {
        let planes = pictures(width, height);
        let pixel = |i: usize| [planes[0].data()[i], planes[3].data()[i], planes[1].data()[i]];
        let data = (0..width * height).map(pixel).collect();
        let image = Plane::new(width, height, data).expect("fits");
        for params in all_params() {
            let want = plain::canny_color(&image, &params);
            for isa in Isa::available() {
                let mut canny = Canny::new(&params).expect("in range").on(isa);
                for threads in [Threads::Pool, Threads::This] {
                    on_three(|| canny.run_color(&image, threads, &mut got));
                    assert!(got == want, "{width} x {height} {params:?} {isa:?} {threads:?}");
                }
            }
        }
    }
}

/// One edge winds through the whole picture, over every seam many times.
#[test]
fn an_edge_is_followed_across_seams_as_often_as_it_takes() {
    let (width, height) = (97, 240);
    let mut data = vec![0u8; width * height];
    for (i, pixel) in data.iter_mut().enumerate() {
        let (x, y) = (i % width, i / width);
        // A snake of upright bars, joined above and below in turn, clear of the border.
        let (bar, across) = (x.wrapping_sub(4) / 8, x.wrapping_sub(4) % 8);
        let joint = if bar.is_multiple_of(2) { y >= height - 7 } else { y < 7 };
        let is_inside = (4..width - 8).contains(&x) && (4..height - 4).contains(&y);
        // Only in the middle of the first bar is its edge strong.
        let is_bright = bar == 0 && across < 3 && y.abs_diff(height / 2) < 5;
        *pixel = match is_inside && (across < 3 || joint) {
            true if is_bright => 255,
            true => 30,
            false => 0,
        };
    }
    let comb = Plane::new(width, height, data).expect("fits");
    let params = CannyParams { low: 20.0, high: 500.0, ..Default::default() };
    let want = plain::canny(&comb, &params);
    assert!(want.data().iter().filter(|&&v| v != 0).count() > 20 * height);
    let mut got = Plane::pixel();
    on_three(|| Canny::new(&params).expect("in range").run(&comb, Threads::Pool, &mut got));
    assert_eq!(got, want);
}

fn step(width: usize, height: usize) -> Plane<u8> {
    let half = width / 2;
    Plane::from_rows(width, height, |_, row| row[half..].fill(200))
}

#[test]
fn flat_pictures_have_no_edges_at_any_size() {
    for (width, height) in [(1, 1), (2, 2), (1, 9), (9, 1), (7, 5)] {
        let flat = Plane::new(width, height, vec![90u8; width * height]).expect("fits");
        for aperture in [3, 5, 7] {
            let params = CannyParams { aperture, low: 0.0, high: 0.0, ..Default::default() };
            let edges = canny(&flat, &params).expect("parameters are in range");
            assert!(edges.data().iter().all(|&v| v == 0), "{width} x {height}, {aperture}");
        }
    }
}

#[test]
fn a_step_is_one_pixel_wide() {
    let edges = canny(&step(8, 6), &CannyParams::default()).expect("the default is in range");
    for y in 0..6 {
        // Both columns beside the step have the same gradient; the left one wins by `>` and `>=`.
        assert_eq!(edges.row(y), [0, 0, 0, 255, 0, 0, 0, 0]);
    }
}

#[test]
fn swapped_thresholds_mean_the_same() {
    let ramp = Plane::from_rows(31, 17, |y, row| {
        for (x, v) in row.iter_mut().enumerate() {
            *v = (x * x * 7 + y * y * 13) as u8;
        }
    });
    for l2 in [false, true] {
        let one = CannyParams { low: 40.0, high: 300.0, l2, ..Default::default() };
        let two = CannyParams { low: 300.0, high: 40.0, l2, ..Default::default() };
        assert_eq!(canny(&ramp, &one), canny(&ramp, &two));
    }
}

#[test]
fn equal_channels_have_the_edges_of_their_gray() {
    let gray = step(9, 9);
    let color = gray.map(|v| [v, v, v]);
    let params = CannyParams::default();
    assert_eq!(canny_color(&color, &params), canny(&gray, &params));
}

#[test]
fn parameters_outside_their_range_are_named() {
    let refused = |params: CannyParams| match params.check() {
        Err(VisionError::Parameter { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(CannyParams { low: -1.0, ..Default::default() }), "low");
    assert_eq!(refused(CannyParams { high: f64::NAN, ..Default::default() }), "high");
    assert_eq!(refused(CannyParams { aperture: 4, ..Default::default() }), "aperture");
    assert!(serde_json::from_str::<CannyParams>(r#"{"hihg": 3}"#).is_err());
}
