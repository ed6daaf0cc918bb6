//! The sections that compare pictures: gray, Canny, morphology, resize, I420, sharpness.
//!
//! Owns how an entry becomes a call and what it is compared with.

use super::super::stage::{Stage, Tolerance};
use super::super::{Case, CheckError};
use super::manifest::{self, Dtype, Mode, ResizeTolerance};
use super::{Goldens, Image, Refusal, Values, f32_plane, plane, unsupported};
use crate::vision::canny::CannyParams;
use crate::vision::gray::I420;
use crate::vision::morphology::Kernel;
use crate::vision::plane::Plane;
use crate::vision::resize::Size;

/// How near a sharpness must be: its sums are exact, so only the last digits may differ.
const SHARPNESS: Tolerance = Tolerance::Relative(1e-9);

impl Image {
    /// Size, then samples channel by channel as they lie.
    fn flatten(&self) -> (usize, usize, &[u8]) {
        match self {
            Self::Gray(gray) => (gray.width(), gray.height(), gray.data()),
            Self::Bgr(bgr) => (3 * bgr.width(), bgr.height(), bgr.data().as_flattened()),
        }
    }
}

/// The stage of two pictures that must be equal.
fn equal(got: &Image, want: &Image) -> Stage {
    let ((got_width, got_height, got), (width, height, want)) = (got.flatten(), want.flatten());
    if (got_width, got_height) != (width, height) {
        return Stage::failed("image");
    }
    let numbers = |samples: &[u8]| samples.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    Stage::compare("image", numbers(got), numbers(want), Tolerance::Exact)
}

/// A kernel for one channel, on each channel of a picture.
fn per_channel(
    case: &str,
    image: Image,
    kernel: impl Fn(&Plane<u8>) -> Result<Plane<u8>, Refusal>,
) -> Result<Image, CheckError> {
    let bgr = match image {
        Image::Gray(gray) => return Ok(Image::Gray(plane(case, kernel(&gray))?)),
        Image::Bgr(bgr) => bgr,
    };
    let [blue, green, red] = [0, 1, 2].map(|c| kernel(&bgr.map(|pixel| pixel[c])));
    let channels = [plane(case, blue)?, plane(case, green)?, plane(case, red)?];
    let (width, height) = channels[0].size();
    Ok(Image::Bgr(Plane::from_rows(width, height, |y, row| {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = [0, 1, 2].map(|c| channels[c].row(y)[x]);
        }
    })))
}

pub(super) fn gray(
    goldens: &Goldens,
    case: String,
    entry: &manifest::Gray,
) -> Result<Case, CheckError> {
    let Image::Bgr(bgr) = goldens.frame(&case, &entry.bgr)? else {
        return Err(unsupported(&case, format!("{} is not a colour picture", entry.bgr)));
    };
    let got = Image::Gray(plane(&case, goldens.engine.gray_from_bgr(&bgr))?);
    Ok(Case::new(case, vec![equal(&got, &goldens.picture(&entry.expected)?)]))
}

pub(super) fn canny(
    goldens: &Goldens,
    case: String,
    entry: &manifest::Canny,
) -> Result<Case, CheckError> {
    let params = CannyParams {
        low: entry.low,
        high: entry.high,
        aperture: entry.aperture,
        l2: entry.l2gradient,
    };
    let edges = match (goldens.frame(&case, &entry.input)?, entry.channels) {
        (Image::Gray(gray), 1) => goldens.engine.canny(&gray, &params),
        (Image::Bgr(bgr), 3) => goldens.engine.canny_color(&bgr, &params),
        (_, channels) => {
            let problem = format!("{} does not have {channels} channels", entry.input);
            return Err(unsupported(&case, problem));
        }
    };
    let edges = plane(&case, edges)?;
    let count = edges.data().iter().filter(|&&v| v != 0).count() as f64;
    let want = goldens.picture(&entry.expected)?;
    let stages = vec![
        equal(&Image::Gray(edges), &want),
        Stage::compare("edge_pixels", [count], [entry.edge_pixels as f64], Tolerance::Exact),
    ];
    Ok(Case::new(case, stages))
}

pub(super) fn morphology(
    goldens: &Goldens,
    case: String,
    entry: &manifest::Morphology,
) -> Result<Case, CheckError> {
    let kernel = kernel(&case, entry)?;
    let apply =
        |image: &Plane<u8>| goldens.engine.morphology(image, entry.op, &kernel, entry.iterations);
    let got = per_channel(&case, goldens.picture(&entry.input)?, apply)?;
    Ok(Case::new(case, vec![equal(&got, &goldens.picture(&entry.expected)?)]))
}

fn kernel(case: &str, entry: &manifest::Morphology) -> Result<Kernel, CheckError> {
    let [width, height] = entry.ksize;
    if entry.kernel.len() != height || entry.kernel.iter().any(|row| row.len() != width) {
        return Err(unsupported(case, "`kernel` does not have the size `ksize`"));
    }
    let cells = entry.kernel.iter().flatten().map(|&cell| cell != 0).collect();
    let kernel = plane(case, Kernel::new(width, height, cells))?;
    match entry.anchor {
        [-1, -1] => Ok(kernel),
        [x, y] if x >= 0 && y >= 0 => plane(case, kernel.with_anchor(x as usize, y as usize)),
        _ => Err(unsupported(case, format!("the anchor {:?}", entry.anchor))),
    }
}

