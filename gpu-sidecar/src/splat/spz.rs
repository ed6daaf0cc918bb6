//! Niantic's compact files of splats, versions 2 and 3: written and read.
//!
//! Owns both directions, after the format's public description (README of nianticlabs/spz) and what
//! its public readers agree on. A gzip stream of a 16-byte head and then, attribute by attribute:
//! positions in 24-bit fixed point, opacities, colours, logarithms of scales and rotations in 8 to
//! 10 bits. Axes are OpenGL's (right, up, backward), so clouds are turned on the way.
//!
//! Precision: positions to half of 2^-12 m within 2 km, and a bit less for each doubling past that;
//! opacity to 0.002; sRGB colours to 0.0037 (cut to -0.44 and 1.44); scales to 3.2 % from 45 µm to
//! 380 m; rotations to a third of a degree (version 3), or to about a degree, but 14 where their w
//! is near 0 (version 2).

mod read;

use std::io::{self, Write};

use rayon::prelude::*;

use super::color::{HARMONIC_0, byte, component_to_harmonic, linear_to_srgb};
use super::{Gaussians, axes, gzip, quaternion};

pub use read::read;

/// `NGSP`, little-endian.
const MAGIC: u32 = 0x5053_474e;
const HEAD_BYTES: usize = 16;
/// Fixed-point bits after the point when the cloud is small enough; writers' usual choice.
const FRACTION_BITS: u8 = 12;
/// Largest 24-bit number.
const FIXED_MAX: f32 = 8_388_607.0;
/// Of a coefficient: leaves room for colours past 0 to 1.
const COLOR_SCALE: f32 = 0.15;
/// Steps of a rotation's part on each side of 0, version 3.
const PART_STEPS: f32 = 511.0;
/// Gaussians per piece of work.
const PIECE: usize = 1 << 12;

/// Which of the two layouts; they differ in the rotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Three parts of 8 bits, the fourth from them; read by older programs too.
    V2,
    /// The three smaller parts, 10 bits each.
    #[default]
    V3,
}

impl Version {
    fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// Bytes of a rotation.
    fn rotation_bytes(self) -> usize {
        match self {
            Self::V2 => 3,
            Self::V3 => 4,
        }
    }
}

/// Writes `cloud`. What is past a range becomes its end; a position that is NaN becomes 0.
///
/// # Errors
/// Those of `out`.
pub fn write<W: Write + Send>(out: &mut W, cloud: &Gaussians, version: Version) -> io::Result<()> {
    let count = cloud.len();
    let bits = fraction_bits(&cloud.means);
    let mut payload = vec![0; HEAD_BYTES + count * (16 + version.rotation_bytes())];
    let (head, rest) = payload.split_at_mut(HEAD_BYTES);
    head[..4].copy_from_slice(&MAGIC.to_le_bytes());
    head[4..8].copy_from_slice(&version.number().to_le_bytes());
    head[8..12].copy_from_slice(&(count as u32).to_le_bytes());
    // No harmonics above degree 0, not trained with antialiasing.
    head[12..].copy_from_slice(&[0, bits, 0, 0]);
    let (positions, rest) = rest.split_at_mut(count * 9);
    let (opacities, rest) = rest.split_at_mut(count);
    let (colors, rest) = rest.split_at_mut(count * 3);
    let (scales, rotations) = rest.split_at_mut(count * 3);
    let step = f32::from(1u16 << bits);
    each(positions, &cloud.means, |[x, y, z]| {
        let fixed = [x, -y, -z].map(|at| {
            let at = (at * step).clamp(-FIXED_MAX, FIXED_MAX);
            (at + 0.5f32.copysign(at)) as i32
        });
        let [x, y, z] = fixed.map(i32::to_le_bytes);
        [x[0], x[1], x[2], y[0], y[1], y[2], z[0], z[1], z[2]]
    });
    each(opacities, &cloud.opacities, |opacity| [byte(opacity)]);
    each(colors, &cloud.colors, |color| {
        color.map(|light| {
            let coefficient = component_to_harmonic(linear_to_srgb(light));
            byte(coefficient * COLOR_SCALE + 0.5)
        })
    });
    each(scales, &cloud.scales, |scales| scales.map(scale_byte));
    match version {
        Version::V2 => each(rotations, &cloud.rotations, |rotation| first_three(unit(rotation))),
        Version::V3 => each(rotations, &cloud.rotations, |rotation| {
            smallest_three(unit(rotation)).to_le_bytes()
        }),
    }
    gzip::write(out, &payload)
}

/// `form` of each item into its `N` bytes of `section`.
fn each<T: Copy + Sync, const N: usize>(
    section: &mut [u8],
    items: &[T],
    form: impl Fn(T) -> [u8; N] + Sync,
) {
    let pieces = section.as_chunks_mut::<N>().0.par_chunks_mut(PIECE);
    pieces.zip(items.par_chunks(PIECE)).for_each(|(bytes, items)| {
        for (bytes, &item) in bytes.iter_mut().zip(items) {
            *bytes = form(item);
        }
    });
}

/// As many as leave room for the farthest coordinate.
fn fraction_bits(means: &[[f32; 3]]) -> u8 {
    let finite = means.as_flattened().iter().map(|at| at.abs()).filter(|at| at.is_finite());
    let farthest = finite.fold(0.0, f32::max);
    let fits = |bits: &u8| farthest * f32::from(1u16 << bits) <= FIXED_MAX;
    (0..=FRACTION_BITS).rev().find(fits).unwrap_or(0)
}

/// Sixteenths of a natural logarithm, from -10.
fn scale_byte(scale: f32) -> u8 {
    ((scale.ln() + 10.0) * 16.0 + 0.5) as u8
}

/// x, y, z, w of length 1 with OpenGL's axes.
fn unit(rotation: [f32; 4]) -> [f32; 4] {
    let [w, x, y, z] = axes::turned(quaternion::normalized(rotation));
    [x, y, z, w]
}

/// x, y and z of the form with a positive w.
fn first_three([x, y, z, w]: [f32; 4]) -> [u8; 3] {
    let sign = if w < 0.0 { -127.5 } else { 127.5 };
    [x, y, z].map(|part| (part * sign + 128.0) as u8)
}

/// From the top: the place of the largest of x, y, z, w in 2 bits, then sign and size of the
/// others in 1 and 9 bits each.
fn smallest_three(rotation: [f32; 4]) -> u32 {
    let (largest, kept) = quaternion::smallest_three(rotation);
    kept.iter().fold(largest as u32, |packed, part| {
        let size = (part.abs() * std::f32::consts::SQRT_2 * PART_STEPS + 0.5).min(PART_STEPS);
        packed << 10 | u32::from(*part < 0.0) << 9 | size as u32
    })
}

/// A colour's component from its byte; light is what comes of it.
fn component(byte: u8) -> f32 {
    (f32::from(byte) / 255.0 - 0.5) / COLOR_SCALE * HARMONIC_0 + 0.5
}

#[cfg(test)]
mod tests;
