//! The program `postern`: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    let cli = postern::cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(postern::cli::run(cli));
    // A blocking read that hangs must not keep a stopped process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
