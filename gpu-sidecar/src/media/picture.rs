//! Pictures, decoded by the crate `image` from a closed list of formats.
//!
//! Owns the limits. A bomb is refused from its header, before any pixel is decoded.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::Frame;
use crate::pipeline::RunError;

/// Longest side of a picture.
const SIDE_MAX: u32 = 16_384;
/// Most pixels of a picture: larger than any camera that is not an instrument.
pub const PICTURE_PIXELS_MAX: u64 = 64_000_000;
/// What a decoder may allocate besides: 64 MP of 16-bit RGBA.
const ALLOC_BYTES_MAX: u64 = 512 << 20;

/// Width and height from the header. `field` is what a refusal names: `frame[3]`.
///
/// # Errors
/// `Input`: not a picture, or too large.
pub fn picture_size(path: &Path, field: &str) -> Result<(u32, u32), RunError> {
    let (width, height) =
        open(path, field)?.into_dimensions().map_err(|error| refusal(&error, field))?;
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > SIDE_MAX || pixels > PICTURE_PIXELS_MAX {
        let megapixels = PICTURE_PIXELS_MAX / 1_000_000;
        let detail =
            format!("{width} x {height}; at most {SIDE_MAX} pixels a side and {megapixels} MP");
        return Err(RunError::input("image_too_large", field, detail));
    }
    Ok((width, height))
}

/// The picture in 8-bit colour, turned as its rotation tag says (EXIF). Transparency is dropped; of
/// an animation the first frame counts.
///
/// # Errors
/// `Input`: not a picture, broken, or too large.
pub fn picture(path: &Path, field: &str) -> Result<Frame, RunError> {
    Ok(decode(path, field)?.frame)
}

/// A decoded picture with what its file says of it.
pub(super) struct Decoded {
    pub(super) frame: Frame,
    pub(super) orientation: Orientation,
    /// As the container holds it, not parsed.
    pub(super) exif: Option<Vec<u8>>,
    pub(super) is_tiff: bool,
}

/// See [`picture`].
pub(super) fn decode(path: &Path, field: &str) -> Result<Decoded, RunError> {
    picture_size(path, field)?;
    let refused = |error: ImageError| refusal(&error, field);
    let reader = open(path, field)?;
    let is_tiff = reader.format() == Some(ImageFormat::Tiff);
    let mut decoder = reader.into_decoder().map_err(refused)?;
    // A broken tag is no reason to refuse a picture: it is then shown as it is stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let exif = decoder.exif_metadata().ok().flatten();
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(refused)?;
    decoded.apply_orientation(orientation);
    let rgb = decoded.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    let (pixels, _) = rgb.as_raw().as_chunks::<3>();
    let frame = Frame::new(width, height, pixels.to_vec())
        .map_err(|error| RunError::input("image_undecodable", field, error))?;
    Ok(Decoded { frame, orientation, exif, is_tiff })
}

fn open(path: &Path, field: &str) -> Result<ImageReader<BufReader<File>>, RunError> {
    let failed = |error| RunError::file("opening a picture", &error);
    let mut reader =
        ImageReader::open(path).map_err(failed)?.with_guessed_format().map_err(failed)?;
    if reader.format().is_none() {
        let detail = "not a picture in a known format (PNG, JPEG, WebP, TIFF, BMP, GIF)";
        return Err(RunError::input("image_undecodable", field, detail));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(ALLOC_BYTES_MAX);
    reader.limits(limits);
    Ok(reader)
}

fn refusal(error: &ImageError, field: &str) -> RunError {
    match error {
        ImageError::Limits(_) => RunError::input("image_too_large", field, error),
        _ => RunError::input("image_undecodable", field, error),
    }
}
