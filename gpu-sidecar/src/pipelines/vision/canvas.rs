//! Words and bars on pictures: legends and annotations.
//!
//! Owns a small alphabet of 5 × 7 dots, so that no font has to be installed or shipped. Knows
//! pixels, not what they show. What does not fit on the canvas is cut off.

use crate::media::Frame;
use crate::vision::plane::Plane;

/// Dots of a letter, and the space it takes with the gap after it.
const LETTER: (usize, usize) = (5, 7);
const ADVANCE: usize = 6;

/// A picture that is drawn on.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// Left, top, width, height; pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rect(pub(super) usize, pub(super) usize, pub(super) usize, pub(super) usize);

impl Canvas {
    /// `pixels` is `width`·`height` long.
    pub(super) fn new((width, height): (usize, usize), pixels: Vec<[u8; 3]>) -> Self {
        assert_eq!(pixels.len(), width * height, "callers draw on whole pictures");
        Self { width, height, pixels }
    }

    /// Fills a rectangle with what `color` says of a column, counted from its left side.
    pub(super) fn fill(&mut self, rect: Rect, color: impl Fn(usize) -> [u8; 3]) {
        let Rect(left, top, width, height) = rect;
        for y in top..(top + height).min(self.height) {
            for x in left..(left + width).min(self.width) {
                self.pixels[y * self.width + x] = color(x - left);
            }
        }
    }

    /// Makes a rectangle darker, so that words on it can be read.
    pub(super) fn shade(&mut self, rect: Rect) {
        let Rect(left, top, width, height) = rect;
        for y in top..(top + height).min(self.height) {
            for x in left..(left + width).min(self.width) {
                let pixel = &mut self.pixels[y * self.width + x];
                *pixel = pixel.map(|sample| sample / 4);
            }
        }
    }

    /// Writes in white; each dot is `scale` pixels wide. Small letters look like capitals.
    pub(super) fn text(&mut self, (left, top): (usize, usize), scale: usize, text: &str) {
        for (place, letter) in text.chars().enumerate() {
            let rows = dots(letter);
            for (y, row) in rows.iter().enumerate() {
                for x in (0..LETTER.0).filter(|x| row >> (LETTER.0 - 1 - x) & 1 == 1) {
                    let at = left + (place * ADVANCE + x) * scale;
                    self.fill(Rect(at, top + y * scale, scale, scale), |_| [255; 3]);
                }
            }
        }
    }

    pub(super) fn into_frame(self) -> Frame {
        Plane::new(self.width, self.height, self.pixels).expect("`new` has checked the size")
    }
}

/// Width and height of a text, pixels.
pub(super) fn text_size(scale: usize, text: &str) -> (usize, usize) {
    (text.chars().count() * ADVANCE * scale, LETTER.1 * scale)
}

/// Rows from the top, five dots each, the leftmost in the highest of five bits. An unknown letter
/// is blank.
#[rustfmt::skip]
fn dots(letter: char) -> [u8; 7] {
    match letter.to_ascii_uppercase() {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'B' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110],
        'C' => [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110],
        'D' => [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'F' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000],
        'G' => [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01111],
        'H' => [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'I' => [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        'K' => [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001],
        'L' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        'M' => [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        'N' => [0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001],
        'O' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'P' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'S' => [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
        'T' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
        'U' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'V' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100],
        'X' => [0b10001, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0b10001],
        'Y' => [0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        '-' => [0, 0, 0, 0b11111, 0, 0, 0],
        '%' => [0b11001, 0b11010, 0b00010, 0b00100, 0b01000, 0b01011, 0b10011],
        '/' => [0b00001, 0b00010, 0b00010, 0b00100, 0b01000, 0b01000, 0b10000],
        '#' => [0b01010, 0b01010, 0b11111, 0b01010, 0b11111, 0b01010, 0b01010],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn black(width: usize, height: usize) -> Canvas {
        Canvas::new((width, height), vec![[0; 3]; width * height])
    }

    #[test]
    fn a_letter_has_its_dots_at_every_scale() {
        for scale in [1, 3] {
            let mut canvas = black(6 * scale, 7 * scale);
            canvas.text((0, 0), scale, "1");
            let frame = canvas.into_frame();
            let lit = frame.data().iter().filter(|pixel| **pixel == [255; 3]).count();
            assert_eq!(lit, 10 * scale * scale);
            assert_eq!(frame.row(0)[2 * scale], [255; 3], "the top of a one");
        }
    }

    #[test]
    fn all_that_is_ever_written_can_be_read() {
        for letter in "0123456789 MOTION EDGES SHARP PX GRADIENT GRAY LEVELS .-%/#".chars() {
            assert!(letter == ' ' || dots(letter) != [0; 7], "{letter}");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let mut canvas = black(10, 10);
        canvas.text((7, 8), 2, "WIDE");
        canvas.fill(Rect(9, 9, 100, 100), |_| [1; 3]);
        canvas.shade(Rect(0, 0, 100, 100));
        assert_eq!(canvas.into_frame().size(), (10, 10));
        assert_eq!(text_size(2, "AB"), (24, 14));
    }
}
