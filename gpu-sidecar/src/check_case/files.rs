//! Reading goldens: pictures, tensors and manifests.
//!
//! Owns the way from a file to numbers. Knows formats; not models.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;

use super::CheckError;

/// One tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

/// The elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    U8(Vec<u8>),
    F32(Vec<f32>),
    I32(Vec<i32>),
    /// Of a type that nothing is computed in: kept as numbers to compare with.
    Other(Vec<f64>),
}

impl Values {
    /// As numbers to compare.
    pub(crate) fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::U8(values) => values.iter().map(|&v| f64::from(v)).collect(),
            Self::F32(values) => values.iter().map(|&v| f64::from(v)).collect(),
            Self::I32(values) => values.iter().map(|&v| f64::from(v)).collect(),
            Self::Other(values) => values.clone(),
        }
    }
}

/// An 8-bit picture: 1 channel, or 3 in the order red, green, blue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn unreadable(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CheckError {
    CheckError::File { path: path.to_owned(), source: source.into() }
}

/// The manifest at `path`.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CheckError> {
    let text = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    serde_json::from_slice(&text).map_err(|e| unreadable(path, e))
}

/// The gray or colour picture at `path`.
pub(crate) fn read_picture(path: &Path) -> Result<Picture, CheckError> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    let picture = image::load_from_memory(&bytes).map_err(|e| unreadable(path, e))?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (channels, data) = match picture {
        image::DynamicImage::ImageLuma8(gray) => (1, gray.into_raw()),
        image::DynamicImage::ImageRgb8(colour) => (3, colour.into_raw()),
        other => {
            let problem = format!("{:?} is neither 8-bit gray nor 8-bit RGB", other.color());
            return Err(unreadable(path, problem));
        }
    };
    Ok(Picture { width, height, channels, data })
}

/// All tensors of the safetensors file at `path`, by name.
pub(crate) fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, CheckError> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| unreadable(path, e))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let values = match view.dtype() {
            Dtype::U8 => Values::U8(view.data().to_vec()),
            Dtype::F32 => Values::F32(
                view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            ),
            Dtype::I32 => Values::I32(
                view.data().as_chunks().0.iter().map(|&b| i32::from_le_bytes(b)).collect(),
            ),
            Dtype::F64 => Values::Other(
                view.data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            ),
            Dtype::I64 => Values::Other(
                view.data().as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(),
            ),
            Dtype::U16 => Values::Other(
                view.data().as_chunks().0.iter().map(|&b| u16::from_le_bytes(b).into()).collect(),
            ),
            Dtype::BOOL => Values::Other(view.data().iter().map(|&b| b.into()).collect()),
            other => return Err(unreadable(path, format!("tensor {name} is {other:?}"))),
        };
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}
