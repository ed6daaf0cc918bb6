//! Times the vision kernels, one at a time, as `cargo xtask bench kernels` asks for them.
//!
//! Owns the clock of that benchmark and the pictures it is taken on. First `frames` writes the
//! pictures; then `serve` answers each line of its input by one line: `time KERNEL SIZE THREADS
//! MILLISECONDS` by the median and the least time of one call, `save KERNEL SIZE FILE` by the
//! result in that file, so that another library's answer can be compared with it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads clocks and prints"
)]

mod frames;
mod work;

use std::collections::HashMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use rayon::ThreadPool;

use frames::{Frames, Size};
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
    /// Write the pictures of one size.
    Frames {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        size: Size,
    },
    /// Answer lines until the input ends.
    Serve,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Frames { dir, size } => Frames::new(size)?.write(&dir, size),
        Command::Serve => serve(),
    }
}

fn serve() -> Result<()> {
    let mut frames: HashMap<String, Frames> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (&[what, kernel, size], rest) = words.split_first_chunk().context("three words")?;
        if !frames.contains_key(size) {
            frames.insert(size.to_owned(), Frames::new(size.parse()?)?);
        }
        let mut work = Work::named(kernel, &frames[size])?;
        match (what, rest) {
            ("time", [threads, milliseconds]) => {
                let span = Duration::from_millis(milliseconds.parse()?);
                // The clock runs inside the pool, so that the way into it is not measured.
                let figures = pool(threads.parse()?)?.install(|| time(&mut work, span))?;
                println!("{figures}");
            }
            ("save", [file]) => {
                work.call()?;
                std::fs::write(file, work.bytes())?;
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
fn time(work: &mut Work, span: Duration) -> Result<serde_json::Value> {
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
