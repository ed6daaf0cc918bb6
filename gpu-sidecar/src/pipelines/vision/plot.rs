//! Motion and sharpness over time, as an SVG that any browser shows.
//!
//! Owns the drawing. Knows the figures of the frames and which of them are key frames.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use super::report::{FrameReport, KeyFrame};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
/// Room for numbers at the left, and around.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
/// Of each of the two panels.
const PANEL: f64 = 150.0;
const TOPS: [f64; 2] = [32.0, 228.0];

/// Writes the plot.
pub(super) fn write(
    file: &mut BufWriter<File>,
    frames: &[FrameReport],
    key_frames: &[KeyFrame],
) -> io::Result<()> {
    file.write_all(draw(frames, key_frames).as_bytes())
}

fn draw(frames: &[FrameReport], key_frames: &[KeyFrame]) -> String {
    let axis = Axis::of(frames);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let key = |index: u64| key_frames.iter().any(|key| key.index == index);
    for frame in frames.iter().filter(|frame| key(frame.index)) {
        let x = axis.place(frame);
        let (top, bottom) = (TOPS[0], TOPS[1] + PANEL);
        let _ = writeln!(
            svg,
            "<path class=\"key\" d=\"M{x:.1} {top}V{bottom}\" stroke=\"#bbb\" \
             stroke-dasharray=\"4 3\"/>"
        );
    }
    let at = |frame: &FrameReport, value: f64| (axis.place(frame), value);
    let motions = frames.iter().filter_map(|frame| Some(at(frame, frame.motion_mean?)));
    let motion = ("Motion, mean, pixels", "#1f5fbf");
    panel(&mut svg, TOPS[0], motion, motions.collect());
    let sharpness = ("Sharpness, variance of the Laplacian", "#b3541e");
    let values = frames.iter().map(|frame| at(frame, frame.sharpness));
    panel(&mut svg, TOPS[1], sharpness, values.collect());
    let (left, right, bottom) = (LEFT, WIDTH - RIGHT, TOPS[1] + PANEL + 16.0);
    let (start, end, unit) = (axis.start, axis.end, axis.unit);
    let _ = write!(
        svg,
        "<text x=\"{left}\" y=\"{bottom}\">{start:.2}</text>\n\
         <text x=\"{right}\" y=\"{bottom}\" text-anchor=\"end\">{end:.2} {unit}</text>\n</svg>\n"
    );
    svg
}

/// One curve, from 0 to its largest value.
fn panel(svg: &mut String, top: f64, (title, color): (&str, &str), points: Vec<(f64, f64)>) {
    let max = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let scale = if max > 0.0 { PANEL / max } else { 0.0 };
    let (bottom, above, right) = (top + PANEL, top - 8.0, WIDTH - RIGHT);
    let (number, under) = (LEFT - 6.0, top + 10.0);
    let _ = write!(
        svg,
        "<path d=\"M{LEFT} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>\n\
         <text x=\"{LEFT}\" y=\"{above}\">{title}</text>\n\
         <text x=\"{number}\" y=\"{under}\" text-anchor=\"end\">{max:.3}</text>\n\
         <text x=\"{number}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\n\
         <polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\" points=\""
    );
    for (x, value) in points {
        let _ = write!(svg, "{x:.1},{:.1} ", bottom - value * scale);
    }
    svg.push_str("\"/>\n");
}

/// From left to right: seconds where every frame has a time, else the frames' places.
struct Axis {
    is_time: bool,
    start: f64,
    end: f64,
    unit: &'static str,
}

impl Axis {
    fn of(frames: &[FrameReport]) -> Self {
        let is_time = frames.iter().all(|frame| frame.time_s.is_some());
        let unit = if is_time { "s" } else { "frames" };
        let mut axis = Self { is_time, start: 0.0, end: 0.0, unit };
        axis.start = frames.first().map_or(0.0, |frame| axis.value(frame));
        axis.end = frames.last().map_or(0.0, |frame| axis.value(frame));
        axis
    }

    fn value(&self, frame: &FrameReport) -> f64 {
        if self.is_time { frame.time_s.unwrap_or_default() } else { frame.index as f64 }
    }

    fn place(&self, frame: &FrameReport) -> f64 {
        let span = self.end - self.start;
        let share = if span > 0.0 { (self.value(frame) - self.start) / span } else { 0.0 };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(index: u64, time_s: Option<f64>, motion_mean: Option<f64>) -> FrameReport {
        let sharpness = 10.0 * (index + 1) as f64;
        FrameReport {
            index,
            source_index: None,
            time_s,
            motion_mean,
            motion_max: motion_mean,
            edge_density: 0.1,
            sharpness,
        }
    }

    #[test]
    fn curves_run_from_left_to_right_and_up_to_their_maximum() {
        let frames = [
            frame(0, Some(0.0), None),
            frame(1, Some(1.0), Some(2.0)),
            frame(2, Some(4.0), Some(1.0)),
        ];
        let svg = draw(&frames, &[]);
        // A quarter of the way, at the top; then the end, halfway up.
        assert!(svg.contains("points=\"290.0,32.0 944.0,107.0 \""), "{svg}");
        assert!(svg.contains("4.00 s</text>") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("class=\"key\""));
    }

    #[test]
    fn frames_without_times_are_counted() {
        let svg = draw(&[frame(0, None, None), frame(1, None, Some(0.0))], &[]);
        assert!(svg.contains("1.00 frames</text>"), "{svg}");
        assert!(!svg.contains("NaN"));
        assert!(!draw(&[frame(0, None, None)], &[]).contains("NaN"));
    }
}
