//! From the bytes of an spz file to a cloud.
//!
//! Owns the limits of that way. Always: memory follows the bytes that really come out of the
//! stream, not the number of Gaussians that its head claims.

use std::io::Read;

use flate2::read::GzDecoder;
use rayon::prelude::*;

use super::{HEAD_BYTES, MAGIC, PART_STEPS, PIECE, Version, component};
use crate::splat::color::srgb_to_linear;
use crate::splat::{Gaussians, ReadError, axes, quaternion};

/// Bits after the point; with more a position would be below 1 m at most.
const FRACTION_BITS_MAX: u8 = 23;

/// Reads a file of version 2 or 3. Harmonics above degree 0 are passed over.
///
/// # Errors
/// A file that is no such stream, is cut off, or holds more than
/// [`GAUSSIANS_MAX`](crate::splat::GAUSSIANS_MAX).
pub fn read(bytes: &[u8]) -> Result<Gaussians, ReadError> {
    let mut stream = GzDecoder::new(bytes);
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).map_err(|error| fault(format!("its head: {error}")))?;
    let words = head.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word));
    let [magic, version, count] = words.take(3).collect::<Vec<_>>()[..] else {
        return Err(fault("its head".into()));
    };
    if magic != MAGIC {
        return Err(fault("it does not begin with `NGSP`".into()));
    }
    let version = match version {
        2 => Version::V2,
        3 => Version::V3,
        other => return Err(ReadError::Unsupported(format!("version {other} of spz (2, 3 are)"))),
    };
    let count = ReadError::check_count(u64::from(count))?;
    let bits = head[13];
    if bits > FRACTION_BITS_MAX {
        return Err(ReadError::Unsupported(format!("a fraction of {bits} bits")));
    }
    let want = count * (16 + version.rotation_bytes());
    let mut body = Vec::new();
    let cut = |error| ReadError::Truncated(format!("{count} Gaussians: {error}"));
    stream.take(want as u64).read_to_end(&mut body).map_err(cut)?;
    if body.len() < want {
        return Err(ReadError::Truncated(format!("{count} Gaussians")));
    }
    Ok(cloud(&body, count, version, bits))
}

fn cloud(body: &[u8], count: usize, version: Version, bits: u8) -> Gaussians {
    let (positions, rest) = body.split_at(count * 9);
    let (opacities, rest) = rest.split_at(count);
    let (colors, rest) = rest.split_at(count * 3);
    let (scales, rotations) = rest.split_at(count * 3);
    let step = 1.0 / (1u32 << bits) as f32;
    let rotations = match version {
        Version::V2 => each(rotations, first_three),
        Version::V3 => each(rotations, |packed| smallest_three(u32::from_le_bytes(packed))),
    };
    Gaussians {
        means: each(positions, |[a, b, c, d, e, f, g, h, i]: [u8; 9]| {
            // The sign bit is the top one of 24.
            let at = |bytes: [u8; 3]| {
                let [low, middle, high] = bytes;
                (i32::from_le_bytes([0, low, middle, high]) >> 8) as f32 * step
            };
            [at([a, b, c]), -at([d, e, f]), -at([g, h, i])]
        }),
        scales: each(scales, |scales: [u8; 3]| {
            scales.map(|byte| (f32::from(byte) / 16.0 - 10.0).exp())
        }),
        rotations,
        colors: each(colors, |color: [u8; 3]| color.map(|byte| srgb_to_linear(component(byte)))),
        opacities: each(opacities, |[byte]: [u8; 1]| f32::from(byte) / 255.0),
    }
}

fn each<T: Send, const N: usize>(section: &[u8], form: impl Fn([u8; N]) -> T + Sync) -> Vec<T> {
    section.as_chunks::<N>().0.par_iter().with_min_len(PIECE).map(|&bytes| form(bytes)).collect()
}

fn first_three(bytes: [u8; 3]) -> [f32; 4] {
    let [x, y, z] = bytes.map(|byte| f32::from(byte) / 127.5 - 1.0);
    let w = (1.0 - x * x - y * y - z * z).max(0.0).sqrt();
    axes::turned(quaternion::normalized([w, x, y, z]))
}

fn smallest_three(packed: u32) -> [f32; 4] {
    let kept = [20, 10, 0].map(|shift| {
        let size = (packed >> shift & 0x1ff) as f32 / PART_STEPS * std::f32::consts::FRAC_1_SQRT_2;
        if packed >> shift & 0x200 == 0 { size } else { -size }
    });
    let [x, y, z, w] = quaternion::of_smallest_three((packed >> 30) as usize, kept);
    axes::turned([w, x, y, z])
}

fn fault(detail: String) -> ReadError {
    ReadError::Format { format: "spz", detail }
}
