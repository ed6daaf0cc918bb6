//! Cameras: where a cloud is seen from, and on how many pixels.
//!
//! Owns the pinhole camera, the look-at pose and the rule for the size of a screen. Knows no
//! Gaussian. Always: sides are at least 1, a screen has at most [`PIXELS_MAX`] pixels and focal
//! lengths are positive and finite; the constructors check it. Source: SHARP SPEC §15.
//!
//! Pixel (0, 0) covers 0 to 1 along both axes; its middle is (0.5, 0.5).

/// Longest side: a pixel's number fits 16 bits.
pub const SIDE_MAX: usize = 32_768;
/// Most pixels of a screen; a pixel costs the rasteriser 20 bytes. Above the largest picture that
/// is decoded (64 megapixels), so that every photo has its camera.
pub const PIXELS_MAX: usize = 1 << 26;
/// Screens of more rows than this are halved (SPEC §15).
const ROWS_WHOLE_MAX: usize = 3000;

/// Why there is no such camera.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum CameraError {
    #[error("a screen of {width} x {height} pixels: a side is 0 or there are too many")]
    Size { width: usize, height: usize },
    #[error("a focal length of {pixels} pixels is not a positive number")]
    Focal { pixels: f64 },
}

impl CameraError {
    /// Public and permanent.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Size { .. } => "camera_size_invalid",
            Self::Focal { .. } => "camera_focal_invalid",
        }
    }
}

/// From world to camera: `rotation`·p + `translation`; x right, y down, z forward, metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Rows: the camera's right, down and front, of length 1, in the world.
    pub rotation: [[f64; 3]; 3],
    pub translation: [f64; 3],
}

impl Pose {
    /// At the origin, looking along z.
    pub const IDENTITY: Self = Self {
        rotation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        translation: [0.0; 3],
    };

    /// At `eye`, looking at `target`, with the world's up (0, -1, 0) up in the picture.
    /// `None` where that says no direction: `target` is at, above or below `eye`, or not finite.
    #[must_use]
    pub fn look_at(eye: [f64; 3], target: [f64; 3]) -> Option<Self> {
        const UP: [f64; 3] = [0.0, -1.0, 0.0];
        let front = unit([target[0] - eye[0], target[1] - eye[1], target[2] - eye[2]])?;
        let right = unit(cross(front, UP))?;
        let down = cross(front, right);
        let rotation = [right, down, front];
        Some(Self { rotation, translation: rotation.map(|row| -dot(row, eye)) })
    }

    /// A point of the world as the camera sees it.
    #[must_use]
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        let mut seen = self.translation;
        for (to, row) in seen.iter_mut().zip(self.rotation) {
            *to += dot(row, point);
        }
        seen
    }

    /// Depth of a point: its coordinate along the camera's front, metres.
    #[must_use]
    pub fn depth(&self, point: [f64; 3]) -> f64 {
        self.translation[2] + dot(self.rotation[2], point)
    }
}

/// A pinhole camera: intrinsics in pixels, a screen, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    size: (usize, usize),
    focal: [f64; 2],
    center: [f64; 2],
    pose: Pose,
}

impl Camera {
    /// The camera that took a photo of `size` (width, height): principal point in the middle of
    /// the picture, at the origin, as the model's Gaussians are unprojected (SPEC §10).
    ///
    /// # Errors
    /// `Size` and `Focal`.
    pub fn of_photo(focal_px: f64, size: (usize, usize)) -> Result<Self, CameraError> {
        let center = [size.0 as f64 / 2.0, size.1 as f64 / 2.0];
        Self::new(focal_px, size, center)
    }

    /// The same with another principal point, in pixels of the photo.
    #[must_use]
    pub fn with_center(self, center: [f64; 2]) -> Self {
        Self { center, ..self }
    }

    /// The camera of upstream's renderer for that photo (SPEC §15): its principal point lies half
    /// a pixel up and left of [`Camera::of_photo`]'s; a screen of more than 3000 rows is halved,
    /// and odd sides become even.
    ///
    /// # Errors
    /// `Size` and `Focal`.
    pub fn of_screen(focal_px: f64, size: (usize, usize)) -> Result<Self, CameraError> {
        let (width, height) = size;
        let center = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
        let camera = Self::new(focal_px, size, center)?;
        let share = if height > ROWS_WHOLE_MAX { 2 } else { 1 };
        camera.resized(((width / share).next_multiple_of(2), (height / share).next_multiple_of(2)))
    }

    fn new(focal_px: f64, size: (usize, usize), center: [f64; 2]) -> Result<Self, CameraError> {
        check_size(size)?;
        if !(focal_px.is_finite() && focal_px > 0.0) {
            return Err(CameraError::Focal { pixels: focal_px });
        }
        Ok(Self { size, focal: [focal_px; 2], center, pose: Pose::IDENTITY })
    }

    /// The same view on another screen: each axis is scaled by itself.
    ///
    /// # Errors
    /// `Size`.
    pub fn resized(&self, size: (usize, usize)) -> Result<Self, CameraError> {
        check_size(size)?;
        let ratio = [size.0 as f64 / self.size.0 as f64, size.1 as f64 / self.size.1 as f64];
        let scaled = |pair: [f64; 2]| [pair[0] * ratio[0], pair[1] * ratio[1]];
        Ok(Self { size, focal: scaled(self.focal), center: scaled(self.center), pose: self.pose })
    }

