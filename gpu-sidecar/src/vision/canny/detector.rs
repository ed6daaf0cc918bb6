//! Canny made ready: memory that is kept from frame to frame, and stripes for several threads.
//!
//! Owns the walk down a stripe, three rows of gradients at a time, and the bit maps of the whole
//! picture. A stripe computes the gradients just past its edges itself; hysteresis then settles
//! each stripe alone and joins them at the seams.

use rayon::prelude::*;

use super::CannyParams;
use super::bits;
use super::follow;
use super::gradient::{self, BLOCK, Magnitude, Row, Sums, TAPS_MAX};
use super::thin::{self, Around, Maps};
use crate::vision::border::replicate;
use crate::vision::error::VisionError;
use crate::vision::plane::Plane;
use crate::vision::simd::Isa;
use crate::vision::threads::Threads;

/// Fewest rows of a stripe: below that, a thread costs more than it brings.
const STRIPE_ROWS_MIN: usize = 32;

/// Canny with its parameters, for any number of frames of any size. Memory grows to what the
/// largest frame needs and stays.
#[derive(Debug)]
pub struct Canny {
    params: CannyParams,
    workers: Vec<Worker>,
    /// A bit a pixel, rows of whole words.
    candidates: Vec<u64>,
    edges: Vec<u64>,
    /// A byte a row, for hysteresis.
    due: Vec<u8>,
    isa: Isa,
}

/// What one stripe needs.
#[derive(Debug, Default)]
struct Worker {
    sums: Sums,
    l1: Gradients<i16>,
    l2: Gradients<i32>,
    channels: Channels,
}

/// The rows around the one that is thinned: row y is in place y modulo 3.
#[derive(Debug, Default)]
struct Gradients<M> {
    rows: [Row<M>; 3],
    channel: Row<M>,
}

/// Rows of a colour picture, channel by channel: row y is in place y modulo their number.
#[derive(Debug, Default)]
struct Channels {
    rows: [[Vec<u8>; 3]; TAPS_MAX],
    /// Rows up to here are in their places.
    end: usize,
}

/// A picture, gray or of blue, green, red.
#[derive(Clone, Copy)]
enum Image<'a> {
    Gray(&'a Plane<u8>),
    Color(&'a Plane<[u8; 3]>),
}

impl Image<'_> {
    fn size(self) -> (usize, usize) {
        match self {
            Self::Gray(plane) => plane.size(),
            Self::Color(plane) => plane.size(),
        }
    }
}

impl Canny {
    /// # Errors
    /// `Parameter` when a field is outside its range.
    pub fn new(params: &CannyParams) -> Result<Self, VisionError> {
        params.check()?;
        Ok(Self {
            params: params.clone(),
            workers: Vec::new(),
            candidates: Vec::new(),
            edges: Vec::new(),
            due: Vec::new(),
            isa: Isa::best(),
        })
    }

    /// As built, but for `isa`.
    #[cfg(test)]
    pub(super) fn on(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// Edges of a gray picture: 255 on an edge, else 0. `out` takes its size.
    pub fn run(&mut self, gray: &Plane<u8>, threads: Threads, out: &mut Plane<u8>) {
        self.detect(Image::Gray(gray), threads, out);
    }

    /// Edges of a picture of blue, green, red pixels, as `canny_color` says.
    pub fn run_color(&mut self, image: &Plane<[u8; 3]>, threads: Threads, out: &mut Plane<u8>) {
        self.detect(Image::Color(image), threads, out);
    }

    fn detect(&mut self, image: Image<'_>, threads: Threads, out: &mut Plane<u8>) {
        let (width, height) = image.size();
        out.reshape(width, height);
        let words = width.div_ceil(BLOCK);
        // Every word is written before it is read.
        self.candidates.resize(words * height, 0);
        self.edges.resize(words * height, 0);
        self.due.resize(height, 0);
        let rows = threads.stripe_rows(height, STRIPE_ROWS_MIN);
        let stripes = height.div_ceil(rows);
        if self.workers.len() < stripes {
            self.workers.resize_with(stripes, Worker::default);
        }
        if stripes == 1 {
            let stripe = Stripe {
                first: 0,
                rows: follow::Rows {
                    words,
                    candidates: &mut self.candidates,
                    edges: &mut self.edges,
                    due: &mut self.due,
                },
            };
            self.workers[0].work(image, &self.params, self.isa, stripe);
            return spread(self.isa, &self.edges, (words, out.data_mut(), width));
        }
        self.in_stripes(image, (rows, words), out);
    }

    fn in_stripes(&mut self, image: Image<'_>, (rows, words): (usize, usize), out: &mut Plane<u8>) {
        let (params, isa) = (&self.params, self.isa);
        let maps = self
            .candidates
            .par_chunks_mut(rows * words)
            .zip(self.edges.par_chunks_mut(rows * words))
            .zip(self.due.par_chunks_mut(rows));
        maps.zip(&mut self.workers).enumerate().for_each(
            |(i, (((candidates, edges), due), worker))| {
                let rows_of = follow::Rows { words, candidates, edges, due };
                worker.work(image, params, isa, Stripe { first: i * rows, rows: rows_of });
            },
        );
        let (width, height) = image.size();
        follow::Rows {
            words,
            candidates: &mut self.candidates,
            edges: &mut self.edges,
            due: &mut self.due,
        }
        .join((rows..height).step_by(rows));
        out.data_mut()
            .par_chunks_mut(rows * width)
            .zip(self.edges.par_chunks(rows * words))
            .for_each(|(out, edges)| spread(isa, edges, (words, out, width)));
    }
}

/// Bits to bytes, row by row.
fn spread(isa: Isa, edges: &[u64], (words, out, width): (usize, &mut [u8], usize)) {
    for (out, edges) in out.chunks_mut(width).zip(edges.chunks(words)) {
        bits::spread_row(isa, edges, out);
    }
}

/// Rows of the picture that belong to one thread, and their maps.
struct Stripe<'a> {
    first: usize,
    rows: follow::Rows<'a>,
}