pub(super) fn element(case: String, entry: &manifest::Element) -> Result<Case, CheckError> {
    let [width, height] = entry.ksize;
    let kernel = plane(&case, Kernel::shaped(entry.shape, width, height))?;
    let got: Vec<String> = kernel
        .cells()
        .chunks(width)
        .map(|row| row.iter().map(|&counts| if counts { '1' } else { '0' }).collect())
        .collect();
    let stage = if got.iter().map(String::len).eq(entry.rows.iter().map(String::len)) {
        let cells = |rows: &[String]| rows.concat().into_bytes().into_iter().map(f64::from);
        Stage::compare("cells", cells(&got), cells(&entry.rows), Tolerance::Exact)
    } else {
        Stage::failed("cells")
    };
    Ok(Case::new(case, vec![stage]))
}

pub(super) fn resize(
    goldens: &Goldens,
    case: String,
    entry: &manifest::Resize,
) -> Result<Case, CheckError> {
    let size = Size { width: entry.dsize[0], height: entry.dsize[1] };
    let stage = match (entry.dtype, entry.tolerance) {
        (Dtype::U8, ResizeTolerance::Exact) => resize_u8(goldens, &case, entry, size)?,
        (Dtype::F32, ResizeTolerance::ByRatio) => resize_f32(goldens, &case, entry, size)?,
        _ => return Err(unsupported(&case, "the tolerance is not the one of its dtype")),
    };
    Ok(Case::new(case, vec![stage]))
}

fn resize_u8(
    goldens: &Goldens,
    case: &str,
    entry: &manifest::Resize,
    size: Size,
) -> Result<Stage, CheckError> {
    let kernel = |image: &Plane<u8>| match entry.mode {
        Mode::Linear => goldens.engine.linear_u8(image, size),
        Mode::Area => goldens.engine.area_u8(image, size),
    };
    let got = per_channel(case, goldens.picture(&entry.input)?, kernel)?;
    Ok(equal(&got, &goldens.picture(&entry.expected)?))
}

fn resize_f32(
    goldens: &Goldens,
    case: &str,
    entry: &manifest::Resize,
    size: Size,
) -> Result<Stage, CheckError> {
    let read = |place: &str| {
        let Some((file, tensor)) = place.split_once(':') else {
            return Err(unsupported(case, format!("{place} does not name a tensor")));
        };
        Ok(f32_plane::<1>(case, goldens.tensor(case, file, tensor)?)?.map(|[value]| value))
    };
    let (image, want) = (read(&entry.input)?, read(&entry.expected)?);
    let whole_ratio =
        image.width().is_multiple_of(size.width) && image.height().is_multiple_of(size.height);
    let (got, bound) = match entry.mode {
        // OpenCV's builds differ in the fraction where the ratio is not whole (SPEC §5).
        Mode::Linear if !whole_ratio => (goldens.engine.linear_f32(&image, size), 2.5e-3),
        Mode::Linear => (goldens.engine.linear_f32(&image, size), 1e-4),
        Mode::Area => (goldens.engine.area_f32(&image, size), 1e-4),
    };
    let got = plane(case, got)?;
    if got.size() != want.size() {
        return Ok(Stage::failed("image"));
    }
    let numbers = |plane: Plane<f32>| plane.into_data().into_iter().map(f64::from);
    Ok(Stage::compare("image", numbers(got), numbers(want), Tolerance::Absolute(bound)))
}

pub(super) fn i420(
    goldens: &Goldens,
    case: String,
    entry: &manifest::I420,
) -> Result<Case, CheckError> {
    let planar = goldens.tensor(&case, &entry.file, "i420")?;
    let want = goldens.tensor(&case, &entry.file, "bgr")?;
    let (Values::U8(data), Values::U8(want), [rows, width]) =
        (planar.values, want.values, &planar.shape[..])
    else {
        return Err(unsupported(&case, "the tensors are not u8"));
    };
    let frame = plane(&case, I420::new(*width, rows / 3 * 2, data))?;
    let numbers = |samples: &[u8]| samples.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let got = frame.bgr();
    let got = numbers(got.data().as_flattened());
    Ok(Case::new(case, vec![Stage::compare("bgr", got, numbers(&want), Tolerance::Exact)]))
}

pub(super) fn sharpness(
    goldens: &Goldens,
    case: String,
    entry: &manifest::Sharpness,
) -> Result<Case, CheckError> {
    let gray = goldens.gray_frame(&case, &entry.frame)?;
    let got = plane(&case, goldens.engine.laplacian_variance(&gray))?;
    let stage = Stage::compare("laplacian_variance", [got], [entry.laplacian_variance], SHARPNESS);
    Ok(Case::new(case, vec![stage]))
}
