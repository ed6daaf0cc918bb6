//! The picture that a cloud was made from, as file formats tell of it.

/// Size and focal length; the optical axis meets the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Photo {
    /// Pixels, at least 1.
    pub width: u32,
    /// Pixels, at least 1.
    pub height: u32,
    /// Pixels, finite and > 0.
    pub focal_px: f32,
}
