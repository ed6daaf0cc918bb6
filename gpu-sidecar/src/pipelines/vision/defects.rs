//! Defects of a key frame: marks that differ from what is around them, as regions with names.
//!
//! Owns the rule, which `docs/vision.md` states: top-hat and black-hat find bright and dark marks,
//! connected pixels are a region, the first kind whose conditions hold names it. The numbers and
//! the kinds come from the parameters. Knows a gray frame.

use std::collections::BTreeMap;

use serde::Serialize;

use super::params::{Defects, Kind, Polarity};
use crate::vision::VisionError;
use crate::vision::morphology::{MorphologyParams, Operation, Shape, morphology};
use crate::vision::plane::Plane;
use crate::vision::regions::{Region, regions};

/// What a region is called that no kind fits.
const OTHER: &str = "other";

/// The defects of one frame: the file `defects_N.json`.
#[derive(Debug, Serialize)]
pub(super) struct DefectReport<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// How many were found; `regions` may list fewer.
    pub(super) regions_total: usize,
    /// Share of the frame that they cover, 0 to 1.
    pub(super) area_share: f64,
    /// Of all that were found, by kind.
    pub(super) counts: BTreeMap<&'a str, usize>,
    /// The largest first.
    pub(super) regions: Vec<Defect<'a>>,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Defect<'a> {
    /// Borrowed: noise may make millions of regions, of which a thousand are listed.
    pub(super) kind: &'a str,
    pub(super) polarity: Polarity,
    /// Pixels.
    pub(super) area: u64,
    /// Left, top, width, height; pixels.
    pub(super) bbox: [usize; 4],
    /// Mean x and y, pixels.
    pub(super) centroid: [f64; 2],
    /// Length by width, at least 1.
    pub(super) elongation: f64,
    /// Mean difference from what is around it, gray levels.
    pub(super) contrast: f64,
    /// Touches the frame's border, within `defects.margin`.
    pub(super) border: bool,
}

/// Looks at a gray frame; also gives the mask, 255 on a defect.
///
/// # Errors
/// Those of the kernels; the parameters have been checked.
pub(super) fn find<'a>(
    gray: &Plane<u8>,
    params: &'a Defects,
) -> Result<(DefectReport<'a>, Plane<u8>), VisionError> {
    let (width, height) = gray.size();
    let mut mask = vec![0; width * height];
    let mut found = Vec::new();
    for polarity in [Polarity::Bright, Polarity::Dark] {
        find_polarity(gray, params, polarity, (&mut found, &mut mask))?;
    }
    // The largest first; of equals the upper, then the left one.
    found.sort_by_key(|defect| {
        let [left, top, ..] = defect.bbox;
        (std::cmp::Reverse(defect.area), top, left)
    });
    let mut counts = BTreeMap::new();
    for defect in &found {
        *counts.entry(defect.kind).or_default() += 1;
    }
    let area: u64 = found.iter().map(|defect| defect.area).sum();
    let regions_total = found.len();
    found.truncate(params.regions_max as usize);
    let area_share = round(area as f64 / (width * height) as f64, 6);
    let report = DefectReport { width, height, regions_total, area_share, counts, regions: found };
    Ok((report, Plane::new(width, height, mask)?))
}

/// Adds the regions of one polarity to `found` and to the mask.
fn find_polarity<'a>(
    gray: &Plane<u8>,
    params: &'a Defects,
    polarity: Polarity,
    (found, mask): (&mut Vec<Defect<'a>>, &mut [u8]),
) -> Result<(), VisionError> {
    let operation = match polarity {
        Polarity::Bright => Operation::TopHat,
        Polarity::Dark => Operation::BlackHat,
    };
    let hat = MorphologyParams {
        operation,
        shape: Shape::Rect,
        kernel_width: params.size,
        kernel_height: params.size,
        anchor: None,
        iterations: 1,
    };
    let contrast = morphology(gray, &hat)?;
    let threshold = params.threshold;
    let marks = contrast.map(|value| if u32::from(value) > threshold { 255 } else { 0 });
    let regions = regions(&marks);
    let area_max = params.area_share_max * gray.data().len() as f64;
    let kept = |region: &Region| region.area >= params.area_min && region.area as f64 <= area_max;
    let mut sums = vec![0u64; regions.list.len()];
    let pixels = regions.labels.data().iter().zip(contrast.data());
    for ((&label, &value), mask) in pixels.zip(mask) {
        let Some(place) = (label as usize).checked_sub(1) else { continue };
        sums[place] += u64::from(value);
        if kept(&regions.list[place]) {
            *mask = 255;
        }
    }
    let listed = regions.list.iter().zip(sums).filter(|(region, _)| kept(region));
    found.extend(listed.map(|(region, sum)| {
        let contrast = sum as f64 / region.area as f64;
        described(region, contrast, (polarity, params, gray.size()))
    }));
    Ok(())
}

