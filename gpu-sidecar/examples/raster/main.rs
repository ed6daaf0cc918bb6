//! Times the rasteriser on a cloud as large as SHARP's, and writes what it drew.
//!
//! Owns the clock of that measurement and the cloud: two layers of a Gaussian per pixel of a
//! relief.
//! `raster [FRAMES [PHOTO [OUT.png [OUT.mp4]]]]`: so many frames along the default trajectory; the
//! colours and the relief come from the photo, or from a pattern where there is none (`-`).

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads clocks and prints"
)]

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use image::RgbImage;
use image::imageops::FilterType;
use postern_sidecar::pipeline::Cancel;
use postern_sidecar::splat::Gaussians;
use postern_sidecar::splat::camera::{Camera, Pose};
use postern_sidecar::splat::preview::{Filmed, render_video};
use postern_sidecar::splat::raster::{Rasteriser, Settings};
use postern_sidecar::splat::trajectory::{self, Depths, Path};

/// Gaussians along a side of a layer, as the model's.
const SIDE: u32 = 768;
const LAYERS: usize = 2;
/// The photo's size where there is none, and its focal length for each pixel of width.
const SIZE: (u32, u32) = (1536, 1152);
const FOCAL: f64 = 0.83;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let frames = arguments.first().map_or(Ok(10), |count| count.parse()).context("FRAMES")?;
    let photo = match arguments.get(1).filter(|path| *path != "-") {
        Some(path) => image::open(path)?.into_rgb8(),
        None => RgbImage::from_fn(SIZE.0, SIZE.1, pattern),
    };
    let size = (photo.width() as usize, photo.height() as usize);
    let camera = Camera::of_photo(FOCAL * f64::from(photo.width()), size)?;
    let cloud = cloud(&photo, &camera);
    let depths = Depths::of(&cloud, &Pose::IDENTITY);
    let poses = trajectory::poses(Path::RotateForward, &camera, depths.as_ref());
    let cancel = Arc::new(Cancel::default());
    let mut rasteriser = Rasteriser::new(Settings::default());
    let mut times = Vec::new();
    for pose in poses.iter().cycle().take(frames) {
        let begin = Instant::now();
        let rendered = rasteriser.render(&cloud, &camera.with_pose(*pose), &cancel)?;
        let drawn = begin.elapsed();
        std::hint::black_box(rendered.picture());
        times.push((drawn.as_secs_f64() * 1e3, begin.elapsed().as_secs_f64() * 1e3));
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let (Some(least), Some(median)) = (times.first(), times.get(times.len() / 2)) {
        println!(
            "{} Gaussians at {} x {}: {:.0} ms a frame at least, {:.0} in the median; \
             {:.0} with its bytes",
            cloud.len(),
            size.0,
            size.1,
            least.0,
            median.0,
            median.1
        );
    }
    if let Some(path) = arguments.get(2) {
        let rendered = rasteriser.render(&cloud, &camera, &cancel)?;
        let bytes = rendered.picture().into_data().into_flattened();
        let picture = RgbImage::from_raw(photo.width(), photo.height(), bytes);
        picture.context("a picture is as large as its screen")?.save(path)?;
    }
    if let Some(path) = arguments.get(3) {
        let begin = Instant::now();
        let filmed = Filmed { cloud: &cloud, photo: &camera, path: Path::RotateForward };
        render_video(&filmed, FilePath::new(path), &mut |_, _| {}, &cancel)?;
        println!("video: {:.1} s", begin.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Fine lines on a coarse chessboard: shows what is lost, and which side is up.
fn pattern(x: u32, y: u32) -> image::Rgb<u8> {
    let coarse = (x / 96 + y / 96).is_multiple_of(2);
    let fine = (x / 8 + y / 8).is_multiple_of(4);
    let shade = |on: bool, bright: u8, dark: u8| if on { bright } else { dark };
    let down = (255 * y / SIZE.1) as u8;
    image::Rgb([shade(coarse, 220, 60), shade(fine, 230, 90), down])
}

/// A cloud as the model makes them: on a grid in the picture, bright pixels nearer, each as wide as
/// the grid; a second layer a little behind the first.
fn cloud(photo: &RgbImage, camera: &Camera) -> Gaussians {
    let small = image::imageops::resize(photo, SIDE, SIDE, FilterType::Triangle);
    let (width, height) = camera.size();
    let [steps_x, steps_y] = [width, height].map(|side| side as f64 / f64::from(SIDE));
    let mut cloud = Gaussians::default();
    for layer in 0..LAYERS {
        for (x, y, pixel) in small.enumerate_pixels() {
            let linear = pixel.0.map(|byte| (f32::from(byte) / 255.0).powf(2.2));
            let light = f64::from(linear[0] + linear[1] + linear[2]) / 3.0;
            let z = 2.0 + 6.0 * (1.0 - f64::from(y) / f64::from(SIDE)) - light + 0.3 * layer as f64;
            let [fx, fy] = camera.focal();
            let [cx, cy] = camera.center();
            let ray_x = ((f64::from(x) + 0.5) * steps_x - cx) / fx;
            let ray_y = ((f64::from(y) + 0.5) * steps_y - cy) / fy;
            cloud.means.push([ray_x * z, ray_y * z, z].map(|v| v as f32));
            let deviation = 0.6 * z;
            let scale = [deviation * steps_x / fx, deviation * steps_y / fy, deviation / fx];
            cloud.scales.push(scale.map(|v| v as f32));
            let turn = f64::from((x * 7 + y * 13) % 10) / 100.0;
            cloud.rotations.push([1.0, turn as f32, -turn as f32, 0.05]);
            cloud.colors.push(linear);
            cloud.opacities.push(0.4 + 0.05 * ((x * 31 + y * 17) % 11) as f32);
        }
    }
    cloud
}
