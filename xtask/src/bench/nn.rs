//! The layers of neural networks on the CPU, beside candle's and PyTorch's: same machine, same
//! minute, same numbers.
//!
//! Owns which layers and sizes, the order of the measurements and the table. Each side is a program
//! that answers lines (`gpu-sidecar/examples/nn`, `xtask/bench/nn.py`); they take turns layer by
//! layer. Before a figure is taken, the results are compared.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::kernels::mean_difference;
use super::kernels::server::{Call, Server, Side};
use super::{median, torch as pytorch};
use crate::process;
use crate::workspace::Workspace;

const EXAMPLES: &str = "Examples:
  cargo xtask bench nn --against torch
  cargo xtask bench nn --dev --only conv --rounds 3 --threads 1
  cargo xtask bench nn --against torch --out figures.json 2> table.txt";

/// For how long a layer is called in each round, ms; at least three times.
const SPAN_MS: u32 = 200;
/// Mean of |a - b| that two results may be apart; values are sums of up to 4096 products of about
/// 1.
const APART_MAX: f64 = 1e-4;
/// 10^9 operations of a call of the loop that finds the machine's peak.
const PEAK_GFLOP: u32 = 2;

/// Another library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rival {
    /// PyTorch from PyPI, on the CPU.
    Torch,
}

/// How to measure the layers.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Nn {
    /// Measure another library on the same numbers, too (it is fetched the first time: 3 GB).
    #[arg(long)]
    against: Option<Rival>,
    /// Rounds; the median of their medians is printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of threads.
    #[arg(long, num_args = 1.., default_values_t = [1, 2])]
    threads: Vec<u32>,
    /// Only layers whose name or size contains this.
    #[arg(long)]
    only: Option<String>,
    /// Leave out candle's operators, which take most of the time.
    #[arg(long)]
    no_candle: bool,
    /// Use the test profile's build, which optimises the sidecar, too, but checks its arithmetic.
    #[arg(long)]
    dev: bool,
    /// Also write the JSON to this file.
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
}

/// What ViT-L and the convolutions of the view-synthesis model are made of; pictures at a quarter
/// to a half of their sides, so that a round takes seconds.
const LAYERS: &[(&str, &str)] = &[
    ("linear", "577x1024x3072"),
    ("linear", "577x1024x1024"),
    ("linear_gelu", "577x1024x4096"),
    ("linear", "577x4096x1024"),
    ("linear_gelu", "5770x1024x4096"),
    ("linear", "32x384x1536"),
    ("attention", "1x577x16x64"),
    ("attention", "1x577x12x64"),
    ("layer_norm", "2308x1024"),
    ("conv", "256x256x3x48"),
    ("conv", "256x256x3x192"),
    ("conv", "128x128x3x192"),
    ("conv", "128x64x3x192"),
    ("conv", "64x128x3x192"),
    ("conv", "128x32x3x384"),
    ("conv", "1024x256x1x96"),
    ("conv", "128x128x1x192"),
    ("conv_patches", "3x1024x16x384"),
    ("conv_patches", "5x128x2x384"),
    ("conv_transpose", "256x256x96"),
    ("conv_transpose", "1024x1024x24"),
    ("group_norm_relu", "128x8x384"),
];

/// Operations of one call: two for each product; nothing else is counted.
fn operations(layer: &str, size: &str) -> Option<f64> {
    let sizes: Option<Vec<f64>> = size.split('x').map(|number| number.parse().ok()).collect();
    match (layer, &sizes?[..]) {
        ("linear" | "linear_gelu", [rows, depth, out]) => Some(2.0 * rows * depth * out),
        ("conv", [from, out, kernel, side]) => {
            Some(2.0 * from * out * kernel * kernel * side * side)
        }
        ("conv_patches", [from, out, _, side]) => Some(2.0 * from * out * side * side),
        ("conv_transpose", [from, out, side]) => Some(8.0 * from * out * side * side),
        ("attention", [batch, tokens, heads, width]) => {
            Some(4.0 * batch * tokens * tokens * heads * width)
        }
        _ => None,
    }
}

/// Every figure.
pub(super) fn measure(workspace: &Workspace, options: &Nn) -> Result<Value> {
    let program = build(workspace, options)?;
    let folder = workspace.target.join("bench/nn");
    std::fs::create_dir_all(&folder)?;
    let mut ours = Command::new(&program);
    let mut sides = vec![Side { name: "postern", server: Server::start(ours.arg("serve"))? }];
    if !options.no_candle {
        let mut candle = Command::new(&program);
        let server = Server::start(candle.args(["serve", "--candle"]))?;
        sides.push(Side { name: "candle", server });
    }
    if let Some(Rival::Torch) = options.against {
        sides.push(torch(workspace)?);
    }
    let mut bench = Bench { sides, folder, options };
    let peaks: Result<Vec<f64>> =
        options.threads.iter().map(|&threads| bench.peak(threads)).collect();
    let peaks = peaks?;
    eprintln!("{}", bench.head());
    let mut figures = Vec::new();
    for (layer, size) in LAYERS {
        let name = format!("{layer} {size}");
        if options.only.as_ref().is_none_or(|part| name.contains(part)) {
            figures.extend(bench.layer(layer, size, &peaks)?);
        }
    }
    let peaks: Vec<Value> = options
        .threads
        .iter()
        .zip(&peaks)
        .map(|(threads, peak)| json!({ "threads": threads, "gflop_per_sec": peak.round() }))
        .collect();
    Ok(json!({
        "layers": figures,
        "peak": peaks,
        "rounds": options.rounds,
        "against": options.against.map(|Rival::Torch| [pytorch::TORCH, pytorch::NUMPY]),
        "build": if options.dev { "dev profile" } else { "release" },
        "machine": super::machine()?,
    }))
}

