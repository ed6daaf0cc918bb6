//! `cargo xtask bench …`: measurements, printed as one JSON object with medians and the machine.
//!
//! Owns what is measured and against whom. Never part of `test`: figures move with the machine, so
//! nothing here passes or fails. Each target of an issue is printed beside its figure.

mod align;
mod gate;
mod kernels;
mod nn;
mod peers;
mod sharp;
mod torch;
mod wrk;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::process;
use crate::workspace::Workspace;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// The gate: the policy chain alone, an echo through everything, a fresh instance, memory;
    /// beside a JavaScript isolate runtime and a Python server doing the same.
    Gateway(Gateway),
    /// The vision kernels on one thread and on two; beside OpenCV's on the same pictures.
    Kernels(kernels::Kernels),
    /// The layers of neural networks on the CPU; beside candle's and PyTorch's.
    Nn(nn::Nn),
    /// The aligner: its passes beside the reference's, its encoders, and long texts.
    Align(align::Align),
    /// SHARP's network at full size, stage by stage; beside PyTorch's.
    Sharp(sharp::Sharp),
}

/// How to measure the gate.
#[derive(Debug, Clone, Args)]
pub(crate) struct Gateway {
    /// Use the test profile's build instead of a release build: no second build of everything, and
    /// figures that are a little worse.
    #[arg(long)]
    dev: bool,
    /// Leave out the peers (they are fetched from npm and PyPI the first time).
    #[arg(long)]
    no_peers: bool,
    /// Rounds of each measurement; medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of load in each round.
    #[arg(long, default_value_t = 5)]
    secs: u64,
    /// Bytes of the upload whose memory is watched.
    #[arg(long, default_value_t = 1 << 30)]
    upload_bytes: u64,
    /// Also write the JSON to this file.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs one measurement.
pub(crate) fn run(workspace: &Workspace, bench: &Bench) -> Result<()> {
    let (report, out) = match bench {
        Bench::Gateway(options) => (gateway(workspace, options)?, &options.out),
        Bench::Kernels(options) => (kernels::measure(workspace, options)?, &options.out),
        Bench::Nn(options) => (nn::measure(workspace, options)?, &options.out),
        Bench::Align(options) => (align::measure(workspace, options)?, &options.out),
        Bench::Sharp(options) => (sharp::measure(workspace, options)?, &options.out),
    };
    let text = serde_json::to_string_pretty(&report)?;
    if let Some(file) = out {
        std::fs::write(file, text.clone() + "\n")?;
    }
    println!("{text}");
    Ok(())
}

fn gateway(workspace: &Workspace, options: &Gateway) -> Result<Value> {
    wrk::find()?;
    build(workspace, options)?;
    let peers = if options.no_peers { None } else { Some(peers::Peers::prepare(workspace)?) };
    let mut report = gate::measure(workspace, options)?;
    if let Some(peers) = peers {
        let figures = peers.measure(options)?;
        let chain = report["chain_models"]["requests_per_sec"].as_f64().unwrap_or(0.0);
        for (name, figure) in &figures {
            let theirs = figure["requests_per_sec"].as_f64().unwrap_or(f64::NAN);
            report["ratio_of_chain_to"][name] = json!((chain / theirs * 100.0).round() / 100.0);
        }
        report["peers"] = Value::Object(figures.into_iter().collect());
    }
    report["machine"] = machine()?;
    report["build"] = json!(if options.dev { "dev profile" } else { "release" });
    Ok(report)
}

fn build(workspace: &Workspace, options: &Gateway) -> Result<()> {
    crate::guests::run(workspace, None)?;
    let mut build = process::cargo();
    build.args(["build", "--workspace", "--exclude", "xtask", "--bins", "--examples"]);
    if !options.dev {
        build.arg("--release");
    }
    process::run(build.current_dir(&workspace.root))
}

fn machine() -> Result<Value> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").context("no /proc/cpuinfo")?;
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = process::stdout(Command::new("uname").arg("-r"))?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(json!({
        "cpu": name.trim_start_matches([' ', '\t', ':']),
        "cores": cores,
        "kernel": kernel.trim(),
        "load_average_at_end": load.trim(),
    }))
}

/// The middle value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
