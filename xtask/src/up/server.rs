//! A running server as seen from outside: its process id, its `/readyz`, its log.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// Of a server, in its data directory.
pub(super) const PID: &str = "postern.pid";
/// Of a detached server, in its data directory.
pub(super) const LOG: &str = "postern.log";

/// The first start compiles the components; on two busy cores that takes a while.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Longer than the server's own limit for running requests at shutdown.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// How much of the log is shown when the server has died.
const LOG_LINES: usize = 20;

/// Leaves this process, which is about to become the server of `data`, for `down` to find. Its log
/// is the terminal: that of a detached one before it must not be taken for its own.
pub(super) fn announce_foreground(pid: u32, data: &Path) -> Result<()> {
    match fs::remove_file(data.join(LOG)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => fs::write(data.join(PID), pid.to_string()).context("the data directory is ours"),
    }
}

/// A server process; it may have ended since.
pub(super) struct Server {
    pub(super) pid: u32,
}

impl Server {
    /// The server of a data directory, if it runs.
    pub(super) fn from_pid_file(data: &Path) -> Option<Self> {
        let pid = fs::read_to_string(data.join(PID)).ok()?.trim().parse().ok()?;
        let server = Self { pid };
        server.is_postern().then_some(server)
    }

    /// Waits for the first 200 of `/readyz`.
    pub(super) fn wait_until_ready(&self, listen: SocketAddr, data: &Path) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < READY_LIMIT {
            if status(listen, "/readyz") == Some(200) {
                return Ok(());
            }
            if !self.is_alive() {
                bail!("the server ended before it was ready; {}", Self::last_words(data));
            }
            std::thread::sleep(POLL);
        }
        let limit = process::seconds(READY_LIMIT);
        bail!("the server runs, but http://{listen}/readyz is not 200 after {limit}")
    }

    /// Why it ended: in the terminal above, or the end of a detached server's log.
    fn last_words(data: &Path) -> String {
        let Ok(log) = fs::read_to_string(data.join(LOG)) else {
            return "its log above says why".to_owned();
        };
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        format!("the end of {}:\n{}", data.join(LOG).display(), last.join("\n"))
    }

    /// Asks the server to end and waits until it has.
    pub(super) fn stop(&self, data: &Path) -> Result<()> {
        process::run(Command::new("kill").args(["-TERM", &self.pid.to_string()]))?;
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > STOP_LIMIT {
                bail!("process {} has not ended; see {}", self.pid, data.join(LOG).display());
            }
            std::thread::sleep(POLL);
        }
        fs::remove_file(data.join(PID)).context("the pid file is ours")?;
        println!("down: stopped (process {}, {})", self.pid, process::seconds(start.elapsed()));
        Ok(())
    }

    /// A zombie has ended, though nobody has asked for its exit status.
    fn is_alive(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    /// Process ids are used again: the program's name must be ours.
    fn is_postern(&self) -> bool {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        name.trim() == "postern" && self.is_alive()
    }
}

/// One request by hand; an HTTP client would be our largest dependency.
fn status(listen: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&listen, POLL).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {listen}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = String::new();
    stream.take(64).read_to_string(&mut head).ok()?;
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::workspace::TestFolder;

    #[test]
    fn readiness_is_a_status_of_200_and_nothing_else() {
        for (answer, want) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(503)),
            ("SSH-2.0\r\n", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let listen = listener.local_addr().expect("bound");
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = [0; 256];
                let count = stream.read(&mut request).expect("a request");
                assert!(request[..count].starts_with(b"GET /readyz HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).expect("a client that reads");
            });
            assert_eq!(status(listen, "/readyz"), want, "{answer}");
            server.join().expect("the server's assertions hold");
        }
    }

    #[test]
    fn a_pid_file_of_another_program_is_not_a_server() {
        let data = TestFolder::new();
        fs::write(data.path().join(PID), std::process::id().to_string()).expect("a file");
        assert!(Server::from_pid_file(data.path()).is_none());
        assert!(Server { pid: std::process::id() }.is_alive());
        assert!(!Server { pid: u32::MAX }.is_alive());
    }
}
