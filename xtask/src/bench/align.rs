//! `align`: both passes beside the reference's figures, the two encoders, and long texts.
//!
//! Owns the order of the measurements and the table. Ours are programs that print JSON
//! (`gpu-sidecar/examples/align`, `gpu-sidecar/examples/encoders`); PyTorch's LaBSE is
//! `xtask/bench/labse.py`. They take turns, with the same parameters, sentences and batches, and
//! their vectors are compared: a faster wrong answer is no figure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{median, torch};
use crate::process;
use crate::workspace::Workspace;

const EXAMPLES: &str = "Examples:
  cargo xtask bench align --against-torch
  cargo xtask bench align --weights data/weights --source de.txt --target fr.txt
  cargo xtask bench align --dev --rounds 1 --labse-sentences 16 --long 500
  cargo xtask bench align --against-torch --out figures.json 2> table.txt";

const SEED: &str = "1";
/// Longest time for both texts of the first document (137 and 155 sentences), all groups of them,
/// on one core.
const USEM3_TARGET_MS: f64 = 600.0;
/// How far numbers of two unit vectors may be apart: sums of thousands of terms in f32, through 12
/// layers.
const VECTOR_TOLERANCE: f64 = 2e-4;

/// How to measure the aligner.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Align {
    /// Measure LaBSE in PyTorch, too (it is fetched the first time: 3 GB).
    #[arg(long)]
    against_torch: bool,
    /// The folder of weights, which has `usem3/`; without it that encoder is left out.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Texts for `usem3`, a sentence a line.
    #[arg(long, requires = "target")]
    source: Option<PathBuf>,
    /// As `--source`.
    #[arg(long, requires = "source")]
    target: Option<PathBuf>,
    /// Rounds of each measurement; medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Threads of each side of LaBSE; everything else is on one.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Sentences for LaBSE, of 8 to 40 tokens; 0 leaves it out.
    #[arg(long, default_value_t = 256)]
    labse_sentences: usize,
    /// Sentences of each side of the long texts; 0 leaves them out.
    #[arg(long, default_value_t = 10_000)]
    long: usize,
    /// Use the test profile's build, which optimises the sidecar, too, but checks its arithmetic.
    #[arg(long)]
    dev: bool,
    /// Also write the JSON to this file.
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
}

/// Every figure.
pub(super) fn measure(workspace: &Workspace, options: &Align) -> Result<Value> {
    let mut build = process::cargo();
    build.args(["build", "--workspace", "--exclude", "xtask"]);
    build.args(["--example", "align", "--example", "encoders"]);
    if !options.dev {
        build.arg("--release");
    }
    process::run(build.current_dir(&workspace.root))?;
    let example = |name: &str| workspace.binary(&format!("examples/{name}"), !options.dev);
    let (passes, encoders) = (example("align"), example("encoders"));
    Ok(json!({
        "documents": documents(&passes, options)?,
        "long": long(&passes, options)?,
        "usem3": usem3(&encoders, options)?,
        "labse": labse(workspace, &encoders, options)?,
        "rounds": options.rounds,
        "threads": options.threads,
        "against": options.against_torch.then_some([torch::TORCH, torch::NUMPY]),
        "build": if options.dev { "dev profile" } else { "release" },
        "machine": super::machine()?,
    }))
}

/// Both passes on noise of the sizes that the reference was timed on, one thread.
fn documents(program: &Path, options: &Align) -> Result<Vec<Value>> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(printed(Command::new(program).args(["--json", "--sentences", "0"]))?);
    }
    let first = rounds[0]["documents"].as_array().context("there are documents")?;
    eprintln!(
        "{:>13} {:>10} {:>21} {:>6}",
        "sentences", "passes, ms", "reference (SPEC), ms", "ratio"
    );
    let mut rows = Vec::new();
    for (index, document) in first.iter().enumerate() {
        let time = |round: &Value| round["documents"][index]["passes"]["all_ms"].as_f64();
        let ms = median(rounds.iter().filter_map(time).collect());
        let reference = document["reference_ms"].as_f64().context("a reference")?;
        let (m, n) = (&document["source"], &document["target"]);
        let sizes = format!("{m} x {n}");
        eprintln!("{sizes:>13} {ms:>10.2} {reference:>21.1} {:>6.1}", reference / ms);
        rows.push(json!({"source": m, "target": n, "passes_ms": ms, "reference_ms": reference,
            "reference_over_ours": reference / ms}));
    }
    Ok(rows)
}

/// Time and memory of both passes on long texts.
fn long(program: &Path, options: &Align) -> Result<Value> {
    if options.long == 0 {
        return Ok(Value::Null);
    }
    let sentences = options.long.to_string();
    let mut command = Command::new(program);
    let report = printed(command.args(["--json", "--runs", "1", "--sentences", &sentences]))?;
    let long = report["large"].clone();
    let (ms, peak) = (&long["passes"]["all_ms"], &long["peak_memory_mib"]);
    eprintln!(
        "{sentences} x {sentences}: {:.0} ms, {peak} MiB at the peak",
        ms.as_f64().unwrap_or(f64::NAN)
    );
    Ok(long)
}

