//! Morphology of 8-bit planes with any kernel, anchor and number of iterations (SPEC §4).
//!
//! Owns structuring elements and the seven operations. Pixels outside the image never win: they
//! are neither copied nor zero. Colour goes through `Plane::per_channel`. Results are exact.
//! Start at [`Morphology`], which keeps its memory from frame to frame; `plain` is the definition.

mod chain;
mod filter;
#[cfg(test)]
pub(crate) mod plain;
mod rows;
mod runs;
mod stage;
mod window;

use serde::{Deserialize, Serialize};

use super::error::{VisionError, require};
use super::plane::Plane;
use super::threads::Threads;
pub use filter::Morphology;

/// Longest side of a kernel: one pixel costs up to its square of comparisons.
pub const KERNEL_SIDE_MAX: u32 = 255;
/// Most repetitions: each one walks the whole image once or twice.
pub const ITERATIONS_MAX: u32 = 100;

/// What is done with the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The least value under the kernel.
    Erode,
    /// The largest value under the kernel.
    Dilate,
    /// Erode, then dilate: removes bright specks.
    Open,
    /// Dilate, then erode: closes dark gaps.
    Close,
    /// Dilated minus eroded: outlines.
    Gradient,
    /// The picture minus its opening.
    TopHat,
    /// The closing minus the picture.
    BlackHat,
}

/// The form of a structuring element inside its rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// All cells.
    Rect,
    /// The middle row and the middle column.
    Cross,
    /// OpenCV's inscribed ellipse; lopsided when a side is even.
    Ellipse,
}

/// Which operation is done, with which kernel and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MorphologyParams {
    /// The operation.
    pub operation: Operation,
    /// The form of the kernel.
    pub shape: Shape,
    /// Columns of the kernel.
    #[schemars(range(min = 1, max = KERNEL_SIDE_MAX))]
    pub kernel_width: u32,
    /// Rows of the kernel.
    #[schemars(range(min = 1, max = KERNEL_SIDE_MAX))]
    pub kernel_height: u32,
    /// Column and row of the kernel's cell that lies on the pixel; the middle when absent.
    pub anchor: Option<[u32; 2]>,
    /// Repetitions. Opening by 3 erodes three times, then dilates three times.
    #[schemars(range(min = 1, max = ITERATIONS_MAX))]
    pub iterations: u32,
}

impl Default for MorphologyParams {
    fn default() -> Self {
        Self {
            operation: Operation::Close,
            shape: Shape::Rect,
            kernel_width: 3,
            kernel_height: 3,
            anchor: None,
            iterations: 1,
        }
    }
}

impl MorphologyParams {
    /// # Errors
    /// `Parameter` names the first field outside its range.
    pub fn check(&self) -> Result<(), VisionError> {
        check_sides(self.kernel_width as usize, self.kernel_height as usize)?;
        let [x, y] = self.anchor.unwrap_or([0, 0]);
        let inside = x < self.kernel_width && y < self.kernel_height;
        require(inside, "anchor", "a cell of the kernel")?;
        check_iterations(self.iterations)
    }

    /// The kernel these parameters describe.
    /// # Errors
    /// As `check`.
    pub fn kernel(&self) -> Result<Kernel, VisionError> {
        self.check()?;
        let (width, height) = (self.kernel_width as usize, self.kernel_height as usize);
        let kernel = Kernel::shaped(self.shape, width, height)?;
        match self.anchor {
            Some([x, y]) => kernel.with_anchor(x as usize, y as usize),
            None => Ok(kernel),
        }
    }
}

fn check_sides(width: usize, height: usize) -> Result<(), VisionError> {
    let sides = 1..=KERNEL_SIDE_MAX as usize;
    require(sides.contains(&width), "kernel_width", "from 1 to 255")?;
    require(sides.contains(&height), "kernel_height", "from 1 to 255")
}

pub(crate) fn check_iterations(iterations: u32) -> Result<(), VisionError> {
    require((1..=ITERATIONS_MAX).contains(&iterations), "iterations", "from 1 to 100")
}

/// A structuring element: `(height, width)` cells of which some count, and the cell that lies on
/// the pixel. Sides are 1 to 255 and the anchor is inside; the constructors check it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    width: usize,
    height: usize,
    cells: Vec<bool>,
    anchor: (usize, usize),
}

