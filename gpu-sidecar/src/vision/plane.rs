//! A plane: a rectangle of pixels, row by row.
//!
//! Owns the size check and the parallel walk over rows. Knows nothing of what a pixel means: gray
//! is `Plane<u8>`, colour `Plane<[u8; 3]>`, flow `Plane<[f32; 2]>`. Always: width and height are
//! at least 1 and the data fills them exactly; `Plane::new` and `Plane::from_rows` check it.

use rayon::prelude::*;

use super::error::VisionError;

/// `(height, width)` pixels of type `T`, row-major, without padding; pixel (x, y) is column, row.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane<T> {
    width: usize,
    height: usize,
    data: Vec<T>,
}

impl<T> Plane<T> {
    /// Takes `data`, `width`·`height` pixels row by row.
    /// # Errors
    /// `Shape` when a side is 0 or `data` is not exactly that long.
    pub fn new(width: usize, height: usize, data: Vec<T>) -> Result<Self, VisionError> {
        let fits = width > 0 && width.checked_mul(height) == Some(data.len()) && height > 0;
        if !fits {
            return Err(VisionError::Shape { width, height, samples: data.len() });
        }
        Ok(Self { width, height, data })
    }

    /// Pixels in a row, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// All pixels, row by row.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All pixels, row by row, to be written.
    pub(crate) fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// All pixels, row by row, without a copy.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// Row `y`, which is below `height`.
    pub fn row(&self, y: usize) -> &[T] {
        &self.data[y * self.width..][..self.width]
    }

    /// `Ok` when `other` has this plane's size.
    /// # Errors
    /// `SizesDiffer` otherwise.
    pub fn same_size<U>(&self, other: &Plane<U>) -> Result<(), VisionError> {
        if self.size() == other.size() {
            return Ok(());
        }
        Err(VisionError::SizesDiffer { first: self.size(), second: other.size() })
    }
}

impl<T: Copy + Default + Send + Sync> Plane<T> {
    /// Fills each row by `fill(y, row)`, rows in parallel. The sides are at least 1.
    pub(crate) fn from_rows(
        width: usize,
        height: usize,
        fill: impl Fn(usize, &mut [T]) + Sync + Send,
    ) -> Self {
        Self::from_rows_with(width, height, || (), |(), y, row| fill(y, row))
    }

    /// As `from_rows`; `fill` also gets scratch space that `scratch` made and earlier rows used.
    pub(crate) fn from_rows_with<S>(
        width: usize,
        height: usize,
        scratch: impl Fn() -> S + Sync + Send,
        fill: impl Fn(&mut S, usize, &mut [T]) + Sync + Send,
    ) -> Self {
        assert!(width > 0 && height > 0, "a plane has at least one pixel");
        let mut data = vec![T::default(); width * height];
        data.par_chunks_mut(width)
            .enumerate()
            .for_each_init(scratch, |space, (y, row)| fill(space, y, row));
        Self { width, height, data }
    }

    /// Applies `change` to every pixel.
    pub fn map<U: Copy + Default + Send + Sync>(
        &self,
        change: impl Fn(T) -> U + Sync + Send,
    ) -> Plane<U> {
        Plane::from_rows(self.width, self.height, |y, row| {
            for (to, &from) in row.iter_mut().zip(self.row(y)) {
                *to = change(from);
            }
        })
    }

    /// Combines the pixels of two planes of one size.
    pub(crate) fn zip_map<U, V>(
        &self,
        other: &Plane<U>,
        combine: impl Fn(T, U) -> V + Sync + Send,
    ) -> Plane<V>
    where
        U: Copy + Send + Sync,
        V: Copy + Default + Send + Sync,
    {
        assert_eq!(self.size(), other.size(), "callers pair planes of one size");
        Plane::from_rows(self.width, self.height, |y, row| {
            let pairs = self.row(y).iter().zip(other.row(y));
            for (to, (&a, &b)) in row.iter_mut().zip(pairs) {
                *to = combine(a, b);
            }
        })
    }
}

impl<T: Copy + Default + Send + Sync, const N: usize> Plane<[T; N]>
where
    [T; N]: Default,
{
    /// Runs `kernel` on each of the N channels by itself and interleaves the results.
    /// # Errors
    /// The first that `kernel` returns.
    pub fn per_channel<U>(
        &self,
        kernel: impl Fn(&Plane<T>) -> Result<Plane<U>, VisionError>,
    ) -> Result<Plane<[U; N]>, VisionError>
    where
        U: Copy + Default + Send + Sync,
        [U; N]: Default,
    {
        const { assert!(N > 0, "a pixel has at least one channel") };
        let mut planes = Vec::with_capacity(N);
        for c in 0..N {
            planes.push(kernel(&self.map(|pixel| pixel[c]))?);
        }
        let (width, height) = planes[0].size();
        Ok(Plane::from_rows(width, height, |y, row: &mut [[U; N]]| {
            for (c, plane) in planes.iter().enumerate() {
                for (pixel, &sample) in row.iter_mut().zip(plane.row(y)) {
                    pixel[c] = sample;
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_holds_exactly_its_pixels() {
        assert!(Plane::new(2, 3, vec![0u8; 6]).is_ok());
        for (width, height, samples) in [(2, 3, 5), (2, 3, 7), (0, 3, 0), (3, 0, 0)] {
            let refused = Plane::new(width, height, vec![0u8; samples]);
            assert_eq!(refused, Err(VisionError::Shape { width, height, samples }));
        }
        assert!(Plane::new(usize::MAX, 2, vec![0u8; 2]).is_err());
    }

    #[test]
    fn channels_come_back_in_their_order() {
        let colour = Plane::new(2, 1, vec![[1u8, 2, 3], [4, 5, 6]]).expect("2 x 1");
        let doubled = colour.per_channel(|plane| Ok(plane.map(|v| v * 2))).expect("never refuses");
        assert_eq!(doubled.data(), [[2, 4, 6], [8, 10, 12]]);
    }
}
