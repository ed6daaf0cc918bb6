//! The same small gate on other hosts, without a sandbox between its steps: what people would use
//! otherwise. Their programs stand in `xtask/bench/`; their runtimes come from npm and PyPI.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::Gateway;
use super::wrk::Load;
use crate::process;
use crate::workspace::Workspace;

/// How long a peer may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

/// Runtimes that are installed under `target/bench/`.
#[derive(Debug)]
pub(super) struct Peers {
    programs: PathBuf,
    folder: PathBuf,
}

impl Peers {
    /// Installs what is missing.
    pub(super) fn prepare(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("bench/peers");
        std::fs::create_dir_all(&folder)?;
        if !folder.join("node_modules/.bin/workerd").exists() {
            let mut npm = Command::new("npm");
            npm.args(["install", "--silent", "--no-save", "--prefix"]).arg(&folder).arg("workerd");
            process::run(&mut npm)?;
        }
        if !folder.join("venv/bin/uvicorn").exists() {
            process::run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
            let mut pip = Command::new(folder.join("venv/bin/pip"));
            process::run(pip.args(["install", "--quiet", "fastapi", "uvicorn[standard]"]))?;
        }
        Ok(Self { programs: workspace.root.join("xtask/bench"), folder })
    }

    /// Both peers under the same load.
    pub(super) fn measure(&self, options: &Gateway) -> Result<Vec<(String, Value)>> {
        let mut workerd = Command::new(self.folder.join("node_modules/.bin/workerd"));
        workerd.args(["serve", "isolate.capnp"]);
        let mut uvicorn = Command::new(self.folder.join("venv/bin/uvicorn"));
        uvicorn.args(["asgi:app", "--port", "8902", "--log-level", "warning"]);
        Ok(vec![
            ("javascript_isolate".to_owned(), self.one(workerd, 8901, options)?),
            ("python_asgi".to_owned(), self.one(uvicorn, 8902, options)?),
        ])
    }

    fn one(&self, mut command: Command, port: u16, options: &Gateway) -> Result<Value> {
        command.current_dir(&self.programs).stdin(Stdio::null()).stdout(Stdio::null());
        let _peer = Running(command.env("PYTHONDONTWRITEBYTECODE", "1").spawn()?);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if start.elapsed() > START_MAX {
                bail!("the peer on port {port} does not listen");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let load = Load {
            url: format!("http://127.0.0.1:{port}/"),
            connections: 16,
            headers: Vec::new(),
            script: Some(self.programs.join("post.lua").display().to_string()),
        };
        load.measure(options.rounds, options.secs)
    }
}

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have died already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
