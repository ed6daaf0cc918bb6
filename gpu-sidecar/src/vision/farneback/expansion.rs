//! Polynomial expansion: a quadratic fitted around every pixel (SPEC §2.2).
//!
//! Owns the weights, the inverse of their Gram matrix and the separable fit. Coefficients are
//! `[y, x, y², x², xy]`; the constant term is never needed.

use super::FarnebackParams;
use crate::vision::border::replicate;
use crate::vision::plane::Plane;

/// Below this sigma OpenCV takes 0.3·n instead.
const SIGMA_NONE: f64 = 1.2e-7;

/// The weights of the fit for x = 0..=n (they are even or odd in x) and the Gram inverse.
pub(crate) struct Basis {
    /// `g(x)`, and `x·g(x)`, and `x²·g(x)`.
    pub(crate) g: Vec<f32>,
    pub(crate) xg: Vec<f32>,
    pub(crate) xxg: Vec<f32>,
    pub(crate) ig11: f64,
    pub(crate) ig03: f64,
    pub(crate) ig33: f64,
    pub(crate) ig55: f64,
}

impl Basis {
    pub(crate) fn of(params: &FarnebackParams) -> Self {
        let n = params.poly_n as usize;
        let sigma = if params.poly_sigma < SIGMA_NONE { 0.3 * n as f64 } else { params.poly_sigma };
        let raw = |x: usize| (-((x * x) as f64) / (2.0 * sigma * sigma)).exp() as f32;
        let one_side: f64 = (1..=n).map(|x| f64::from(raw(x))).sum();
        let sum = f64::from(raw(0)) + 2.0 * one_side;
        let g: Vec<f32> = (0..=n).map(|x| (f64::from(raw(x)) / sum) as f32).collect();
        let xg = g.iter().enumerate().map(|(x, &g)| x as f32 * g).collect();
        let xxg = g.iter().enumerate().map(|(x, &g)| (x * x) as f32 * g).collect();

        // Moments of the window g(y)·g(x): Σ1, Σx², Σx⁴, Σx²y². Odd ones vanish.
        let moment = |power: i32| -> f64 {
            let term = |(x, &g): (usize, &f32)| (x as f64).powi(power) * f64::from(g);
            let both_sides = 2.0 * g.iter().enumerate().skip(1).map(term).sum::<f64>();
            if power == 0 { f64::from(g[0]) + both_sides } else { both_sides }
        };
        let (m0, m2, m4) = (moment(0), moment(2), moment(4));
        let (one, a, c, d) = (m0 * m0, m0 * m2, m0 * m4, m2 * m2);
        // Over (1, x², y²) the Gram matrix is [one a a; a c d; a d c]. Its inverse applied to a
        // vector (b1, b4, b5) gives the x² coefficient ig03·b1 + ig33·b4 + rest·b5; `rest` is 0
        // because d·one = a².
        let determinant = one * (c + d) - 2.0 * a * a;
        Self {
            ig11: 1.0 / a,
            ig03: -a / determinant,
            ig33: (one * c - a * a) / ((c - d) * determinant),
            ig55: 1.0 / d,
            g,
            xg,
            xxg,
        }
    }

    /// Pixels to each side.
    pub(super) fn n(&self) -> usize {
        self.g.len() - 1
    }
}

/// Columns that are summed together, so that the compiler can use vector instructions.
const LANES: usize = 4;

/// Vertical sums over one row, `w + 2n` columns and a rest each: Σ g·I, Σ y·g·I, Σ y²·g·I.
struct Columns {
    v: [Vec<f32>; 3],
}

impl Columns {
    fn new(padded: usize) -> Self {
        Self { v: std::array::from_fn(|_| vec![0.0; padded]) }
    }

    /// Fills the sums of row `y`; rows and columns outside the image are replicated.
    fn fill(&mut self, image: &Plane<f32>, y: usize, basis: &Basis) {
        let (width, height) = image.size();
        let n = basis.n();
        let [v0, v1, v2] = &mut self.v;
        for (x, &sample) in image.row(y).iter().enumerate() {
            (v0[n + x], v1[n + x], v2[n + x]) = (basis.g[0] * sample, 0.0, 0.0);
        }
        for k in 1..=n {
            let above = image.row(replicate(y as isize - k as isize, height));
            let below = image.row(replicate((y + k) as isize, height));
            let (g, xg, xxg) = (basis.g[k], basis.xg[k], basis.xxg[k]);
            let sums = v0[n..].iter_mut().zip(&mut v1[n..]).zip(&mut v2[n..]);
            for (((v0, v1), v2), (&above, &below)) in sums.zip(above.iter().zip(below)) {
                *v0 += g * (above + below);
                *v1 += xg * (below - above);
                *v2 += xxg * (above + below);
            }
        }
        for sums in &mut self.v {
            let (first, last) = (sums[n], sums[n + width - 1]);
            sums[..n].fill(first);
            sums[n + width..].fill(last);
        }
    }

    /// The coefficients of the columns `first..first + LANES`: horizontal sums in f64, then the
    /// Gram inverse. Sums past the row's end mean nothing.
    fn coefficients(&self, first: usize, basis: &Basis) -> [[f32; 5]; LANES] {
        let n = basis.n();
        let at = |i: usize, k: usize| -> [f64; LANES] {
            let sums = self.v[i][first + k..].first_chunk::<LANES>();
            sums.expect("the rows are padded by LANES").map(f64::from)
        };
        let [v0, v1, v2] = [0, 1, 2].map(|i| at(i, n));
        let g0 = f64::from(basis.g[0]);
        let [mut b1, mut b3, mut b5] = [v0, v1, v2].map(|v| v.map(|v| v * g0));
        let [mut b2, mut b4, mut b6] = [[0f64; LANES]; 3];
        for k in 1..=n {
            let [g, xg, xxg] = [&basis.g, &basis.xg, &basis.xxg].map(|w| f64::from(w[k]));
            let [l0, l1, l2] = [0, 1, 2].map(|i| at(i, n - k));
            let [r0, r1, r2] = [0, 1, 2].map(|i| at(i, n + k));
            for lane in 0..LANES {
                b1[lane] += g * (l0[lane] + r0[lane]);
                b2[lane] += xg * (r0[lane] - l0[lane]);
                b4[lane] += xxg * (l0[lane] + r0[lane]);
                b3[lane] += g * (l1[lane] + r1[lane]);
                b6[lane] += xg * (r1[lane] - l1[lane]);
                b5[lane] += g * (l2[lane] + r2[lane]);
            }
        }
        std::array::from_fn(|lane| {
            let square = b1[lane] * basis.ig03;
            [
                b3[lane] * basis.ig11,
                b2[lane] * basis.ig11,
                square + b5[lane] * basis.ig33,
                square + b4[lane] * basis.ig33,
                b6[lane] * basis.ig55,
            ]
            .map(|coefficient| coefficient as f32)
        })
    }
}

/// `image` `(h, w)` to coefficients `(h, w, 5)` of the quadratic around every pixel.
pub(crate) fn expand(image: &Plane<f32>, params: &FarnebackParams) -> Plane<[f32; 5]> {
    let basis = Basis::of(params);
    let (width, height) = image.size();
    let columns = || Columns::new(width + 2 * basis.n() + LANES);
    Plane::from_rows_with(width, height, columns, |columns, y, out| {
        columns.fill(image, y, &basis);
        for (i, pixels) in out.chunks_mut(LANES).enumerate() {
            let coefficients = columns.coefficients(i * LANES, &basis);
            pixels.copy_from_slice(&coefficients[..pixels.len()]);
        }
    })
}
