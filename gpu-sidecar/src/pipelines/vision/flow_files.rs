//! A flow as a file: Middlebury's `.flo`, a safetensors tensor, or a picture.
//!
//! Owns the three forms. Each holds `(H, W)` of (x, y), pixels, x right and y down.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use safetensors::tensor::{Dtype, TensorView, serialize};

use super::color_map::{scale_end, wheel};
use crate::media::Frame;
use crate::vision::plane::Plane;

/// What a `.flo` begins with: as little-endian bytes `PIEH`.
const FLO_TAG: f32 = 202_021.25;

/// Tag, width and height as i32, then x and y of each pixel as f32; all little-endian.
pub(super) fn write_flo(file: &mut BufWriter<File>, flow: &Plane<[f32; 2]>) -> io::Result<()> {
    file.write_all(&FLO_TAG.to_le_bytes())?;
    for side in [flow.width(), flow.height()] {
        let side = i32::try_from(side).map_err(io::Error::other)?;
        file.write_all(&side.to_le_bytes())?;
    }
    file.write_all(&bytes(flow))
}

/// One tensor `flow`, `(H, W, 2)`, F32.
pub(super) fn write_safetensors(
    file: &mut BufWriter<File>,
    flow: &Plane<[f32; 2]>,
) -> io::Result<()> {
    let bytes = bytes(flow);
    let shape = vec![flow.height(), flow.width(), 2];
    let view = TensorView::new(Dtype::F32, shape, &bytes).map_err(io::Error::other)?;
    file.write_all(&serialize([("flow", view)], None).map_err(io::Error::other)?)
}

/// Shortest motion of full colour, pixels: below it there is only noise.
const FULL_PX_MIN: f64 = 0.1;

/// Direction as colour (right is red), length as its strength. The length that one pixel in a
/// hundred passes has full colour; where less than that moves, a tenth of the longest.
pub(super) fn picture(flow: &Plane<[f32; 2]>) -> Frame {
    let lengths = flow.map(|[x, y]| x.hypot(y));
    let longest = f64::from(lengths.data().iter().copied().fold(0.0, f32::max));
    let full = scale_end(lengths.data()).max(longest / 10.0).max(FULL_PX_MIN);
    flow.map(|[x, y]| wheel(f64::from(x) / full, f64::from(y) / full))
}

fn bytes(flow: &Plane<[f32; 2]>) -> Vec<u8> {
    flow.data().as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    fn flow() -> Plane<[f32; 2]> {
        Plane::new(3, 2, (0..6u8).map(|i| [f32::from(i), -0.5]).collect()).expect("3 x 2")
    }

    fn written(write: impl Fn(&mut BufWriter<File>) -> io::Result<()>) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut writer = BufWriter::new(file.reopen().expect("opens"));
        write(&mut writer).expect("writes");
        writer.flush().expect("flushes");
        std::fs::read(file.path()).expect("reads")
    }

    #[test]
    fn a_flo_is_as_middlebury_describes_it() {
        let bytes = written(|file| write_flo(file, &flow()));
        assert_eq!(&bytes[..12], b"PIEH\x03\0\0\0\x02\0\0\0");
        assert_eq!(bytes.len(), 12 + 6 * 8);
        assert_eq!(bytes[20..24], 1.0f32.to_le_bytes(), "x of the second pixel");
        assert_eq!(bytes[24..28], (-0.5f32).to_le_bytes(), "its y");
    }

    #[test]
    fn a_tensor_has_height_width_and_two_components() {
        let bytes = written(|file| write_safetensors(file, &flow()));
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensor = tensors.tensor("flow").expect("is there");
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, &[2, 3, 2][..]));
        assert_eq!(tensor.data()[8..12], 1.0f32.to_le_bytes());
    }

    #[test]
    fn a_still_flow_is_white_and_the_long_ones_have_full_colour() {
        let still = Plane::new(1, 1, vec![[0.0, 0.0]]).expect("1 x 1");
        assert_eq!(picture(&still).data(), [[255; 3]]);
        // Of six lengths the fifth: what is longer has full colour too.
        let (coloured, full) = (picture(&flow()), 4.0f64.hypot(0.5));
        assert_eq!(coloured.data()[5], wheel(5.0 / full, -0.5 / full));
        assert_eq!(coloured.data()[1], wheel(1.0 / full, -0.5 / full));
    }
}
