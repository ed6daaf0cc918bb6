//! LaBSE: BERT-base over 109 languages, its first token through one more layer.
//!
//! Owns tokens and their limit, the last layer and the order in which sequences are computed. Knows
//! parameters by name, not their file. Source: `shared/reference/bertalign/SPEC.md`, section 9 (the
//! sentence-transformers port, Apache-2.0). Departures: none.

use std::ops::ControlFlow;

use candle_core::{Result, Tensor};
use tokenizers::Tokenizer;

use super::bert::{Bert, BertConfig};
use super::token_model::{TokenModel, to_unit};
use super::{EncodeError, Watch};
use crate::nn::{self, LinearAfter, Parameters, Scope};

/// Tokens of a text with those that open and close it; the rest is cut off, which is part of the
/// results.
pub const TOKENS_MAX: usize = 256;
/// A batch on the CPU: enough rows for a product to be fast, few enough to be cancelled soon.
pub const CPU_BATCH_TOKENS: usize = 1024;
const GPU_BATCH_TOKENS: usize = 16_384;
/// The vector's length is not divided by less.
const LENGTH_FLOOR: f64 = 1e-12;
/// Of the two-letter codes among the 109 languages.
const LANGUAGES: &[&str] = &[
    "af", "am", "ar", "as", "az", "be", "bg", "bn", "bo", "bs", "ca", "co", "cs", "cy", "da", "de",
    "el", "en", "eo", "es", "et", "eu", "fa", "fi", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "he",
    "hi", "hr", "ht", "hu", "hy", "id", "ig", "is", "it", "ja", "jv", "ka", "kk", "km", "kn", "ko",
    "ku", "ky", "la", "lb", "lo", "lt", "lv", "mg", "mi", "mk", "ml", "mn", "mr", "ms", "mt", "my",
    "ne", "nl", "no", "ny", "or", "pa", "pl", "pt", "ro", "ru", "rw", "si", "sk", "sl", "sm", "sn",
    "so", "sq", "sr", "st", "su", "sv", "sw", "ta", "te", "tg", "th", "tk", "tl", "tr", "tt", "ug",
    "uk", "ur", "uz", "vi", "wo", "xh", "yi", "yo", "zh", "zu",
];

/// The transformer and what follows it; needs no tokeniser.
#[derive(Debug)]
pub struct LabseModel {
    bert: Bert,
    weight: Tensor,
    bias: Tensor,
    width: usize,
}

/// The model and its tokeniser.
pub struct Labse {
    model: LabseModel,
    tokenizer: Tokenizer,
    open: u32,
    close: u32,
}

/// Names in the checkpoint that the model does not read: `pooler` is the last layer again, and old
/// files count the positions.
#[must_use]
pub fn is_dead(name: &str) -> bool {
    name.starts_with("pooler.") || name == "embeddings.position_ids"
}

/// Why the model could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum LabseError {
    /// Not a tokeniser.
    #[error("the tokeniser cannot be read")]
    Tokenizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A token without which no text can be encoded is missing or has no vector.
    #[error("the tokeniser does not fit the model: {0}")]
    Unfit(&'static str),
}

impl LabseModel {
    /// Of the parameters of both files, `model.safetensors` and `2_Dense/model.safetensors`.
    /// # Errors
    /// As [`Bert::load`].
    pub fn load(config: &BertConfig, parameters: &mut dyn Parameters) -> Result<Self> {
        let width = config.hidden_size;
        let mut root = Scope::root(parameters);
        let bert = Bert::load(config, &mut root)?;
        let mut dense = root.at("linear");
        let weight = dense.take("weight", &[width, width])?;
        let bias = dense.take("bias", &[width])?;
        Ok(Self { bert, weight, bias, width })
    }

