//! The definition of Canny edges, pixel by pixel.
//!
//! What the fast form is tested against; the goldens check both.

use super::CannyParams;
use crate::vision::border::replicate;
use crate::vision::plane::Plane;

/// Edges of a gray picture.
pub(super) fn canny(gray: &Plane<u8>, params: &CannyParams) -> Plane<u8> {
    edges(&gradient(gray, params), params)
}

/// Edges of a picture in colour: the channel with the largest gradient counts.
pub(super) fn canny_color(image: &Plane<[u8; 3]>, params: &CannyParams) -> Plane<u8> {
    let gradients = image.per_channel(|plane| Ok(gradient(plane, params)));
    let strongest = gradients.expect("`gradient` never refuses").map(|channels| {
        let mut best = channels[0];
        for candidate in &channels[1..] {
            if candidate.magnitude > best.magnitude {
                best = *candidate;
            }
        }
        best
    });
    edges(&strongest, params)
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
