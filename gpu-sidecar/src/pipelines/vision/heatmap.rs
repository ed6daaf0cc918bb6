//! The structural heatmap: how much the picture changes around each pixel, in colours.
//!
//! Owns the measure, its scale and the legend. The measure is the root mean square of the gradient
//! (3 × 3 Sobel, gray levels a pixel) over a square window; the scale ends at the value that one
//! pixel in a hundred passes, so that a single glint does not darken all the rest.

use super::canvas::{Canvas, Rect, text_size};
use super::color_map::{Ramp, scale_end};
use crate::media::Frame;
use crate::vision::plane::Plane;

/// Height of the strip below the picture that holds the legend.
pub(super) const LEGEND_ROWS: usize = 28;
const SOBEL_SUM: f64 = 8.0;

/// Gray `(H, W)` as a coloured picture `(H + LEGEND_ROWS, W)`.
pub(super) fn heatmap(gray: &Plane<u8>, window: u32) -> Frame {
    let energy = energy(gray, window as usize / 2);
    // At least one gray level: a flat picture is dark, not noise.
    let end = scale_end(energy.data()).max(1.0);
    let ramp = Ramp::new();
    let (width, height) = gray.size();
    let colors = energy.map(|value| ramp.at(f64::from(value) / end));
    let mut pixels = colors.into_data();
    pixels.resize(width * (height + LEGEND_ROWS), [16; 3]);
    let mut canvas = Canvas::new((width, height + LEGEND_ROWS), pixels);
    let bar = width.saturating_sub(8).max(1);
    let color = |x: usize| ramp.at(x as f64 / bar as f64);
    canvas.fill(Rect(4, height + 4, bar, 9), color);
    let top = height + 17;
    canvas.text((4, top), 1, "0");
    let title = "GRADIENT - GRAY LEVELS/PX";
    let last = format!("{end:.1}");
    let (title_width, last_width) = (text_size(1, title).0, text_size(1, &last).0);
    // Where the picture is narrow the numbers matter more than their name.
    if width > title_width + 2 * last_width + 32 {
        canvas.text(((width - title_width) / 2, top), 1, title);
    }
    canvas.text(((width + 1).saturating_sub(last_width + 4), top), 1, &last);
    canvas.into_frame()
}

/// Root mean square gradient over the window of `radius`, cut at the border; `(H, W)`.
fn energy(gray: &Plane<u8>, radius: usize) -> Plane<f32> {
    let (width, height) = gray.size();
    let mut energy = Vec::with_capacity(width * height);
    // Sums of each column over the rows of the window, which slides down row by row.
    let mut columns = vec![0u64; width];
    let mut row = vec![0u32; width];
    let mut add = |columns: &mut [u64], y: usize, sign: bool| {
        squares(gray, y, &mut row);
        for (column, &square) in columns.iter_mut().zip(&row) {
            let square = u64::from(square);
            *column = if sign { *column + square } else { *column - square };
        }
    };
    for y in 0..radius.min(height) {
        add(&mut columns, y, true);
    }
    for y in 0..height {
        if y + radius < height {
            add(&mut columns, y + radius, true);
        }
        if y > radius {
            add(&mut columns, y - radius - 1, false);
        }
        let rows = (y + radius + 1).min(height) - y.saturating_sub(radius);
        let mut sum: u64 = columns[..radius.min(width)].iter().sum();
        for x in 0..width {
            sum += columns.get(x + radius).copied().unwrap_or(0);
            sum -= if x > radius { columns[x - radius - 1] } else { 0 };
            let count = rows * ((x + radius + 1).min(width) - x.saturating_sub(radius));
            energy.push(((sum as f64 / count as f64).sqrt() / SOBEL_SUM) as f32);
        }
    }
    Plane::new(width, height, energy).expect("a value for each pixel was pushed")
}

/// Squared Sobel gradients of row `y`; the border repeats its pixels.
fn squares(gray: &Plane<u8>, y: usize, out: &mut [u32]) {
    let (width, height) = gray.size();
    let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)].map(|y| gray.row(y));
    for (x, out) in out.iter_mut().enumerate() {
        let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
        let [above, here, below] = rows.map(|row| [left, x, right].map(|x| i32::from(row[x])));
        let dx = above[2] + 2 * here[2] + below[2] - above[0] - 2 * here[0] - below[0];
        let dy = below[0] + 2 * below[1] + below[2] - above[0] - 2 * above[1] - above[2];
        *out = (dx * dx + dy * dy).unsigned_abs();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Plane<u8> {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let data = pixels.map(|(x, y)| value(x, y)).collect();
        Plane::new(width, height, data).expect("fits")
    }

    /// The definition, pixel by pixel.
    fn energy_slow(gray: &Plane<u8>, radius: usize) -> Vec<f32> {
        let (width, height) = gray.size();
        let mut rows = vec![vec![0; width]; height];
        for (y, row) in rows.iter_mut().enumerate() {
            squares(gray, y, row);
        }
        let mut out = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let ys = y.saturating_sub(radius)..(y + radius + 1).min(height);
                let xs = x.saturating_sub(radius)..(x + radius + 1).min(width);
                let count = (ys.len() * xs.len()) as f64;
                let sum: u64 =
                    rows[ys].iter().flat_map(|row| &row[xs.clone()]).map(|&v| u64::from(v)).sum();
                out.push(((sum as f64 / count).sqrt() / SOBEL_SUM) as f32);
            }
        }
        out
    }

    #[test]
    fn sliding_sums_are_the_sums_of_the_window() {
        for (width, height, radius) in [(13, 9, 1), (13, 9, 4), (5, 20, 15), (1, 1, 3), (40, 3, 2)]
        {
            let gray = plane(width, height, |x, y| ((x * 37) ^ (y * 91)) as u8);
            assert_eq!(
                energy(&gray, radius).data(),
                energy_slow(&gray, radius),
                "{width} {height} {radius}"
            );
        }
    }

    #[test]
    fn an_even_slope_has_its_gradient_everywhere_inside() {
        let gray = plane(40, 30, |x, _| (x * 5) as u8);
        let energy = energy(&gray, 3);
        assert_eq!(energy.row(15)[20], 5.0);
    }

    #[test]
    fn structure_is_light_and_a_flat_field_is_dark() {
        let gray =
            plane(200, 100, |x, y| if x < 100 { 128 } else { ((x / 2 + y / 2) % 2 * 255) as u8 });
        let map = heatmap(&gray, 9);
        assert_eq!(map.size(), (200, 100 + LEGEND_ROWS));
        let light = |[r, g, b]: [u8; 3]| u32::from(r) + u32::from(g) + u32::from(b);
        assert!(light(map.row(50)[30]) < light(map.row(50)[150]));
        // The legend's bar runs through the same colours.
        assert!(light(map.row(106)[6]) < light(map.row(106)[190]));
        assert!(map.data()[200 * 116..].contains(&[255; 3]), "numbers");
        let tiny = heatmap(&plane(10, 10, |_, _| 0), 3);
        assert_eq!(tiny.size(), (10, 10 + LEGEND_ROWS));
    }
}
