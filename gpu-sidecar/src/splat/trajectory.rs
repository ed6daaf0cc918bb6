//! Trajectories: the ways a camera moves before a cloud, frame by frame.
//!
//! Owns the four paths of upstream's renderer, how far they go and what they look at. Knows a
//! cloud's depths only. Source: SHARP SPEC §15, golden 15.

use std::f64::consts::TAU;

use super::Gaussians;
use super::camera::{Camera, Pose};

/// Frames of a trajectory.
pub const FRAMES: usize = 60;
/// The camera looks at least this far, metres.
const FOCUS_MIN: f64 = 2.0;
/// How far it moves aside, as a share of the nearest depth and of the picture's diagonal.
const ASIDE: f64 = 0.08;
/// How far it moves ahead, as a share of the nearest depth.
const AHEAD: f64 = 0.15;

/// The shape of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// From left to right.
    Swipe,
    /// To the right and left, then down and up.
    Shake,
    /// Around a circle in the picture's plane.
    Rotate,
    /// Around a circle that lies flat: aside and ahead.
    #[default]
    RotateForward,
}

/// Which depths a cloud has, as the camera at the origin sees it: quantiles of z > 0, metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Depths {
    /// Quantile 0.001.
    pub near: f64,
    /// Quantile 0.1.
    pub focus: f64,
    /// Quantile 0.999.
    pub far: f64,
}

impl Depths {
    /// `None` where nothing lies before the camera.
    #[must_use]
    pub fn of(cloud: &Gaussians, pose: &Pose) -> Option<Self> {
        let depths = cloud.means.iter().map(|mean| pose.depth(mean.map(f64::from)));
        let mut depths: Vec<f64> = depths.filter(|z| *z > 0.0 && z.is_finite()).collect();
        if depths.is_empty() {
            return None;
        }
        let [near, focus, far] = [0.001, 0.1, 0.999].map(|q| quantile(&mut depths, q));
        Some(Self { near, focus, far })
    }
}

/// Linear between the two values around `q`·(n - 1). `values` are not empty; their order changes.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    let place = q * (values.len() - 1) as f64;
    let low = place.floor() as usize;
    let (_, &mut at, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(at);
    at + (place - low as f64) * (next - at)
}

/// How far the camera moves: at most so much along x, y and z from the origin, metres.
/// `camera` is the photo's, before its screen was resized.
#[must_use]
pub fn offset_max(camera: &Camera, depths: &Depths) -> [f64; 3] {
    let (width, height) = camera.size();
    let [focal_x, focal_y] = camera.focal();
    let diagonal = (width as f64 / focal_x).hypot(height as f64 / focal_y);
    let aside = ASIDE * diagonal * depths.near;
    [aside, aside, AHEAD * depths.near]
}

/// Where the camera is in each of the [`FRAMES`] frames, metres; first and last are both included.
#[must_use]
pub fn eyes(path: Path, offset: [f64; 3]) -> Vec<[f64; 3]> {
    let [x, y, z] = offset;
    let along = |count: usize, eye: &dyn Fn(f64) -> [f64; 3]| -> Vec<[f64; 3]> {
        (0..count).map(|step| eye(step as f64 / (count - 1) as f64)).collect()
    };
    match path {
        Path::Swipe => along(FRAMES, &|t| [x * (2.0 * t - 1.0), 0.0, 0.0]),
        Path::Shake => {
            let mut eyes = along(FRAMES / 2, &|t| [x * (TAU * t).sin(), 0.0, 0.0]);
            eyes.extend(along(FRAMES / 2, &|t| [0.0, y * (TAU * t).sin(), 0.0]));
            eyes
        }
        Path::Rotate => along(FRAMES, &|t| [x * (TAU * t).sin(), y * (TAU * t).cos(), 0.0]),
        Path::RotateForward => {
            along(FRAMES, &|t| [x * (TAU * t).sin(), 0.0, z * (1.0 - (TAU * t).cos()) / 2.0])
        }
    }
}

