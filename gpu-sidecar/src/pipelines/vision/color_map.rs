//! Colours for numbers: a ramp for amounts, a wheel for directions.
//!
//! Owns both, made from the perceptual space Oklab: along the ramp lightness rises evenly from
//! violet to yellow, so that it reads right in gray and for people who see few colours; on the
//! wheel every direction is equally light. Source of the space: Björn Ottosson, "A perceptual
//! color space for image processing", 2020.

use std::f64::consts::TAU;

/// Steps of a ramp.
const STEPS: usize = 256;

/// Colours for amounts from 0 to 1.
pub(super) struct Ramp([[u8; 3]; STEPS]);

impl Ramp {
    pub(super) fn new() -> Self {
        let mut steps = [[0; 3]; STEPS];
        for (index, step) in steps.iter_mut().enumerate() {
            let t = index as f64 / (STEPS - 1) as f64;
            // From violet (300°) through blue and green to yellow (105°).
            let hue = (300.0 - 195.0 * t).to_radians();
            *step = from_oklch(0.2 + 0.75 * t, 0.08 + 0.08 * t, hue);
        }
        Self(steps)
    }

    /// Amounts outside 0 to 1 have the colour of the nearer end.
    pub(super) fn at(&self, amount: f64) -> [u8; 3] {
        let place = amount.clamp(0.0, 1.0) * (STEPS - 1) as f64;
        self.0[place.round() as usize]
    }
}

/// The colour of a direction (x right, y down) of length 0 to 1: none is white.
pub(super) fn wheel(x: f64, y: f64) -> [u8; 3] {
    let length = x.hypot(y).min(1.0);
    // Right is red, down yellow-green, left cyan, up violet.
    let hue = (y.atan2(x) + 25.0f64.to_radians()).rem_euclid(TAU);
    from_oklch(1.0 - 0.3 * length, 0.14 * length, hue)
}

/// The value that one in a hundred passes: where a scale ends, so that a few glints do not take
/// the colours of all the rest. `values` are not empty.
pub(super) fn scale_end(values: &[f32]) -> f64 {
    let mut values = values.to_vec();
    let place = (values.len() - 1) * 99 / 100;
    let (_, end, _) = values.select_nth_unstable_by(place, f32::total_cmp);
    f64::from(*end)
}

/// sRGB of lightness 0 to 1, chroma and hue; colours that a screen lacks are clipped.
fn from_oklch(lightness: f64, chroma: f64, hue: f64) -> [u8; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
    .map(gamma)
}

/// A linear sample as sRGB's byte.
fn gamma(linear: f64) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let curved =
        if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (255.0 * curved).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, roughly.
    fn light([red, green, blue]: [u8; 3]) -> f64 {
        let linear = |sample: u8| (f64::from(sample) / 255.0).powf(2.2);
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    #[test]
    fn the_ramp_grows_lighter_from_end_to_end() {
        let ramp = Ramp::new();
        let lights: Vec<f64> =
            (0..=32).map(|step| light(ramp.at(f64::from(step) / 32.0))).collect();
        assert!(lights.windows(2).all(|pair| pair[0] < pair[1]), "{lights:?}");
        assert!(lights[0] < 0.03 && lights[32] > 0.7, "{lights:?}");
        assert_eq!((ramp.at(-1.0), ramp.at(2.0)), (ramp.at(0.0), ramp.at(1.0)));
    }

    #[test]
    fn a_scale_ends_where_one_in_a_hundred_passes_it() {
        let values: Vec<f32> = (0..1000u16).rev().map(f32::from).collect();
        assert_eq!(scale_end(&values), 989.0);
        assert_eq!(scale_end(&[7.0]), 7.0);
    }

    #[test]
    fn gray_has_no_colour() {
        assert_eq!(from_oklch(0.0, 0.0, 0.0), [0; 3]);
        assert_eq!(from_oklch(1.0, 0.0, 2.0), [255; 3]);
        assert_eq!(wheel(0.0, 0.0), [255; 3]);
    }

    #[test]
    fn directions_differ_and_longer_ones_are_more_colourful() {
        let [right, left] = [wheel(1.0, 0.0), wheel(-1.0, 0.0)];
        assert!(right[0] > right[2] && left[0] < left[2], "{right:?} {left:?}");
        let spread = |[r, g, b]: [u8; 3]| r.max(g).max(b) - r.min(g).min(b);
        assert!(spread(wheel(0.0, 1.0)) > spread(wheel(0.0, 0.3)));
        assert_eq!(wheel(3.0, 0.0), wheel(1.0, 0.0));
    }
}
