//! What the sidecar's tests share: a served socket, a client, clips made by ffmpeg's test sources.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]

pub mod bench;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use postern_sidecar::device::Device;
use postern_sidecar::registry::Registry;
use postern_sidecar::server::{Server, Settings};
use postern_wire::v1 as wire;
use postern_wire::v1::run_event::Event;
use postern_wire::v1::sidecar_client::SidecarClient;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

pub type Client = SidecarClient<Channel>;

/// A sidecar on a thread of its own; stops when it is dropped.
pub struct Served {
    pub folder: tempfile::TempDir,
    pub stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub fn start(runs_max: usize, registry: Registry) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let settings = Settings {
            socket: folder.path().join("s"),
            runs_dir: folder.path().to_owned(),
            runs_max,
        };
        let entered = runtime.enter();
        let server = Server::bind(settings, registry, Device::cpu()).expect("a free socket");
        drop(entered);
        let stopping = stop.clone();
        let thread = std::thread::spawn(move || runtime.block_on(server.serve(stopping)));
        Self { folder, stop, thread: Some(thread) }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub async fn client(&self) -> Client {
        connect(&self.socket()).await
    }

    /// Makes the run's folder with one input file for each content.
    pub fn request(&self, run_id: &str, params: &str, inputs: &[&[u8]]) -> wire::RunRequest {
        let folder = self.folder.path().join(run_id).join("in");
        fs::create_dir_all(&folder).expect("a run's folder");
        let input = |(index, bytes): (usize, &&[u8])| {
            let file = index.to_string();
            fs::write(folder.join(&file), bytes).expect("an input file");
            let slot = "data".to_owned();
            wire::InputBlob { slot, file, bytes: bytes.len() as u64, ..Default::default() }
        };
        wire::RunRequest {
            run_id: run_id.to_owned(),
            pipeline: "echo@1".to_owned(),
            params: params.to_owned(),
            inputs: inputs.iter().enumerate().map(input).collect(),
            ..Default::default()
        }
    }

    /// Waits for the server's end.
    pub fn join(&mut self) {
        self.thread.take().expect("joined once").join().expect("the server does not panic");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Connects as soon as something answers on `socket`.
pub async fn connect(socket: &Path) -> Client {
    let url = format!("unix:{}", socket.display());
    let endpoint = Endpoint::from_shared(url).expect("a path is an address");
    loop {
        match endpoint.connect().await {
            Ok(channel) => return SidecarClient::new(channel),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// All events of a run, to its end.
pub async fn events(client: &mut Client, request: wire::RunRequest) -> Vec<Event> {
    let stream = client.run(request).await.expect("the run is taken on").into_inner();
    rest(stream).await
}

/// What is left of a run's events.
pub async fn rest(mut stream: tonic::Streaming<wire::RunEvent>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.expect("the stream ends in order") {
        events.push(event.event.expect("every event says what it is"));
    }
    events
}

/// The end of a run that failed: kind, code, field.
#[track_caller]
pub fn failure(events: &[Event]) -> (wire::failed::Kind, &str, &str) {
    match events.last() {
        Some(Event::Failed(failed)) => (failed.kind(), &failed.code, &failed.field),
        other => panic!("the run should have failed: {other:?}"),
    }
}

/// Runs ffmpeg to make a test file and gives its path.
pub fn ffmpeg(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
    command.args(arguments.split_whitespace()).arg(&path).current_dir(folder);
    let status = command.status().expect("the tests need ffmpeg: apt install ffmpeg");
    assert!(status.success(), "ffmpeg {arguments}");
    path
}
