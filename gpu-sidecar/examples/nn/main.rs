//! Times the layers of neural networks, one at a time, as `cargo xtask bench nn` asks for them.
//!
//! Owns the clock of that benchmark. `serve` answers each line of its input by one line: `time
//! LAYER SIZE THREADS MILLISECONDS` by the median and the least time of one call, `save LAYER SIZE
//! FILE` by the result in that file, so that another library's answer can be compared with it. With
//! `--candle`, candle's operators run instead of our forms.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads clocks and prints"
)]

mod peak;
mod work;

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use rayon::ThreadPool;

use work::Work;

/// Calls that are timed at least, however long they take.
const CALLS_MIN: usize = 3;
/// Calls that are timed at most, however short they are.
const CALLS_MAX: usize = 2000;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer lines until the input ends.
    Serve {
        /// Run candle's operators.
        #[arg(long)]
        candle: bool,
    },
}

fn main() -> Result<()> {
    let Command::Serve { candle } = Cli::parse().command;
    let mut pools: HashMap<usize, ThreadPool> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (&[what, layer, size], rest) = words.split_first_chunk().context("three words")?;
        let work = Work::named(layer, size, candle)?;
        match (what, rest) {
            ("time", [threads, milliseconds]) => {
                let span = Duration::from_millis(milliseconds.parse()?);
                let threads = threads.parse()?;
                let pool = match pools.entry(threads) {
                    std::collections::hash_map::Entry::Occupied(pool) => pool.into_mut(),
                    std::collections::hash_map::Entry::Vacant(place) => {
                        place.insert(pool(threads)?)
                    }
                };
                // The clock runs inside the pool, so that the way into it is not measured.
                let figures = pool.install(|| time(&work, span))?;
                println!("{figures}");
            }
            ("save", [file]) => {
                std::fs::write(file, work.bytes()?)?;
                println!("{{}}");
            }
            _ => bail!("not a command: {line}"),
        }
    }
    Ok(())
}

fn pool(threads: usize) -> Result<ThreadPool> {
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build()?)
}

/// Calls for about `span`, after one call that warms the caches.
fn time(work: &Work, span: Duration) -> Result<serde_json::Value> {
    work.call()?;
    let mut calls = Vec::new();
    let start = Instant::now();
    while calls.len() < CALLS_MIN || (start.elapsed() < span && calls.len() < CALLS_MAX) {
        let before = Instant::now();
        work.call()?;
        calls.push(before.elapsed().as_secs_f64() * 1e3);
    }
    calls.sort_by(f64::total_cmp);
    Ok(serde_json::json!({ "median_ms": calls[calls.len() / 2], "least_ms": calls[0] }))
}