    /// The same view on a screen whose longer side is at most `side_max` (at least 2) and whose
    /// sides are even, as videos want them; never enlarged but for an odd side's one pixel.
    ///
    /// # Errors
    /// `Size`.
    pub fn fitted(&self, side_max: usize) -> Result<Self, CameraError> {
        let (width, height) = self.size;
        let side_max = side_max & !1;
        let ratio = (side_max as f64 / width.max(height) as f64).min(1.0);
        let even = |side: usize| {
            let half = (side as f64 * ratio / 2.0).round() as usize;
            (2 * half).clamp(2, side_max.max(2))
        };
        self.resized((even(width), even(height)))
    }

    /// The same screen from another place.
    #[must_use]
    pub fn with_pose(self, pose: Pose) -> Self {
        Self { pose, ..self }
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Focal lengths along x and y, pixels.
    #[must_use]
    pub fn focal(&self) -> [f64; 2] {
        self.focal
    }

    /// Principal point, pixels.
    #[must_use]
    pub fn center(&self) -> [f64; 2] {
        self.center
    }

    /// Where it stands.
    #[must_use]
    pub fn pose(&self) -> &Pose {
        &self.pose
    }

    /// The directions (x/z, y/z) at which the Jacobian of the projection is still taken as it is:
    /// the field of view and three tenths of its half on each side. `[[x_min, x_max], [y_min,
    /// y_max]]`. Far outside of it the first-order projection of a covariance explodes.
    pub(crate) fn slope_limits(&self) -> [[f64; 2]; 2] {
        let sides = [self.size.0 as f64, self.size.1 as f64];
        std::array::from_fn(|axis| {
            let (side, focal, center) = (sides[axis], self.focal[axis], self.center[axis]);
            let margin = 0.3 * 0.5 * side / focal;
            [-(center / focal + margin), (side - center) / focal + margin]
        })
    }
}

fn check_size((width, height): (usize, usize)) -> Result<(), CameraError> {
    let sides_fit = (1..=SIDE_MAX).contains(&width) && (1..=SIDE_MAX).contains(&height);
    if sides_fit && width * height <= PIXELS_MAX {
        return Ok(());
    }
    Err(CameraError::Size { width, height })
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// `None`: of no length, or not finite.
fn unit(v: [f64; 3]) -> Option<[f64; 3]> {
    let length = dot(v, v).sqrt();
    (length > 0.0 && length.is_finite()).then(|| v.map(|x| x / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_of_a_look_at_is_right_side_up() {
        let pose = Pose::look_at([0.0; 3], [0.0, 0.0, 2.0]).expect("ahead");
        assert_eq!(pose, Pose::IDENTITY);
        let aside = Pose::look_at([1.0, 0.0, 0.0], [0.0, 0.0, 2.0]).expect("ahead");
        let target = aside.apply([0.0, 0.0, 2.0]);
        assert!(target[0].abs() < 1e-12 && target[1].abs() < 1e-12, "{target:?}");
        assert!((target[2] - 5.0f64.sqrt()).abs() < 1e-12, "{target:?}");
        assert!(aside.apply([0.0, 1.0, 2.0])[1] > 0.9, "down stays down");
    }

    #[test]
    fn a_look_at_without_a_direction_is_none() {
        for target in [[1.0, 2.0, 3.0], [1.0, 7.0, 3.0], [f64::NAN, 0.0, 9.0]] {
            assert_eq!(Pose::look_at([1.0, 2.0, 3.0], target), None, "{target:?}");
        }
    }

    #[test]
    fn screens_are_halved_past_3000_rows_and_then_made_even() {
        for (photo, screen) in [
            ((4000, 3000), (4000, 3000)),
            ((4000, 3001), (2000, 1500)),
            ((4031, 3003), (2016, 1502)),
            ((1, 1), (2, 2)),
        ] {
            let camera = Camera::of_screen(900.0, photo).expect("a photo's size");
            assert_eq!(camera.size(), screen, "{photo:?}");
        }
    }

    #[test]
    fn a_fitted_screen_is_even_bounded_and_keeps_the_view() {
        for (size, fitted) in [
            ((4032, 3024), (1280, 960)),
            ((3024, 4032), (960, 1280)),
            ((640, 481), (640, 482)),
            ((1280, 1279), (1280, 1280)),
            ((20_000, 1), (1280, 2)),
            ((1, 1), (2, 2)),
        ] {
            let camera = Camera::of_photo(700.0, size).expect("a photo's size");
            let small = camera.fitted(1280).expect("a smaller size");
            assert_eq!(small.size(), fitted, "{size:?}");
            let middle = [small.size().0 as f64 / 2.0, small.size().1 as f64 / 2.0];
            assert_eq!(small.center(), middle, "{size:?}");
        }
    }

    #[test]
    fn impossible_cameras_are_refused() {
        let most = Camera::of_photo(900.0, (8192, 8192));
        assert!(most.is_ok());
        for size in [(0, 5), (5, 0), (8193, 8192), (SIDE_MAX + 1, 1), (usize::MAX, usize::MAX)] {
            let error = Camera::of_photo(900.0, size).expect_err("not a screen");
            assert_eq!(error.code(), "camera_size_invalid");
        }
        for focal in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Camera::of_photo(focal, (4, 4)).expect_err("not a focal length");
            assert_eq!(error.code(), "camera_focal_invalid");
        }
    }
}
