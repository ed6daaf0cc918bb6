//! Media: bytes from customers become frames, and frames videos, under limits. The only place that
//! decodes anything.
//!
//! Owns the decoders and their limits. Videos are decoded by `ffmpeg` in a process of its own,
//! which may open the one file it is given and nothing else; pictures by the crate `image`, from a
//! closed list of formats; HEIC and AVIF by libheif's programs, run like `ffmpeg`, where they are
//! installed. Knows no pipeline. Start at [`Video::probe`] and [`picture`].

mod decode;
mod encode;
mod ffmpeg;
mod heif;
mod limits;
mod photo;
mod picture;
mod png;
mod probe;

use crate::vision::plane::Plane;

pub use decode::{Ending, Frames, Sampling, Stamp};
pub use encode::Encoder;
pub use ffmpeg::{Ffmpeg, INSTALL_HINT};
pub use limits::VIDEO_PIXELS_MAX;
pub use photo::{Photo, photo};
pub use picture::{PICTURE_PIXELS_MAX, picture, picture_size};
pub use png::{png, write_png};
pub use probe::Video;

/// One decoded frame, `(height, width)` of red, green, blue.
pub type Frame = Plane<[u8; 3]>;