fn build(workspace: &Workspace, options: &Nn) -> Result<PathBuf> {
    let mut build = process::cargo();
    build.args(["build", "-p", "postern-sidecar", "--example", "nn"]);
    if !options.dev {
        build.arg("--release");
    }
    process::run(build.current_dir(&workspace.root))?;
    Ok(workspace.binary("examples/nn", !options.dev))
}

/// Installs what is missing and starts PyTorch's side.
fn torch(workspace: &Workspace) -> Result<Side> {
    let mut python = Command::new(pytorch::python(workspace)?);
    python.arg(workspace.root.join("xtask/bench/nn.py"));
    Ok(Side { name: "torch", server: Server::start(&mut python)? })
}

struct Bench<'a> {
    /// Ours first.
    sides: Vec<Side>,
    folder: PathBuf,
    options: &'a Nn,
}

impl Bench<'_> {
    /// What the machine can do on so many threads, in 10^9 operations a second.
    fn peak(&mut self, threads: u32) -> Result<f64> {
        let size = PEAK_GFLOP.to_string();
        let call = Call { kernel: "peak", size: &size };
        let mut rounds = Vec::new();
        for _ in 0..self.options.rounds {
            rounds.push(self.sides[0].time(&call, threads, SPAN_MS)?);
        }
        Ok(f64::from(PEAK_GFLOP * threads) / median(rounds) * 1e3)
    }

    /// All rounds of one layer; prints a line of the table for each number of threads.
    fn layer(&mut self, layer: &str, size: &str, peaks: &[f64]) -> Result<Vec<Value>> {
        let call = Call { kernel: layer, size };
        self.compare(&call)?;
        let mut figures = Vec::new();
        for (&threads, peak) in self.options.threads.iter().zip(peaks) {
            let mut times: Vec<Vec<f64>> = vec![Vec::new(); self.sides.len()];
            for _ in 0..self.options.rounds {
                for (side, times) in self.sides.iter_mut().zip(&mut times) {
                    times.push(side.time(&call, threads, SPAN_MS)?);
                }
            }
            let times: Vec<f64> = times.into_iter().map(median).collect();
            let rate = operations(layer, size).map(|count| count / times[0] * 1e-6);
            let mut row = format!("{layer:<16} {size:<15} {threads:>7}");
            let mut figure = json!({ "name": layer, "size": size, "threads": threads });
            for (side, &time) in self.sides.iter().zip(&times) {
                row += &format!(" {time:>11.3}");
                figure[format!("{}_ms", side.name)] = json!((time * 1e4).round() / 1e4);
            }
            if let Some(rate) = rate {
                row += &format!(" {rate:>8.1} {:>5.0} %", rate / peak * 100.0);
                figure["gflop_per_sec"] = json!((rate * 10.0).round() / 10.0);
                figure["share_of_peak"] = json!((rate / peak * 1e3).round() / 1e3);
            }
            eprintln!("{row}");
            figures.push(figure);
        }
        Ok(figures)
    }

    /// Every side's result against ours.
    fn compare(&mut self, call: &Call<'_>) -> Result<()> {
        let results: Result<Vec<Vec<u8>>> =
            self.sides.iter_mut().map(|side| side.result(call, &self.folder)).collect();
        let results = results?;
        for (side, result) in self.sides.iter().zip(&results).skip(1) {
            let what = format!("{} {}: ours and {}'s", call.kernel, call.size, side.name);
            let apart = mean_difference(&results[0], result)
                .with_context(|| format!("{what} differ in length"))?;
            anyhow::ensure!(apart <= APART_MAX, "{what} are {apart} apart in the mean");
        }
        Ok(())
    }

    fn head(&self) -> String {
        let mut head = format!("{:<16} {:<15} {:>7}", "layer", "size", "threads");
        for side in &self.sides {
            head += &format!(" {:>11}", format!("{} ms", side.name));
        }
        head + &format!(" {:>8} {:>7}", "GFLOP/s", "of peak")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_counted_and_nothing_else() {
        assert_eq!(operations("linear", "2x3x4"), Some(48.0));
        assert_eq!(operations("conv", "2x3x3x4"), Some(2.0 * 2.0 * 3.0 * 9.0 * 16.0));
        assert_eq!(operations("conv_patches", "3x8x16x32"), Some(2.0 * 3.0 * 8.0 * 1024.0));
        assert_eq!(operations("layer_norm", "2x3"), None);
        assert_eq!(operations("linear", "2x3xy"), None);
    }

    #[test]
    fn every_layer_that_multiplies_has_a_count() {
        for (layer, size) in LAYERS.iter().filter(|(layer, _)| !layer.contains("norm")) {
            assert!(operations(layer, size).is_some_and(|count| count > 0.0), "{layer} {size}");
        }
    }
}
