//! The `ffmpeg` programs: where they are, what they may open, how a child is watched.
//!
//! Owns the search and the arguments that shut the network and other files out. Always: a child is
//! killed when its run is cancelled, when its time is over, and when its [`Child`] is dropped.

use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::limits::{THREADS_MAX, limited};
use crate::clock;
use crate::pipeline::{Cancel, Cause, RunError};

/// What to do where it is missing.
pub const INSTALL_HINT: &str = "videos need ffmpeg: `apt install ffmpeg` (Debian, Ubuntu), \
     `dnf install ffmpeg` (Fedora), `apk add ffmpeg` (Alpine); no restart is needed";

/// How often a watcher looks at its run's flag.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// How often a child is asked whether it has ended, once its pipes have.
const WAIT_INTERVAL: Duration = Duration::from_millis(1);
/// The end of what a decoder says is kept; the beginning of a flood says nothing new.
const STDERR_BYTES_MAX: usize = 4 << 10;

/// Containers that hold their own bytes. Playlists and scripts (hls, dash, concat, sdp, image2,
/// lavfi …) are left out on purpose: they make ffmpeg open other files and addresses.
const FORMATS: &str = "3dostr,amv,apng,asf,asf_o,av1,avi,avs2,avs3,cavsvideo,dirac,dnxhd,dv,flv,\
     gif,gxf,h261,h263,h264,hevc,ivf,live_flv,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nsv,\
     nut,obu,ogg,rm,roq,swf,vc1,vvc,webm,wtv,yuv4mpegpipe";

/// The two programs.
#[derive(Debug, Clone)]
pub struct Ffmpeg {
    pub(super) ffmpeg: PathBuf,
    pub(super) ffprobe: PathBuf,
}

impl Ffmpeg {
    /// Looks through `PATH` anew, so that an installation is noticed without a restart.
    ///
    /// # Errors
    /// `Unavailable` with how to install it.
    #[expect(clippy::disallowed_methods, reason = "PATH is where programs are, not a setting")]
    pub fn find() -> Result<Self, RunError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let find = |name: &str| {
            let mut candidates = env::split_paths(&path).map(|folder| folder.join(name));
            candidates.find(|candidate| candidate.is_absolute() && candidate.is_file())
        };
        match (find("ffmpeg"), find("ffprobe")) {
            (Some(ffmpeg), Some(ffprobe)) => Ok(Self { ffmpeg, ffprobe }),
            _ => Err(RunError::unavailable("ffmpeg_missing", INSTALL_HINT)),
        }
    }
}

/// `program` on one input, allowed to open nothing but it: local files and pipes only, containers
/// of the list only. `input` is a path of ours; `file:` keeps it from being read as an option.
pub(super) fn on_input(program: &Path, input: &Path) -> Command {
    let mut url = std::ffi::OsString::from("file:");
    url.push(input);
    let mut command = limited(program);
    command.args(["-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,pipe"]);
    command.args(["-format_whitelist", FORMATS, "-threads", &threads(), "-i"]).arg(url);
    command
}

/// As many as help, not more than the machine has.
fn threads() -> String {
    thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).to_string()
}

/// A child under watch.
pub(super) struct Child {
    process: Arc<Mutex<process::Child>>,
    /// Dropping it ends the watcher.
    watching: Option<mpsc::SyncSender<()>>,
    watcher: Option<JoinHandle<Option<Cause>>>,
    complaints: Option<JoinHandle<Vec<u8>>>,
}

/// How a child ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Set when the watcher killed it.
    pub(super) cause: Option<Cause>,
    /// The last 4 KiB of what it complained of.
    pub(super) complaint: String,
}

impl Child {
    /// Starts it and watches it. `line` gets each line of its standard error and says whether it
    /// was one of ours; others are complaints.
    pub(super) fn start(
        mut command: Command,
        cancel: &Arc<Cancel>,
        wall_max: Duration,
        line: impl FnMut(&str) -> bool + Send + 'static,
    ) -> io::Result<(Self, ChildStdout)> {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().expect("standard output was piped");
        let stderr = process.stderr.take().expect("standard error was piped");
        let process = Arc::new(Mutex::new(process));
        let (watching, done) = mpsc::sync_channel(1);
        let watched = Arc::clone(&process);
        let cancel = Arc::clone(cancel);
        let watcher = thread::spawn(move || watch(&watched, &cancel, wall_max, &done));
        let complaints = thread::spawn(move || read_lines(stderr, line));
        let child = Self {
            process,
            watching: Some(watching),
            watcher: Some(watcher),
            complaints: Some(complaints),
        };
        Ok((child, stdout))
    }

    /// Its standard input, the first time it is asked for and if it was piped.
    pub(super) fn stdin(&self) -> Option<ChildStdin> {
        self.lock().stdin.take()
    }

    /// Waits for its end. Its standard output must have been read to the end or closed.
    pub(super) fn wait(mut self) -> io::Result<Ended> {
        let said = self.complaints.take().map(JoinHandle::join);
        // A broken decoder may close its pipes and go on: the watcher needs the lock to kill it.
        let status = loop {
            let ended = self.lock().try_wait()?;
            match ended {
                Some(status) => break status,
                None => thread::sleep(WAIT_INTERVAL),
            }
        };
        drop(self.watching.take());
        let cause = self.watcher.take().and_then(|watcher| watcher.join().ok().flatten());
        let said = said.and_then(Result::ok).unwrap_or_default();
        Ok(Ended { status, cause, complaint: String::from_utf8_lossy(&said).trim().to_owned() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, process::Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut process = self.lock();
        // After `wait` both do nothing; an error means that it has ended already.
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Kills the child when its run has to stop or its time is over; ends when `done` is dropped.
fn watch(
    process: &Mutex<process::Child>,
    cancel: &Cancel,
    wall_max: Duration,
    done: &mpsc::Receiver<()>,
) -> Option<Cause> {
    let begin = clock::now();
    while done.recv_timeout(WATCH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let over = (begin.elapsed() >= wall_max).then_some(Cause::TimedOut);
        if let Some(cause) = cancel.cause().or(over) {
            // It may have ended by itself in this moment; then there is nothing to kill.
            let _ = process.lock().unwrap_or_else(PoisonError::into_inner).kill();
            return Some(cause);
        }
    }
    None
}

/// Reads to the end, never blocking the child, and keeps the end of what `line` does not want.
fn read_lines(mut stderr: ChildStderr, mut line: impl FnMut(&str) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut partial = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        for &byte in &buffer[..count] {
            // A line without an end must not grow without one.
            if byte != b'\n' && partial.len() < STDERR_BYTES_MAX {
                partial.push(byte);
                continue;
            }
            if !line(&String::from_utf8_lossy(&partial)) {
                keep_end(&mut kept, &partial);
            }
            partial.clear();
        }
    }
    keep_end(&mut kept, &partial);
    kept
}

fn keep_end(kept: &mut Vec<u8>, line: &[u8]) {
    kept.extend_from_slice(line);
    kept.push(b'\n');
    kept.drain(..kept.len().saturating_sub(STDERR_BYTES_MAX));
}