/// The camera's pose in each frame: on its path, looking at the point on z at the depth of focus.
/// Without `depths` (nothing lies before the camera) it stands still.
#[must_use]
pub fn poses(path: Path, photo: &Camera, depths: Option<&Depths>) -> Vec<Pose> {
    let Some(depths) = depths else {
        return vec![Pose::IDENTITY; FRAMES];
    };
    let focus = [0.0, 0.0, depths.focus.max(FOCUS_MIN)];
    let eyes = eyes(path, offset_max(photo, depths));
    // Every eye lies before the focus: it moves ahead by less than the nearest depth.
    eyes.into_iter().map(|eye| Pose::look_at(eye, focus).unwrap_or(Pose::IDENTITY)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path as FilePath;

    use safetensors::{Dtype, SafeTensors};

    use super::*;

    const CASE: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/sharp/15_render_trajectory");
    const FOCAL_PX: f64 = 900.0;
    const SIZE: (usize, usize) = (1001, 750);

    struct Golden {
        bytes: Vec<u8>,
        case: serde_json::Value,
    }

    impl Golden {
        fn read() -> Self {
            let read = |name| std::fs::read(FilePath::new(CASE).join(name)).expect("is tracked");
            let case = serde_json::from_slice(&read("case.json")).expect("the case is JSON");
            Self { bytes: read("io.safetensors"), case }
        }

        fn values(&self, name: &str) -> Vec<f64> {
            let file = SafeTensors::deserialize(&self.bytes).expect("a whole file");
            let view = file.tensor(name).expect(name);
            let data = view.data();
            match view.dtype() {
                Dtype::F32 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&four| f64::from(f32::from_le_bytes(four)))
                    .collect(),
                Dtype::F64 => {
                    data.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight)).collect()
                }
                Dtype::I64 => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&eight| i64::from_le_bytes(eight) as f64)
                    .collect(),
                other => panic!("{other:?}"),
            }
        }

        /// Against the stored values, within the case's own tolerance.
        #[track_caller]
        fn compare(&self, name: &str, got: &[f64]) {
            let want = self.values(name);
            let tolerance = self.case["tensors"][name]["atol"].as_f64().expect("a tolerance");
            assert_eq!(got.len(), want.len(), "{name}");
            for (index, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!((got - want).abs() <= tolerance, "{name}[{index}]: {got}, not {want}");
            }
        }

        fn cloud(&self) -> Gaussians {
            let means = self.values("input.mean_vectors");
            let means = means.as_chunks().0.iter().map(|mean: &[f64; 3]| mean.map(|v| v as f32));
            Gaussians { means: means.collect(), ..Gaussians::default() }
        }
    }

    fn photo() -> Camera {
        Camera::of_photo(FOCAL_PX, SIZE).expect("the golden's camera")
    }

    #[test]
    fn depths_and_offsets_are_upstreams() {
        let golden = Golden::read();
        let depths = Depths::of(&golden.cloud(), &Pose::IDENTITY).expect("some lie ahead");
        golden.compare("depth_quantiles", &[depths.near, depths.focus, depths.far]);
        golden.compare("max_offset_xyz", &offset_max(&photo(), &depths));
    }

    #[test]
    fn the_screen_is_upstreams() {
        let golden = Golden::read();
        let screen = Camera::of_screen(FOCAL_PX, SIZE).expect("the golden's camera");
        let ([fx, fy], [cx, cy]) = (screen.focal(), screen.center());
        let matrix = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        golden.compare("screen_intrinsics", &matrix);
        let (width, height) = screen.size();
        assert_eq!(golden.values("screen_resolution"), [width as f64, height as f64]);
    }

    #[test]
    fn every_path_is_upstreams() {
        let golden = Golden::read();
        let depths = Depths::of(&golden.cloud(), &Pose::IDENTITY).expect("some lie ahead");
        for (path, name) in [
            (Path::Swipe, "swipe"),
            (Path::Shake, "shake"),
            (Path::Rotate, "rotate"),
            (Path::RotateForward, "rotate_forward"),
        ] {
            let eyes = eyes(path, offset_max(&photo(), &depths));
            golden.compare(&format!("eyes.{name}"), eyes.as_flattened());
            if matches!(path, Path::Shake | Path::RotateForward) {
                let poses = poses(path, &photo(), Some(&depths));
                let matrices: Vec<f64> = poses.iter().flat_map(matrix).collect();
                golden.compare(&format!("extrinsics.{name}"), &matrices);
            }
        }
    }

    fn matrix(pose: &Pose) -> [f64; 16] {
        let mut matrix = [0.0; 16];
        for row in 0..3 {
            matrix[4 * row..][..3].copy_from_slice(&pose.rotation[row]);
            matrix[4 * row + 3] = pose.translation[row];
        }
        matrix[15] = 1.0;
        matrix
    }

    #[test]
    fn a_cloud_behind_the_camera_or_none_leaves_it_where_it_is() {
        let behind = Gaussians {
            means: vec![[0.0, 0.0, -1.0], [0.0, 0.0, f32::NAN], [0.0, 0.0, f32::INFINITY]],
            ..Gaussians::default()
        };
        assert_eq!(Depths::of(&behind, &Pose::IDENTITY), None);
        let poses = poses(Path::RotateForward, &photo(), None);
        assert_eq!(poses, vec![Pose::IDENTITY; FRAMES]);
    }

    #[test]
    fn one_depth_is_every_quantile() {
        let one = Gaussians { means: vec![[0.0, 0.0, 3.0]], ..Gaussians::default() };
        let depths = Depths::of(&one, &Pose::IDENTITY).expect("it lies ahead");
        assert_eq!(depths, Depths { near: 3.0, focus: 3.0, far: 3.0 });
    }
}
