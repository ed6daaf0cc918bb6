//! From files to the network's input: decoding, orientation, focal length, resizing.
//!
//! Where upstream's decoding is a slip (palette indices taken for gray, 16 bits divided by 255),
//! ours departs on purpose; those pictures are compared as far as both agree.

use std::sync::Arc;

use candle_core::Device;
use serde::Deserialize;

use super::tensors::{bytes, compare};
use crate::check_case::golden::Golden;
use crate::check_case::stage::Tolerance;
use crate::check_case::{Case, CheckError, Stage};
use crate::media::{Frame, photo};
use crate::sharp::focal::{self, Lens};
use crate::sharp::preprocess::resize;

/// Of the focal lengths.
const RELATIVE: f64 = 1e-6;
/// Between JPEG decoders.
const JPEG_MAX: f64 = 3.0;

#[derive(Deserialize)]
struct Manifest {
    files: Vec<PhotoFile>,
    focal_table: Vec<Focal>,
}

#[derive(Deserialize)]
struct PhotoFile {
    file: String,
    upstream_quirk: bool,
    width: usize,
    height: usize,
    f_px: f64,
    disparity_factor: f64,
    pixels: String,
    tolerance: String,
}

#[derive(Deserialize)]
struct Focal {
    width: usize,
    height: usize,
    f_mm: f64,
    f_px: f64,
}

#[derive(Deserialize)]
struct Resizes {
    resizes: Vec<Resize>,
}

#[derive(Deserialize)]
struct Resize {
    size: usize,
}

pub(super) fn run(mut golden: Golden, device: &Device) -> Result<Case, CheckError> {
    let manifest = Manifest::deserialize(&golden.manifest)
        .map_err(|error| golden.unsupported(error.to_string()))?;
    for file in &manifest.files {
        for stage in check_file(&golden, file)? {
            golden.push(stage);
        }
    }
    for row in &manifest.focal_table {
        let got = focal::pixels(row.f_mm, row.width, row.height);
        let name = format!("focal.{}x{}", row.width, row.height);
        golden.push(Stage::compare(&name, [got], [row.f_px], Tolerance::Relative(RELATIVE)));
    }
    let Resizes { resizes } = golden.config()?;
    for (index, Resize { size }) in resizes.into_iter().enumerate() {
        let (shape, pixels) = bytes(&golden, &format!("input.resize{index}"))?;
        let &[height, width, 3] = shape else {
            return Err(golden.unsupported("a picture to resize has no three channels"));
        };
        let frame = Frame::new(width, height, pixels.as_chunks().0.to_vec());
        let frame = frame.map_err(|e| golden.refused(e))?;
        let value = resize(&frame, size, device).map_err(|e| golden.refused(e))?;
        compare(&mut golden, &format!("resize{index}"), &value)?;
    }
    Ok(golden.finish())
}

fn check_file(golden: &Golden, file: &PhotoFile) -> Result<Vec<Stage>, CheckError> {
    let path = golden.dir.join(&file.file);
    let photo = photo(&path, "image", &Arc::default()).map_err(|e| golden.refused(e))?;
    let lens = Lens { equivalent_mm: photo.focal_35mm, focal_mm: photo.focal_mm };
    let (width, height) = photo.frame.size();
    let focal_px = focal::pixels(lens.full_frame_mm().0, width, height);
    let relative = |name: &str, got: f64, want: f64| {
        let name = format!("{name}.{}", file.file);
        Stage::compare(&name, [got], [want], Tolerance::Relative(RELATIVE))
    };
    let mut stages = vec![relative("f_px", focal_px, file.f_px)];
    let want = golden.listed(&file.pixels)?.values.to_f64();
    let got: Vec<f64> = photo.frame.data().as_flattened().iter().map(|&v| v.into()).collect();
    let name = format!("pixels.{}", file.file);
    if !file.upstream_quirk {
        let size = [(width, file.width), (height, file.height)];
        stages.push(relative("factor", focal_px / width as f64, file.disparity_factor));
        let [width, height] = size.map(|(got, want)| (got as f64, want as f64));
        stages.push(relative("width", width.0, width.1));
        stages.push(relative("height", height.0, height.1));
        let tolerance = if file.tolerance == "exact" {
            Tolerance::Exact
        } else {
            Tolerance::Absolute(JPEG_MAX)
        };
        stages.push(Stage::compare(&name, got, want, tolerance));
        return Ok(stages);
    }
    // Ours of what upstream gives: 16 bits as 8, black and white as 0 and 255, mirrored pictures
    // set right. Of a palette upstream keeps the indices, which say nothing of the colours.
    let departs = format!("{name} (departs)");
    let want: Option<Vec<f64>> = match file.file.rsplit('/').next().unwrap_or_default() {
        "grey16.png" => Some(want.iter().map(|v| (v / 257.0).round()).collect()),
        "bilevel.png" => Some(want.iter().map(|v| v * 255.0).collect()),
        "rot5_ignored.png" => Some(transposed(&want, file.width, file.height)),
        "palette.png" => None,
        other => return Err(golden.unsupported(format!("a departure for {other}"))),
    };
    stages.extend(want.map(|want| Stage::compare(&departs, got, want, Tolerance::Exact)));
    Ok(stages)
}

/// Rows become columns.
fn transposed(values: &[f64], width: usize, height: usize) -> Vec<f64> {
    let pixel = |x: usize, y: usize| values[3 * (y * width + x)..][..3].to_vec();
    (0..width).flat_map(|x| (0..height).flat_map(move |y| pixel(x, y))).collect()
}
