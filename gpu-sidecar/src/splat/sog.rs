//! PlayCanvas's SOG files, version 2: a cloud as pictures in a zip archive. Written only.
//!
//! Owns the layout, after PlayCanvas's public specification ("The SOG Format") and, where that is
//! silent (order of a quaternion's parts, logarithms of scales, axes), after what its public reader
//! takes: w, x, y, z; natural logarithms; the axes of PLY files, OpenCV's. One pixel a Gaussian in
//! each picture, row by row, lossless WebP.
//!
//! Precision: positions to 1 part in 131,070 of the cloud's extent in `sign(x) ln(1 + |x|)`; scales
//! and colours to 1 part in 510 of the range of their logarithms and coefficients; opacity to
//! 0.002; rotations to about half a degree.

use std::io::{self, Seek, Write};
use std::ops::Range;

use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::color::{byte, component_to_harmonic, linear_to_srgb};
use super::{Gaussians, quaternion};

/// Smallest scale that is told apart from 0, metres: keeps the range of logarithms small.
const SCALE_MIN: f32 = 1e-7;
/// Gaussians per piece of work.
const PIECE: usize = 1 << 12;
/// Marks the pixel whose quaternion lacks its first part; the next three lack the others.
const LARGEST_FIRST: u8 = 252;

/// Writes `cloud`. A position that is not finite becomes 0, another number an end of its range.
///
/// # Errors
/// Those of `out`.
pub fn write<W: Write + Seek>(out: W, cloud: &Gaussians) -> io::Result<()> {
    let grid = Grid::of(cloud.len());
    let extents =
        [0, 1, 2].map(|axis: usize| range(cloud.means.iter().map(|mean| log(mean[axis]))));
    let scales = range(cloud.scales.as_flattened().iter().map(|&scale| scale_log(scale)));
    let colors = range(cloud.colors.as_flattened().iter().map(|&light| coefficient(light)));
    let positions = |shift: u32| {
        grid.pixels(&cloud.means, |mean: [f32; 3]| {
            [0, 1, 2].map(|axis: usize| {
                (share(log(mean[axis]), &extents[axis], 65535.0) as u32 >> shift) as u8
            })
        })
    };
    let draw: [(&str, &(dyn Fn() -> Picture + Sync)); 5] = [
        ("means_l.webp", &|| positions(0)),
        ("means_u.webp", &|| positions(8)),
        ("scales.webp", &|| {
            grid.pixels(&cloud.scales, |of: [f32; 3]| {
                of.map(|scale| share(scale_log(scale), &scales, 255.0) as u8)
            })
        }),
        ("quats.webp", &|| grid.pixels(&cloud.rotations, rotation_pixel)),
        ("sh0.webp", &|| {
            let rows: Vec<_> = cloud.colors.iter().zip(&cloud.opacities).collect();
            grid.pixels(&rows, |(color, &opacity): (&[f32; 3], &f32)| {
                let [r, g, b] = color.map(|light| share(coefficient(light), &colors, 255.0) as u8);
                [r, g, b, byte(opacity)]
            })
        }),
    ];
    let files = draw.par_iter().map(|(name, draw)| Ok((*name, grid.webp(&draw())?)));
    let files = files.collect::<io::Result<Vec<_>>>()?;
    let meta = json!({
        "version": 2,
        "count": cloud.len(),
        "antialias": false,
        "means": {
            "mins": extents.clone().map(|extent| extent.start),
            "maxs": extents.map(|extent| extent.end),
            "files": ["means_l.webp", "means_u.webp"],
        },
        "scales": { "codebook": codebook(&scales), "files": ["scales.webp"] },
        "quats": { "files": ["quats.webp"] },
        "sh0": { "codebook": codebook(&colors), "files": ["sh0.webp"] },
    });
    let mut archive = ZipWriter::new(out);
    // Pictures are compressed already; the rest is a few kilobytes.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file("meta.json", options)?;
    archive.write_all(meta.to_string().as_bytes())?;
    for (name, bytes) in files {
        archive.start_file(name, options)?;
        archive.write_all(&bytes)?;
    }
    archive.finish()?.flush()
}

/// Bytes of pixels, and how many each has.
struct Picture {
    bytes: Vec<u8>,
    channels: usize,
}

/// Width and height of every picture; at least one pixel, as a picture has to have one.
struct Grid {
    width: usize,
    height: usize,
}

impl Grid {
    fn of(count: usize) -> Self {
        let width = ((count as f64).sqrt().ceil() as usize).max(1);
        Self { width, height: count.div_ceil(width).max(1) }
    }

    fn pixels<T: Copy + Sync, const N: usize>(
        &self,
        items: &[T],
        form: impl Fn(T) -> [u8; N] + Sync,
    ) -> Picture {
        let mut bytes = vec![0; self.width * self.height * N];
        let pieces = bytes.as_chunks_mut::<N>().0.par_chunks_mut(PIECE);
        pieces.zip(items.par_chunks(PIECE)).for_each(|(pixels, items)| {
            for (pixel, &item) in pixels.iter_mut().zip(items) {
                *pixel = form(item);
            }
        });
        Picture { bytes, channels: N }
    }

    fn webp(&self, picture: &Picture) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let color = match picture.channels {
            3 => ExtendedColorType::Rgb8,
            _ => ExtendedColorType::Rgba8,
        };
        let (width, height) = (self.width as u32, self.height as u32);
        let encoder = WebPEncoder::new_lossless(&mut out);
        encoder.write_image(&picture.bytes, width, height, color).map_err(io::Error::other)?;
        Ok(out)
    }
}

/// The three smaller parts, from -√½ to √½ in 255 steps, and which is the fourth.
fn rotation_pixel(rotation: [f32; 4]) -> [u8; 4] {
    let (largest, kept) = quaternion::smallest_three(quaternion::normalized(rotation));
    let [a, b, c] = kept.map(|part| byte(part * std::f32::consts::FRAC_1_SQRT_2 + 0.5));
    [a, b, c, LARGEST_FIRST + largest as u8]
}

/// Squeezes far positions together: most of a scene is near.
fn log(position: f32) -> f32 {
    if position.is_finite() { position.abs().ln_1p().copysign(position) } else { 0.0 }
}

fn scale_log(scale: f32) -> f32 {
    scale.max(SCALE_MIN).ln()
}

fn coefficient(light: f32) -> f32 {
    component_to_harmonic(linear_to_srgb(light))
}

/// From the least to the greatest finite value; 0 to 0 if there is none.
fn range(values: impl Iterator<Item = f32>) -> Range<f32> {
    let finite = values.filter(|value| value.is_finite());
    let ends =
        finite.map(|value| value..value).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    ends.unwrap_or(0.0..0.0)
}

/// Where `value` is in `range`, in `steps` of it, rounded.
fn share(value: f32, range: &Range<f32>, steps: f32) -> f32 {
    let length = range.end - range.start;
    if length > 0.0 { ((value - range.start) / length * steps).round() } else { 0.0 }
}

/// What each of 256 bytes stands for: even steps over `range`.
fn codebook(range: &Range<f32>) -> Vec<f32> {
    let length = range.end - range.start;
    (0..256).map(|step| range.start + length * (step as f32 / 255.0)).collect()
}

#[cfg(test)]
mod tests;
