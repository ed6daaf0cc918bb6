//! The pictures that are measured: made by rule, so that every machine has the same ones.
//!
//! Owns the three scenes. `shapes` moves over a soft texture, as most video does; `textured` has
//! edges everywhere; `noise` is the worst case. Another program reads them as raw bytes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use postern_sidecar::vision::gray::gray_from_bgr;
use postern_sidecar::vision::plane::Plane;

/// Width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl std::str::FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (width, height) = text.split_once('x').context("a size is written 1280x720")?;
        Ok(Self { width: width.parse()?, height: height.parse()? })
    }
}

/// What the kernels are given.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    pub(crate) color: Plane<[u8; 3]>,
    pub(crate) shapes: Plane<u8>,
    pub(crate) shapes_next: Plane<u8>,
    pub(crate) textured: Plane<u8>,
    pub(crate) noise: Plane<u8>,
}

impl Frames {
    pub(crate) fn new(size: Size) -> Result<Self> {
        let color = shapes(size, 0.0)?;
        let shapes_next = gray_from_bgr(&shapes(size, 1.0)?);
        let noise = Random(7).plane(size)?;
        let textured = soften(&Random(11).plane(size)?, size)?;
        Ok(Self { shapes: gray_from_bgr(&color), color, shapes_next, textured, noise })
    }

    /// Writes every frame as raw samples: `<name>-<width>x<height>.raw`.
    pub(crate) fn write(&self, folder: &Path, size: Size) -> Result<()> {
        let frames = [
            ("color", self.color.data().as_flattened()),
            ("shapes", self.shapes.data()),
            ("shapes_next", self.shapes_next.data()),
            ("textured", self.textured.data()),
            ("noise", self.noise.data()),
        ];
        for (name, samples) in frames {
            let file = file(folder, name, size);
            std::fs::write(&file, samples).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }
}

fn file(folder: &Path, name: &str, size: Size) -> PathBuf {
    folder.join(format!("{name}-{}x{}.raw", size.width, size.height))
}

/// Discs and squares with shading that drift over slow waves; `time` counts frames.
fn shapes(size: Size, time: f64) -> Result<Plane<[u8; 3]>> {
    let (width, height) = (size.width as f64, size.height as f64);
    let mut data = Vec::with_capacity(size.width * size.height);
    for y in 0..size.height {
        for x in 0..size.width {
            let (x, y) = (x as f64 - 0.7 * time, y as f64 - 0.4 * time);
            let waves = (x / 23.0).sin() * (y / 31.0).cos() + 0.5 * ((x + 2.0 * y) / 13.0).sin();
            let ground = 120.0 + 12.0 * waves;
            let mut pixel = [ground, ground + 8.0, ground - 10.0];
            for i in 0..12 {
                let turn = f64::from(i);
                let side = height * (0.05 + 0.012 * turn);
                let from_x = x - width * (0.06 + 0.08 * turn) - (turn - 5.0) * time;
                let from_y = y - height * (0.5 + 0.35 * (turn * 1.7).sin()) - 0.5 * turn * time;
                let inside = if i % 2 == 0 {
                    from_x.hypot(from_y) < side
                } else {
                    from_x.abs().max(from_y.abs()) < side * 0.8
                };
                if inside {
                    let shade = 30.0 + 17.0 * turn + 9.0 * (from_x / side + from_y / side);
                    pixel = [shade, shade * 0.8 + 20.0, 235.0 - shade * 0.7];
                }
            }
            data.push(pixel.map(|value| value.round().clamp(0.0, 255.0) as u8));
        }
    }
    Ok(Plane::new(size.width, size.height, data)?)
}

/// The mean over 3×3 pixels: fine texture with a gradient nearly everywhere.
fn soften(image: &Plane<u8>, size: Size) -> Result<Plane<u8>> {
    let at =
        |x: usize, y: usize| u32::from(image.row(y.min(size.height - 1))[x.min(size.width - 1)]);
    let mut data = Vec::with_capacity(size.width * size.height);
    for y in 0..size.height {
        for x in 0..size.width {
            let cells = (0..9).map(|i| at((x + i % 3).max(1) - 1, (y + i / 3).max(1) - 1));
            data.push((cells.sum::<u32>() / 9) as u8);
        }
    }
    Ok(Plane::new(size.width, size.height, data)?)
}

/// A linear congruential generator.
struct Random(u32);

impl Random {
    fn plane(&mut self, size: Size) -> Result<Plane<u8>> {
        let samples = (0..size.width * size.height).map(|_| self.next()).collect();
        Ok(Plane::new(size.width, size.height, samples)?)
    }

    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as u8
    }
}
