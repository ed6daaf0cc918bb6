//! Postern itself: the real binaries on a throw-away data folder, under load from outside.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::wrk::Load;
use super::{Gateway, median};
use crate::process;
use crate::workspace::Workspace;

/// How long the gate may take to answer that it is ready.
const START_MAX: Duration = Duration::from_secs(60);

/// Every figure of the gate.
pub(super) fn measure(workspace: &Workspace, options: &Gateway) -> Result<Value> {
    let gate = Gate::start(workspace, options)?;
    let rest = gate.status_kib("VmRSS")?;
    let chain = |headers: Vec<String>| Load {
        url: format!("http://{}/v1/models", gate.address),
        connections: 16,
        headers,
        script: None,
    };
    let key = format!("X-API-Key: {}", gate.key);
    let denied = chain(vec!["X-API-Key: sk_0000000000000000_00".into()]);
    let echo = Load {
        url: format!("http://{}/v1/echo", gate.address),
        connections: 16,
        headers: Vec::new(),
        script: Some(gate.script()?),
    };
    let mut report = json!({
        "chain_denied": denied.measure(options.rounds, options.secs)?,
        "chain_models": chain(vec![key]).measure(options.rounds, options.secs)?,
        "echo": echo.measure(options.rounds, options.secs)?,
        "memory": { "rest_kib": rest },
    });
    let full = report["echo"]["requests_per_sec"].as_f64().context("no rate")?;
    report["echo_at_half_load"] = gate.at_rate(full / 2.0, options)?;
    report["memory"]["upload"] = gate.upload(options)?;
    drop(gate);
    let inside = inside(workspace, options, full / 2.0)?;
    for (name, value) in inside.as_object().context("measure prints an object")? {
        report[name] = value.clone();
    }
    let p = |report: &Value, of: &str, which: &str| report[of][which].as_f64().unwrap_or(f64::NAN);
    let added = |which: &str| {
        let gate = p(&report, "echo_at_half_load", which);
        (gate - p(&report, "sidecar_direct_at_rate", which)).round()
    };
    let added = json!({ "p50_us": added("p50_us"), "p99_us": added("p99_us") });
    report["echo_added_by_the_gate"] = added;
    report["targets"] = json!({
        "chain requests_per_sec": 20_000,
        "echo_added_by_the_gate p50_us": 150,
        "echo_added_by_the_gate p99_us": 1000,
        "fresh_instance p50_us": 40,
        "memory rest_kib": 80 * 1024,
        "memory upload peak_grew_kib": 32 * 1024,
    });
    Ok(report)
}

