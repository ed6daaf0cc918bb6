//! The vision kernels of the sidecar, beside OpenCV's: same machine, same minute, same pictures.
//!
//! Owns which kernels and sizes, the order of the measurements and the table. Each side is a
//! program that answers lines (`gpu-sidecar/examples/kernels`, `xtask/bench/kernels.py`); they
//! take turns kernel by kernel, so that a change of the machine's speed meets both. Before a
//! figure is taken, the two results are compared: a faster wrong answer is no figure.

pub(super) mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::median;
use crate::process;
use crate::workspace::Workspace;
use server::{Call, Server, Side};

const EXAMPLES: &str = "Examples:
  cargo xtask bench kernels --against opencv
  cargo xtask bench kernels --dev --only canny --rounds 9 --size 1280x720
  cargo xtask bench kernels --against opencv --out figures.json 2> table.txt";

/// The releases that are measured against.
const OPENCV: &str = "opencv-python-headless==5.0.0.93";
const NUMPY: &str = "numpy==2.4.6";
/// For how long a kernel is called in each round, ms; at least three times.
const SPAN_MS: u32 = 100;

/// Another library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rival {
    /// OpenCV 5, from PyPI, held to one thread.
    Opencv,
}

/// How to measure the kernels.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Kernels {
    /// Measure another library on the same pictures, too (it is fetched the first time).
    #[arg(long)]
    against: Option<Rival>,
    /// Rounds; the median of their medians is printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Sizes of the pictures.
    #[arg(long, num_args = 1.., default_values = ["1280x720", "1920x1080"])]
    size: Vec<String>,
    /// Only kernels whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Use the test profile's build, which optimises the sidecar, too, but checks its arithmetic.
    #[arg(long)]
    dev: bool,
    /// Also write the JSON to this file.
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
}

/// A kernel that is measured.
struct Kernel {
    name: &'static str,
    /// OpenCV's time divided by ours: what it has to reach on one thread, where that is agreed.
    bar: Option<f64>,
    /// How the two results are compared.
    agreement: Agreement,
}

/// What the two results must have in common.
#[derive(Debug, Clone, Copy)]
enum Agreement {
    /// Every byte.
    Exact,
    /// f32 whose mean difference is at most this.
    Mean(f64),
}

const fn exact(name: &'static str, bar: Option<f64>) -> Kernel {
    Kernel { name, bar, agreement: Agreement::Exact }
}

const fn flow(name: &'static str, bar: Option<f64>) -> Kernel {
    // The goldens' tolerance, pixels.
    Kernel { name, bar, agreement: Agreement::Mean(1e-3) }
}

const KERNELS: &[Kernel] = &[
    exact("gray", Some(1.0)),
    exact("canny_shapes", Some(1.2)),
    exact("canny_textured", Some(1.2)),
    exact("canny_noise", None),
    exact("canny_l2_shapes", None),
    exact("canny_l2_textured", None),
    exact("canny_l2_noise", None),
    exact("close_3x3", Some(1.0)),
    exact("close_5x5_ellipse", None),
    exact("close_15x15", Some(1.0)),
    exact("close_63x63", None),
    exact("close_63x63_ellipse", None),
    exact("sobel_x_3", None),
    exact("sobel_y_5", None),
    exact("sobel_x_7", None),
    exact("laplacian_1", None),
    exact("laplacian_3", None),
    exact("resize_linear_2_3", None),
    exact("resize_linear_1_2", None),
    exact("resize_area_2_5", None),
    exact("resize_area_1_4", None),
    flow("farneback_box", Some(3.0)),
    flow("farneback_gaussian", None),
];

/// Every figure.
pub(super) fn measure(workspace: &Workspace, options: &Kernels) -> Result<Value> {
    let program = build(workspace, options)?;
    let folder = workspace.target.join("bench/kernels");
    std::fs::create_dir_all(&folder)?;
    for size in &options.size {
        let mut frames = Command::new(&program);
        process::run(frames.args(["frames", "--size", size, "--dir"]).arg(&folder))?;
    }
    let mut serve = Command::new(&program);
    let ours = Side { name: "postern", server: Server::start(serve.arg("serve"))? };
    let theirs = match options.against {
        Some(Rival::Opencv) => Some(opencv(workspace, &folder)?),
        None => None,
    };
    let mut bench = Bench { ours, theirs, folder, options };
    let mut figures = Vec::new();
    eprintln!("{}", Bench::head());
    for size in &options.size {
        for kernel in KERNELS {
            if options.only.as_ref().is_none_or(|part| kernel.name.contains(part)) {
                figures.push(bench.kernel(kernel, size)?);
            }
        }
    }
    Ok(json!({
        "kernels": figures,
        "rounds": options.rounds,
        "against": options.against.map(|Rival::Opencv| [OPENCV, NUMPY]),
        "build": if options.dev { "dev profile" } else { "release" },
        "machine": super::machine()?,
    }))
}

fn build(workspace: &Workspace, options: &Kernels) -> Result<PathBuf> {
    let mut build = process::cargo();
    build.args(["build", "-p", "postern-sidecar", "--example", "kernels"]);
    if !options.dev {
        build.arg("--release");
    }
    process::run(build.current_dir(&workspace.root))?;
    Ok(workspace.binary("examples/kernels", !options.dev))
}

