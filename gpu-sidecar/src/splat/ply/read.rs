//! From the bytes of a PLY file to a cloud and its picture.
//!
//! Owns which properties are taken and what stands in for absent metadata, as the reference's own
//! reader has it: no `intrinsic` is 640 x 480 at 512 pixels; four values of it without an
//! `image_size` are focal lengths and size; no `color_space` is linear. Other elements and
//! properties are passed over.

use rayon::prelude::*;

use super::header::{Element, Header, Scalar};
use super::{COLUMNS, SRGB};
use crate::splat::color::{harmonic_to_component, sigmoid, srgb_to_linear};
use crate::splat::{Gaussians, Photo, ReadError, quaternion};

/// Numbers of a metadata element; the reference writes 16 at most.
const VALUES_MAX: u64 = 64;
/// Sides of pictures; past it the metadata is not believed.
const SIDE_MAX: f64 = 1e6;

/// What a PLY file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    pub gaussians: Gaussians,
    pub photo: Photo,
}

/// Reads a whole file. Extrinsics are not looked at, as in the reference; colours of either space
/// come out linear; a rotation of length 0 becomes the identity.
///
/// # Errors
/// A file that is not such a PLY, is cut off, or holds more than
/// [`GAUSSIANS_MAX`](crate::splat::GAUSSIANS_MAX).
pub fn read(bytes: &[u8]) -> Result<Scene, ReadError> {
    let header = Header::parse(bytes)?;
    let mut rest = &bytes[header.bytes..];
    let (mut vertices, mut metadata) = (None, Metadata::default());
    for element in &header.elements {
        let (body, after) = element.split(rest)?;
        rest = after;
        match element.name.as_str() {
            "vertex" => vertices = Some((element, body)),
            "intrinsic" => metadata.intrinsic = values(element, body)?,
            "image_size" => metadata.image_size = values(element, body)?,
            "color_space" => metadata.color_space = values(element, body)?,
            _ => {}
        }
    }
    let (element, body) = vertices.ok_or_else(|| ReadError::Missing("vertices".into()))?;
    let is_srgb = metadata.color_space.first() == Some(&f64::from(SRGB));
    let gaussians = gaussians(element, body, is_srgb)?;
    Ok(Scene { gaussians, photo: metadata.photo()? })
}

#[derive(Debug, Default)]
struct Metadata {
    intrinsic: Vec<f64>,
    image_size: Vec<f64>,
    color_space: Vec<f64>,
}

impl Metadata {
    fn photo(&self) -> Result<Photo, ReadError> {
        let (focal_px, size) = match (&self.intrinsic[..], &self.image_size[..]) {
            ([], []) => (512.0, [640.0, 480.0]),
            ([], &[width, height]) => (512.0, [width, height]),
            (&[focal_px, _, width, height], []) => (focal_px, [width, height]),
            (&[focal_px, _, x, _, _, y, ..], []) => (focal_px, [2.0 * x, 2.0 * y]),
            (&[focal_px, ..], &[width, height]) => (focal_px, [width, height]),
            _ => return Err(ReadError::Unsupported("this form of `image_size`".into())),
        };
        let is_size = size.iter().all(|side| (1.0..=SIDE_MAX).contains(side));
        if !(is_size && focal_px.is_finite() && focal_px > 0.0) {
            let [width, height] = size;
            let text = format!("a picture of {width} x {height} at a focal length of {focal_px}");
            return Err(ReadError::Unsupported(text));
        }
        let [width, height] = size.map(|side| side.round() as u32);
        Ok(Photo { width, height, focal_px: focal_px as f32 })
    }
}

/// All numbers of the property that bears its element's name.
fn values(element: &Element, body: &[u8]) -> Result<Vec<f64>, ReadError> {
    let property = element.property(&element.name).zip(element.stride());
    let ((at, scalar), stride) = property.ok_or_else(|| {
        ReadError::Missing(format!("a property `{0}` of the element `{0}`", element.name))
    })?;
    if element.count > VALUES_MAX {
        return Err(ReadError::Unsupported(format!("`{}` of this length", element.name)));
    }
    let rows = body.chunks_exact(stride);
    Ok(rows.filter_map(|row| scalar.read(&row[at..])).collect())
}

fn gaussians(element: &Element, body: &[u8], is_srgb: bool) -> Result<Gaussians, ReadError> {
    let count = ReadError::check_count(element.count)?;
    let mut places = [(0, Scalar::F32); COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let missing = || ReadError::Missing(format!("the property `{name}` of its vertices"));
        *place = element.property(name).ok_or_else(missing)?;
    }
    let stride = element.stride().expect("an element with a list has no places");
    let mut cloud = Gaussians {
        means: vec![[0.0; 3]; count],
        scales: vec![[0.0; 3]; count],
        rotations: vec![[0.0; 4]; count],
        colors: vec![[0.0; 3]; count],
        opacities: vec![0.0; count],
    };
    let lists = (
        body.par_chunks_exact(stride),
        &mut cloud.means,
        &mut cloud.scales,
        &mut cloud.rotations,
        &mut cloud.colors,
        &mut cloud.opacities,
    );
    let rows = lists.into_par_iter().with_min_len(1 << 12);
    rows.for_each(|(row, mean, scales, rotation, color, opacity)| {
        let read = |(at, scalar): (usize, Scalar)| {
            scalar.read(&row[at..]).expect("every place lies within a row") as f32
        };
        let [x, y, z, red, green, blue, alpha, a, b, c, rw, rx, ry, rz] = places.map(read);
        *mean = [x, y, z];
        *scales = [a, b, c].map(f32::exp);
        *rotation =
            if [rw, rx, ry, rz] == [0.0; 4] { quaternion::IDENTITY } else { [rw, rx, ry, rz] };
        *color = [red, green, blue].map(harmonic_to_component);
        if is_srgb {
            *color = color.map(srgb_to_linear);
        }
        *opacity = sigmoid(alpha);
    });
    Ok(cloud)
}
