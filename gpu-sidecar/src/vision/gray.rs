//! Colour to gray, and raw video (I420) to colour (SPEC §1).
//!
//! Owns the fixed-point weights. Knows 8-bit samples only. All results are exact.

use super::error::VisionError;
use super::plane::Plane;

/// Weights of blue, green and red in units of 2⁻¹⁵; they sum to 2¹⁵.
const BLUE: u32 = 3735;
const GREEN: u32 = 19235;
const RED: u32 = 9798;
const _: () = assert!(BLUE + GREEN + RED == 1 << 15);

/// The gray value of one colour, rounded half up.
fn luma(blue: u8, green: u8, red: u8) -> u8 {
    let sum = BLUE * u32::from(blue) + GREEN * u32::from(green) + RED * u32::from(red);
    // At most 255·2¹⁵ + 2¹⁴, so the quotient fits.
    ((sum + (1 << 14)) >> 15) as u8
}

/// Gray of a picture whose pixels are blue, green, red.
pub fn gray_from_bgr(image: &Plane<[u8; 3]>) -> Plane<u8> {
    image.map(|[blue, green, red]| luma(blue, green, red))
}

/// Gray of a picture whose pixels are red, green, blue.
pub fn gray_from_rgb(image: &Plane<[u8; 3]>) -> Plane<u8> {
    image.map(|[red, green, blue]| luma(blue, green, red))
}

/// A raw 4:2:0 frame: Y `(H, W)`, then U and V `(⌈H/2⌉, ⌈W/2⌉)`; BT.601, limited range.
#[derive(Debug, Clone, PartialEq)]
pub struct I420 {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl I420 {
    /// Bytes of a frame of this size, or `None` when that does not fit a `usize`.
    pub fn bytes(width: usize, height: usize) -> Option<usize> {
        let chroma = width.div_ceil(2).checked_mul(height.div_ceil(2))?;
        width.checked_mul(height)?.checked_add(chroma.checked_mul(2)?)
    }

    /// Takes the three planes, one after another.
    /// # Errors
    /// `Shape` when a side is 0 or `data` is not `I420::bytes` long.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self, VisionError> {
        if width == 0 || height == 0 || Self::bytes(width, height) != Some(data.len()) {
            return Err(VisionError::Shape { width, height, samples: data.len() });
        }
        Ok(Self { width, height, data })
    }

    /// The Y plane. It is not the gray of [`I420::bgr`]: that one is stretched to 0..=255.
    pub fn gray(&self) -> Plane<u8> {
        Plane::from_rows(self.width, self.height, |y, row| {
            row.copy_from_slice(&self.data[y * self.width..][..self.width]);
        })
    }

    /// Blue, green, red; each chroma sample covers 2×2 pixels.
    pub fn bgr(&self) -> Plane<[u8; 3]> {
        let chroma_width = self.width.div_ceil(2);
        let (luma, chroma) = self.data.split_at(self.width * self.height);
        let (blue_diff, red_diff) = chroma.split_at(chroma.len() / 2);
        Plane::from_rows(self.width, self.height, |y, row| {
            for (x, pixel) in row.iter_mut().enumerate() {
                let at = y / 2 * chroma_width + x / 2;
                *pixel = bgr_from_yuv(luma[y * self.width + x], blue_diff[at], red_diff[at]);
            }
        })
    }
}

/// One pixel, in units of 2⁻²⁰; the largest sum is below 2³⁰.
fn bgr_from_yuv(y: u8, u: u8, v: u8) -> [u8; 3] {
    let scaled = 1_220_542 * (i32::from(y) - 16).max(0) + (1 << 19);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let byte = |sum: i32| (sum >> 20).clamp(0, 255) as u8;
    [
        byte(scaled + 2_116_026 * u),
        byte(scaled - 852_492 * v - 409_993 * u),
        byte(scaled + 1_673_527 * v),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_keeps_gray_and_weighs_colours() {
        for level in 0..=255u8 {
            assert_eq!(luma(level, level, level), level);
        }
        assert_eq!([luma(255, 0, 0), luma(0, 255, 0), luma(0, 0, 255)], [29, 150, 76]);
        let pixel = Plane::new(1, 1, vec![[10, 20, 200]]).expect("1 x 1");
        let mirrored = Plane::new(1, 1, vec![[200, 20, 10]]).expect("1 x 1");
        assert_eq!(gray_from_bgr(&pixel), gray_from_rgb(&mirrored));
    }

    #[test]
    fn raw_frames_of_odd_size_share_the_last_chroma_sample() {
        assert_eq!(I420::bytes(3, 3), Some(9 + 8));
        let mut data = vec![126u8; 9];
        data.extend([128; 8]);
        let frame = I420::new(3, 3, data).expect("3 x 3 needs 17 bytes");
        assert!(frame.bgr().data().iter().all(|&pixel| pixel == [128; 3]));
        assert!(frame.gray().data().iter().all(|&luma| luma == 126));
        assert!(I420::new(3, 3, vec![0; 16]).is_err());
        assert!(I420::new(0, 3, vec![]).is_err());
    }

    #[test]
    fn raw_black_and_white_reach_the_ends() {
        assert_eq!(bgr_from_yuv(0, 128, 128), [0; 3]);
        assert_eq!(bgr_from_yuv(16, 128, 128), [0; 3]);
        assert_eq!(bgr_from_yuv(235, 128, 128), [255; 3]);
        assert_eq!(bgr_from_yuv(255, 255, 255), [255, 125, 255]);
    }
}
