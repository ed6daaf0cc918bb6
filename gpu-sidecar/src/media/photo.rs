//! A photo with what its camera wrote about it.
//!
//! Owns the reading of the EXIF block. Always: a broken block counts as none; a photo is not
//! refused for it.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use exif::{Context, Exif, In, Tag, Value};

use super::Frame;
use super::picture::decode;
use crate::pipeline::{Cancel, RunError};

/// An EXIF block is at most 64 KiB in a JPEG; TIFF files are read up to here.
const EXIF_BYTES_MAX: u64 = 64 << 20;

/// The photo, upright.
#[derive(Debug)]
pub struct Photo {
    pub frame: Frame,
    /// The tag as the file has it, 1 to 8; the frame has been turned by it.
    pub orientation: u8,
    /// `FocalLengthIn35mmFilm`, millimetres; as it stands in the file.
    pub focal_35mm: Option<f64>,
    /// `FocalLength`, millimetres; as it stands in the file.
    pub focal_mm: Option<f64>,
}

/// Decodes the photo at `path`, in 8-bit colour: gray is tripled, 16 bits are scaled to 8, palettes
/// are looked up, transparency is dropped, colour profiles are not applied.
///
/// # Errors
/// As [`super::picture`], with `field`.
pub fn photo(path: &Path, field: &str, cancel: &Arc<Cancel>) -> Result<Photo, RunError> {
    let decoded = decode(path, field, cancel)?;
    let block = decoded.exif.and_then(|bytes| exif::Reader::new().read_raw(bytes).ok());
    let block = block.or_else(|| decoded.is_tiff.then(|| tiff_block(path)).flatten());
    let millimetres = |tag| block.as_ref().and_then(|block| number(block, tag));
    Ok(Photo {
        frame: decoded.frame,
        orientation: decoded.orientation.to_exif(),
        focal_35mm: millimetres(Tag::FocalLengthIn35mmFilm),
        focal_mm: millimetres(Tag::FocalLength),
    })
}

/// A TIFF file is such a block itself.
fn tiff_block(path: &Path) -> Option<Exif> {
    let mut bytes = Vec::new();
    BufReader::new(File::open(path).ok()?).take(EXIF_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    exif::Reader::new().read_raw(bytes).ok()
}

/// A number of the main directory, where some programs put what belongs into the camera's, or else
/// of the camera's.
fn number(block: &Exif, tag: Tag) -> Option<f64> {
    let main = Tag(Context::Tiff, tag.number());
    let field = [main, tag].into_iter().find_map(|tag| block.get_field(tag, In::PRIMARY))?;
    let number = match &field.value {
        Value::Rational(values) => values.first()?.to_f64(),
        Value::SRational(values) => values.first()?.to_f64(),
        Value::Float(values) => f64::from(*values.first()?),
        Value::Double(values) => *values.first()?,
        value => f64::from(value.get_uint(0)?),
    };
    number.is_finite().then_some(number)
}
