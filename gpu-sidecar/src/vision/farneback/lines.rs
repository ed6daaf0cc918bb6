//! Lines of f32 in one buffer, laid out for vector instructions.
//!
//! Owns the layout: a row is `per_row` lines (one for each coefficient, say), a line is `stride`
//! numbers, the width rounded up to whole blocks. Always: lines start at 64 bytes, every number
//! is initialised, and [`MARGIN`] numbers lie before the first line and after the last, so that
//! a block that only touches the frame may be read whole.

/// Pixels that the kernels take at once; a line is whole blocks.
pub(super) const BLOCK: usize = 32;
/// Numbers before the first line and after the last.
pub(super) const MARGIN: usize = 2 * BLOCK;
/// f32 in 64 bytes, the longest vector and a line of cache.
const ALIGNMENT: usize = 16;

/// One block of numbers.
pub(super) type Block = [f32; BLOCK];

/// `rows` rows of `per_row` lines of `stride` numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    data: Vec<f32>,
    /// Index of the first line.
    start: usize,
    stride: usize,
    per_row: usize,
    rows: usize,
}

impl Lines {
    /// Zeros.
    pub(super) fn new(rows: usize, per_row: usize, width: usize) -> Self {
        let stride = width.next_multiple_of(BLOCK);
        let data = vec![0f32; rows * per_row * stride + 2 * MARGIN + ALIGNMENT];
        let start = MARGIN + aligned(&data[MARGIN..]);
        Self { data, start, stride, per_row, rows }
    }

    /// Takes another form. What the lines hold afterwards is finite and means nothing; memory is
    /// only asked for when the form is larger than any before.
    pub(super) fn reshape(&mut self, rows: usize, per_row: usize, width: usize) {
        let stride = width.next_multiple_of(BLOCK);
        let needed = rows * per_row * stride + 2 * MARGIN + ALIGNMENT;
        if self.data.len() < needed {
            *self = Self::new(rows, per_row, width);
        }
        (self.stride, self.per_row, self.rows) = (stride, per_row, rows);
    }

    /// Rows.
    pub(super) fn row_count(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub(super) fn row_length(&self) -> usize {
        self.per_row * self.stride
    }

    /// Numbers of a line.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// All lines of row `y`, one after the other.
    pub(super) fn row(&self, y: usize) -> &[f32] {
        let length = self.row_length();
        &self.data[self.start + y * length..][..length]
    }

    /// As `row`, to be written.
    pub(super) fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let length = self.row_length();
        &mut self.data[self.start + y * length..][..length]
    }

    /// Line `index` of row `y`.
    pub(super) fn line(&self, y: usize, index: usize) -> &[f32] {
        &self.row(y)[index * self.stride..][..self.stride]
    }

    /// All rows, one after the other.
    pub(super) fn rows(&self) -> &[f32] {
        &self.data[self.start..][..self.rows * self.row_length()]
    }

    /// As `rows`, to be written.
    pub(super) fn rows_mut(&mut self) -> &mut [f32] {
        let length = self.rows * self.row_length();
        &mut self.data[self.start..][..length]
    }

    /// Writes row `to` as a copy of row `from`.
    pub(super) fn copy_row(&mut self, from: usize, to: usize) {
        let length = self.row_length();
        self.rows_mut().copy_within(from * length..(from + 1) * length, to * length);
    }

    /// Where column `x` of line `index` of row `y` lies for [`Lines::from`]; up to `MARGIN`
    /// columns past either end are there, whatever they hold.
    pub(super) fn place(&self, y: usize, index: usize, x: isize) -> usize {
        let line = self.start + (y * self.per_row + index) * self.stride;
        line.checked_add_signed(x).expect("a block lies within the margin of its row")
    }

    /// `N` numbers from `place` on.
    #[inline(always)]
    pub(super) fn from<const N: usize>(&self, place: usize) -> &[f32; N] {
        self.data[place..].first_chunk().expect("a block lies within the margin of its row")
    }
}

/// Index of the first number that lies at 64 bytes; whatever it is, results are the same.
fn aligned(data: &[f32]) -> usize {
    let index = data.as_ptr().align_offset(ALIGNMENT * size_of::<f32>());
    if index < ALIGNMENT { index } else { 0 }
}

/// The block of `line` at `x`.
#[inline(always)]
pub(super) fn block(line: &[f32], x: usize) -> &Block {
    line[x..].first_chunk().expect("lines are whole blocks")
}

/// As `block`, to be written.
#[inline(always)]
pub(super) fn block_mut(line: &mut [f32], x: usize) -> &mut Block {
    line[x..].first_chunk_mut().expect("lines are whole blocks")
}
