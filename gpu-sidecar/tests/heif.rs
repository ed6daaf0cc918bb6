//! HEIC and AVIF pictures that libheif's programs made, as its programs here decode them. They have
//! to be installed: `cargo xtask setup` does it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_sidecar::media::{Frame, photo, picture, picture_size};
use postern_sidecar::pipeline::{Cancel, RunError};

/// As it is shown; `photo.jpg` is stored lying.
const UPRIGHT: (usize, usize) = (64, 96);
/// Levels of 255 that a picture encoded twice may be away from the one encoded once, in the mean.
const APART_MAX: f64 = 6.0;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/heif").join(name)
}

fn decoded(path: &Path) -> Result<Frame, RunError> {
    picture(path, "image", &Arc::new(Cancel::default()))
}

/// Mean of all differences.
fn apart(a: &Frame, b: &Frame) -> f64 {
    assert_eq!(a.size(), b.size());
    let (a, b) = (a.data().as_flattened(), b.data().as_flattened());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.len() as f64
}

/// `bytes` as a file; `work` gets its path.
fn with_file<T>(bytes: &[u8], work: impl FnOnce(&Path) -> T) -> T {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("a file");
    work(file.path())
}

#[track_caller]
fn check_refused(bytes: &[u8], want: &str) {
    let error = with_file(bytes, decoded).expect_err("it is no good picture");
    let RunError::Input { fault, field } = error else { panic!("{error:?}") };
    assert_eq!((fault.code, field.as_str()), (want, "image"), "{}", fault.detail);
    assert!(!fault.detail.contains("/tmp"), "our paths are nobody's: {}", fault.detail);
}

#[test]
fn a_picture_is_upright_once_whoever_says_how_it_is_turned() {
    let jpeg = decoded(&golden("photo.jpg")).expect("a good picture");
    for name in ["turned.heic", "tagged.heic", "tagged.avif", "second.heic"] {
        let photo = photo(&golden(name), "image", &Arc::new(Cancel::default()));
        let photo = photo.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(photo.frame.size(), UPRIGHT, "{name}");
        let apart = apart(&photo.frame, &jpeg);
        assert!(apart < APART_MAX, "{name}: {apart}");
        assert_eq!((photo.focal_mm, photo.focal_35mm), (Some(4.2), Some(26.0)), "{name}");
        assert_eq!(photo.orientation, 6, "{name}");
    }
}

#[test]
fn its_size_is_known_before_it_is_decoded() {
    assert_eq!(picture_size(&golden("turned.heic"), "image"), Ok((96, 64)));
    assert_eq!(picture_size(&golden("tagged.avif"), "image"), Ok((96, 64)));
}

#[test]
fn what_is_broken_or_too_large_is_refused() {
    let good = std::fs::read(golden("turned.heic")).expect("it is checked in");
    check_refused(&good[..good.len() / 2], "image_undecodable");
    check_refused(&good[..64], "image_undecodable");
    check_refused(b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "image_undecodable");
    let at = good.windows(4).position(|bytes| bytes == b"ispe").expect("a size") + 8;
    let mut bomb = good;
    bomb[at..at + 8].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    check_refused(&bomb, "image_too_large");
}
