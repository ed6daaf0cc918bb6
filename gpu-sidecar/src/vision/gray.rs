//! Colour to gray, and raw video (I420) to colour (SPEC §1).
//!
//! Owns the fixed-point weights. Knows 8-bit samples only. All results are exact. A picture is one
//! long row here: no pixel looks at another.

mod luma;

use rayon::prelude::*;

use super::error::VisionError;
use super::plane::Plane;
use super::simd::Isa;
use super::threads::Threads;

/// Weights of blue, green and red in units of 2⁻¹⁵; they sum to 2¹⁵.
const BLUE: i16 = 3735;
const GREEN: i16 = 19235;
const RED: i16 = 9798;
const _: () = assert!(BLUE as i32 + GREEN as i32 + RED as i32 == 1 << 15);

/// In which order a pixel's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Blue, green, red.
    Bgr,
    /// Red, green, blue.
    Rgb,
}

impl Order {
    fn weights(self) -> luma::Weights {
        match self {
            Self::Bgr => [BLUE, GREEN, RED],
            Self::Rgb => [RED, GREEN, BLUE],
        }
    }
}

/// Fewest rows of a stripe: below that, a thread costs more than it brings.
const STRIPE_ROWS_MIN: usize = 64;

/// Gray of a picture whose pixels lie in `order`; `out` takes its size.
pub fn gray_into(image: &Plane<[u8; 3]>, order: Order, threads: Threads, out: &mut Plane<u8>) {
    gray_on(Isa::best(), (image, order), threads, out);
}

fn gray_on(
    isa: Isa,
    (image, order): (&Plane<[u8; 3]>, Order),
    threads: Threads,
    out: &mut Plane<u8>,
) {
    let (width, height) = image.size();
    out.reshape(width, height);
    let stripe = threads.stripe_rows(height, STRIPE_ROWS_MIN) * width;
    let weights = order.weights();
    if stripe == image.data().len() {
        return luma::row(isa, image.data(), weights, out.data_mut());
    }
    let stripes = out.data_mut().par_chunks_mut(stripe).zip(image.data().par_chunks(stripe));
    stripes.for_each(|(out, pixels)| luma::row(isa, pixels, weights, out));
}

/// Gray of a picture whose pixels are blue, green, red.
pub fn gray_from_bgr(image: &Plane<[u8; 3]>) -> Plane<u8> {
    let mut out = Plane::pixel();
    gray_into(image, Order::Bgr, Threads::Pool, &mut out);
    out
}

/// Gray of a picture whose pixels are red, green, blue.
pub fn gray_from_rgb(image: &Plane<[u8; 3]>) -> Plane<u8> {
    let mut out = Plane::pixel();
    gray_into(image, Order::Rgb, Threads::Pool, &mut out);
    out
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
            let luma = luma[y * self.width..][..self.width].chunks(2);
            let chroma = y / 2 * chroma_width..(y / 2 + 1) * chroma_width;
            let chroma = blue_diff[chroma.clone()].iter().zip(&red_diff[chroma]);
            for ((pixels, luma), (&u, &v)) in row.chunks_mut(2).zip(luma).zip(chroma) {
                let tint = Tint::new(u, v);
                for (pixel, &luma) in pixels.iter_mut().zip(luma) {
                    *pixel = tint.bgr(luma);
                }
            }
        })
    }
}

/// What a chroma sample adds to blue, green and red, in units of 2⁻²⁰.
struct Tint([i32; 3]);

impl Tint {
    fn new(u: u8, v: u8) -> Self {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        Self([2_116_026 * u, -852_492 * v - 409_993 * u, 1_673_527 * v])
    }

    /// One pixel; the largest sum is below 2³⁰.
    fn bgr(&self, luma: u8) -> [u8; 3] {
        let scaled = 1_220_542 * (i32::from(luma) - 16).max(0) + (1 << 19);
        self.0.map(|tint| ((scaled + tint) >> 20).clamp(0, 255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::threads::on_three;

    #[test]
    fn gray_keeps_gray_and_weighs_colours() {
        let luma = |blue, green, red| luma::luma([blue, green, red], Order::Bgr.weights());
        for level in 0..=255u8 {
            assert_eq!(luma(level, level, level), level);
        }
        assert_eq!([luma(255, 0, 0), luma(0, 255, 0), luma(0, 0, 255)], [29, 150, 76]);
        let pixel = Plane::new(1, 1, vec![[10, 20, 200]]).expect("1 x 1");
        let mirrored = Plane::new(1, 1, vec![[200, 20, 10]]).expect("1 x 1");
        assert_eq!(gray_from_bgr(&pixel), gray_from_rgb(&mirrored));
    }

    #[test]
    fn every_length_is_its_definition_on_any_processor_and_any_number_of_threads() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bytes = state.to_le_bytes();
            // Now and then a colour from the ends of the range.
            if bytes[3].is_multiple_of(4) {
                [bytes[1], bytes[2], 0].map(|v| v & 128)
            } else {
                [1, 2, 3].map(|i| bytes[i])
            }
        };
        let mut got = Plane::pixel();
        let sizes = (1..200).map(|width| (width, 1)).chain([(1, 9), (61, 300), (640, 130)]);
        for (width, height) in sizes {
            let pixels = (0..width * height).map(|_| next()).collect();
            let image = Plane::new(width, height, pixels).expect("fits");
            for order in [Order::Bgr, Order::Rgb] {
                let want = image.map(|pixel| luma::luma(pixel, order.weights()));
                for isa in Isa::available() {
                    for threads in [Threads::Pool, Threads::This] {
                        on_three(|| gray_on(isa, (&image, order), threads, &mut got));
                        assert!(got == want, "{width} x {height} {isa:?} {threads:?}");
                    }
                }
            }
        }
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
        assert_eq!(Tint::new(128, 128).bgr(0), [0; 3]);
        assert_eq!(Tint::new(128, 128).bgr(16), [0; 3]);
        assert_eq!(Tint::new(128, 128).bgr(235), [255; 3]);
        assert_eq!(Tint::new(255, 255).bgr(255), [255, 125, 255]);
    }
}
