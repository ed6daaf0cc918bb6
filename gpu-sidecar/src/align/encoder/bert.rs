//! BERT: a transformer with absolute positions that normalises after every step.
//!
//! Owns the forward pass up to the first token of the last layer. Knows token ids; no texts, no
//! file. Always: sequences are packed without padding and each sees itself only, so its result does
//! not depend on its batch. Source: `shared/reference/bertalign/SPEC.md`, section 9; names are as
//! in the published checkpoints. Letters: `T` tokens of all sequences of a batch, `W` width.
//! Departures: none.

use candle_core::{Result, Tensor};
use serde::Deserialize;

use crate::nn::{self, Activation, LinearAfter, Norm, Scope};

/// `config.json` of a checkpoint, as far as the forward pass needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct BertConfig {
    /// Rows of the table of tokens.
    pub vocab_size: usize,
    /// Numbers per token.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of attention.
    pub num_attention_heads: usize,
    /// Numbers per token between a layer's two last products.
    pub intermediate_size: usize,
    /// Tokens of the longest sequence.
    pub max_position_embeddings: usize,
    /// Kinds of tokens; only the first is used.
    pub type_vocab_size: usize,
    /// Added to the variance.
    pub layer_norm_eps: f64,
    /// The activation; `gelu` is the only one.
    pub hidden_act: String,
}

impl BertConfig {
    /// What is wrong with it, if anything. The bounds keep a broken file from asking for more
    /// memory than there is; the largest known models are within.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let within = |value: usize, most: usize| (1..=most).contains(&value);
        let sizes = within(self.vocab_size, 2_000_000)
            && within(self.hidden_size, 8192)
            && within(self.num_hidden_layers, 128)
            && within(self.intermediate_size, 65_536)
            && within(self.max_position_embeddings, 8192)
            && within(self.type_vocab_size, 16);
        let heads = self.num_attention_heads;
        if !sizes {
            Some("a size is 0 or too large")
        } else if heads == 0 || !self.hidden_size.is_multiple_of(heads) {
            Some("the heads do not divide the width")
        } else if self.hidden_act != "gelu" {
            Some("the activation is not `gelu`")
        } else if !(0.0..1.0).contains(&self.layer_norm_eps) {
            Some("`layer_norm_eps` is out of range")
        } else {
            None
        }
    }
}

/// The transformer.
#[derive(Debug)]
pub struct Bert {
    words: Tensor,
    /// Positions, each with the row of the first kind of token added.
    places: Tensor,
    norm: Gain,
    layers: Vec<Layer>,
    heads: usize,
}

#[derive(Debug)]
struct Layer {
    qkv: Dense,
    attention_output: Dense,
    attention_norm: Gain,
    intermediate: Dense,
    output: Dense,
    output_norm: Gain,
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
    eps: f64,
}

/// Neighbouring sequences of the same length.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    /// Where its first token is in the packed batch.
    start: usize,
    count: usize,
    length: usize,
}

impl Bert {
    /// Of a checkpoint's parameters.
    /// # Errors
    /// A configuration with a [`BertConfig::fault`]; a parameter that is missing or of another
    /// shape.
    pub fn load(config: &BertConfig, scope: &mut Scope<'_>) -> Result<Self> {
        if let Some(fault) = config.fault() {
            candle_core::bail!("the configuration of BERT cannot be used: {fault}");
        }
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let mut embeddings = scope.at("embeddings");
        let mut table = |name: &str, rows| {
            embeddings.at(format_args!("{name}_embeddings")).take("weight", &[rows, width])
        };
        let words = table("word", config.vocab_size)?;
        let places = table("position", config.max_position_embeddings)?;
        let kinds = table("token_type", config.type_vocab_size)?;
        let norm = Gain::load(&mut embeddings.at("LayerNorm"), width, eps)?;
        let mut encoder = scope.at("encoder");
        let mut stack = encoder.at("layer");
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::load(config, &mut stack.at(index)))
            .collect::<Result<_>>()?;
        let places = places.broadcast_add(&kinds.get(0)?)?;
        Ok(Self { words, places, norm, layers, heads: config.num_attention_heads })
    }

    /// Tokens of the longest sequence.
    #[must_use]
    pub fn tokens_max(&self) -> usize {
        self.places.dims()[0]
    }

    /// Rows of the table of tokens.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words.dims()[0]
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> &candle_core::Device {
        self.words.device()
    }

    /// The first token after the last layer, `(sequences.len(), W)`. Each sequence has 1 to
    /// [`Bert::tokens_max`] tokens; neighbours of the same length are computed together.
    /// # Errors
    /// A token that the table has no row for; the device.
    pub fn first_tokens(&self, sequences: &[&[u32]]) -> Result<Tensor> {
        let runs = runs(sequences);
        let device = self.device();
        let index = |rows: Vec<u32>| {
            let count = rows.len();
            Tensor::from_vec(rows, count, device)
        };
        let words = self.words.index_select(&index(sequences.concat())?, 0)?;
        let places = sequences.iter().flat_map(|sequence| 0..sequence.len() as u32).collect();
        let places = self.places.index_select(&index(places)?, 0)?;
        let mut x = self.norm.apply(&(words + places)?)?; // (T, W)
        for (number, layer) in self.layers.iter().enumerate() {
            let mut seen = layer.attend(&x, &runs, self.heads)?;
            if number + 1 == self.layers.len() {
                let firsts = runs.iter().flat_map(|run| {
                    (0..run.count).map(|index| (run.start + index * run.length) as u32)
                });
                let firsts = index(firsts.collect())?;
                (x, seen) = (x.index_select(&firsts, 0)?, seen.index_select(&firsts, 0)?);
            }
            x = layer.rest(&x, &seen)?;
        }
        Ok(x)
    }
}

