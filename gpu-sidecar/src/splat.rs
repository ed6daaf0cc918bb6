//! 3D Gaussians: what they are, how they are moved, written, read and drawn.
//!
//! Owns the cloud and what works on any cloud (projection, file formats, rasteriser). Knows no
//! model: SHARP and others hand it their Gaussians. Start at [`Gaussians`].

mod axes;
mod blocks;
pub mod camera;
pub mod color;
mod eigen;
mod gzip;
pub mod json;
mod photo;
pub mod ply;
pub mod preview;
mod quaternion;
pub mod raster;
mod read_error;
pub mod sog;
pub mod splat_file;
pub mod spz;
pub mod stats;
pub mod trajectory;
pub mod unproject;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod random;

pub use axes::Axes;
pub use photo::Photo;
pub use read_error::{GAUSSIANS_MAX, ReadError};

/// A cloud of Gaussians, attribute by attribute; all lists are of one length.
///
/// Coordinates follow the OpenCV camera: x right, y down, z forward, in metres.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gaussians {
    /// Centres.
    pub means: Vec<[f32; 3]>,
    /// Standard deviations along the own axes, not their logarithms.
    pub scales: Vec<[f32; 3]>,
    /// Quaternions w, x, y, z that turn the own axes into space; of any length but 0.
    pub rotations: Vec<[f32; 4]>,
    /// Linear RGB.
    pub colors: Vec<[f32; 3]>,
    /// From 0 to 1, not logits.
    pub opacities: Vec<f32>,
}

impl Gaussians {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }
}