/// All groups of two texts, one thread.
fn usem3(program: &Path, options: &Align) -> Result<Value> {
    let (Some(weights), Some(source), Some(target)) =
        (&options.weights, &options.source, &options.target)
    else {
        eprintln!("usem3: left out; --weights, --source and --target say what to measure");
        return Ok(Value::Null);
    };
    let mut command = Command::new(program);
    command.args(["--json", "--calls", &options.rounds.to_string(), "groups", "--weights"]);
    command.arg(weights.join("usem3")).args([source, target]).env("RAYON_NUM_THREADS", "1");
    let report = printed(&mut command)?;
    let (wall_ms, processor_ms) = (of_calls(&report, "wall_ms"), of_calls(&report, "processor_ms"));
    eprintln!(
        "usem3, {} sentences: {wall_ms:.0} ms, {processor_ms:.0} ms of processors; the target for \
         137 and 155 is {USEM3_TARGET_MS} ms",
        report["sentences"]
    );
    Ok(json!({"sentences": report["sentences"], "opened_ms": report["opened_ms"],
        "wall_ms": wall_ms, "processor_ms": processor_ms, "target_ms": USEM3_TARGET_MS,
        "peak_memory_bytes": report["peak_memory_bytes"]}))
}

/// LaBSE at full size, in turns with PyTorch's.
fn labse(workspace: &Workspace, program: &Path, options: &Align) -> Result<Value> {
    if options.labse_sentences == 0 {
        return Ok(Value::Null);
    }
    let python = options.against_torch.then(|| torch::python(workspace)).transpose()?;
    let (threads, sentences) = (options.threads.to_string(), options.labse_sentences.to_string());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let mut command = Command::new(program);
        command.args(["--json", "--calls", "2", "labse", "--seed", SEED]);
        command.args(["--sentences", &sentences]).env("RAYON_NUM_THREADS", &threads);
        ours.push(printed(&mut command)?);
        if let Some(python) = &python {
            let batch = ours[0]["batch_tokens"].to_string();
            let mut command = Command::new(python);
            command.arg(workspace.root.join("xtask/bench/labse.py"));
            theirs.push(printed(command.args([&threads, "2", SEED, &sentences, &batch]))?);
        }
    }
    if let (Some(ours), Some(theirs)) = (ours.first(), theirs.first()) {
        compare(ours, theirs)?;
    }
    let first = ours.first().context("there is at least one round")?;
    let time = |side: &[Value]| -> Option<f64> {
        (!side.is_empty()).then(|| median(side.iter().map(last_call).collect()))
    };
    let ms = time(&ours).context("there is at least one round")?;
    let torch_ms = time(&theirs);
    let gflop = first["gflop"].as_f64().unwrap_or(f64::NAN);
    let beside = torch_ms.map_or_else(String::new, |theirs| {
        format!("; PyTorch {theirs:.0} ms, {:.2} of ours", theirs / ms)
    });
    eprintln!(
        "labse, {sentences} sentences, {} tokens: {ms:.0} ms, {:.0} GFLOP/s{beside}",
        first["tokens"],
        gflop / ms * 1e3
    );
    Ok(json!({"parameters": first["parameters"], "sentences": first["sentences"],
        "tokens": first["tokens"], "gflop": gflop, "ms": ms, "gflop_per_sec": gflop / ms * 1e3,
        "torch_ms": torch_ms, "torch_over_ours": torch_ms.map(|theirs| theirs / ms),
        "peak_memory_bytes": first["peak_memory_bytes"],
        "torch_peak_memory_bytes": theirs.first().map(|run| run["peak_memory_bytes"].clone())}))
}

/// The last of a process's calls; those before it warm its caches.
fn last_call(report: &Value) -> f64 {
    let calls = report["calls"].as_array();
    calls.and_then(|calls| calls.last()?["wall_ms"].as_f64()).unwrap_or(f64::NAN)
}

fn of_calls(report: &Value, figure: &str) -> f64 {
    let calls = report["calls"].as_array().into_iter().flatten();
    median(calls.filter_map(|call| call[figure].as_f64()).collect())
}

/// Are both the same network?
fn compare(ours: &Value, theirs: &Value) -> Result<()> {
    let numbers = |run: &Value| -> Vec<f64> {
        let vectors = run["vectors"].as_array().into_iter().flatten();
        vectors.filter_map(Value::as_array).flatten().filter_map(Value::as_f64).collect()
    };
    let (a, b) = (numbers(ours), numbers(theirs));
    if a.is_empty() || a.len() != b.len() || ours["parameters"] != theirs["parameters"] {
        bail!("the two networks are not of one size");
    }
    let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    eprintln!("vectors: {apart:.1e} apart at most");
    if apart.is_nan() || apart > VECTOR_TOLERANCE {
        bail!("the two networks differ: their vectors are {apart} apart");
    }
    Ok(())
}

/// The JSON that a program prints; what it says else goes to the terminal.
fn printed(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output().context("starting a side")?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
