//! The kernels by name, and how many threads each is given.
//!
//! Owns the list that a device loads and the shapes of grids. A name here is an entry point in the
//! file of `gpu-sidecar/kernels/` that stands beside it.

/// An entry point of a kernel file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    /// `kernels/FILE.cu`
    pub(crate) file: &'static str,
    pub(crate) name: &'static str,
}

macro_rules! kernels {
    ($($file:literal: $($constant:ident $name:literal),+;)+) => {
        $($(pub(crate) const $constant: Kernel = Kernel { file: $file, name: $name };)+)+
        /// All of them.
        pub(crate) const ALL: &[Kernel] = &[$($($constant),+),+];
    };
}

kernels! {
    "gray": GRAY "gray", LAPLACIAN_SUMS "laplacian_sums";
    "resize": RESIZE_LINEAR_F32 "resize_linear_f32", RESIZE_AREA_F32 "resize_area_f32",
        RESIZE_LINEAR_U8 "resize_linear_u8", RESIZE_AREA_U8 "resize_area_u8";
    "blur": BLUR_ACROSS "blur_across", BLUR_DOWN "blur_down";
    "farneback": PYRAMID_ACROSS "pyramid_across", PYRAMID_DOWN "pyramid_down", EXPAND "expand",
        FLOW_MATRICES "flow_matrices", WINDOW_DOWN "window_down", WINDOW_SOLVE "window_solve",
        MOTION_SUMS "motion_sums";
    "canny": CANNY_GRADIENT_3 "canny_gradient_3", CANNY_GRADIENT_5 "canny_gradient_5",
        CANNY_GRADIENT_7 "canny_gradient_7", CANNY_THIN "canny_thin", CANNY_JOIN "canny_join",
        CANNY_FINISH "canny_finish";
    "morphology": MORPHOLOGY_CELLS "morphology_cells", MORPHOLOGY_LINE "morphology_line",
        SUBTRACT "subtract";
}

/// Threads of a block that works along one line.
pub(crate) const LINE: u32 = 256;

/// How many blocks of how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
}

impl Shape {
    /// Blocks of `block` threads, each making a tile of `tile` pixels (columns, rows), over
    /// `planes` planes of `columns` x `rows`.
    pub(crate) fn tiles(
        block: [u32; 2],
        tile: [usize; 2],
        [columns, rows]: [usize; 2],
        planes: usize,
    ) -> Self {
        let across = columns.div_ceil(tile[0]) as u32;
        let down = rows.div_ceil(tile[1]) as u32;
        Self { grid: [across, down, planes as u32], block: [block[0], block[1], 1] }
    }

    /// A thread per pixel.
    pub(crate) fn pixels(size: [usize; 2], planes: usize) -> Self {
        Self::tiles([32, 8], [32, 8], size, planes)
    }

    /// A thread per element of a line.
    pub(crate) fn line(count: usize) -> Self {
        Self { grid: [count.div_ceil(LINE as usize) as u32, 1, 1], block: [LINE, 1, 1] }
    }

    /// `blocks` blocks that share each of `planes` planes.
    pub(crate) fn shared(blocks: usize, planes: usize) -> Self {
        Self { grid: [blocks as u32, 1, planes as u32], block: [LINE, 1, 1] }
    }
}