    /// Numbers in a vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The first token after the last layer and the unit vectors, both `(sequences.len(), width)`.
    /// Sequences are as [`Bert::first_tokens`] takes them.
    /// # Errors
    /// As [`Bert::first_tokens`].
    pub fn vectors(&self, sequences: &[&[u32]]) -> Result<(Tensor, Vec<f32>)> {
        let first = self.bert.first_tokens(sequences)?;
        let z = nn::linear(&first, &self.weight, Some(&self.bias), LinearAfter::default())?;
        let mut vectors = z.tanh()?.flatten_all()?.to_vec1()?;
        to_unit(&mut vectors, self.width, LENGTH_FLOOR);
        Ok((first, vectors))
    }
}

impl Labse {
    /// Of a model and the bytes of `tokenizer.json`.
    /// # Errors
    /// [`LabseError::Tokenizer`] and [`LabseError::Unfit`].
    pub fn new(model: LabseModel, tokenizer: &[u8]) -> std::result::Result<Self, LabseError> {
        let mut tokenizer = Tokenizer::from_bytes(tokenizer).map_err(LabseError::Tokenizer)?;
        tokenizer.with_padding(None).with_truncation(None).map_err(LabseError::Tokenizer)?;
        let id = |token, without| tokenizer.token_to_id(token).ok_or(LabseError::Unfit(without));
        let (open, close) = (id("[CLS]", "it has no [CLS]")?, id("[SEP]", "it has no [SEP]")?);
        if tokenizer.get_vocab_size(true) > model.bert.words() {
            return Err(LabseError::Unfit("it has more tokens than the model"));
        }
        Ok(Self { model, tokenizer, open, close })
    }

    fn batch_tokens(&self) -> usize {
        if self.model.bert.device().is_cpu() { CPU_BATCH_TOKENS } else { GPU_BATCH_TOKENS }
    }

    /// The model's input for a text's tokens.
    fn enclosed(&self, tokens: &[u32]) -> Vec<u32> {
        let most = TOKENS_MAX.min(self.model.bert.tokens_max()).saturating_sub(2);
        [&[self.open], &tokens[..tokens.len().min(most)], &[self.close]].concat()
    }
}

impl TokenModel for Labse {
    fn name(&self) -> &'static str {
        "labse"
    }

    fn width(&self) -> usize {
        self.model.width
    }

    fn languages(&self) -> &'static [&'static str] {
        LANGUAGES
    }

    fn tokens(&self, text: &str) -> std::result::Result<Vec<u32>, EncodeError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(EncodeError::Model)?;
        Ok(encoding.get_ids().to_vec())
    }

    fn tokens_at_once(&self) -> usize {
        self.batch_tokens()
    }

    fn encode(
        &self,
        sequences: &[Vec<u32>],
        watch: &mut Watch<'_>,
    ) -> std::result::Result<Vec<f32>, EncodeError> {
        let inputs: Vec<Vec<u32>> = sequences.iter().map(|tokens| self.enclosed(tokens)).collect();
        let batches = batches(&inputs, self.batch_tokens());
        let width = self.model.width;
        let mut vectors = vec![0.0; sequences.len() * width];
        let mut done = 0;
        for batch in batches {
            let input: Vec<&[u32]> = batch.iter().map(|&index| inputs[index].as_slice()).collect();
            let (_, found) = self.model.vectors(&input)?;
            for (&index, vector) in batch.iter().zip(found.chunks_exact(width)) {
                vectors[index * width..][..width].copy_from_slice(vector);
            }
            done += batch.len();
            if watch(done as f64 / sequences.len() as f64) == ControlFlow::Break(()) {
                return Err(EncodeError::Cancelled);
            }
        }
        Ok(vectors)
    }
}

/// Indexes of sequences, longest first, in batches of at most `tokens_max` tokens or one sequence.
#[must_use]
pub fn batches(sequences: &[Vec<u32>], tokens_max: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(sequences[index].len()));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for index in order {
        let length = sequences[index].len();
        match batches.last_mut() {
            Some(batch) if tokens + length <= tokens_max => batch.push(index),
            _ => {
                batches.push(vec![index]);
                tokens = 0;
            }
        }
        tokens += length;
    }
    batches
}
