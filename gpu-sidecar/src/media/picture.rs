//! Pictures, decoded by the crate `image` from a closed list of formats, or by `heif.rs`.
//!
//! Owns the limits. A bomb is refused from its header, before any pixel is decoded.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;
use std::sync::Arc;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::Frame;
use super::heif::{self, Container};
use crate::pipeline::{Cancel, RunError};

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
    let size = match heif::kind(path) {
        // How it is turned does not matter to the limits.
        Some(kind) => Container::read(path).map(|container| container.size).ok_or_else(|| {
            RunError::input("image_undecodable", field, format!("is {kind} without a size"))
        })?,
        None => open(path, field)?.into_dimensions().map_err(|error| refusal(&error, field))?,
    };
    check_size(size, field)?;
    Ok(size)
}

fn check_size((width, height): (u32, u32), field: &str) -> Result<(), RunError> {
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > SIDE_MAX || pixels > PICTURE_PIXELS_MAX {
        let megapixels = PICTURE_PIXELS_MAX / 1_000_000;
        let detail =
            format!("{width} x {height}; at most {SIDE_MAX} pixels a side and {megapixels} MP");
        return Err(RunError::input("image_too_large", field, detail));
    }
    Ok(())
}

/// The picture in 8-bit colour, turned as its rotation tag says (EXIF). Transparency is dropped; of
/// an animation the first frame counts.
///
/// # Errors
/// `Input`: not a picture, broken, too large, or of a kind that is not read on this machine.
/// `Resource` and `Canceled`: where a program decodes it.
pub fn picture(path: &Path, field: &str, cancel: &Arc<Cancel>) -> Result<Frame, RunError> {
    Ok(decode(path, field, cancel)?.frame)
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
pub(super) fn decode(path: &Path, field: &str, cancel: &Arc<Cancel>) -> Result<Decoded, RunError> {
    picture_size(path, field)?;
    let Some(kind) = heif::kind(path) else {
        return read(open(path, field)?, field, false);
    };
    let converted = heif::convert(path, kind, field, cancel)?;
    let mut reader = ImageReader::with_format(Cursor::new(converted.png), ImageFormat::Png);
    reader.limits(limits());
    read(reader, field, converted.is_turned)
}

/// `is_turned`: as its container says, so that the tag, which says the same, is not followed.
fn read<R: BufRead + Seek>(
    reader: ImageReader<R>,
    field: &str,
    is_turned: bool,
) -> Result<Decoded, RunError> {
    let refused = |error: ImageError| refusal(&error, field);
    let is_tiff = reader.format() == Some(ImageFormat::Tiff);
    let mut decoder = reader.into_decoder().map_err(refused)?;
    check_size(decoder.dimensions(), field)?;
    // A broken tag is no reason to refuse a picture: it is then shown as it is stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let exif = decoder.exif_metadata().ok().flatten();
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(refused)?;
    if !is_turned {
        decoded.apply_orientation(orientation);
    }
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
        let detail =
            "not a picture in a known format (PNG, JPEG, WebP, TIFF, BMP, GIF, HEIC, AVIF)";
        return Err(RunError::input("image_undecodable", field, detail));
    }
    reader.limits(limits());
    Ok(reader)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(ALLOC_BYTES_MAX);
    limits
}

fn refusal(error: &ImageError, field: &str) -> RunError {
    match error {
        ImageError::Limits(_) => RunError::input("image_too_large", field, error),
        _ => RunError::input("image_undecodable", field, error),
    }
}
