//! The definition: every pixel looks at every Gaussian, in f64, by the textbook's formulas.
//!
//! What the tiled form is tested against; far too slow for anything else. Shares no arithmetic
//! with it: covariances are products of whole matrices, exponents are quadratic forms.

use super::{ALPHA_MAX, ALPHA_MIN, NEAR, THROUGH_MIN};
use crate::splat::Gaussians;
use crate::splat::camera::Camera;

/// A pixel: linear red, green, blue, then alpha, then depth.
pub(super) type Pixel = [f64; 5];

type Matrix = [[f64; 3]; 3];

struct Ellipse {
    center: [f64; 2],
    /// xx, xy, yy of the inverse covariance.
    inverse: [f64; 3],
    opacity: f64,
    depth: f64,
    color: [f64; 3],
}

/// Row by row.
pub(super) fn render(cloud: &Gaussians, camera: &Camera, low_pass: f64) -> Vec<Pixel> {
    let mut ellipses: Vec<Ellipse> =
        (0..cloud.len()).filter_map(|index| project(cloud, index, camera, low_pass)).collect();
    ellipses.sort_by(|a, b| a.depth.total_cmp(&b.depth));
    let (width, height) = camera.size();
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    pixels.map(|(x, y)| blend(&ellipses, [x as f64 + 0.5, y as f64 + 0.5])).collect()
}

fn blend(ellipses: &[Ellipse], at: [f64; 2]) -> Pixel {
    let mut pixel = [0.0; 5];
    let mut through = 1.0;
    for ellipse in ellipses {
        let [dx, dy] = [at[0] - ellipse.center[0], at[1] - ellipse.center[1]];
        let [xx, xy, yy] = ellipse.inverse;
        let squared = xx * dx * dx + 2.0 * xy * dx * dy + yy * dy * dy;
        let alpha = (ellipse.opacity * (-0.5 * squared).exp()).min(f64::from(ALPHA_MAX));
        if alpha < f64::from(ALPHA_MIN) {
            continue;
        }
        if through * (1.0 - alpha) <= f64::from(THROUGH_MIN) {
            break;
        }
        let [red, green, blue] = ellipse.color;
        for (sum, value) in pixel.iter_mut().zip([red, green, blue, 1.0, ellipse.depth]) {
            *sum += through * alpha * value;
        }
        through *= 1.0 - alpha;
    }
    pixel
}

fn project(cloud: &Gaussians, index: usize, camera: &Camera, low_pass: f64) -> Option<Ellipse> {
    let [x, y, z] = camera.pose().apply(cloud.means[index].map(f64::from));
    let quaternion = cloud.rotations[index].map(f64::from);
    let scales = cloud.scales[index].map(f64::from);
    let color = cloud.colors[index].map(f64::from);
    let opacity = f64::from(cloud.opacities[index]);
    let all = [[x, y, z], scales, color, [opacity; 3]];
    let finite = all.as_flattened().iter().chain(&quaternion).all(|value| value.is_finite());
    let turns = quaternion.iter().any(|&q| q != 0.0);
    if !finite || !turns || z < NEAR {
        return None;
    }
    let opacity = opacity.min(1.0);
    let variances = scales.map(|scale| scale * scale);
    let diagonal: Matrix =
        std::array::from_fn(|i| std::array::from_fn(|j| if i == j { variances[i] } else { 0.0 }));
    let turn = rotation(quaternion);
    let world = product(&product(&turn, &diagonal), &transposed(&turn));
    let pose = camera.pose().rotation;
    let seen = product(&product(&pose, &world), &transposed(&pose));
    let ([fx, fy], [cx, cy], (width, height)) = (camera.focal(), camera.center(), camera.size());
    let slope = |slope: f64, center: f64, side: usize, focal: f64| {
        let margin = 0.15 * side as f64 / focal;
        slope.clamp(-center / focal - margin, (side as f64 - center) / focal + margin)
    };
    let (tx, ty) = (slope(x / z, cx, width, fx) * z, slope(y / z, cy, height, fy) * z);
    let jacobian = [[fx / z, 0.0, -fx * tx / (z * z)], [0.0, fy / z, -fy * ty / (z * z)], [0.0; 3]];
    let screen = product(&product(&jacobian, &seen), &transposed(&jacobian));
    let (xx, xy, yy) = (screen[0][0] + low_pass, screen[0][1], screen[1][1] + low_pass);
    let det = xx * yy - xy * xy;
    let center = [fx * x / z + cx, fy * y / z + cy];
    let inverse = [yy / det, -xy / det, xx / det];
    (det > 0.0).then_some(Ellipse { center, inverse, opacity, depth: z, color })
}

/// The matrix of a turn by a quaternion w, x, y, z: q v q*, on the three axes.
fn rotation(quaternion: [f64; 4]) -> Matrix {
    let length = quaternion.iter().map(|q| q * q).sum::<f64>().sqrt();
    let [w, x, y, z] = quaternion.map(|q| q / length);
    let times = |[a, b, c, d]: [f64; 4], [e, f, g, h]: [f64; 4]| {
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ]
    };
    let columns: Matrix = std::array::from_fn(|axis| {
        let mut v = [0.0; 4];
        v[axis + 1] = 1.0;
        let [_, x, y, z] = times(times([w, x, y, z], v), [w, -x, -y, -z]);
        [x, y, z]
    });
    transposed(&columns)
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

fn transposed(a: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}
