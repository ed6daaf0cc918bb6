//! A frame as the preview shows it: its edges in colour, its figures in a corner.
//!
//! Owns the drawing. Knows the figures of one frame.

use super::analysis::Figures;
use super::canvas::{Canvas, Rect, text_size};
use crate::media::Frame;
use crate::vision::plane::Plane;

/// What edges are drawn in: a green that print and skin seldom have.
const EDGE: [u8; 3] = [0, 255, 96];
/// Dots are doubled from this height on, so that they survive the preview's scaling.
const ROWS_LARGE: usize = 480;

/// `frame` with its edges, and what was measured. Both have one size.
pub(super) fn annotate(frame: &Frame, edges: &Plane<u8>, index: u64, figures: &Figures) -> Frame {
    let pixels = frame.data().iter().zip(edges.data());
    let pixels = pixels.map(|(&pixel, &edge)| if edge == 0 { pixel } else { EDGE }).collect();
    let mut canvas = Canvas::new(frame.size(), pixels);
    let scale = 1 + frame.height() / ROWS_LARGE;
    let motion = figures.motion.map_or_else(|| "-".to_owned(), |it| format!("{:.2}", it.mean_px));
    let lines = [
        format!("#{index}"),
        format!("MOTION {motion} PX"),
        format!("EDGES {:.1} %", 100.0 * figures.edge_density),
        format!("SHARP {:.0}", figures.sharpness),
    ];
    let (gap, step) = (4 * scale, 10 * scale);
    let width = lines.iter().map(|line| text_size(scale, line).0).max().unwrap_or(0);
    canvas.shade(Rect(0, 0, width + 2 * gap, lines.len() * step + gap));
    for (row, line) in lines.iter().enumerate() {
        canvas.text((gap, gap + row * step), scale, line);
    }
    canvas.into_frame()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_and_figures_are_drawn_and_the_rest_stays() {
        let frame = Plane::new(200, 100, vec![[40, 80, 120]; 20_000]).expect("fits");
        let mut edges = vec![0; 20_000];
        edges[200 * 90 + 150] = 255;
        let edges = Plane::new(200, 100, edges).expect("fits");
        let figures = Figures { motion: None, edge_density: 0.125, sharpness: 7.0 };
        let drawn = annotate(&frame, &edges, 3, &figures);
        assert_eq!(drawn.row(90)[150], EDGE);
        assert_eq!(drawn.row(90)[151], [40, 80, 120]);
        assert_eq!(drawn.row(0)[0], [10, 20, 30], "shaded below the words");
        assert!(drawn.data().contains(&[255; 3]));
    }
}
