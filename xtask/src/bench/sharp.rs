//! SHARP at full size on the CPU, beside the same network in PyTorch: same parameters, same
//! threads.
//!
//! Owns the order of the measurements and the table. Each side is a program that prints JSON
//! (`postern-sidecar bench sharp`, `xtask/bench/sharp.py`); they take turns. Both make the
//! parameters from one seed, so that their depths can be compared: a faster wrong answer is no
//! figure.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{median, torch};
use crate::process;
use crate::workspace::Workspace;

const EXAMPLES: &str = "Examples:
  cargo xtask bench sharp --against-torch
  cargo xtask bench sharp --dev --threads 1 --rounds 1
  cargo xtask bench sharp --against-torch --out figures.json 2> table.txt";

const SEED: &str = "1";
/// How far the mean depths of both may differ, relative: sums of thousands of terms in f32, through
/// 24 blocks and a decoder.
const DEPTH_TOLERANCE: f64 = 1e-3;

/// How to measure the network.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sharp {
    /// Measure PyTorch on the same parameters, too (it is fetched the first time).
    #[arg(long)]
    against_torch: bool,
    /// Rounds; a prediction takes minutes. Medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Threads of each side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Use the test profile's build, which optimises the sidecar, too.
    #[arg(long)]
    dev: bool,
    /// Also write the JSON to this file.
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
}

/// Every figure.
pub(super) fn measure(workspace: &Workspace, options: &Sharp) -> Result<Value> {
    let mut build = process::cargo();
    // As `up` builds it, so that neither builds anew what the other has built.
    build.args(["build", "--workspace", "--exclude", "xtask", "--bins"]);
    if !options.dev {
        build.arg("--release");
    }
    process::run(build.current_dir(&workspace.root))?;
    let sidecar = workspace.binary("postern-sidecar", !options.dev);
    let python = options.against_torch.then(|| torch::python(workspace)).transpose()?;
    let threads = options.threads.to_string();

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let mut command = Command::new(&sidecar);
        command.args(["bench", "sharp", "--weights", "random", "--seed", SEED]);
        ours.push(printed(command.args(["--threads", &threads]))?);
        if let Some(python) = &python {
            let mut command = Command::new(python);
            command.arg(workspace.root.join("xtask/bench/sharp.py"));
            theirs.push(printed(command.args([&threads, "1", SEED]))?);
        }
    }
    if let (Some(ours), Some(theirs)) = (ours.first(), theirs.first()) {
        compare(ours, theirs)?;
    }
    let stages = table(&ours, &theirs)?;
    let total = |side: &[Value]| -> Option<f64> {
        let totals: Option<Vec<f64>> =
            side.iter().map(|run| run["rounds"][0]["total_ms"].as_f64()).collect();
        totals.filter(|totals| !totals.is_empty()).map(median)
    };
    let (our_ms, their_ms) = (total(&ours), total(&theirs));
    let first = ours.first().context("there is at least one round")?;
    Ok(json!({
        "stages": stages,
        "total_ms": our_ms,
        "torch_total_ms": their_ms,
        "torch_over_ours": their_ms.zip(our_ms).map(|(theirs, ours)| theirs / ours),
        "peak_gflops": first["peak_gflops"],
        "peak_memory_bytes": first["peak_memory_bytes"],
        "activation_bytes": first["activation_bytes"],
        "torch_peak_memory_bytes": theirs.first().map(|run| run["peak_memory_bytes"].clone()),
        "rounds": options.rounds,
        "threads": options.threads,
        "against": options.against_torch.then_some([torch::TORCH, torch::NUMPY]),
        "build": if options.dev { "dev profile" } else { "release" },
        "machine": super::machine()?,
    }))
}

/// The JSON that a program prints; its progress goes to the terminal.
fn printed(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output().context("starting a side")?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn compare(ours: &Value, theirs: &Value) -> Result<()> {
    let depth = |run: &Value| run["rounds"][0]["mean_depth"].as_f64();
    let (Some(ours), Some(theirs)) = (depth(ours), depth(theirs)) else {
        bail!("a side predicted no depth");
    };
    let difference = (ours - theirs).abs() / theirs.abs();
    eprintln!("mean depth {ours:.6} and {theirs:.6}: {difference:.1e} apart");
    if difference > DEPTH_TOLERANCE {
        bail!("the two networks differ: mean depth {ours}, PyTorch's {theirs}");
    }
    Ok(())
}

/// The medians of each stage; also printed.
fn table(ours: &[Value], theirs: &[Value]) -> Result<Vec<Value>> {
    let stages = ours[0]["rounds"][0]["stages"].as_array().context("a round has stages")?;
    let times = |side: &[Value], name: &Value| -> Option<f64> {
        let of = |run: &Value| {
            let stages = run["rounds"][0]["stages"].as_array()?;
            stages.iter().find(|stage| &stage["stage"] == name)?["ms"].as_f64()
        };
        let times: Option<Vec<f64>> = side.iter().map(of).collect();
        times.filter(|times| !times.is_empty()).map(median)
    };
    eprintln!(
        "{:<16} {:>9} {:>9} {:>9} {:>7} {:>9} {:>6}",
        "stage", "GMAC", "ms", "GFLOP/s", "peak", "torch ms", "ratio"
    );
    let peak = ours[0]["peak_gflops"].as_f64().unwrap_or(f64::NAN);
    let mut rows = Vec::new();
    for stage in stages {
        let name = &stage["stage"];
        let ms = times(ours, name).context("every round has the same stages")?;
        let gmac = stage["gmac"].as_f64().unwrap_or(0.0);
        let gflops = 2.0 * gmac / (ms / 1e3);
        let torch_ms = times(theirs, name);
        let ratio = torch_ms.map(|torch_ms| torch_ms / ms);
        let or_dash = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        eprintln!(
            "{:<16} {gmac:>9.1} {ms:>9.0} {gflops:>9.0} {:>6.0}% {:>9} {:>6}",
            name.as_str().unwrap_or_default(),
            100.0 * gflops / peak,
            or_dash(torch_ms, 0),
            or_dash(ratio, 2),
        );
        rows.push(json!({
            "stage": name,
            "gmac": gmac,
            "ms": ms,
            "gflops": gflops,
            "share_of_peak": gflops / peak,
            "torch_ms": torch_ms,
            "torch_over_ours": ratio,
        }));
    }
    Ok(rows)
}
