//! `cargo xtask …`: set-up, guests, run, test. The whole automation of the repository, in Rust.
//!
//! Knows the repository's folders and the tools of a developer's machine; links none of our crates,
//! so that it builds in seconds and also when they do not. Each command is a file; `suite.rs` is
//! `test`. Start at `Command`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command line tool: it prints, reads its environment and takes the time"
)]

mod workspace;

mod process;

mod setup;

mod guests;

mod cuda;

mod clients;

mod up;

mod suite;

mod tidy;

mod bench;

mod licences;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::guests::Chain;
use crate::workspace::Workspace;

const EXAMPLES: &str = "Examples:
  cargo xtask up                      build and start everything on 127.0.0.1:8080, print a key
  cargo xtask up --detach             the same in the background; `cargo xtask down` stops it
  cargo xtask test                    every check and test, as CI runs it
  cargo xtask test --only clippy      one step: setup guests fmt tidy deny clippy build contracts …
  cargo xtask test --only key_is      only tests whose name contains `key_is`
  cargo xtask cuda --release          one sidecar for machines with and without a GPU
  cargo xtask tidy --bless            rewrite the checked-in contracts from what the code prints
  cargo xtask bench gateway           figures of the gate beside its peers, as JSON
  cargo xtask bench align             the aligner and its encoders, as JSON and a table
  cargo xtask bench kernels --against opencv
                                      the vision kernels beside OpenCV's, as JSON and a table
  cargo xtask guests --chain debian   build the components with Debian's tool chain";

/// Postern's automation.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what is missing on this machine: a C compiler, ffmpeg, libheif, curl, a WebAssembly
    /// target.
    Setup,
    /// Build guest-components/ into components under target/guests/.
    Guests {
        /// Which tool chain; without it, whichever is there (rustup's first).
        #[arg(long)]
        chain: Option<Chain>,
    },
    /// Set up, build and start Postern with a demo tenant, until Ctrl-C.
    Up(up::Options),
    /// Stop what `up --detach` started.
    Down {
        /// The data directory that was given to `up`.
        #[arg(long, default_value = up::DATA_DEFAULT)]
        data: PathBuf,
    },
    /// Build the sidecar with CUDA into target/cuda/, and check that it starts without a driver.
    #[command(after_help = cuda::EXAMPLES)]
    Cuda(cuda::Options),
    /// Run every check and test; ends with `N passed, N failed`.
    Test(TestOptions),
    /// Check the house rules; prints each place that breaks one.
    Tidy {
        /// Rewrite docs/contracts/ from what the code prints.
        #[arg(long)]
        bless: bool,
    },
    /// Check licences, bans and sources of all dependencies against deny.toml.
    Deny,
    /// Measure, and print figures as JSON.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// What `up` runs beside the server: waits until it answers, then prints the key.
    #[command(hide = true)]
    Introduce(up::Introduction),
}

#[derive(Debug, Args)]
struct TestOptions {
    /// A step, or a part of test names.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup => setup::run()?,
        Command::Guests { chain } => guests::run(&workspace, chain)?,
        Command::Up(options) => up::run(&workspace, &options)?,
        Command::Down { data } => up::down(&data)?,
        Command::Introduce(introduction) => up::introduce(&introduction)?,
        Command::Cuda(options) => cuda::run(&workspace, &options)?,
        Command::Test(options) => return suite::run(&workspace, options.only.as_deref()),
        Command::Tidy { bless } => return tidy::run(&workspace, bless),
        Command::Bench(bench) => bench::run(&workspace, &bench)?,
        Command::Deny => return licences::run(&workspace),
    }
    Ok(ExitCode::SUCCESS)
}
