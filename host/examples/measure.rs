//! Measures what cannot be seen from outside: a fresh instance per call, the sidecar without the
//! gate, and the gate at a fixed rate. `cargo xtask bench gateway` runs it and reads its JSON.
//!
//! Owns the clocks of the benchmark. An open loop: a request is sent when it is due, whether or not
//! the one before was answered, and its latency counts from when it was due.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads clocks, starts tasks and prints"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use postern::app::{DataDir, Host};
use postern::clock::Clock;
use postern::engine::Limits;
use postern::engine::fresh::Fresh;
use postern::settings::Settings;
use postern::sidecar::{Client, wire};
use postern::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How late tokio's timer may wake a task.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A pre-hook with 4 KiB of JSON, fresh for every call; and the sidecar's echo without the
    /// gate.
    Inside {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        components: PathBuf,
        #[arg(long)]
        sidecar: PathBuf,
        #[arg(long, default_value_t = 20_000)]
        calls: usize,
        /// Also the sidecar's echo at this rate, as `rate` asks the gate.
        #[arg(long)]
        rate: Option<f64>,
        #[arg(long, default_value_t = 5)]
        secs: u64,
    },
    /// `POST /v1/echo` at a fixed rate.
    Rate {
        #[arg(long)]
        address: String,
        #[arg(long)]
        key: String,
        /// Requests a second.
        #[arg(long)]
        rate: f64,
        #[arg(long, default_value_t = 5)]
        secs: u64,
        #[arg(long, default_value_t = 16)]
        connections: usize,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Inside { data, components, sidecar, calls, rate, secs } => {
            let mut settings = Settings::default();
            settings.sandbox.components.clone_from(&components);
            settings.sidecar.program = sidecar;
            let tasks = Tasks::default();
            let host = Host::start(&DataDir::new(&data), settings, &tasks, Clock::system()).await?;
            let hook = fresh(&host, &components.join("examples/pre-hook.wasm"), calls).await?;
            let client = client(&host).await?;
            let one_by_one = direct(&client, calls).await?;
            let at_rate = match rate {
                Some(rate) => direct_at_rate(&client, rate, secs).await?,
                None => "null".into(),
            };
            tasks.stop(Duration::from_secs(10)).await;
            println!(
                "{{\"fresh_instance\":{hook},\"sidecar_direct\":{one_by_one},\
                 \"sidecar_direct_at_rate\":{at_rate}}}"
            );
        }
        Command::Rate { address, key, rate, secs, connections } => {
            println!("{}", at_rate(&address, &key, rate, secs, connections).await?);
        }
    }
    Ok(())
}

async fn fresh(host: &Host, component: &std::path::Path, calls: usize) -> anyhow::Result<String> {
    let (pre, _) = host.sandbox.load(component)?;
    let limits = Limits { memory_bytes_max: 64 << 20, cpu_epochs_max: 20 };
    let hook = Fresh::new(host.sandbox.clone(), "pre-hook".into(), pre, limits)?;
    let params = format!("{{\"quality\":7,\"text\":\"{}\"}}", "x".repeat(4096 - 23));
    ensure!(params.len() == 4096, "4 KiB, not {}", params.len());
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        let input = params.clone();
        let start = Instant::now();
        let answer = hook.pre_hook(None, "echo@1", input).await?;
        took.push(start.elapsed());
        ensure!(answer.is_ok(), "the hook refused: {answer:?}");
    }
    Ok(quantiles(took))
}

async fn client(host: &Host) -> anyhow::Result<Client> {
    let mut sidecar = host.app.jobs.sidecar().clone();
    while sidecar.up().is_none() {
        sidecar.changed().await;
    }
    Ok(sidecar.up().context("the sidecar went away")?.client.clone())
}

async fn direct(client: &Client, calls: usize) -> anyhow::Result<String> {
    let mut took = Vec::with_capacity(calls);
    for number in 0..calls {
        let start = Instant::now();
        echo(client, format!("measure.{number}")).await?;
        took.push(start.elapsed());
    }
    Ok(quantiles(took))
}

