//! `.splat` files, 32 bytes a Gaussian and nothing else: written and read.
//!
//! Owns both directions, after the converter of the format's first viewer (antimatter15/splat):
//! centre and standard deviations as f32, sRGB and opacity as bytes, a rotation w, x, y, z in steps
//! of 1/128; the most visible first, so that a part of a file is a picture already. Axes are those
//! of PLY files, OpenCV's.
//!
//! Precision: centres and scales exact; sRGB and opacity to 0.002, cut to 0 and 1; rotations to
//! about a degree.

use std::io::{self, Write};

use rayon::prelude::*;

use super::color::{byte, linear_to_srgb, srgb_to_linear};
use super::{Gaussians, ReadError, blocks, quaternion};

/// Bytes of a Gaussian.
const STRIDE: usize = 32;
/// Gaussians per block: half a megabyte.
const PER_BLOCK: usize = 1 << 14;

/// Writes `cloud`, by falling product of the three scales and the opacity.
///
/// # Errors
/// Those of `out`.
pub fn write<W: Write + Send>(out: &mut W, cloud: &Gaussians) -> io::Result<()> {
    // Rows first and in the cloud's order: fetching one row from anywhere costs the memory a fifth
    // of what fetching five attributes does.
    let indices = (0..cloud.len()).into_par_iter().with_min_len(1 << 12);
    let rows: Vec<[u8; STRIDE]> = indices.map(|index| row(cloud, index)).collect();
    let order = by_visibility(cloud);
    blocks::write(out, cloud.len(), PER_BLOCK, |range, block| {
        block.reserve(range.len() * STRIDE);
        order[range].iter().for_each(|&index| block.extend_from_slice(&rows[index as usize]));
    })
}

/// Reads a whole file.
///
/// # Errors
/// A length that is no multiple of 32, or more than
/// [`GAUSSIANS_MAX`](crate::splat::GAUSSIANS_MAX).
pub fn read(bytes: &[u8]) -> Result<Gaussians, ReadError> {
    let (rows, rest) = bytes.as_chunks::<STRIDE>();
    if !rest.is_empty() {
        let detail = format!("{} bytes are no multiple of {STRIDE}", bytes.len());
        return Err(ReadError::Format { format: ".splat", detail });
    }
    ReadError::check_count(rows.len() as u64)?;
    let numbers = |row: &[u8; STRIDE], at: usize| {
        let number = |at: usize| {
            f32::from_le_bytes(*row[at..].first_chunk().expect("numbers lie within a row"))
        };
        [number(at), number(at + 4), number(at + 8)]
    };
    let part = |byte: u8| (f32::from(byte) - 128.0) / 128.0;
    let component = |byte: u8| f32::from(byte) / 255.0;
    let rows = rows.par_iter().with_min_len(1 << 12);
    Ok(Gaussians {
        means: rows.clone().map(|row| numbers(row, 0)).collect(),
        scales: rows.clone().map(|row| numbers(row, 12)).collect(),
        colors: rows
            .clone()
            .map(|row| [row[24], row[25], row[26]].map(|byte| srgb_to_linear(component(byte))))
            .collect(),
        opacities: rows.clone().map(|row| component(row[27])).collect(),
        rotations: rows
            .map(|row| quaternion::normalized([row[28], row[29], row[30], row[31]].map(part)))
            .collect(),
    })
}

fn row(cloud: &Gaussians, index: usize) -> [u8; STRIDE] {
    let [x, y, z] = cloud.means[index].map(f32::to_le_bytes);
    let [a, b, c] = cloud.scales[index].map(f32::to_le_bytes);
    let [red, green, blue] = cloud.colors[index].map(|light| byte(linear_to_srgb(light)));
    let color = [red, green, blue, byte(cloud.opacities[index])];
    let rotation = quaternion::normalized(cloud.rotations[index]);
    let rotation = rotation.map(|part| (part * 128.0 + 128.5) as u8);
    let mut row = [0; STRIDE];
    row.as_chunks_mut::<4>().0.copy_from_slice(&[x, y, z, a, b, c, color, rotation]);
    row
}

/// Indices by falling visibility; ties and what is not a number keep their order.
fn by_visibility(cloud: &Gaussians) -> Vec<u32> {
    let visibility = |index: usize| {
        let [a, b, c] = cloud.scales[index];
        let visibility = a * b * c * cloud.opacities[index];
        // Bits of a float that is not negative rise with it.
        if visibility > 0.0 { visibility.to_bits() } else { 0 }
    };
    // The index below makes every key different, so that the fastest sort will do.
    let keys = (0..cloud.len()).into_par_iter().with_min_len(1 << 12);
    let key = |index: usize| u64::from(!visibility(index)) << 32 | index as u64;
    let mut keys: Vec<u64> = keys.map(key).collect();
    keys.par_sort_unstable();
    keys.into_iter().map(|key| key as u32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::splat::random;
    use crate::splat::unproject::covariance;

    fn written(cloud: &Gaussians) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, cloud).unwrap();
        out
    }

    #[test]
    fn one_gaussian_is_32_bytes_as_the_viewer_reads_them() {
        let cloud = Gaussians {
            means: vec![[1.0, -2.0, 0.5]],
            scales: vec![[1.0, 2.0, 0.25]],
            rotations: vec![[0.0, 0.0, 0.0, -3.0]],
            colors: vec![[0.0, 1.0, 2.0]],
            opacities: vec![0.5],
        };
        let numbers = [1.0f32, -2.0, 0.5, 1.0, 2.0, 0.25];
        let mut want: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        want.extend([0, 255, 255, 128, 128, 128, 128, 0]);
        assert_eq!(written(&cloud), want);
    }

    #[test]
    fn the_most_visible_come_first() {
        let mut cloud = random::cloud(4, 1);
        cloud.scales = vec![[1.0; 3], [2.0; 3], [f32::NAN; 3], [1.0; 3]];
        cloud.opacities = vec![0.5, 0.5, 1.0, 0.5];
        assert_eq!(by_visibility(&cloud), [1, 0, 3, 2]);
    }

    #[test]
    fn a_cloud_comes_back_within_the_stated_precision() {
        let cloud = random::cloud(PER_BLOCK + 100, 8);
        let got = read(&written(&cloud)).unwrap();
        for (place, &index) in by_visibility(&cloud).iter().enumerate() {
            let index = index as usize;
            assert_eq!(got.means[place], cloud.means[index]);
            assert_eq!(got.scales[place], cloud.scales[index]);
            assert!((got.opacities[place] - cloud.opacities[index]).abs() <= 0.002);
            for (got, want) in got.colors[place].into_iter().zip(cloud.colors[index]) {
                assert!((linear_to_srgb(got) - linear_to_srgb(want)).abs() <= 0.002);
            }
            let want = covariance(cloud.rotations[index], [1.0, 0.5, 0.1]);
            let turned = covariance(got.rotations[place], [1.0, 0.5, 0.1]);
            for (got, want) in turned.iter().flatten().zip(want.iter().flatten()) {
                assert!((got - want).abs() <= 0.02, "{index}: {got} {want}");
            }
        }
    }

    #[test]
    fn a_file_of_odd_length_is_refused() {
        assert_eq!(read(&[0; 33]).unwrap_err().code(), "splats_format");
        assert!(read(&[]).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_cloud(bytes in prop::collection::vec(any::<u8>(), 0..320)) {
            let whole = bytes.len() / STRIDE * STRIDE;
            prop_assert_eq!(read(&bytes[..whole]).unwrap().len(), whole / STRIDE);
        }
    }
}
