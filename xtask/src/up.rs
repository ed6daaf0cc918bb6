//! `cargo xtask up` and `down`: the whole of Postern on this machine, with a demo tenant.
//!
//! In the foreground this process *becomes* the server (exec), so that Ctrl-C and signals reach the
//! server itself and its logs are the terminal's. What must happen once it answers (tenant, key,
//! examples) is done by a second process, `xtask introduce`, that ends by itself.
//! Knows the command line of `postern`, and nothing of what is behind it.

mod demo;

mod server;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use self::demo::Demo;
use self::server::Server;
use crate::workspace::Workspace;
use crate::{guests, process, setup};

/// Where `up` keeps its data unless told otherwise; git ignores it.
pub(crate) const DATA_DEFAULT: &str = "postern-data";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The port on 127.0.0.1.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The data directory; made when it is not there.
    #[arg(long, default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// Return once it answers; logs go to DATA/postern.log.
    #[arg(long)]
    detach: bool,
    /// Make another demo key, for when the first was lost.
    #[arg(long)]
    new_key: bool,
    /// Build with full optimisation: slower to build, faster to run.
    #[arg(long)]
    release: bool,
}

/// What the second process needs to know.
#[derive(Debug, Args)]
pub(crate) struct Introduction {
    #[arg(long)]
    postern: PathBuf,
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    listen: SocketAddr,
    /// The server's process id.
    #[arg(long)]
    pid: u32,
    #[arg(long)]
    new_key: bool,
}

/// Sets up, builds, starts; returns only when detached or when something failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let data = std::path::absolute(&options.data)?;
    if let Some(server) = Server::from_pid_file(&data) {
        let (pid, data) = (server.pid, data.display());
        bail!("already up (process {pid}); `cargo xtask down --data {data}` stops it");
    }
    check_port(listen)?;
    setup::run()?;
    guests::run(workspace, None)?;
    build(workspace, options.release)?;
    let postern = workspace.binary("postern", options.release);
    if !data.join("server.secret").is_file() {
        process::run(Command::new(&postern).arg("init").arg("--data").arg(&data))?;
    }
    // Again, because the build may have taken minutes.
    check_port(listen)?;
    let mut serve = serve(workspace, &data, listen, options.release);
    let new_key = options.new_key;
    if options.detach {
        let pid = detach(&mut serve, &data)?;
        return introduce(&Introduction { postern, data, listen, pid, new_key });
    }
    let pid = std::process::id();
    server::announce_foreground(pid, &data)?;
    spawn_introduction(&Introduction { postern, data, listen, pid, new_key })?;
    Err(serve.exec()).with_context(|| format!("cannot start `{}`", process::line(&serve)))
}

/// Waits until the server answers, then makes the demo tenant and prints how to use it.
pub(crate) fn introduce(introduction: &Introduction) -> Result<()> {
    let Introduction { postern, data, listen, pid, new_key } = introduction;
    Server { pid: *pid }.wait_until_ready(*listen, data)?;
    let demo = Demo { postern, data };
    let fresh = demo.ensure_tenant()?;
    let key = if fresh || *new_key { Some(demo.create_key()?) } else { None };
    let clip = demo.ensure_clip()?;
    let aligns = demo.ensure_encoder();
    println!("\n{}", demo::guide(*listen, key.as_deref(), &clip, aligns));
    Ok(())
}

/// Stops what `up` started, in the foreground or detached, and waits for its end.
pub(crate) fn down(data: &Path) -> Result<()> {
    let data = std::path::absolute(data)?;
    match Server::from_pid_file(&data) {
        Some(server) => server.stop(&data),
        None => {
            println!("down: nothing runs on {}", data.display());
            Ok(())
        }
    }
}

/// The same set of crates as `test` builds, so that neither builds anew what the other has built.
fn build(workspace: &Workspace, release: bool) -> Result<()> {
    let mut build = process::cargo();
    build.args(["build", "--workspace", "--exclude", "xtask", "--bins"]);
    if release {
        build.arg("--release");
    }
    process::run(build.current_dir(&workspace.root))
}

fn serve(workspace: &Workspace, data: &Path, listen: SocketAddr, release: bool) -> Command {
    let mut serve = Command::new(workspace.binary("postern", release));
    serve.arg("serve").arg("--data").arg(data);
    serve.arg("--listen").arg(listen.to_string());
    serve.arg("--components").arg(workspace.guests());
    serve.arg("--sidecar").arg(workspace.binary("postern-sidecar", release));
    serve
}

fn check_port(listen: SocketAddr) -> Result<()> {
    TcpListener::bind(listen)
        .map(drop)
        .with_context(|| format!("{listen} is not free; choose another with `--port`"))
}

/// Starts the server in a process group of its own, so that a Ctrl-C in this terminal misses it.
fn detach(serve: &mut Command, data: &Path) -> Result<u32> {
    let log = File::create(data.join(server::LOG))?;
    serve.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let child =
        serve.spawn().with_context(|| format!("cannot start `{}`", process::line(serve)))?;
    fs::write(data.join(server::PID), child.id().to_string())?;
    Ok(child.id())
}

/// Starts `xtask introduce` through a shell that ends at once: the server, which this process is
/// about to become, must not find a child that it never started.
fn spawn_introduction(introduction: &Introduction) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" \"$@\" &"]).arg(std::env::current_exe()?);
    shell.arg("introduce").arg("--postern").arg(&introduction.postern);
    shell.arg("--data").arg(&introduction.data);
    shell.arg("--listen").arg(introduction.listen.to_string());
    shell.arg("--pid").arg(introduction.pid.to_string());
    if introduction.new_key {
        shell.arg("--new-key");
    }
    process::run(&mut shell)
}
