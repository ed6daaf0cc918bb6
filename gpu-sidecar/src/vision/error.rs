//! Why a kernel refuses its input.
//!
//! Owns the one error of the vision kernels. A variant is something the caller can change.

/// Why a kernel refuses its input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VisionError {
    /// A parameter lies outside its range.
    #[error("`{field}` must be {allowed}")]
    Parameter {
        /// The field, as it is written in the parameters.
        field: &'static str,
        /// The allowed values, as text that follows "must be".
        allowed: &'static str,
    },
    /// The samples do not fill the size, or the size is empty.
    #[error("{width} x {height} does not describe {samples} samples")]
    Shape {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Samples that were given.
        samples: usize,
    },
    /// Optical flow needs more pixels than this (SPEC §2.3).
    #[error("optical flow needs at least {min} x {min} pixels, not {width} x {height}")]
    TooSmall {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The least that is accepted in either direction.
        min: usize,
    },
    /// Two pictures that belong together have different sizes.
    #[error("the sizes differ: {}x{} and {}x{}", .first.0, .first.1, .second.0, .second.1)]
    SizesDiffer {
        /// Width and height of the first.
        first: (usize, usize),
        /// Width and height of the second.
        second: (usize, usize),
    },
    /// An expansion was made with other pyramid or polynomial parameters than the flow's.
    #[error("the expansion was made with other `pyr_scale`, `levels`, `poly_n` or `poly_sigma`")]
    OtherExpansion,
    /// Area resizing averages; it cannot enlarge.
    #[error("area resizing cannot enlarge {}x{} to {}x{}", .from.0, .from.1, .to.0, .to.1)]
    Enlarges {
        /// Width and height of the source.
        from: (usize, usize),
        /// Width and height that were asked for.
        to: (usize, usize),
    },
}

/// `Ok` when `holds`; otherwise the refusal of `field`, whose range reads "must be `allowed`".
pub(crate) fn require(
    holds: bool,
    field: &'static str,
    allowed: &'static str,
) -> Result<(), VisionError> {
    if holds { Ok(()) } else { Err(VisionError::Parameter { field, allowed }) }
}
