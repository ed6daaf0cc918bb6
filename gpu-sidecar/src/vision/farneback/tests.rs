//! The published constants, the edges of sizes and parameters, and simple motion.

use super::*;
use crate::vision::flow_stats::motion;

fn texture(width: usize, height: usize, shift: (f64, f64)) -> Plane<u8> {
    Plane::from_rows(width, height, |y, row| {
        for (x, v) in row.iter_mut().enumerate() {
            let (x, y) = (x as f64 - shift.0, y as f64 - shift.1);
            let wave = (x * 0.31).sin() + (y * 0.27).cos() + (x * 0.11 + y * 0.17).sin();
            *v = (127.0 + 40.0 * wave) as u8;
        }
    })
}

#[test]
fn the_gram_inverse_has_the_published_values() {
    let table = [
        (5, 1.2, [0.694486393, -0.347453531, 0.241301747, 0.482311346]),
        (5, 1.1, [0.826452292, -0.413263275, 0.341542384, 0.683023397]),
        (7, 1.5, [0.444448905, -0.222250691, 0.0987790745, 0.197534826]),
    ];
    for (poly_n, poly_sigma, want) in table {
        let params = FarnebackParams { poly_n, poly_sigma, ..Default::default() };
        let basis = expansion::Basis::of(&params);
        let got = [basis.ig11, basis.ig03, basis.ig33, basis.ig55];
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 2e-6, "{poly_n} {poly_sigma}: {got} is not {want}");
        }
    }
}

#[test]
fn a_quadratic_is_expanded_to_itself() {
    let image = Plane::from_rows(31, 31, |y, row| {
        for (x, v) in row.iter_mut().enumerate() {
            let (x, y) = (x as f32 - 15.0, y as f32 - 15.0);
            *v = 100.0 + 2.0 * y - 3.0 * x + 0.5 * y * y + 0.25 * x * x - 0.75 * x * y;
        }
    });
    let coefficients = expansion::expand(&image, &FarnebackParams::default());
    let want = [2.0, -3.0, 0.5, 0.25, -0.75];
    for (got, want) in coefficients.row(15)[15].iter().zip(want) {
        assert!((got - want).abs() < 1e-3, "{got} is not {want}");
    }
}

#[test]
fn scales_stop_before_a_side_falls_under_32() {
    let sizes = |width, height, levels| -> Vec<(usize, usize)> {
        let params = FarnebackParams { levels, ..Default::default() };
        let levels = pyramid::levels(width, height, &params);
        levels.iter().map(|level| (level.width, level.height)).collect()
    };
    assert_eq!(sizes(241, 135, 3), [(241, 135), (120, 68), (60, 34)]);
    assert_eq!(sizes(256, 256, 3), [(256, 256), (128, 128), (64, 64), (32, 32)]);
    assert_eq!(sizes(256, 256, 1), [(256, 256), (128, 128)]);
    assert_eq!(sizes(10, 10, 16), [(10, 10)]);
    assert_eq!(sizes(640, 480, 0), [(640, 480)]);
}

#[test]
fn nothing_moves_between_equal_frames() {
    for (width, height) in [(10, 10), (11, 13), (65, 40)] {
        for window in [Window::Box, Window::Gaussian] {
            let params = FarnebackParams { window, ..Default::default() };
            let frame = texture(width, height, (0.0, 0.0));
            let still = flow(&frame, &frame, &params, None).expect("large enough");
            assert_eq!(still.size(), (width, height));
            // The last row and column count as outside, so some motion is seen near them.
            assert!(motion(&still).max_px < 2.0);
            let flat = frame.map(|_| 200u8);
            let still = flow(&flat, &flat, &params, None).expect("large enough");
            assert!(motion(&still).max_px < 1e-3);
        }
    }
    let frame = texture(96, 80, (0.0, 0.0));
    let still = flow(&frame, &frame, &FarnebackParams::default(), None).expect("large enough");
    assert!(still.row(40)[48].iter().all(|v| v.abs() < 1e-2));
}