impl Kernel {
    /// Takes `cells`, row by row; the anchor is the middle, `(width div 2, height div 2)`.
    /// # Errors
    /// `Parameter` when a side is not 1 to 255; `Shape` when `cells` does not fill the kernel.
    pub fn new(width: usize, height: usize, cells: Vec<bool>) -> Result<Self, VisionError> {
        check_sides(width, height)?;
        if cells.len() != width * height {
            return Err(VisionError::Shape { width, height, samples: cells.len() });
        }
        Ok(Self { width, height, cells, anchor: (width / 2, height / 2) })
    }

    /// A rectangle, cross or ellipse; the anchor is the middle.
    /// # Errors
    /// `Parameter` when a side is not 1 to 255.
    pub fn shaped(shape: Shape, width: usize, height: usize) -> Result<Self, VisionError> {
        check_sides(width, height)?;
        let (middle_x, middle_y) = (width / 2, height / 2);
        let mut cells = Vec::with_capacity(width * height);
        for y in 0..height {
            let run = match shape {
                Shape::Rect => 0..width,
                Shape::Cross if y == middle_y => 0..width,
                Shape::Cross => middle_x..middle_x + 1,
                Shape::Ellipse => ellipse_run(width, height, y),
            };
            cells.extend((0..width).map(|x| run.contains(&x)));
        }
        Self::new(width, height, cells)
    }

    /// The same cells, with cell (x, y) on the pixel.
    /// # Errors
    /// `Parameter` when (x, y) is not a cell.
    pub fn with_anchor(self, x: usize, y: usize) -> Result<Self, VisionError> {
        require(x < self.width && y < self.height, "anchor", "a cell of the kernel")?;
        Ok(Self { anchor: (x, y), ..self })
    }

    /// Whether each cell counts, row by row.
    pub fn cells(&self) -> &[bool] {
        &self.cells
    }

    /// The sides and the anchor when every cell counts: such a kernel is done line by line.
    #[cfg(feature = "cuda")]
    pub(crate) fn rectangle(&self) -> Option<([usize; 2], [usize; 2])> {
        let full = self.cells.iter().all(|&counts| counts);
        full.then_some(([self.width, self.height], [self.anchor.0, self.anchor.1]))
    }

    /// Columns and rows from the pixel to each cell that counts.
    #[cfg(feature = "cuda")]
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (isize, isize)> {
        let counted = self.cells.iter().enumerate().filter(|&(_, &counts)| counts);
        counted.map(|(i, _)| {
            let (x, y) = ((i % self.width) as isize, (i / self.width) as isize);
            (x - self.anchor.0 as isize, y - self.anchor.1 as isize)
        })
    }
}

/// The columns of row `y` that belong to the ellipse.
fn ellipse_run(width: usize, height: usize, y: usize) -> std::ops::Range<usize> {
    let (center, radius) = (width / 2, height / 2);
    let from_middle = y.abs_diff(radius);
    if from_middle > radius {
        return 0..0;
    }
    let half = if radius == 0 {
        0
    } else {
        let (r, dy) = (radius as f64, from_middle as f64);
        (center as f64 * ((r * r - dy * dy) / (r * r)).sqrt()).round_ties_even() as usize
    };
    center.saturating_sub(half)..(center + half + 1).min(width)
}

/// Applies `params` to a plane; same size.
/// # Errors
/// `Parameter` when a field is outside its range.
pub fn morphology(image: &Plane<u8>, params: &MorphologyParams) -> Result<Plane<u8>, VisionError> {
    apply(image, params.operation, &params.kernel()?, params.iterations)
}

/// Applies `operation` with any kernel; same size. An opening or a closing uses the kernel and
/// its anchor in both halves, so a lopsided one shifts the picture.
/// # Errors
/// `Parameter` when `iterations` is not 1 to 100.
pub fn apply(
    image: &Plane<u8>,
    operation: Operation,
    kernel: &Kernel,
    iterations: u32,
) -> Result<Plane<u8>, VisionError> {
    let mut out = Plane::pixel();
    Morphology::with_kernel(operation, kernel, iterations)?.run(image, Threads::Pool, &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests;
