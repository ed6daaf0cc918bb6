//! The system that each pixel contributes at the current flow (SPEC §2.3).
//!
//! Owns sampling of the second frame's polynomials and the attenuation near the border. Out come
//! `[g11, g12, g22, h1, h2]`, index 1 being y and 2 being x.

use crate::vision::plane::Plane;

/// Weight of a pixel 0, 1, 2, 3, 4 pixels away from an edge; 1 beyond.
const BORDER: [f32; 5] = [0.14, 0.14, 0.4472, 0.4472, 0.4472];

/// Matrices `(h, w, 5)` from the coefficients of both frames and the flow, all of one size.
pub(crate) fn compute(
    prev: &Plane<[f32; 5]>,
    next: &Plane<[f32; 5]>,
    flow: &Plane<[f32; 2]>,
) -> Plane<[f32; 5]> {
    let (width, height) = prev.size();
    let columns: Vec<f32> = (0..width).map(|x| attenuation(x, width)).collect();
    Plane::from_rows(width, height, |y, out| {
        let down = attenuation(y, height);
        let inputs = prev.row(y).iter().zip(flow.row(y)).zip(&columns);
        for (x, (matrix, ((prev, &flow), across))) in out.iter_mut().zip(inputs).enumerate() {
            let sample = sample(next, x as f32 + flow[0], y as f32 + flow[1]);
            *matrix = pixel(prev, sample, flow, across * down);
        }
    })
}

/// The product of the weights for both edges along one axis.
pub(super) fn attenuation(at: usize, length: usize) -> f32 {
    let weight = |distance: usize| BORDER.get(distance).copied().unwrap_or(1.0);
    weight(at) * weight(length - 1 - at)
}

/// Bilinear sample at (x, y), or nothing outside; the last row and column are outside.
fn sample(next: &Plane<[f32; 5]>, x: f32, y: f32) -> Option<[f32; 5]> {
    // A whole part is in 0..length − 1 exactly when the number itself is.
    let inside = |at: f32, length: usize| at >= 0.0 && at < (length - 1) as f32;
    if !(inside(x, next.width()) && inside(y, next.height())) {
        return None;
    }
    let (left, top) = (x as usize, y as usize);
    let (right_share, bottom_share) = (x - left as f32, y - top as f32);
    let (left_share, top_share) = (1.0 - right_share, 1.0 - bottom_share);
    let shares = [
        left_share * top_share,
        right_share * top_share,
        left_share * bottom_share,
        right_share * bottom_share,
    ];
    let (upper, lower) = (&next.row(top)[left..][..2], &next.row(top + 1)[left..][..2]);
    Some(std::array::from_fn(|c| {
        shares[0] * upper[0][c]
            + shares[1] * upper[1][c]
            + shares[2] * lower[0][c]
            + shares[3] * lower[1][c]
    }))
}

/// The matrix of one pixel; `weight` attenuates the residuals and the mean polynomial alike.
fn pixel(prev: &[f32; 5], next: Option<[f32; 5]>, [dx, dy]: [f32; 2], weight: f32) -> [f32; 5] {
    let [r2, r3, r4, r5, r6] = match next {
        Some(next) => [
            (prev[0] - next[0]) * 0.5,
            (prev[1] - next[1]) * 0.5,
            (prev[2] + next[2]) * 0.5,
            (prev[3] + next[3]) * 0.5,
            (prev[4] + next[4]) * 0.25,
        ],
        None => [prev[0] * 0.5, prev[1] * 0.5, prev[2], prev[3], prev[4] * 0.5],
    };
    let r2 = (r2 + (r4 * dy + r6 * dx)) * weight;
    let r3 = (r3 + (r6 * dy + r5 * dx)) * weight;
    let (r4, r5, r6) = (r4 * weight, r5 * weight, r6 * weight);
    [r4 * r4 + r6 * r6, (r4 + r5) * r6, r5 * r5 + r6 * r6, r4 * r2 + r6 * r3, r6 * r2 + r5 * r3]
}
