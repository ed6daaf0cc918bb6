//! What a local network must compute for many sequences of tokens, each thing once.
//!
//! Owns the numbering of tokens and of what surrounds them. Two layers look at two neighbours on
//! either side each, so a feature depends on nine tokens, and wherever the same nine (or an end of
//! a sequence among them) come again, in a longer group of the same sentences for one, it is the
//! same row. Knows no numbers. Source: `shared/reference/bertalign/SPEC.md`, section 10.4, of which
//! this is the general form.

use std::collections::HashMap;

/// How far a layer looks to either side.
const REACH: usize = 2;
/// A place outside a sequence; candle's `index_select` gives zeros for it.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Rows of the layer below: two before, the one itself, two after.
pub(super) type Window = [u32; 2 * REACH + 1];

/// The distinct rows of each layer.
#[derive(Debug, Default)]
pub(super) struct Neighbourhoods {
    tokens: Distinct<u32>,
    first: Distinct<Window>,
    second: Distinct<Window>,
}

impl Neighbourhoods {
    /// Adds a sequence; returns the row of the second layer of each of its tokens.
    pub(super) fn add(&mut self, sequence: &[u32]) -> Vec<u32> {
        let tokens: Vec<u32> = sequence.iter().map(|&token| self.tokens.row(token)).collect();
        let first: Vec<u32> = windows(&tokens).map(|window| self.first.row(window)).collect();
        windows(&first).map(|window| self.second.row(window)).collect()
    }

    /// Rows of the second layer, the most of all layers.
    pub(super) fn len(&self) -> usize {
        self.second.rows.len()
    }

    /// Each token once.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens.rows
    }

    /// Rows of tokens around each row of the first layer.
    pub(super) fn first(&self) -> &[Window] {
        &self.first.rows
    }

    /// Rows of the first layer around each row of the second.
    pub(super) fn second(&self) -> &[Window] {
        &self.second.rows
    }

    /// The row of the first layer in the middle of one of the second.
    pub(super) fn first_of(&self, second: u32) -> u32 {
        self.second.rows[second as usize][REACH]
    }

    /// The row of the token in the middle of a row of the second layer.
    pub(super) fn token_of(&self, second: u32) -> u32 {
        self.first.rows[self.first_of(second) as usize][REACH]
    }
}

/// For windows of `size` rows that start `before` rows before the middle one: all rows of all
/// windows, one after the other.
pub(super) fn rows_of(windows: &[Window], before: usize, size: usize) -> Vec<u32> {
    let part = REACH - before..REACH - before + size;
    windows.iter().flat_map(|window| window[part.clone()].iter().copied()).collect()
}

/// The window around each row of a sequence.
fn windows(rows: &[u32]) -> impl Iterator<Item = Window> + '_ {
    (0..rows.len()).map(|at| {
        std::array::from_fn(|offset| {
            let place = (at + offset).checked_sub(REACH);
            place.and_then(|place| rows.get(place)).copied().unwrap_or(OUTSIDE)
        })
    })
}

/// Different things, numbered as they first come.
#[derive(Debug)]
struct Distinct<T> {
    numbers: HashMap<T, u32>,
    rows: Vec<T>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), rows: Vec::new() }
    }
}

impl<T: Copy + Eq + std::hash::Hash> Distinct<T> {
    fn row(&mut self, thing: T) -> u32 {
        *self.numbers.entry(thing).or_insert_with(|| {
            self.rows.push(thing);
            u32::try_from(self.rows.len() - 1).expect("a batch has far fewer rows")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nine tokens around a row, by which its feature is known.
    fn nine(rows: &Neighbourhoods, row: u32) -> Vec<Option<u32>> {
        let mut seen = [None; 9];
        for (i, &first) in rows.second()[row as usize].iter().enumerate() {
            for (j, &token) in rows.first().get(first as usize).into_iter().flatten().enumerate() {
                seen[i + j] = rows.tokens().get(token as usize).copied();
            }
        }
        seen.to_vec()
    }

    #[test]
    fn a_row_knows_the_four_tokens_on_either_side() {
        let mut rows = Neighbourhoods::default();
        let places = rows.add(&[11, 12, 13, 14, 15, 16, 17]);
        let seen = nine(&rows, places[1]);
        let want = [None, None, None, Some(11), Some(12), Some(13), Some(14), Some(15), Some(16)];
        assert_eq!(seen, want);
        assert_eq!(rows.tokens()[rows.token_of(places[1]) as usize], 12);
    }

    #[test]
    fn groups_of_the_same_sentences_share_all_but_their_ends() {
        let (a, b): (Vec<u32>, Vec<u32>) = ((10..30).collect(), (30..55).collect());
        let mut rows = Neighbourhoods::default();
        rows.add(&a);
        assert_eq!(rows.len(), 20);
        rows.add(&[a.clone(), b.clone()].concat());
        // The four last of `a` have new neighbours, and all of `b` is new.
        assert_eq!(rows.len(), 20 + 4 + 25);
        rows.add(&b);
        assert_eq!(rows.len(), 20 + 4 + 25 + 4);
        rows.add(&[a, b].concat());
        assert_eq!(rows.len(), 20 + 4 + 25 + 4);
    }

    #[test]
    fn windows_of_each_order_start_where_they_must() {
        let windows = [[0, 1, 2, 3, 4], [1, 2, 3, 4, OUTSIDE]];
        assert_eq!(rows_of(&windows, 0, 2), [2, 3, 3, 4]);
        assert_eq!(rows_of(&windows, 1, 3), [1, 2, 3, 2, 3, 4]);
        assert_eq!(rows_of(&windows, 2, 5), [0, 1, 2, 3, 4, 1, 2, 3, 4, OUTSIDE]);
    }
}
