//! Canny edges of gray and colour pictures (SPEC §3).
//!
//! Owns gradient, thinning and hysteresis. Knows 8-bit samples. The result is exact and does not
//! depend on the order in which edges are followed. No blur comes first: blur before, or not.

use serde::{Deserialize, Serialize};

use super::border::replicate;
use super::error::{VisionError, require};
use super::plane::Plane;

/// What counts as an edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CannyParams {
    /// Gradient above which a pixel continues an edge. The larger of the two is taken for `high`.
    #[schemars(range(min = 0.0))]
    pub low: f64,
    /// Gradient above which a pixel starts an edge.
    #[schemars(range(min = 0.0))]
    pub high: f64,
    /// Side of the Sobel kernel: 3, 5 or 7. Gradients, and so thresholds, grow with it.
    #[schemars(extend("enum" = [3, 5, 7]))]
    pub aperture: u32,
    /// Measures the gradient as √(dx² + dy²) instead of |dx| + |dy|.
    pub l2: bool,
}

impl Default for CannyParams {
    fn default() -> Self {
        Self { low: 15.0, high: 60.0, aperture: 3, l2: false }
    }
}

impl CannyParams {
    /// # Errors
    /// `Parameter` names the first field outside its range.
    pub fn check(&self) -> Result<(), VisionError> {
        let allowed = "a number of at least 0";
        require(self.low.is_finite() && self.low >= 0.0, "low", allowed)?;
        require(self.high.is_finite() && self.high >= 0.0, "high", allowed)?;
        require(matches!(self.aperture, 3 | 5 | 7), "aperture", "3, 5 or 7")
    }

    /// Whole thresholds `(low, high)` on the magnitude that `Gradient` holds.
    fn thresholds(&self) -> (i32, i32) {
        let whole = |threshold: f64| {
            // Aperture 7 has gradients of a sixteenth; L2 magnitudes are squares.
            let scaled = if self.aperture == 7 { threshold / 16.0 } else { threshold };
            let measured = if self.l2 { scaled.min(32767.0).powi(2) } else { scaled };
            measured.floor() as i32
        };
        (whole(self.low.min(self.high)), whole(self.low.max(self.high)))
    }
}

/// Edges of a gray picture: 255 on an edge, else 0; same size.
/// # Errors
/// `Parameter` when a field is outside its range.
pub fn canny(gray: &Plane<u8>, params: &CannyParams) -> Result<Plane<u8>, VisionError> {
    params.check()?;
    Ok(edges(&gradient(gray, params), params))
}

/// Edges of a picture of blue, green, red pixels: at each pixel the channel with the largest
/// gradient counts, the first of them when several are equal. Not the edges of its gray version.
/// # Errors
/// `Parameter` when a field is outside its range.
pub fn canny_color(image: &Plane<[u8; 3]>, params: &CannyParams) -> Result<Plane<u8>, VisionError> {
    params.check()?;
    let strongest = image.per_channel(|plane| Ok(gradient(plane, params)))?.map(|channels| {
        let mut best = channels[0];
        for candidate in &channels[1..] {
            if candidate.magnitude > best.magnitude {
                best = *candidate;
            }
        }
        best
    });
    Ok(edges(&strongest, params))
}

/// Sobel derivatives and their length: L1, or the square of L2.
///
/// No sum leaves an i16: |dx| is at most 255·3·16 (aperture 5), so nothing needs saturation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Gradient {
    dx: i32,
    dy: i32,
    magnitude: i32,
}

/// Derivative and smoothing taps of an aperture.
fn sobel_taps(aperture: u32) -> (&'static [i32], &'static [i32]) {
    match aperture {
        3 => (&[-1, 0, 1], &[1, 2, 1]),
        5 => (&[-1, -2, 0, 2, 1], &[1, 4, 6, 4, 1]),
        _ => (&[-1, -4, -5, 0, 5, 4, 1], &[1, 6, 15, 20, 15, 6, 1]),
    }
}

