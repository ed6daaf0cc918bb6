//! The focal length of a photo in pixels (SPEC 2.3).
//!
//! Owns the rule. Knows the numbers of the EXIF block, not how they are read.

/// What a camera without a word about its lens is taken for, in millimetres.
const DEFAULT_MM: f64 = 30.0;
/// A length below this is taken for a small sensor's.
const SMALL_MM: f64 = 10.0;
/// What such a length is multiplied by to be that of a full frame.
const SMALL_FACTOR: f64 = 8.4;
/// Diagonal of a full frame of 36 x 24 mm, squared.
const DIAGONAL_SQUARED: f64 = 36.0 * 36.0 + 24.0 * 24.0;

/// Where a focal length is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FocalSource {
    /// The caller.
    Parameter,
    /// The 35 mm equivalent of the EXIF block.
    Exif35,
    /// The length of the EXIF block, taken for that of a full frame.
    Exif,
    /// The length of the EXIF block, of a sensor taken to be small.
    ExifSmall,
    /// Nothing said anything.
    Default,
}

/// What the EXIF block says of the lens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Lens {
    /// Tag 0xA405, millimetres.
    pub equivalent_mm: Option<f64>,
    /// Tag 0x920A, millimetres.
    pub focal_mm: Option<f64>,
}

impl Lens {
    /// Length for a full frame, in millimetres. What is not a number counts as absent.
    #[must_use]
    pub fn full_frame_mm(&self) -> (f64, FocalSource) {
        if let Some(mm) = self.equivalent_mm.filter(|mm| mm.is_finite() && *mm >= 1.0) {
            return (mm, FocalSource::Exif35);
        }
        match self.focal_mm.filter(|mm| mm.is_finite() && *mm > 0.0) {
            Some(mm) if mm < SMALL_MM => (mm * SMALL_FACTOR, FocalSource::ExifSmall),
            Some(mm) => (mm, FocalSource::Exif),
            None => (DEFAULT_MM, FocalSource::Default),
        }
    }
}

/// `mm` in pixels of a picture of this size, turned upright.
#[must_use]
pub fn pixels(mm: f64, width: usize, height: usize) -> f64 {
    let (width, height) = (width as f64, height as f64);
    mm * (width * width + height * height).sqrt() / DIAGONAL_SQUARED.sqrt()
}
