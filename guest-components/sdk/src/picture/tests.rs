//! Headers made by hand, byte by byte from the formats' specifications.

use super::*;
use crate::source::{Source, Window};

#[track_caller]
fn check(bytes: &[u8], want: Option<(Format, u32, u32)>) {
    let got = header(bytes).map(|header| (header.format, header.width, header.height));
    assert_eq!(got, want);
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &sides[..], b"\x08\x02\0\0\0\0\0\0\0"].concat()
}

#[test]
fn png_bomb_shows_its_size_within_33_bytes() {
    check(&png(100_000, 60_000)[..33], Some((Format::Png, 100_000, 60_000)));
    check(&png(1, 0), None);
    check(&png(7, 5)[..20], None);
    check(b"\x89PNG\r\n\x1a\n\0\0\0\rIDAT\0\0\0\x01\0\0\0\x01", None);
}

#[test]
fn jpeg_frame_header_is_found_behind_segments() {
    let app = [&[0xff, 0xe1, 0xff, 0xff][..], &[0xff; 65_533]].concat();
    let sof = b"\xff\xff\xff\xc2\0\x11\x08\x12\x34\x56\x78\x03\x01\x22\0\x02\x11\x01\x03\x11\x01";
    let far = [&b"\xff\xd8"[..], &app, &app, b"\xff\xc4\0\x04\0\0", sof].concat();
    check(&far, Some((Format::Jpeg, 0x5678, 0x1234)));
    check(b"\xff\xd8\xff\xda\0\x04\0\0\xff\xc0\0\x11\x08\0\x01\0\x01", None);
    check(b"\xff\xd8\xff\xe0\0", None);
    let endless = [&b"\xff\xd8"[..], &[0xff; 5_000]].concat();
    check(&endless, None);
}

#[test]
fn gif_and_bmp_state_their_sides() {
    check(b"GIF89a\x10\x27\x01\x00", Some((Format::Gif, 10_000, 1)));
    let dib = |height: i32| {
        let head = b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0\x05\0\0\0";
        [&head[..], &height.to_le_bytes()].concat()
    };
    check(&dib(-9), Some((Format::Bmp, 5, 9)));
    check(&dib(i32::MIN), Some((Format::Bmp, 5, 1 << 31)));
    let os2 = b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x0c\0\0\0\x05\0\x06\0\0\0";
    check(os2, Some((Format::Bmp, 5, 6)));
    check(b"BM is two letters of any text", None);
}

#[test]
fn webp_has_three_headers() {
    let riff = |chunk: &[u8]| [b"RIFF\0\0\0\0WEBP", chunk, &[0; 8]].concat();
    let lossy = riff(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\xc1\xf0\x40");
    check(&lossy, Some((Format::WebP, 320, 240)));
    let lossless =
        riff(&[b"VP8L\0\0\0\0\x2f", &((319 | 239 << 14) as u32).to_le_bytes()[..]].concat());
    check(&lossless, Some((Format::WebP, 320, 240)));
    let extended = riff(b"VP8X\0\0\0\0\0\0\0\0\xff\xff\xff\x00\x00\x01");
    check(&extended, Some((Format::WebP, 1 << 24, 65_537)));
    check(&riff(b"XXXX"), None);
}

#[test]
fn tiff_directory_may_stand_at_the_end() {
    let entry = |tag: u16, kind: u16, value: u32| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &[0, 0, 0, 1], &value.to_be_bytes()].concat()
    };
    let directory = [&[0, 2][..], &entry(256, 3, 640 << 16), &entry(257, 4, 480)].concat();
    let far = 3_000_000_u32;
    let mut file = [b"MM\0*", &far.to_be_bytes()[..]].concat();
    file.resize(far as usize, 0);
    file.extend_from_slice(&directory);
    check(&file, Some((Format::Tiff, 640, 480)));
    check(b"MM\0*\xff\xff\xff\xff", None);
    check(b"II*\0\x08\0\0\0\0\0", None);
}

#[test]
fn big_tiff_reads_numbers_of_8_bytes() {
    let entry = |tag: u16, value: u64| {
        let head = [&tag.to_le_bytes()[..], &[16, 0], &1_u64.to_le_bytes()].concat();
        [&head[..], &value.to_le_bytes()].concat()
    };
    let head = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0";
    let file = [&head[..], &entry(256, 1 << 40), &entry(257, 3)].concat();
    check(&file, Some((Format::Tiff, u32::MAX, 3)));
    check(b"II+\0\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", None);
}

/// No header, however cut or damaged, makes the reader panic.
#[test]
fn damaged_headers_are_no_pictures_or_others() {
    let samples: [&[u8]; 4] = [
        &png(3, 4),
        b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xc0\0\x11\x08\0\x01\0\x01\x03\0\0\0\0\0\0\0",
        b"II*\0\x08\0\0\0\x02\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0\x01\x01\x03\0\x01\0\0\0\x06\0\0\0",
        b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x01\0\0\x01\0\0\0\0",
    ];
    for bytes in samples {
        assert!(header(bytes).is_some());
        for cut in 0..bytes.len() {
            let window = Window::new(bytes, 0, cut as u64);
            assert!(window.size() == cut as u64);
            header(&window);
            let mut damaged = bytes.to_vec();
            damaged[cut] ^= 0xff;
            header(&damaged[..]);
        }
    }
}
