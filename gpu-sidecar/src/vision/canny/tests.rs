//! Edges of small pictures that can be checked by eye; the goldens check the rest.

use super::*;

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