/// The same open loop as [`at_rate`], past the gate. A sidecar runs a bounded number at once, so
/// there are only as many senders.
async fn direct_at_rate(client: &Client, rate: f64, secs: u64) -> anyhow::Result<String> {
    let senders = 2;
    let gap = Duration::from_secs_f64(f64::from(senders) / rate);
    let start = Instant::now() + Duration::from_millis(100);
    let mut tasks = Vec::new();
    for index in 0..senders {
        let client = client.clone();
        let mut pace = Pace::new(start, gap.mul_f64(f64::from(index) / f64::from(senders)), gap);
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while let Some(from) = pace.next(Duration::from_secs(secs)).await {
                echo(&client, format!("measure.{index}.{}", took.len())).await?;
                took.push(from.elapsed());
            }
            anyhow::Ok(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    Ok(quantiles(took))
}

async fn echo(client: &Client, run_id: String) -> anyhow::Result<()> {
    let request = wire::RunRequest {
        run_id,
        pipeline: "echo@1".into(),
        params: "{\"message\":\"hello\"}".into(),
        ..wire::RunRequest::default()
    };
    let mut events = client.run(request).await?;
    while !matches!(events.next().await?, wire::run_event::Event::Finished(_)) {}
    Ok(())
}

/// When a sender's requests are due.
struct Pace {
    start: Instant,
    due: Instant,
    gap: Duration,
}

impl Pace {
    fn new(start: Instant, offset: Duration, gap: Duration) -> Self {
        Self { start, due: start + offset, gap }
    }

    /// Waits until the next request is due; the moment that its latency counts from.
    async fn next(&mut self, span: Duration) -> Option<Instant> {
        if self.due >= self.start + span {
            return None;
        }
        tokio::time::sleep_until(self.due.into()).await;
        // The timer wakes up to two milliseconds late, which is nobody's doing; what a late answer
        // to the request before costs is, and shows as a later start than that.
        let now = Instant::now();
        let from = if now > self.due + TIMER_GRAIN { self.due } else { now };
        self.due += self.gap;
        Some(from)
    }
}

/// Spreads the rate over the connections; each sends its own requests when they are due.
async fn at_rate(
    address: &str,
    key: &str,
    rate: f64,
    secs: u64,
    connections: usize,
) -> anyhow::Result<String> {
    let body = "{\"message\":\"hello\"}";
    let request = format!(
        "POST /v1/echo HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let request: Arc<[u8]> = request.into_bytes().into();
    let gap = Duration::from_secs_f64(connections as f64 / rate);
    let start = Instant::now() + Duration::from_millis(100);
    let mut tasks = Vec::new();
    for index in 0..connections {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = request.clone();
        let mut pace = Pace::new(start, gap.mul_f64(index as f64 / connections as f64), gap);
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while let Some(from) = pace.next(Duration::from_secs(secs)).await {
                stream.write_all(&request).await?;
                answer(&mut stream).await?;
                took.push(from.elapsed());
            }
            anyhow::Ok(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    Ok(quantiles(took))
}

/// Reads one answer; anything but 200 is an error.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        ensure!(stream.read_buf(&mut bytes).await? > 0, "the gate hung up");
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&bytes[..end])?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("an answer has a length")?;
        if bytes.len() >= end + 4 + length.parse::<usize>()? {
            return Ok(());
        }
    }
}

fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: f64| {
        let index = ((took.len() - 1) as f64 * share).round() as usize;
        took.get(index).map_or(0.0, |span| span.as_secs_f64() * 1e6)
    };
    let (p50, p90, p99) = (at(0.5), at(0.9), at(0.99));
    let count = took.len();
    format!("{{\"count\":{count},\"p50_us\":{p50:.1},\"p90_us\":{p90:.1},\"p99_us\":{p99:.1}}}")
}