impl Worker {
    /// Candidates and edges of a stripe, as far as the stripe alone knows them.
    fn work(&mut self, image: Image<'_>, params: &CannyParams, isa: Isa, mut stripe: Stripe<'_>) {
        let (width, _) = image.size();
        self.sums.start(width);
        self.channels.end = stripe.first.saturating_sub(TAPS_MAX);
        let source = Source {
            image,
            aperture: params.aperture as usize,
            thresholds: params.thresholds(),
            isa,
        };
        let space = (&mut self.sums, &mut self.channels);
        if params.l2 {
            self.l2.thin(&source, space, &mut stripe);
        } else {
            self.l1.thin(&source, space, &mut stripe);
        }
        stripe.rows.settle();
    }
}

/// What is read and how.
struct Source<'a> {
    image: Image<'a>,
    aperture: usize,
    thresholds: (i32, i32),
    isa: Isa,
}

/// The loops for each kind of magnitude.
trait Loops: Magnitude {
    fn row(isa: Isa, rows: &[&[u8]], sums: &mut Sums, out: &mut Row<Self>);
    fn longest(isa: Isa, row: &mut Row<Self>, other: &Row<Self>);
    fn thin(isa: Isa, around: &Around<'_, Self>, maps: Maps<'_>);
}

impl Loops for i16 {
    fn row(isa: Isa, rows: &[&[u8]], sums: &mut Sums, out: &mut Row<Self>) {
        gradient::row_l1(isa, rows, sums, out);
    }
    fn longest(isa: Isa, row: &mut Row<Self>, other: &Row<Self>) {
        gradient::longest_l1(isa, row, other);
    }
    fn thin(isa: Isa, around: &Around<'_, Self>, maps: Maps<'_>) {
        thin::thin_l1(isa, around, maps);
    }
}

impl Loops for i32 {
    fn row(isa: Isa, rows: &[&[u8]], sums: &mut Sums, out: &mut Row<Self>) {
        gradient::row_l2(isa, rows, sums, out);
    }
    fn longest(isa: Isa, row: &mut Row<Self>, other: &Row<Self>) {
        gradient::longest_l2(isa, row, other);
    }
    fn thin(isa: Isa, around: &Around<'_, Self>, maps: Maps<'_>) {
        thin::thin_l2(isa, around, maps);
    }
}

impl<M: Loops> Gradients<M> {
    fn thin(
        &mut self,
        source: &Source<'_>,
        space: (&mut Sums, &mut Channels),
        stripe: &mut Stripe<'_>,
    ) {
        let (width, height) = source.image.size();
        for row in self.rows.iter_mut().chain([&mut self.channel]) {
            row.start(width);
        }
        let (sums, channels) = space;
        let (low, high) = source.thresholds;
        let thresholds = (M::threshold(low), M::threshold(high));
        let first = stripe.first;
        let words = stripe.rows.words;
        let end = first + stripe.rows.due.len();
        for y in first.saturating_sub(1)..end + 1 {
            // Rows outside the picture have no gradient; the row before the first never had one.
            if y < height {
                self.row(source, (sums, channels), y);
            } else {
                self.rows[y % 3].clear();
            }
            let Some(middle) = y.checked_sub(1).filter(|&middle| middle >= first) else { continue };
            let around = Around {
                above: &self.rows[(y + 1) % 3],
                row: &self.rows[middle % 3],
                below: &self.rows[y % 3],
                thresholds,
            };
            let at = (middle - first) * words;
            let maps = Maps {
                candidates: &mut stripe.rows.candidates[at..][..words],
                strong: &mut stripe.rows.edges[at..][..words],
            };
            M::thin(source.isa, &around, maps);
        }
    }

    /// The gradients of row y, which the picture has.
    fn row(&mut self, source: &Source<'_>, (sums, channels): (&mut Sums, &mut Channels), y: usize) {
        let (_, height) = source.image.size();
        let radius = source.aperture / 2;
        let row = &mut self.rows[y % 3];
        let from = |k: usize| replicate((y + k) as isize - radius as isize, height);
        let mut rows: [&[u8]; TAPS_MAX] = [&[]; TAPS_MAX];
        match source.image {
            Image::Gray(gray) => {
                for (k, row) in rows[..source.aperture].iter_mut().enumerate() {
                    *row = gray.row(from(k));
                }
                M::row(source.isa, &rows[..source.aperture], sums, row);
            }
            Image::Color(image) => {
                channels.fill(image, from(source.aperture - 1));
                for channel in 0..3 {
                    for (k, row) in rows[..source.aperture].iter_mut().enumerate() {
                        *row = &channels.rows[from(k) % TAPS_MAX][channel];
                    }
                    if channel == 0 {
                        M::row(source.isa, &rows[..source.aperture], sums, row);
                    } else {
                        M::row(source.isa, &rows[..source.aperture], sums, &mut self.channel);
                        M::longest(source.isa, row, &self.channel);
                    }
                }
            }
        }
    }
}

impl Channels {
    /// Takes apart the rows up to `last` that are not yet in their places.
    fn fill(&mut self, image: &Plane<[u8; 3]>, last: usize) {
        while self.end <= last {
            for (channel, out) in self.rows[self.end % TAPS_MAX].iter_mut().enumerate() {
                out.clear();
                out.extend(image.row(self.end).iter().map(|pixel| pixel[channel]));
            }
            self.end += 1;
        }
    }
}