#[test]
fn a_shift_is_found_with_its_direction() {
    let (prev, next) = (texture(96, 80, (0.0, 0.0)), texture(96, 80, (2.0, -1.0)));
    for winsize in [15, 16] {
        let params = FarnebackParams { winsize, ..Default::default() };
        let found = flow(&prev, &next, &params, None).expect("large enough");
        let [x, y] = found.row(40)[48];
        assert!((x - 2.0).abs() < 0.1 && (y + 1.0).abs() < 0.1, "({x}, {y})");
    }
}

#[test]
fn one_expansion_serves_both_pairs() {
    let params = FarnebackParams::default();
    let frames = [0.0, 1.0, 2.0].map(|shift| texture(64, 64, (shift, 0.0)));
    let expand = |frame| Expansion::of(frame, &params).expect("large enough");
    let middle = expand(&frames[1]);
    let first = flow_between(&expand(&frames[0]), &middle, &params, None);
    let second = flow_between(&middle, &expand(&frames[2]), &params, None);
    assert_eq!(first, flow(&frames[0], &frames[1], &params, None));
    assert_eq!(second, flow(&frames[1], &frames[2], &params, None));
}

#[test]
fn frames_that_do_not_fit_are_refused() {
    let params = FarnebackParams::default();
    for (width, height) in [(9, 10), (10, 9), (1, 1)] {
        let refused = Expansion::of(&texture(width, height, (0.0, 0.0)), &params);
        assert!(matches!(refused, Err(VisionError::TooSmall { min: 10, .. })));
    }
    let (small, large) = (texture(20, 20, (0.0, 0.0)), texture(20, 21, (0.0, 0.0)));
    let refused = flow(&small, &large, &params, None);
    assert!(matches!(refused, Err(VisionError::SizesDiffer { .. })));
    let initial = large.map(|_| [0f32; 2]);
    let refused = flow(&small, &small, &params, Some(&initial));
    assert!(matches!(refused, Err(VisionError::SizesDiffer { .. })));
    let expansion = Expansion::of(&small, &params).expect("large enough");
    let other = FarnebackParams { poly_n: 7, ..Default::default() };
    let refused = flow_between(&expansion, &expansion, &other, None);
    assert_eq!(refused, Err(VisionError::OtherExpansion));
}

#[test]
fn parameters_outside_their_range_are_named() {
    let refused = |params: FarnebackParams| match params.check() {
        Err(VisionError::Parameter { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let default = FarnebackParams::default;
    assert_eq!(refused(FarnebackParams { pyr_scale: 1.0, ..default() }), "pyr_scale");
    assert_eq!(refused(FarnebackParams { pyr_scale: 0.0, ..default() }), "pyr_scale");
    assert_eq!(refused(FarnebackParams { pyr_scale: f64::NAN, ..default() }), "pyr_scale");
    assert_eq!(refused(FarnebackParams { levels: 17, ..default() }), "levels");
    assert_eq!(refused(FarnebackParams { winsize: 2, ..default() }), "winsize");
    assert_eq!(refused(FarnebackParams { winsize: 256, ..default() }), "winsize");
    assert_eq!(refused(FarnebackParams { iterations: 0, ..default() }), "iterations");
    assert_eq!(refused(FarnebackParams { poly_n: 6, ..default() }), "poly_n");
    assert_eq!(refused(FarnebackParams { poly_sigma: -0.1, ..default() }), "poly_sigma");
    assert_eq!(refused(FarnebackParams { poly_sigma: f64::NAN, ..default() }), "poly_sigma");
}

#[test]
fn the_schema_states_ranges_and_defaults() {
    let schema = schemars::schema_for!(FarnebackParams).to_value();
    let field = |name: &str| &schema["properties"][name];
    assert_eq!(
        (&field("winsize")["minimum"], &field("winsize")["maximum"]),
        (&3.into(), &255.into())
    );
    assert_eq!(field("pyr_scale")["exclusiveMaximum"], 1.0);
    assert_eq!(field("poly_n")["enum"], serde_json::json!([5, 7]));
    assert_eq!(
        (&field("poly_sigma")["default"], &field("window")["default"]),
        (&1.2.into(), &"box".into())
    );
    assert_eq!(schema["additionalProperties"], false);
    let given = serde_json::from_str::<FarnebackParams>(r#"{"window": "gaussian"}"#);
    assert_eq!(given.expect("a known window").window, Window::Gaussian);
}
