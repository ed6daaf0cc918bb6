//! Pictures as PNG, fast rather than small: they are looked at once.

use std::io::{self, Write};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::Frame;

/// Writes `samples`, row by row, of a picture of `(width, height)`.
///
/// # Errors
/// Those of `out`; a size that does not fit.
pub fn write_png(
    out: &mut impl Write,
    samples: &[u8],
    (width, height): (usize, usize),
    color: ExtendedColorType,
) -> io::Result<()> {
    let side = |side: usize| u32::try_from(side).map_err(io::Error::other);
    let encoder = PngEncoder::new_with_quality(out, CompressionType::Fast, FilterType::Adaptive);
    encoder.write_image(samples, side(width)?, side(height)?, color).map_err(|error| match error {
        image::ImageError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// Writes a picture in colour.
///
/// # Errors
/// As [`write_png`].
pub fn png(out: &mut impl Write, frame: &Frame) -> io::Result<()> {
    write_png(out, frame.data().as_flattened(), frame.size(), ExtendedColorType::Rgb8)
}