/// The gradient at every pixel; the border is replicated.
fn gradient(gray: &Plane<u8>, params: &CannyParams) -> Plane<Gradient> {
    let (width, height) = gray.size();
    let (derive, smooth) = sobel_taps(params.aperture);
    let radius = derive.len() / 2;
    let padded = width + 2 * radius;
    let scratch = || (vec![0i32; padded], vec![0i32; padded], vec![(0i32, 0i32); width]);
    Plane::from_rows_with(width, height, scratch, |(smoothed, derived, across), y, out| {
        smoothed.fill(0);
        derived.fill(0);
        for (k, (&derive, &smooth)) in derive.iter().zip(smooth).enumerate() {
            let row = gray.row(replicate((y + k) as isize - radius as isize, height));
            for (x, &sample) in row.iter().enumerate() {
                smoothed[x + radius] += smooth * i32::from(sample);
                derived[x + radius] += derive * i32::from(sample);
            }
        }
        for sums in [&mut *smoothed, &mut *derived] {
            let (first, last) = (sums[radius], sums[radius + width - 1]);
            sums[..radius].fill(first);
            sums[radius + width..].fill(last);
        }
        across.fill((0, 0));
        for (k, (&derive, &smooth)) in derive.iter().zip(smooth).enumerate() {
            let samples = smoothed[k..].iter().zip(&derived[k..]);
            for ((dx, dy), (&smoothed, &derived)) in across.iter_mut().zip(samples) {
                *dx += derive * smoothed;
                *dy += smooth * derived;
            }
        }
        for (pixel, &(dx, dy)) in out.iter_mut().zip(&*across) {
            *pixel = measure(dx, dy, params);
        }
    })
}

fn measure(dx: i32, dy: i32, params: &CannyParams) -> Gradient {
    let sixteenth = |sum: i32| (sum as f32 / 16.0).round_ties_even() as i32;
    let (dx, dy) = if params.aperture == 7 { (sixteenth(dx), sixteenth(dy)) } else { (dx, dy) };
    let magnitude = if params.l2 { dx * dx + dy * dy } else { dx.abs() + dy.abs() };
    Gradient { dx, dy, magnitude }
}

/// What thinning makes of a pixel.
const NOTHING: u8 = 0;
const CANDIDATE: u8 = 1;
const EDGE: u8 = 255;

/// Thins the gradient to ridges and keeps those connected to a strong pixel.
fn edges(gradient: &Plane<Gradient>, params: &CannyParams) -> Plane<u8> {
    let (low, high) = params.thresholds();
    let thinned = Plane::from_rows(gradient.width(), gradient.height(), |y, out| {
        let row = |y: Option<usize>| {
            y.filter(|&y| y < gradient.height()).map_or(&[][..], |y| gradient.row(y))
        };
        let rows = [row(y.checked_sub(1)), row(Some(y)), row(Some(y + 1))];
        for (x, pixel) in out.iter_mut().enumerate() {
            let magnitude = rows[1][x].magnitude;
            *pixel = match magnitude > low && is_ridge(rows, x) {
                true if magnitude > high => EDGE,
                true => CANDIDATE,
                false => NOTHING,
            };
        }
    });
    follow(thinned)
}

/// Whether the magnitude at column `x` of the middle row is a maximum across the edge. Outside
/// the image it is 0; a row outside is empty.
fn is_ridge(rows: [&[Gradient]; 3], x: usize) -> bool {
    /// tan 22.5° in units of 2⁻¹⁵.
    const TAN_22: i64 = 13573;
    let at = |dx: isize, dy: isize| {
        let row = rows[(1 + dy) as usize];
        let pixel = x.checked_add_signed(dx).and_then(|x| row.get(x));
        pixel.map_or(0, |gradient| gradient.magnitude)
    };
    let Gradient { dx, dy, magnitude } = rows[1][x];
    let steep = i64::from(dy.abs()) << 15;
    let flat = TAN_22 * i64::from(dx.abs());
    if steep < flat {
        magnitude > at(-1, 0) && magnitude >= at(1, 0)
    } else if steep > flat + (i64::from(dx.abs()) << 16) {
        magnitude > at(0, -1) && magnitude >= at(0, 1)
    } else {
        let side = if dx ^ dy < 0 { -1 } else { 1 };
        magnitude > at(-side, -1) && magnitude > at(side, 1)
    }
}

/// Turns every candidate that touches an edge, directly or through candidates, into an edge.
fn follow(thinned: Plane<u8>) -> Plane<u8> {
    let (width, height) = thinned.size();
    let mut state = thinned.into_data();
    let mut open: Vec<usize> = (0..state.len()).filter(|&i| state[i] == EDGE).collect();
    while let Some(at) = open.pop() {
        let (x, y) = (at % width, at / width);
        for y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
            for x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                let neighbour = y * width + x;
                if state[neighbour] == CANDIDATE {
                    state[neighbour] = EDGE;
                    open.push(neighbour);
                }
            }
        }
    }
    Plane::from_rows(width, height, |y, out| {
        for (to, &from) in out.iter_mut().zip(&state[y * width..]) {
            *to = if from == EDGE { EDGE } else { 0 };
        }
    })
}

#[cfg(test)]
mod tests;
