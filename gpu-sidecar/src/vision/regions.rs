//! Connected regions of a mask: which pixels hang together, and the figures of each region.
//!
//! Owns the labelling: runs of each row are joined with those they touch in the row above, also
//! diagonally (8 neighbours). Knows masks, zero or not; not what a region means. Always: regions
//! are in the order of their first pixel, row by row, so that no result depends on threads.

use super::plane::Plane;

/// A connected region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Pixels.
    pub area: u64,
    /// First column and row.
    pub min: (usize, usize),
    /// Last column and row.
    pub max: (usize, usize),
    /// Sums of x and y, and of x², y² and x·y over the pixels; exact up to 64 MP.
    sums: [u64; 2],
    squares: [u64; 3],
}

/// A mask's regions, and for each pixel the place of its region in the list plus one; 0: none.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    /// In the order of their first pixels.
    pub list: Vec<Region>,
    /// `(H, W)`.
    pub labels: Plane<u32>,
}

/// Neighbouring set pixels of one row, from `start` to before `end`.
struct Run {
    y: usize,
    start: usize,
    end: usize,
}

impl Region {
    /// Mean of x and of y, pixels.
    pub fn centroid(&self) -> (f64, f64) {
        let count = self.area as f64;
        (self.sums[0] as f64 / count, self.sums[1] as f64 / count)
    }

    /// How many times longer than wide: the root of the ratio of its principal moments; at least
    /// 1. A pixel has an extent of its own, so that a line of one pixel is not infinitely long.
    pub fn elongation(&self) -> f64 {
        const PIXEL: f64 = 1.0 / 12.0;
        let count = self.area as f64;
        let (x, y) = self.centroid();
        let [xx, yy, xy] = self.squares.map(|sum| sum as f64 / count);
        let (xx, yy, xy) = (xx - x * x + PIXEL, yy - y * y + PIXEL, xy - x * y);
        let (middle, spread) = ((xx + yy) / 2.0, ((xx - yy) / 2.0).hypot(xy));
        ((middle + spread) / (middle - spread).max(PIXEL)).sqrt().max(1.0)
    }

    fn of(run: &Run) -> Self {
        let mut region = Self {
            area: 0,
            min: (run.start, run.y),
            max: (run.end - 1, run.y),
            sums: [0; 2],
            squares: [0; 3],
        };
        region.add(run);
        region
    }

    fn add(&mut self, run: &Run) {
        self.min = (self.min.0.min(run.start), self.min.1.min(run.y));
        self.max = (self.max.0.max(run.end - 1), self.max.1.max(run.y));
        let y = run.y as u64;
        for x in run.start as u64..run.end as u64 {
            self.area += 1;
            self.sums[0] += x;
            self.sums[1] += y;
            self.squares[0] += x * x;
            self.squares[1] += y * y;
            self.squares[2] += x * y;
        }
    }
}

/// The regions of the pixels of `mask` that are not 0.
pub fn regions(mask: &Plane<u8>) -> Regions {
    let (runs, row_starts) = runs(mask);
    // A forest of runs: each points to an earlier run of its region, a root to itself.
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    for pair in row_starts.windows(3) {
        join(&runs, &mut parents, (pair[0], pair[1], pair[2]));
    }
    let (width, height) = mask.size();
    let mut labels = vec![0; width * height];
    let mut list: Vec<Region> = Vec::new();
    let mut places = vec![0u32; runs.len()];
    for (index, run) in runs.iter().enumerate() {
        let root = root(&mut parents, index);
        if root == index {
            list.push(Region::of(run));
            // At most a quarter of the pixels are regions of their own.
            places[index] = u32::try_from(list.len()).expect("a plane has fewer regions");
        } else {
            list[places[root] as usize - 1].add(run);
            places[index] = places[root];
        }
        labels[run.y * width..][run.start..run.end].fill(places[index]);
    }
    let labels = Plane::new(width, height, labels).expect("as long as the mask");
    Regions { list, labels }
}

