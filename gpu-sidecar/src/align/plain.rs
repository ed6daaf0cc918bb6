//! The passes as they are defined, one cell at a time, and texts made of noise to try them on.
//!
//! Owns the definition that the fast forms are tested against. Slow; tests only.

use super::band::Band;
use super::beads::{Kind, NO_PREDECESSOR};
use super::encoder::Groups;
use super::search::Neighbours;
use super::similarity::Sides;

/// For every row of `band` the pointers of its cells. `score` is that of a kind's bead that ends
/// at a cell.
fn decide(
    band: &Band,
    kinds: &[Kind],
    score: impl Fn(Kind, (usize, usize)) -> f64,
) -> Vec<Vec<u8>> {
    let mut sums: Vec<Vec<f32>> = Vec::new();
    let mut pointers = Vec::new();
    for i in 0..band.rows() {
        let row = band.row(i).clone();
        sums.push(Vec::new());
        pointers.push(Vec::new());
        for j in row {
            let (mut best, mut choice) = (f64::NEG_INFINITY, NO_PREDECESSOR);
            for (number, &(a, b)) in (0u8..).zip(kinds) {
                let (Some(i_before), Some(j_before)) = (i.checked_sub(a), j.checked_sub(b)) else {
                    continue;
                };
                let before = band.row(i_before);
                if !before.contains(&j_before) {
                    continue;
                }
                let sum =
                    f64::from(sums[i_before][j_before - before.start()]) + score((a, b), (i, j));
                if sum > best {
                    (best, choice) = (sum, number);
                }
            }
            sums[i].push(if (i, j) == (0, 0) { 0.0 } else { best as f32 });
            pointers[i].push(choice);
        }
    }
    pointers
}

/// The first pass.
pub(super) fn first_pass(neighbours: &Neighbours, (m, n): (usize, usize)) -> Vec<Vec<u8>> {
    decide(&Band::diagonal(m, n), &super::first_pass::KINDS, |kind, (i, j)| {
        let found = neighbours.of(i.saturating_sub(1)).iter().find(|e| e.index as usize + 1 == j);
        match (kind, found) {
            ((1, 1), Some(found)) => f64::from(found.score),
            _ => 0.0,
        }
    })
}

/// The second pass.
pub(super) fn second_pass(sides: &Sides<'_>, band: &Band) -> Vec<Vec<u8>> {
    let kinds = super::second_pass::kinds(sides.params.max_align);
    decide(band, &kinds, |kind, cell| sides.bead_score(kind, cell))
}

/// Groups of noise; every fourth sentence is like `other`'s at the same share of the text.
pub(super) fn noise(sentences: usize, layers: usize, seed: u64, other: Option<&Groups>) -> Groups {
    const WIDTH: usize = 24;
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut vectors = Vec::new();
    for layer in 0..layers {
        for last in 0..sentences {
            let mut vector: Vec<f32> = (0..WIDTH).map(|_| next()).collect();
            if let Some(other) = other.filter(|_| last % 4 != 0) {
                let there =
                    (last * other.sentences / sentences).max(layer.min(other.sentences - 1));
                for (value, &near) in vector.iter_mut().zip(other.vector((layer, there))) {
                    *value = 0.3 * *value + 4.0 * near;
                }
            }
            let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            vectors.extend(vector.iter().map(|v| v / length));
        }
    }
    let byte_lengths =
        (0..layers * sentences).map(|_| 20 + (next().abs() * 200.0) as u32).collect();
    Groups { layers, sentences, width: WIDTH, vectors, byte_lengths }
}
