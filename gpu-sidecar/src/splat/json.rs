//! A cloud as JSON: every number of every Gaussian, streamed.
//!
//! Owns the layout of that document. Knows no model; what else is worth saying is the caller's
//! head. Always: the document is never held whole, and what is not finite is `null`.

use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use super::color::linear_to_srgb;
use super::{Gaussians, Photo, blocks};

/// Rows per block: half a megabyte of text.
const PER_BLOCK: usize = 1 << 14;
/// What to reserve for a number: sign, nine digits, point, exponent, comma.
const NUMBER_BYTES: usize = 14;

/// Writes one object: `num_gaussians`, `width`, `height`, `focal_px`, `color_space` (`"sRGB"`), the
/// members of `head`, and then a list a Gaussian each of `means` (x, y, z, metres), `scales`
/// (standard deviations), `rotations` (w, x, y, z), `colors` (red, green, blue in sRGB, about 0 to
/// 1) and `opacities` (a number each). Numbers are the shortest that give the same f32 again.
///
/// # Errors
/// Those of `out`; `InvalidInput` where `head` is not written as an object.
pub fn write<W: Write + Send>(
    out: &mut W,
    cloud: &Gaussians,
    photo: &Photo,
    head: &impl Serialize,
) -> io::Result<()> {
    let members = members(head)?;
    let mut opening = Vec::new();
    write!(opening, r#"{{"num_gaussians":{},"#, cloud.len())?;
    write!(opening, r#""width":{},"height":{},"focal_px":"#, photo.width, photo.height)?;
    number(&mut opening, photo.focal_px);
    opening.extend_from_slice(br#","color_space":"sRGB""#);
    if !members.is_empty() {
        opening.push(b',');
        opening.extend_from_slice(members.as_bytes());
    }
    out.write_all(&opening)?;
    rows(out, "means", &cloud.means, |mean| mean)?;
    rows(out, "scales", &cloud.scales, |scales| scales)?;
    rows(out, "rotations", &cloud.rotations, |rotation| rotation)?;
    rows(out, "colors", &cloud.colors, |color| color.map(linear_to_srgb))?;
    list(out, "opacities", cloud.len(), NUMBER_BYTES, |index, block| {
        number(block, cloud.opacities[index]);
    })?;
    out.write_all(b"}")
}

/// What stands between the braces of `head`.
fn members(head: &impl Serialize) -> io::Result<String> {
    let text = serde_json::to_string(head)?;
    let members = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let refusal = || io::Error::new(io::ErrorKind::InvalidInput, "the head is not an object");
    members.map(str::to_owned).ok_or_else(refusal)
}

fn rows<W: Write + Send, const N: usize>(
    out: &mut W,
    name: &str,
    rows: &[[f32; N]],
    form: impl Fn([f32; N]) -> [f32; N] + Sync,
) -> io::Result<()> {
    list(out, name, rows.len(), N * NUMBER_BYTES, |index, block| {
        let mut mark = b'[';
        for part in form(rows[index]) {
            block.push(mark);
            number(block, part);
            mark = b',';
        }
        block.push(b']');
    })
}

/// `,"name":[…]` of what `item` appends for each index.
fn list<W: Write + Send>(
    out: &mut W,
    name: &str,
    count: usize,
    item_bytes: usize,
    item: impl Fn(usize, &mut Vec<u8>) + Sync,
) -> io::Result<()> {
    write!(out, r#","{name}":["#)?;
    blocks::write(out, count, PER_BLOCK, |range: Range<usize>, block: &mut Vec<u8>| {
        block.reserve(range.len() * (item_bytes + 2));
        for index in range {
            if index > 0 {
                block.push(b',');
            }
            item(index, block);
        }
    })?;
    out.write_all(b"]")
}

fn number(block: &mut Vec<u8>, number: f32) {
    let written = if number.is_finite() {
        CompactFormatter.write_f32(block, number)
    } else {
        CompactFormatter.write_null(block)
    };
    written.expect("memory takes every byte");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::splat::random;

    const PHOTO: Photo = Photo { width: 30, height: 20, focal_px: 25.5 };

    fn written(cloud: &Gaussians, head: &Value) -> Value {
        let mut out = Vec::new();
        write(&mut out, cloud, &PHOTO, head).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn one_gaussian_is_written_in_full() {
        let cloud = Gaussians {
            means: vec![[0.1, -2.0, 3e20]],
            scales: vec![[0.5, f32::NAN, 1e-9]],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]],
            colors: vec![[0.0, 1.0, 0.214_041_14]],
            opacities: vec![f32::INFINITY],
        };
        let mut out = Vec::new();
        write(&mut out, &cloud, &PHOTO, &json!({"model": "sharp", "layers": 2})).unwrap();
        let text = String::from_utf8(out).unwrap();
        let opening = concat!(
            r#"{"num_gaussians":1,"width":30,"height":20,"focal_px":25.5,"color_space":"sRGB","#,
            r#""layers":2,"model":"sharp","means":[[0.1,-2.0,3e+20]],"scales":[[0.5,null,1e-9]],"#,
            r#""rotations":[[1.0,0.0,0.0,0.0]],"colors":[[0.0,"#,
        );
        assert!(text.starts_with(opening), "{text}");
        assert!(text.ends_with(r#"]],"opacities":[null]}"#), "{text}");
        let blue = serde_json::from_str::<Value>(&text).unwrap()["colors"][0][2].as_f64().unwrap();
        assert!((blue - 0.5).abs() < 1e-6, "{blue}");
    }

    #[test]
    fn every_number_comes_back_across_blocks() {
        let cloud = random::cloud(2 * PER_BLOCK + 3, 6);
        let document = written(&cloud, &json!({}));
        let number = |value: &Value| value.as_f64().unwrap() as f32;
        let means: Vec<f32> = document["means"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap().iter().map(number))
            .collect();
        assert_eq!(means, cloud.means.as_flattened());
        let opacities: Vec<f32> =
            document["opacities"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(opacities, cloud.opacities);
    }

    #[test]
    fn no_gaussians_are_empty_lists() {
        let document = written(&Gaussians::default(), &json!({"a": 1}));
        assert_eq!((&document["a"], &document["means"]), (&json!(1), &json!([])));
    }

    #[test]
    fn a_head_that_is_no_object_is_refused() {
        let error = write(&mut Vec::new(), &Gaussians::default(), &PHOTO, &[1, 2]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
