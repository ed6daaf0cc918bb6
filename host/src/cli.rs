//! The command line of `postern`.
//!
//! Owns the commands. Those about tenants, plans, keys and jobs work on the data folder itself;
//! `call` and `batch` are clients of a gate and have none.
//! A host that runs on it goes by a change of tenants, plans and keys when the command returns.
//! What a script wants to read goes to standard output, everything else to standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is what a command line is for"
)]

mod batch;
mod call;
mod client;
mod contracts;
mod job;
mod key;
mod plan;
mod pull;
mod serve;
mod tenant;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::app::{DataDir, Office, office};
use crate::clock::Clock;
use crate::settings::Settings;
use crate::telemetry::LogFormat;

/// A running host has noticed another process's change after this: it looks at the store five times
/// a second, and at what the store says as often.
const NOTICE: Duration = Duration::from_millis(500);

/// A guarded gate in front of a GPU.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  postern init --data ./data\n  postern tenant create acme --plan \
                  pro\n  postern key create --tenant acme --label ci --expires 90d\n  postern serve \
                  --listen 127.0.0.1:8080 --components target/guests\n\nThe data folder is given by \
                  --data or POSTERN_DATA; settings are in its postern.toml."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The data folder.
    #[arg(long, global = true, env = "POSTERN_DATA", default_value = "postern-data")]
    data: PathBuf,
    /// What is logged: error, warn, info, debug, or a filter such as `postern=debug`.
    #[arg(long, global = true, default_value = "info")]
    log: String,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data folder: secret, store, default plans, and an operator's key (printed once).
    Init,
    /// Serve until a stop signal.
    Serve(serve::Serve),
    /// Create, list, move, suspend and resume tenants.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Show, set and delete plans.
    #[command(subcommand)]
    Plan(plan::Plan),
    /// Create, list, rotate and revoke API keys.
    #[command(subcommand)]
    Key(key::Key),
    /// Send files to a service of a running gate and fetch the result.
    Call(call::Call),
    /// Send every file of a folder to a service of a running gate; goes on where it stopped.
    Batch(batch::Batch),
    /// Fetch a model's weights, or see which there are.
    Pull(pull::Pull),
    /// List, show and cancel jobs.
    #[command(subcommand)]
    Job(job::Job),
    /// Write the host's contracts (OpenAPI, problem codes, metrics, settings) as files.
    #[command(hide = true)]
    Contracts(contracts::Contracts),
}

/// Runs one command.
///
/// # Errors
/// Whatever keeps it from being done, for the person at the terminal.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        // A customer's commands: they have no data folder.
        Command::Call(call) => Ok(call.run().await),
        Command::Batch(batch) => Ok(batch.run().await),
        _ => operate(cli).await.map(|()| ExitCode::SUCCESS),
    }
}

/// The operator's commands.
async fn operate(cli: Cli) -> anyhow::Result<()> {
    let data = DataDir::new(&cli.data);
    let settings = Settings::read(&data.settings())?;
    let desk = Desk { data, clock: Clock::system(), settings };
    match cli.command {
        Command::Init => init(&desk).await,
        Command::Serve(serve) => serve.run(desk, &cli.log, cli.log_format).await,
        Command::Tenant(tenant) => {
            let changes = tenant.changes();
            tenant.run(&desk.office().await?).await?;
            desk.settle(changes).await
        }
        Command::Plan(plan) => {
            let changes = plan.changes();
            plan.run(&desk.office().await?).await?;
            desk.settle(changes).await
        }
        Command::Key(key) => {
            let changes = key.changes();
            key.run(&desk.office().await?, &desk.clock).await?;
            desk.settle(changes).await
        }
        Command::Pull(pull) => pull.run(desk).await,
        Command::Job(job) => job.run(&desk.office().await?, &desk.clock).await,
        Command::Contracts(contracts) => contracts.run().await,
        Command::Call(_) | Command::Batch(_) => unreachable!("`run` has dealt with it"),
    }
}

/// What every command works with.
struct Desk {
    data: DataDir,
    clock: Clock,
    settings: Settings,
}

impl Desk {
    async fn office(&self) -> anyhow::Result<Office> {
        Ok(office(&self.data, &self.settings, &self.clock).await?)
    }

    /// Gives a running host the time to notice a change, so that it is in force when the command
    /// returns: a script that creates a key may use it at once.
    async fn settle(&self, changed: bool) -> anyhow::Result<()> {
        if changed && self.data.is_served()? {
            tokio::time::sleep(NOTICE).await;
        }
        Ok(())
    }
}

async fn init(desk: &Desk) -> anyhow::Result<()> {
    anyhow::ensure!(!desk.data.secret().exists(), "this data folder is initialised already");
    desk.data.create().context("the data folder cannot be made")?;
    crate::secret::ServerSecret::load_or_create(&desk.data.secret())?;
    let office = desk.office().await?;
    office.tenancy.seed().await?;
    let (_, text) = office.tenancy.create_admin_key("made by init".into()).await?;
    eprintln!("Data folder ready. The operator's key, shown only now:");
    println!("{}", text.reveal());
    Ok(())
}