impl Layer {
    fn load(config: &BertConfig, scope: &mut Scope<'_>) -> Result<Self> {
        let (width, inner, eps) =
            (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let mut attention = scope.at("attention");
        let mut own = attention.at("self");
        let parts = ["query", "key", "value"]
            .map(|name| Dense::load(&mut own.at(name), width, width))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let join = |part: fn(&Dense) -> &Tensor| {
            Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 0)
        };
        let qkv = Dense { weight: join(|dense| &dense.weight)?, bias: join(|dense| &dense.bias)? };
        let mut after = attention.at("output");
        Ok(Self {
            qkv,
            attention_output: Dense::load(&mut after.at("dense"), width, width)?,
            attention_norm: Gain::load(&mut after.at("LayerNorm"), width, eps)?,
            intermediate: Dense::load(&mut scope.at("intermediate").at("dense"), width, inner)?,
            output: Dense::load(&mut scope.at("output").at("dense"), inner, width)?,
            output_norm: Gain::load(&mut scope.at("output").at("LayerNorm"), width, eps)?,
        })
    }

    /// What each token sees of its sequence; `x (T, W)` to `(T, W)`.
    fn attend(&self, x: &Tensor, runs: &[Run], heads: usize) -> Result<Tensor> {
        let (_, width) = x.dims2()?;
        let qkv = self.qkv.apply(x, LinearAfter::default())?; // (T, 3 · W)
        let seen = runs.iter().map(|&Run { start, count, length }| {
            let rows = qkv.narrow(0, start, count * length)?;
            let rows = rows.reshape((count, length, 3 * width))?;
            nn::self_attention(&rows, heads)?.reshape((count * length, width))
        });
        Tensor::cat(&seen.collect::<Result<Vec<_>>>()?, 0)
    }

    /// All after the attention, row by row.
    fn rest(&self, x: &Tensor, seen: &Tensor) -> Result<Tensor> {
        let add = |add| LinearAfter { add: Some(add), ..LinearAfter::default() };
        let x = self.attention_norm.apply(&self.attention_output.apply(seen, add(x))?)?;
        let gelu = LinearAfter { activation: Activation::Gelu, ..LinearAfter::default() };
        let inner = self.intermediate.apply(&x, gelu)?;
        self.output_norm.apply(&self.output.apply(&inner, add(&x))?)
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
    fn load(scope: &mut Scope<'_>, width: usize, eps: f64) -> Result<Self> {
        let (weight, bias) = (scope.take("weight", &[width])?, scope.take("bias", &[width])?);
        Ok(Self { weight, bias, eps })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        nn::layer_norm(x, Norm { weight: &self.weight, bias: &self.bias, eps: self.eps })
    }
}

/// The runs of equal length, in order.
fn runs(sequences: &[&[u32]]) -> Vec<Run> {
    let mut start = 0;
    let same = sequences.chunk_by(|a, b| a.len() == b.len());
    same.map(|run| {
        let run = Run { start, count: run.len(), length: run[0].len() };
        start += run.count * run.length;
        run
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_equal_length_are_one_run() {
        let sequences: [&[u32]; 4] = [&[1, 2], &[3, 4], &[5, 6, 7], &[8, 9]];
        let run = |start, count, length| Run { start, count, length };
        assert_eq!(runs(&sequences), [run(0, 2, 2), run(4, 1, 3), run(7, 1, 2)]);
    }

    #[test]
    fn a_configuration_that_cannot_be_is_refused() {
        let good = BertConfig {
            vocab_size: 300,
            hidden_size: 64,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            intermediate_size: 256,
            max_position_embeddings: 48,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_act: "gelu".to_owned(),
        };
        assert_eq!(good.fault(), None);
        let broken: [fn(&mut BertConfig); 5] = [
            |config| config.vocab_size = 0,
            |config| config.num_hidden_layers = 1 << 40,
            |config| config.num_attention_heads = 5,
            |config| config.hidden_act = "relu".to_owned(),
            |config| config.layer_norm_eps = f64::NAN,
        ];
        for break_it in broken {
            let mut config = good.clone();
            break_it(&mut config);
            assert!(config.fault().is_some(), "{config:?}");
        }
    }
}
