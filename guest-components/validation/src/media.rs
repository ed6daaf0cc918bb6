//! Pictures and videos by their first bytes: what they are, and how large a picture says it is.
//!
//! Nothing is decoded: that is the sidecar's, behind its own limits. A compressed archive is
//! named, because sending a zip of pictures is the usual mistake. HEIC and AVIF are let through:
//! whether they are read depends on what is installed beside the sidecar, which answers for them,
//! their size included.

use postern_guest::Fault;
use postern_guest::picture::{self, Format};
use postern_guest::schema::Media;
use postern_guest::sniff::{Container, Kind, SNIFF_BYTES, sniff};
use postern_guest::source::ReadAt;

use crate::rules::PictureRule;

/// Checks bytes that should be a picture or a video.
///
/// # Errors
/// 422 `archive_not_allowed`, `picture_invalid`, `image_too_large`, `video_invalid`.
pub(crate) fn check<S: ReadAt + ?Sized>(
    bytes: &S,
    wanted: &[Media],
    rule: PictureRule,
) -> Result<(), Fault> {
    let kind = sniff(&bytes.read(0, SNIFF_BYTES));
    match kind {
        Kind::Archive(name) => {
            let detail = format!("is a {name} archive; send the files themselves");
            Err(Fault::new("archive_not_allowed", detail))
        }
        Kind::Picture(_) if wanted.contains(&Media::Image) => check_picture(bytes, rule),
        Kind::OtherPicture(_) if wanted.contains(&Media::Image) => Ok(()),
        Kind::Video(_) if wanted.contains(&Media::Video) => Ok(()),
        _ if wanted.contains(&Media::Image) => Err(no_picture(kind)),
        _ => Err(no_video(kind)),
    }
}

fn check_picture<S: ReadAt + ?Sized>(bytes: &S, rule: PictureRule) -> Result<(), Fault> {
    let header = picture::header(bytes)
        .ok_or_else(|| Fault::new("picture_invalid", "has a broken header, or a side of 0"))?;
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    if width.max(height) > rule.side_max {
        let detail = format!("is {width}x{height}; a side may have {} at most", rule.side_max);
        return Err(Fault::new("image_too_large", detail));
    }
    let pixels = width * height;
    if pixels > rule.pixels_max {
        let detail = format!(
            "is {width}x{height}, {} MP; at most {} MP are taken",
            megapixels(pixels),
            megapixels(rule.pixels_max)
        );
        return Err(Fault::new("image_too_large", detail));
    }
    Ok(())
}

/// Millions, with one decimal.
fn megapixels(pixels: u64) -> String {
    let tenths = pixels / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn no_picture(kind: Kind) -> Fault {
    let is = match kind {
        Kind::Video(_) => "is a video, not a picture",
        _ => "is no picture that is known here",
    };
    Fault::new("picture_invalid", format!("{is}; send one of {}", Format::NAMES))
}

fn no_video(kind: Kind) -> Fault {
    let is = match kind {
        Kind::Picture(_) | Kind::OtherPicture(_) => "is a picture, not a video",
        _ => "is no video container that is known here",
    };
    Fault::new("video_invalid", format!("{is}; send one of {}", Container::NAMES))
}