/// Installs what is missing and starts OpenCV's side.
fn opencv(workspace: &Workspace, folder: &Path) -> Result<Side> {
    let venv = workspace.target.join("bench/opencv");
    let installed = venv.join(OPENCV);
    if !installed.exists() {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        process::run(pip.args(["install", "--quiet", OPENCV, NUMPY]))?;
        std::fs::write(&installed, "")?;
    }
    let mut python = Command::new(venv.join("bin/python"));
    python.arg(workspace.root.join("xtask/bench/kernels.py")).arg(folder);
    Ok(Side { name: "opencv", server: Server::start(&mut python)? })
}

struct Bench<'a> {
    ours: Side,
    theirs: Option<Side>,
    folder: PathBuf,
    options: &'a Kernels,
}

impl Bench<'_> {
    /// All rounds of one kernel at one size; prints its line of the table.
    fn kernel(&mut self, kernel: &Kernel, size: &str) -> Result<Value> {
        let agreement = self.agreement(kernel, size)?;
        let call = Call { kernel: kernel.name, size };
        let (mut one, mut two, mut rival) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            one.push(self.ours.time(&call, 1, SPAN_MS)?);
            if let Some(theirs) = &mut self.theirs {
                rival.push(theirs.time(&call, 1, SPAN_MS)?);
            }
            two.push(self.ours.time(&call, 2, SPAN_MS)?);
        }
        let figures = Figures { one: median(one), two: median(two), rival: median(rival) };
        eprintln!("{}", figures.row(kernel, size));
        Ok(figures.json(kernel, size, &agreement))
    }

    /// Whether both sides compute the same: `exact`, or the mean difference of a flow.
    fn agreement(&mut self, kernel: &Kernel, size: &str) -> Result<Value> {
        let Some(theirs) = &mut self.theirs else { return Ok(Value::Null) };
        let call = Call { kernel: kernel.name, size };
        let ours = self.ours.result(&call, &self.folder)?;
        let theirs = theirs.result(&call, &self.folder)?;
        let what = format!("{} at {size}", kernel.name);
        match kernel.agreement {
            Agreement::Exact => {
                anyhow::ensure!(ours == theirs, "{what}: the results differ");
                Ok(json!("exact"))
            }
            Agreement::Mean(most) => {
                let mean = mean_difference(&ours, &theirs).context(what.clone())?;
                anyhow::ensure!(mean <= most, "{what}: the results differ by {mean} in the mean");
                Ok(json!({ "mean_difference": mean }))
            }
        }
    }

    fn head() -> String {
        format!(
            "{:<20} {:<10} {:>10} {:>10} {:>7} {:>5} {:>12} {:>8}",
            "kernel", "size", "ours ms", "opencv ms", "ratio", "bar", "2 threads ms", "scaling"
        )
    }
}

/// Mean of |a − b| over little-endian f32; none when the lengths differ.
pub(super) fn mean_difference(a: &[u8], b: &[u8]) -> Option<f64> {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    if a.len() != b.len() || a.is_empty() || !a_rest.is_empty() || !b_rest.is_empty() {
        return None;
    }
    let value = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes));
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (value(a) - value(b)).abs()).sum();
    Some(sum / a.len() as f64)
}

/// Milliseconds of one kernel; `rival` is not a number where nothing was measured against.
struct Figures {
    one: f64,
    two: f64,
    rival: f64,
}

impl Figures {
    fn json(&self, kernel: &Kernel, size: &str, agreement: &Value) -> Value {
        let figure = |value: f64, places: i32| {
            let unit = 10f64.powi(places);
            if value.is_nan() { Value::Null } else { json!((value * unit).round() / unit) }
        };
        json!({
            "name": kernel.name,
            "size": size,
            "ours_ms": figure(self.one, 4),
            "opencv_ms": figure(self.rival, 4),
            "ratio": figure(self.rival / self.one, 2),
            "bar": kernel.bar,
            "ours_2_threads_ms": figure(self.two, 4),
            "scaling": figure(self.one / self.two, 2),
            "agreement": agreement,
        })
    }

    fn row(&self, kernel: &Kernel, size: &str) -> String {
        let bar = kernel.bar.map_or(String::new(), |bar| format!("{bar:.1}"));
        let ratio = self.rival / self.one;
        let scaling = self.one / self.two;
        format!(
            "{:<20} {size:<10} {:>10.3} {:>10.3} {ratio:>7.2} {bar:>5} {:>12.3} {scaling:>8.2}",
            kernel.name, self.one, self.rival, self.two
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_of_one_length_have_a_mean_difference() {
        let bytes =
            |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let (a, b) = (bytes(&[1.0, 2.0]), bytes(&[1.5, 1.5]));
        assert_eq!(mean_difference(&a, &b), Some(0.5));
        assert_eq!(mean_difference(&a, &b[..4]), None);
        assert_eq!(mean_difference(&a[..3], &b[..3]), None);
        assert_eq!(mean_difference(&[], &[]), None);
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let kernel = exact("gray", Some(1.0));
        let figures = Figures { one: 0.5, two: 0.25, rival: f64::NAN };
        let json = figures.json(&kernel, "2x2", &Value::Null);
        assert_eq!(json["ours_ms"], 0.5);
        assert_eq!(json["scaling"], 2.0);
        assert_eq!(json["ratio"], Value::Null);
    }
}
