//! Hysteresis on bit maps: edges grow through candidates until nothing changes, 64 pixels a step.
//!
//! A row takes in what touches it from the rows above and below and then fills its own runs of
//! candidates. Rows whose neighbour changed are visited again, down and up in turn. The result is
//! the only one there is, so order and stripes cannot be seen in it.
//!
//! Filling a run towards higher bits is an addition: from the lowest seed of the run the carry
//! clears every candidate up to its end.

/// A row has to be visited.
const DUE: u8 = 1;
/// A row has seeds that were not yet spread along it.
const FRESH: u8 = 2;

/// Bit maps of neighbouring rows.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    /// Words of a row.
    pub(super) words: usize,
    pub(super) candidates: &'a mut [u64],
    /// A subset of `candidates`.
    pub(super) edges: &'a mut [u64],
    /// A byte a row.
    pub(super) due: &'a mut [u8],
}

impl Rows<'_> {
    /// Grows from every edge there is.
    pub(super) fn settle(&mut self) {
        self.due.fill(0);
        for y in 0..self.due.len() {
            if self.edges[y * self.words..][..self.words].iter().any(|&word| word != 0) {
                self.due[y] |= DUE | FRESH;
                self.tell(y);
            }
        }
        self.sweep();
    }

    /// Grows across seams between rows that were settled by themselves: at each of `rows` and the
    /// row above it.
    pub(super) fn join(&mut self, rows: impl Iterator<Item = usize>) {
        self.due.fill(0);
        for y in rows {
            self.due[y - 1] = DUE;
            self.due[y] = DUE;
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        let height = self.due.len();
        loop {
            let mut visits = 0;
            for y in 0..height {
                visits += self.visit(y);
            }
            for y in (0..height).rev() {
                visits += self.visit(y);
            }
            if visits == 0 {
                return;
            }
        }
    }

    /// 1 if the row was due.
    fn visit(&mut self, y: usize) -> usize {
        let due = std::mem::take(&mut self.due[y]);
        if due == 0 {
            return 0;
        }
        if self.grow(y, due & FRESH != 0) {
            self.tell(y);
        }
        1
    }

    /// The rows beside row `y` have to look at it.
    fn tell(&mut self, y: usize) {
        if y > 0 {
            self.due[y - 1] |= DUE;
        }
        if let Some(due) = self.due.get_mut(y + 1) {
            *due |= DUE;
        }
    }

    /// Takes in what touches row `y` and fills its runs; whether anything is new.
    fn grow(&mut self, y: usize, is_fresh: bool) -> bool {
        let words = self.words;
        let (before, rest) = self.edges.split_at_mut(y * words);
        let (edges, after) = rest.split_at_mut(words);
        let candidates = &self.candidates[y * words..][..words];
        let above = before.len().checked_sub(words).map_or(&[][..], |at| &before[at..]);
        let below = after.get(..words).unwrap_or(&[]);
        let beside =
            |w: usize| above.get(w).copied().unwrap_or(0) | below.get(w).copied().unwrap_or(0);
        let mut is_new = is_fresh;
        let mut carry = false;
        let (mut left, mut here) = (0, beside(0));
        for w in 0..words {
            let right = beside(w + 1);
            let touched = here | here << 1 | left >> 63 | here >> 1 | right << 63;
            (left, here) = (here, right);
            let seeds = (touched & candidates[w]) | edges[w];
            let (sum, first) = candidates[w].overflowing_add(seeds);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            carry = first | second;
            let filled = (candidates[w] & !sum) | seeds;
            is_new |= filled != edges[w];
            edges[w] = filled;
        }
        if is_new {
            fill_down(candidates, edges);
        }
        is_new
    }
}

/// Fills runs towards lower bits.
fn fill_down(candidates: &[u64], edges: &mut [u64]) {
    let mut from_right = 0;
    for (&candidates, edges) in candidates.iter().zip(edges).rev() {
        let mut filled = *edges | (from_right << 63 & candidates);
        if filled != 0 && filled != candidates {
            // After step k, whatever 2ᵏ candidates separate from an edge is one.
            let mut run = candidates;
            for shift in [1, 2, 4, 8, 16, 32] {
                filled |= run & (filled >> shift);
                run &= run >> shift;
            }
        }
        *edges = filled;
        from_right = filled & 1;
    }
}