fn described<'a>(
    region: &Region,
    contrast: f64,
    (polarity, params, (width, height)): (Polarity, &'a Defects, (usize, usize)),
) -> Defect<'a> {
    let ((left, top), (right, bottom)) = (region.min, region.max);
    let margin = params.margin as usize;
    let border = left.min(top) < margin || right + margin >= width || bottom + margin >= height;
    let (x, y) = region.centroid();
    let mut defect = Defect {
        kind: OTHER,
        polarity,
        area: region.area,
        bbox: [left, top, right + 1 - left, bottom + 1 - top],
        centroid: [round(x, 2), round(y, 2)],
        elongation: round(region.elongation(), 2),
        contrast: round(contrast, 1),
        border,
    };
    if let Some(kind) = params.kinds.iter().find(|kind| fits(kind, &defect)) {
        defect.kind = &kind.kind;
    }
    defect
}

fn fits(kind: &Kind, defect: &Defect<'_>) -> bool {
    kind.polarity.is_none_or(|polarity| polarity == defect.polarity)
        && kind.border.is_none_or(|border| border == defect.border)
        && kind.elongation_min.is_none_or(|least| defect.elongation >= least)
        && kind.area_min.is_none_or(|least| defect.area >= least)
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gray field with rectangles of other levels: left, top, width, height, level.
    fn field(marks: &[(usize, usize, usize, usize, u8)]) -> Plane<u8> {
        let mut data = vec![128; 200 * 100];
        for &(left, top, width, height, level) in marks {
            for y in top..top + height {
                data[y * 200 + left..][..width].fill(level);
            }
        }
        Plane::new(200, 100, data).expect("fits")
    }

    #[track_caller]
    fn check(mark: (usize, usize, usize, usize, u8), want: Option<&str>) {
        let params = Defects::default();
        let (report, mask) = find(&field(&[mark]), &params).expect("finds");
        let kinds: Vec<&str> = report.regions.iter().map(|defect| defect.kind).collect();
        assert_eq!(kinds, want.into_iter().collect::<Vec<_>>(), "{mark:?}");
        let marked = mask.data().iter().filter(|&&value| value == 255).count();
        assert_eq!(marked, if want.is_some() { mark.2 * mark.3 } else { 0 });
    }

    #[test]
    fn a_mark_is_named_by_its_form() {
        check((50, 40, 40, 2, 255), Some("scratch"));
        check((50, 40, 2, 40, 0), Some("crease"));
        check((50, 40, 5, 5, 220), Some("speck"));
        check((50, 40, 5, 5, 20), Some("spot"));
        check((0, 40, 4, 6, 250), Some("edge_wear"));
        check((196, 95, 4, 5, 250), Some("edge_wear"));
        // Where there is nothing beyond it, half the square covers a mark.
        check((195, 94, 5, 6, 250), None);
    }

    #[test]
    fn what_is_faint_small_or_large_is_no_defect() {
        check((50, 40, 40, 2, 160), None);
        check((50, 40, 3, 3, 255), None);
        check((50, 40, 40, 40, 255), None);
    }

    #[test]
    fn the_list_says_where_each_region_is() {
        let gray = field(&[(10, 20, 30, 2, 255), (100, 50, 5, 5, 0)]);
        let params = Defects::default();
        let (report, _) = find(&gray, &params).expect("finds");
        assert_eq!((report.regions_total, report.area_share), (2, 85.0 / 20_000.0));
        assert_eq!(report.counts, BTreeMap::from([("scratch", 1), ("spot", 1)]));
        let want = Defect {
            kind: "scratch",
            polarity: Polarity::Bright,
            area: 60,
            bbox: [10, 20, 30, 2],
            centroid: [24.5, 20.5],
            elongation: 15.0,
            contrast: 127.0,
            border: false,
        };
        assert_eq!(report.regions[0], want);
        let few = Defects { regions_max: 1, ..Defects::default() };
        let (report, _) = find(&gray, &few).expect("finds");
        assert_eq!((report.regions_total, report.regions.len()), (2, 1));
    }
}