/// All runs, row by row, and where each row's begin; one more begin for the end.
fn runs(mask: &Plane<u8>) -> (Vec<Run>, Vec<usize>) {
    let mut runs = Vec::new();
    let mut row_starts = Vec::with_capacity(mask.height() + 1);
    for y in 0..mask.height() {
        row_starts.push(runs.len());
        let row = mask.row(y);
        let mut x = 0;
        while let Some(gap) = row[x..].iter().position(|&value| value != 0) {
            let start = x + gap;
            let length = row[start..].iter().position(|&value| value == 0);
            let end = length.map_or(row.len(), |length| start + length);
            runs.push(Run { y, start, end });
            x = end;
        }
    }
    row_starts.push(runs.len());
    (runs, row_starts)
}

/// Joins the runs of two rows, `above` to before `here` and `here` to before `end`.
fn join(runs: &[Run], parents: &mut [usize], (above, here, end): (usize, usize, usize)) {
    let (mut upper, mut lower) = (above, here);
    while upper < here && lower < end {
        let (a, b) = (&runs[upper], &runs[lower]);
        // `end` is one past the last pixel: equality is a touch at a corner.
        if a.start <= b.end && b.start <= a.end {
            let (one, other) = (root(parents, upper), root(parents, lower));
            parents[one.max(other)] = one.min(other);
        }
        if a.end < b.end { upper += 1 } else { lower += 1 }
    }
}

/// The first run of the region; shortens the way for the next who asks.
fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(rows: &[&str]) -> Plane<u8> {
        let data = rows.iter().flat_map(|row| row.bytes().map(|byte| u8::from(byte == b'#') * 255));
        Plane::new(rows[0].len(), rows.len(), data.collect()).expect("rows of one length")
    }

    #[test]
    fn touching_pixels_are_one_region_also_at_corners() {
        let found = regions(&mask(&["#..#", ".#..", "#..#", "...#"]));
        let areas: Vec<u64> = found.list.iter().map(|region| region.area).collect();
        assert_eq!(areas, [3, 1, 2]);
        assert_eq!(found.labels.row(2), [1, 0, 0, 3]);
        assert_eq!((found.list[0].min, found.list[0].max), ((0, 0), (1, 2)));
    }

    #[test]
    fn arms_that_meet_below_are_one_region() {
        let found = regions(&mask(&["#.#.#", "#.#.#", "#####"]));
        assert_eq!(found.list.len(), 1);
        assert_eq!(found.list[0].centroid(), (2.0, (0.0 * 3.0 + 3.0 + 10.0) / 11.0));
    }

    #[test]
    fn lines_are_long_and_squares_are_not() {
        let elongation = |rows: &[&str]| regions(&mask(rows)).list[0].elongation();
        assert_eq!(elongation(&["###", "###", "###"]), 1.0);
        assert!((elongation(&["########"]) - 8.0).abs() < 1e-9);
        assert!(elongation(&["#....", ".#...", "..#..", "...#.", "....#"]) > 4.0);
    }

    /// The definition: grow each region from its first pixel.
    fn labels_slow(mask: &Plane<u8>) -> Vec<u32> {
        let (width, height) = mask.size();
        let mut labels = vec![0; width * height];
        let mut count = 0;
        for first in 0..labels.len() {
            if mask.data()[first] == 0 || labels[first] != 0 {
                continue;
            }
            count += 1;
            let mut open = vec![first];
            while let Some(at) = open.pop() {
                if mask.data()[at] == 0 || labels[at] != 0 {
                    continue;
                }
                labels[at] = count;
                let (x, y) = (at % width, at / width);
                for ny in y.saturating_sub(1)..(y + 2).min(height) {
                    open.extend(
                        (x.saturating_sub(1)..(x + 2).min(width)).map(|nx| ny * width + nx),
                    );
                }
            }
        }
        labels
    }

    proptest! {
        #[test]
        fn labels_are_those_of_the_flood(
            (width, height, data) in (1usize..24, 1usize..24).prop_flat_map(|(w, h)| {
                (Just(w), Just(h), proptest::collection::vec(0u8..2, w * h))
            })
        ) {
            let mask = Plane::new(width, height, data).expect("as drawn");
            let found = regions(&mask);
            prop_assert_eq!(found.labels.data(), labels_slow(&mask));
            let area: u64 = found.list.iter().map(|region| region.area).sum();
            prop_assert_eq!(area, mask.data().iter().map(|&value| u64::from(value)).sum::<u64>());
        }
    }
}
