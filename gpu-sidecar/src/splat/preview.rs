//! Previews: what a cloud looks like, as one picture and as a short film around it.
//!
//! Owns their sizes and the film's rate. The rasteriser draws, `media.rs` encodes; where the files
//! belong is the pipeline's.

use std::path::Path as FilePath;
use std::sync::Arc;

use super::Gaussians;
use super::camera::{Camera, CameraError, Pose};
use super::raster::{Rasteriser, Settings};
use super::trajectory::{self, Depths, FRAMES, Path};
use crate::media::{Encoder, Frame};
use crate::pipeline::{Cancel, RunError};

/// Longest side of the picture: as fine as the model looks at a photo.
pub const PICTURE_SIDE_MAX: usize = 1536;
/// Longest side of the film; the encoder would make larger frames smaller.
pub const VIDEO_SIDE_MAX: usize = 1280;
/// Frames per second of the film: two seconds.
pub const VIDEO_FPS: f64 = 30.0;

impl From<CameraError> for RunError {
    fn from(error: CameraError) -> Self {
        Self::input(error.code(), "", error)
    }
}

/// A cloud and how it is filmed.
#[derive(Debug, Clone, Copy)]
pub struct Filmed<'a> {
    pub cloud: &'a Gaussians,
    /// The camera of the photo that the cloud came from.
    pub photo: &'a Camera,
    pub path: Path,
}

/// What the photo's camera sees, on at most [`PICTURE_SIDE_MAX`] pixels a side, both even.
///
/// # Errors
/// Those of [`Rasteriser::render`].
pub fn render_preview(
    cloud: &Gaussians,
    photo: &Camera,
    cancel: &Cancel,
) -> Result<Frame, RunError> {
    let camera = photo.fitted(PICTURE_SIDE_MAX)?;
    let mut rasteriser = Rasteriser::new(Settings::default());
    Ok(rasteriser.render(cloud, &camera, cancel)?.picture())
}

/// Writes the film as MP4 to `file`, which is made anew: [`FRAMES`] frames of at most
/// [`VIDEO_SIDE_MAX`] pixels a side, both even. `progress` gets how many frames are done, and of
/// how many.
///
/// # Errors
/// Those of [`Rasteriser::render`] and of [`Encoder`]: `Unavailable` without ffmpeg, `Canceled`
/// between two tiles of a frame.
pub fn render_video(
    filmed: &Filmed<'_>,
    file: &FilePath,
    progress: &mut dyn FnMut(usize, usize),
    cancel: &Arc<Cancel>,
) -> Result<(), RunError> {
    let Filmed { cloud, photo, path } = *filmed;
    let screen = photo.fitted(VIDEO_SIDE_MAX)?;
    let depths = Depths::of(cloud, &Pose::IDENTITY);
    let mut rasteriser = Rasteriser::new(Settings::default());
    let mut encoder = Encoder::start(file, screen.size(), VIDEO_FPS, cancel)?;
    for (done, pose) in trajectory::poses(path, photo, depths.as_ref()).into_iter().enumerate() {
        let rendered = rasteriser.render(cloud, &screen.with_pose(pose), cancel)?;
        encoder.write(&rendered.picture())?;
        progress(done + 1, FRAMES);
    }
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Video;
    use crate::pipeline::Cause;

    fn cloud() -> Gaussians {
        Gaussians {
            means: vec![[0.0, 0.0, 2.0], [0.4, 0.0, 3.0]],
            scales: vec![[0.2; 3], [0.1; 3]],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]; 2],
            colors: vec![[1.0, 0.1, 0.1], [0.1, 0.1, 1.0]],
            opacities: vec![0.9; 2],
        }
    }

    fn photo(size: (usize, usize)) -> Camera {
        Camera::of_photo(60.0, size).expect("a photo's size")
    }

    #[test]
    fn a_picture_is_bounded_and_shows_the_cloud() {
        let cancel = Cancel::default();
        let small = render_preview(&cloud(), &photo((81, 60)), &cancel).expect("it is drawn");
        assert_eq!(small.size(), (82, 60));
        assert!(small.row(30)[41][0] > 200, "{:?}", small.row(30)[41]);
        let bounded = render_preview(&cloud(), &photo((9000, 30)), &cancel).expect("it is drawn");
        assert_eq!(bounded.size(), (PICTURE_SIDE_MAX, 6));
    }

    #[test]
    fn a_film_has_all_frames_and_counts_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("preview.mp4");
        let cancel = Arc::new(Cancel::default());
        let (cloud, photo) = (cloud(), photo((81, 60)));
        let filmed = Filmed { cloud: &cloud, photo: &photo, path: Path::default() };
        let mut seen = Vec::new();
        render_video(&filmed, &file, &mut |done, of| seen.push((done, of)), &cancel)
            .expect("it is filmed");
        assert_eq!(seen, (1..=FRAMES).map(|done| (done, FRAMES)).collect::<Vec<_>>());
        let video = Video::probe(&file, &cancel).expect("a video");
        assert_eq!((video.frames, video.fps), (FRAMES as u64, Some(VIDEO_FPS)));
    }

    #[test]
    fn a_cancelled_film_ends_with_the_cause() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cancel = Arc::new(Cancel::default());
        let (cloud, photo) = (cloud(), photo((40, 40)));
        let filmed = Filmed { cloud: &cloud, photo: &photo, path: Path::Swipe };
        let mut frames = 0;
        let mut progress = |done, _| {
            frames = done;
            cancel.set(Cause::Caller);
        };
        let file = folder.path().join("preview.mp4");
        let ended = render_video(&filmed, &file, &mut progress, &cancel);
        assert!(matches!(ended, Err(RunError::Canceled(_))), "{ended:?}");
        assert_eq!(frames, 1);
    }
}
