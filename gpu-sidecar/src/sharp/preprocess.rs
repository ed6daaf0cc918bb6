//! The picture as the network takes it (SPEC 2.4).

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use crate::media::Frame;

/// `frame` as `[1, 3, side, side]` from 0 to 1: bilinear with aligned corners, without a low-pass
/// and without keeping the aspect ratio, as the network was trained.
///
/// # Errors
/// The device has no room.
pub fn resize(frame: &Frame, side: usize, device: &Device) -> Result<Tensor> {
    let columns = taps(frame.width(), side);
    let rows = taps(frame.height(), side);
    let mut planes = vec![0f32; 3 * side * side];
    let (red, rest) = planes.split_at_mut(side * side);
    let (green, blue) = rest.split_at_mut(side * side);
    let lines = red.par_chunks_mut(side).zip(green.par_chunks_mut(side));
    let lines = lines.zip(blue.par_chunks_mut(side)).zip(&rows);
    lines.for_each(|(((red, green), blue), row)| {
        let (above, below) = (frame.row(row.first), frame.row(row.second));
        for (x, column) in columns.iter().enumerate() {
            let value = |channel: usize| {
                let at = |line: &[[u8; 3]], x: usize| f32::from(line[x][channel]) / 255.0;
                let along =
                    |line| mix(at(line, column.first), at(line, column.second), column.weight);
                mix(along(above), along(below), row.weight)
            };
            (red[x], green[x], blue[x]) = (value(0), value(1), value(2));
        }
    });
    Tensor::from_vec(planes, (1, 3, side, side), device)
}

/// Two samples of a line and the weight of the second.
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

fn taps(count_in: usize, count_out: usize) -> Vec<Tap> {
    let step = if count_out > 1 { (count_in - 1) as f32 / (count_out - 1) as f32 } else { 0.0 };
    let tap = |index: usize| {
        let at = index as f32 * step;
        let first = (at as usize).min(count_in - 1);
        Tap { first, second: (first + 1).min(count_in - 1), weight: at - first as f32 }
    };
    (0..count_out).map(tap).collect()
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    (1.0 - t) * a + t * b
}
