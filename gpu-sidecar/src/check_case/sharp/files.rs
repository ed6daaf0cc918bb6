//! Files of Gaussians, byte by byte, and read again.

use super::gaussians::{compare_columns, read_cloud};
use crate::check_case::golden::Golden;
use crate::check_case::{Case, CheckError, Stage};
use crate::splat::{Photo, ply};

/// Floats of a vertex.
const COLUMNS: usize = 14;
/// Of a vertex's floats, relative to those above 1.
const TOLERANCE: f64 = 2e-6;
/// Bytes after the vertices: 16 + 9 floats and 2 + 2 integers, then 2 disparities, then 4 bytes.
const TAIL: usize = 29 * 4 + 2 * 4 + 4;
/// Where among them the disparities begin.
const DISPARITY: usize = 29 * 4;

pub(super) fn ply(mut golden: Golden) -> Result<Case, CheckError> {
    let cloud = read_cloud(&golden)?;
    let photo = Photo {
        width: golden.number("image_width")? as u32,
        height: golden.number("image_height")? as u32,
        focal_px: golden.number("f_px")? as f32,
    };
    let mut file = Vec::new();
    ply::write(&mut file, &cloud, &photo).map_err(|e| golden.refused(e))?;

    let path = golden.dir.join("expected.ply");
    let want = std::fs::read(&path).map_err(|e| CheckError::File { path, source: e.into() })?;
    let name = "ply.bytes";
    let stages = if file.len() == want.len() && file.len() >= TAIL + cloud.len() * COLUMNS * 4 {
        let (got, want) = (parts(&file, cloud.len()), parts(&want, cloud.len()));
        let exact = |part: &str, got: &[f64], want: &[f64]| {
            Stage::elements(&format!("{name}.{part}"), got, want, (0.0, 0.0, 0.0))
        };
        // The manifest's rule: relative to the larger of 1 and the number.
        let close = |part: &str, got: &[f64], want: &[f64]| {
            let got: Vec<f64> = got.iter().zip(want).map(|(g, w)| scaled(*g, *w)).collect();
            let want: Vec<f64> = want.iter().map(|w| scaled(*w, *w)).collect();
            Stage::elements(&format!("{name}.{part}"), &got, &want, (TOLERANCE, 0.0, 0.0))
        };
        vec![
            exact("header", &got.header, &want.header),
            close("vertices", &got.vertices, &want.vertices),
            exact("metadata", &got.metadata, &want.metadata),
            close("disparity", &got.disparity, &want.disparity),
        ]
    } else {
        vec![Stage::failed(name)]
    };
    golden.push_as(name, stages);

    let written = parts(&file, cloud.len());
    let columns = |from: usize, count: usize| -> Vec<f64> {
        let vertices = written.vertices.chunks(COLUMNS);
        vertices.flat_map(|vertex| vertex[from..from + count].to_vec()).collect()
    };
    let count = cloud.len();
    golden.compare("ply.f_dc", &[1, count, 3], &columns(3, 3))?;
    golden.compare("ply.opacity", &[1, count], &columns(6, 1))?;
    golden.compare("ply.scale", &[1, count, 3], &columns(7, 3))?;
    golden.compare("ply.disparity_quantiles", &[2], &written.disparity)?;

    let again = ply::read(&want).map_err(|e| golden.refused(e))?;
    compare_columns(&mut golden, "loaded", &[again.gaussians])?;
    Ok(golden.finish())
}

/// A file in the parts that are compared by different rules.
struct Parts {
    header: Vec<f64>,
    vertices: Vec<f64>,
    metadata: Vec<f64>,
    disparity: Vec<f64>,
}

fn parts(file: &[u8], count: usize) -> Parts {
    let (head, tail) = file.split_at(file.len() - TAIL);
    let (header, vertices) = head.split_at(head.len() - count * COLUMNS * 4);
    let numbers = |bytes: &[u8]| bytes.iter().map(|&byte| byte.into()).collect::<Vec<f64>>();
    let floats = |bytes: &[u8]| {
        let four = bytes.as_chunks().0.iter();
        four.map(|&four| f32::from_le_bytes(four).into()).collect::<Vec<f64>>()
    };
    let (before, rest) = tail.split_at(DISPARITY);
    let (disparity, after) = rest.split_at(2 * 4);
    Parts {
        header: numbers(header),
        vertices: floats(vertices),
        metadata: [numbers(before), numbers(after)].concat(),
        disparity: floats(disparity),
    }
}

/// `value` as a multiple of the larger of 1 and `|by|`; what is not finite stays.
fn scaled(value: f64, by: f64) -> f64 {
    if by.is_finite() { value / by.abs().max(1.0) } else { value }
}
