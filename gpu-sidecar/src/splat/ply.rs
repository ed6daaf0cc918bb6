//! PLY files of splats: SHARP's own layout written byte for byte, and any like it read.
//!
//! Owns both directions (SPEC of SHARP, section 11). Knows bytes; no model and no network.
//! Coordinates are OpenCV's, as everywhere in files of this kind. Start at [`write`] and [`read`].
//!
//! Departures: a cloud of no Gaussians has disparities of 0, where the reference fails.

mod header;
mod read;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::ops::Range;

use super::color::{component_to_harmonic, linear_to_srgb, logit};
use super::{Gaussians, Photo, blocks, stats};

pub use read::{Scene, read};

/// Columns of a vertex, all f32, in this order.
const COLUMNS: [&str; 14] = [
    "x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
    "rot_0", "rot_1", "rot_2", "rot_3",
];
/// Bytes of a vertex.
const STRIDE: usize = COLUMNS.len() * 4;
/// The elements after the vertices: name, count, type. Each has one property of its own name.
const METADATA: [(&str, usize, &str); 7] = [
    ("extrinsic", 16, "float"),
    ("intrinsic", 9, "float"),
    ("image_size", 2, "uint"),
    ("frame", 2, "int"),
    ("disparity", 2, "float"),
    ("color_space", 1, "uchar"),
    ("version", 3, "uchar"),
];
const SRGB: u8 = 0;
const VERSION: [u8; 3] = [1, 5, 0];
/// Vertices per block: 1.8 MiB, which the cache still holds when it is written.
const PER_BLOCK: usize = 1 << 15;

/// Writes `cloud`: colours as sRGB coefficients of degree 0, opacities as logits, scales as
/// logarithms. An opacity of 0 or 1 and a scale of 0 become infinities, as in the reference.
///
/// # Errors
/// Those of `out`.
pub fn write<W: Write + Send>(out: &mut W, cloud: &Gaussians, photo: &Photo) -> io::Result<()> {
    out.write_all(head(cloud.len()).as_bytes())?;
    let body = |range: Range<usize>, block: &mut Vec<u8>| {
        block.reserve(range.len() * STRIDE);
        for index in range {
            let columns = columns(cloud, index).map(f32::to_le_bytes);
            block.extend_from_slice(columns.as_flattened());
        }
    };
    let (written, disparity) = rayon::join(
        || blocks::write(out, cloud.len(), PER_BLOCK, body),
        || stats::disparity_quantiles(&cloud.means),
    );
    written?;
    out.write_all(&tail(cloud.len(), photo, disparity.unwrap_or_default()))
}

/// Bytes that [`write`] writes for `count` Gaussians.
#[must_use]
pub fn bytes(count: usize) -> u64 {
    let photo = Photo { width: 1, height: 1, focal_px: 1.0 };
    let tail = tail(count, &photo, [0.0; 2]).len();
    (head(count).len() + count * STRIDE + tail) as u64
}

fn columns(cloud: &Gaussians, index: usize) -> [f32; COLUMNS.len()] {
    let [x, y, z] = cloud.means[index];
    let [red, green, blue] =
        cloud.colors[index].map(|light| component_to_harmonic(linear_to_srgb(light)));
    let [a, b, c] = cloud.scales[index].map(f32::ln);
    let [rw, rx, ry, rz] = cloud.rotations[index];
    [x, y, z, red, green, blue, logit(cloud.opacities[index]), a, b, c, rw, rx, ry, rz]
}

fn head(count: usize) -> String {
    let mut text = format!("ply\nformat binary_little_endian 1.0\nelement vertex {count}\n");
    for column in COLUMNS {
        text += &format!("property float {column}\n");
    }
    for (name, count, kind) in METADATA {
        text += &format!("element {name} {count}\nproperty {kind} {name}\n");
    }
    text + "end_header\n"
}

/// The values of [`METADATA`].
fn tail(count: usize, photo: &Photo, disparity: [f32; 2]) -> Vec<u8> {
    let &Photo { width, height, focal_px } = photo;
    let extrinsic: [f32; 16] = std::array::from_fn(|at| if at % 5 == 0 { 1.0 } else { 0.0 });
    let (x, y) = (width as f32 * 0.5, height as f32 * 0.5);
    let intrinsic = [focal_px, 0.0, x, 0.0, focal_px, y, 0.0, 0.0, 1.0];
    let mut bytes = Vec::new();
    bytes.extend(extrinsic.into_iter().chain(intrinsic).flat_map(f32::to_le_bytes));
    bytes.extend([width, height, 1, count as u32].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(disparity.into_iter().flat_map(f32::to_le_bytes));
    bytes.push(SRGB);
    bytes.extend(VERSION);
    bytes
}
