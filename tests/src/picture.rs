//! Pictures to send, and pictures that came back.

use std::io::Cursor;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// A PNG with a bright square on a textured ground; all stands `shift` pixels further right.
///
/// # Panics
/// Never for sides that memory can hold.
#[must_use]
pub fn square(width: u32, height: u32, shift: u32) -> Bytes {
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let inside = (20 + shift..60 + shift).contains(&x) && (20..60).contains(&y);
        // Texture, because motion of a flat area cannot be seen.
        let texture = u8::try_from(((x + width - shift) * 7 + y * 13) % 32).expect("below 32");
        let gray = if inside { 220 - texture } else { 40 + texture };
        Rgb([gray, gray, gray])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut bytes, ImageFormat::Png).expect("memory");
    bytes.into_inner().into()
}

/// A small PNG whose header claims these sides. The header's checksum is stale: nobody may get as
/// far as to look at it.
#[must_use]
pub fn claiming(width: u32, height: u32) -> Bytes {
    let mut bytes = square(64, 64, 0).to_vec();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    bytes.into()
}

/// Decodes an artifact.
///
/// # Panics
/// When the bytes are no PNG.
#[must_use]
pub fn decode(png: &[u8]) -> DynamicImage {
    image::load_from_memory_with_format(png, ImageFormat::Png).expect("a PNG")
}