/// A running gate; killed when it is dropped.
struct Gate {
    child: Child,
    data: PathBuf,
    measure: PathBuf,
    address: String,
    key: String,
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have died already; what is left is a folder under target/.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gate {
    fn start(workspace: &Workspace, options: &Gateway) -> Result<Self> {
        let data = fresh_folder(workspace, "gate")?;
        let postern = workspace.binary("postern", !options.dev);
        let command = |words: &[&str]| {
            let mut command = Command::new(&postern);
            command.arg("--data").arg(&data).args(words);
            command
        };
        process::stdout(&mut command(&["init"]))?;
        let plan = ["--requests", "0", "--in-flight", "0", "--jobs-active-max", "1000"];
        let plan = ["plan", "set", "default", "--jobs-running-max", "1000"].iter().chain(&plan);
        process::stdout(&mut command(&plan.copied().collect::<Vec<_>>()))?;
        process::stdout(&mut command(&["tenant", "create", "bench"]))?;
        let key = process::stdout(&mut command(&["key", "create", "--tenant", "bench"]))?;
        let address_file = data.join("address");
        let child = command(&["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .arg("--address-file")
            .arg(&address_file)
            .arg("--components")
            .arg(workspace.guests())
            .arg("--sidecar")
            .arg(workspace.binary("postern-sidecar", !options.dev))
            .stdin(Stdio::null())
            .spawn()?;
        let measure = workspace.binary("examples/measure", !options.dev);
        let mut gate =
            Self { child, data, measure, address: String::new(), key: key.trim().to_owned() };
        gate.address = gate.wait(&address_file)?;
        Ok(gate)
    }

    fn wait(&self, file: &Path) -> Result<String> {
        let start = Instant::now();
        while start.elapsed() < START_MAX {
            if let Ok(address) = std::fs::read_to_string(file) {
                let ready = format!("http://{address}/readyz");
                let mut curl = Command::new("curl");
                curl.args(["-sf", &ready]);
                if process::succeeds_within(&mut curl, Duration::from_secs(2)) {
                    return Ok(address);
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the gate did not get ready")
    }

    /// A wrk script that posts to the echo service.
    fn script(&self) -> Result<String> {
        let file = self.data.join("echo.lua");
        let text = format!(
            "wrk.method=\"POST\"; wrk.body='{{\"message\":\"hello\"}}'\n\
             wrk.headers[\"Content-Type\"]=\"application/json\"\n\
             wrk.headers[\"X-API-Key\"]=\"{}\"\n",
            self.key
        );
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    }

    fn at_rate(&self, rate: f64, options: &Gateway) -> Result<Value> {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let mut measure = Command::new(&self.measure);
            measure.args(["rate", "--address", &self.address, "--key", &self.key]);
            measure.args(["--rate", &rate.to_string(), "--secs", &options.secs.to_string()]);
            rounds.push(serde_json::from_str::<Value>(&process::stdout(&mut measure)?)?);
        }
        let of =
            |name: &str| median(rounds.iter().filter_map(|round| round[name].as_f64()).collect());
        let (p50, p90, p99) = (of("p50_us"), of("p90_us"), of("p99_us"));
        Ok(json!({
            "requests_per_sec": rate.round(),
            "p50_us": p50,
            "p90_us": p90,
            "p99_us": p99,
        }))
    }

    /// One long body: what it does to the peak of the host's memory.
    fn upload(&self, options: &Gateway) -> Result<Value> {
        let file = self.data.join("upload.mp4");
        let mut bytes = b"\0\0\0\x18ftypisom".to_vec();
        bytes.resize(4096, 0);
        std::fs::write(&file, bytes)?;
        let room = 4096; // The multipart frame has to fit into the gate's limit, too.
        let length = options.upload_bytes.saturating_sub(room);
        std::fs::File::options().write(true).open(&file)?.set_len(length)?;
        let before = self.status_kib("VmHWM")?;
        let start = Instant::now();
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H"]);
        curl.arg(format!("X-API-Key: {}", self.key)).arg("-F");
        curl.arg(format!("video=@{}", file.display()));
        let status =
            process::stdout(curl.arg(format!("http://{}/v1/vision/analyze", self.address)))?;
        let secs = start.elapsed().as_secs_f64();
        let after = self.status_kib("VmHWM")?;
        std::fs::remove_file(&file)?;
        Ok(json!({
            "bytes": length,
            "status": status.trim(),
            "secs": (secs * 100.0).round() / 100.0,
            "peak_before_kib": before,
            "peak_grew_kib": after - before,
        }))
    }

    /// A figure of /proc/<pid>/status.
    fn status_kib(&self, name: &str) -> Result<i64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.and_then(|line| line.split_whitespace().nth(1));
        figure.context("no such figure")?.parse().context("a figure is a number")
    }
}

/// What the program `measure` sees from inside.
fn inside(workspace: &Workspace, options: &Gateway, rate: f64) -> Result<Value> {
    let data = fresh_folder(workspace, "inside")?;
    let postern = workspace.binary("postern", !options.dev);
    process::stdout(Command::new(postern).arg("--data").arg(&data).arg("init"))?;
    let mut measure = Command::new(workspace.binary("examples/measure", !options.dev));
    measure.arg("inside").arg("--data").arg(&data).arg("--components").arg(workspace.guests());
    measure.arg("--sidecar").arg(workspace.binary("postern-sidecar", !options.dev));
    measure.args(["--rate", &rate.to_string(), "--secs", &options.secs.to_string()]);
    Ok(serde_json::from_str(&process::stdout(&mut measure)?)?)
}

fn fresh_folder(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.target.join("bench").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(workspace.target.join("bench"))?;
    Ok(folder)
}
