//! The server over a real socket, as the host uses it.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use postern_sidecar::device::{Device, DeviceKind};
use postern_sidecar::pipeline::{
    Call, Manifest, Need, Outcome, Pipeline, RunContext, RunError, Slot,
};
use postern_sidecar::pipelines::echo::Echo;
use postern_sidecar::registry::Registry;
use postern_sidecar::server::{BindError, Server, Settings};
use postern_sidecar::weights::Models;
use postern_wire::v1 as wire;
use postern_wire::v1::failed::Kind;
use postern_wire::v1::run_event::Event;
use support::{Client, Served, events, failure, rest};
use tonic::Code;

/// Panics, inline or on a thread.
struct Panics;

impl Pipeline for Panics {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "panics",
            version: 1,
            title: "",
            params_schema: serde_json::json!({}),
            inputs: Vec::<Slot>::new(),
            outputs: Vec::new(),
            memory: Need::default(),
            ready: true,
            missing: String::new(),
            license: "",
            devices: vec![DeviceKind::Cpu],
            agreement: "",
        }
    }

    fn need(&self, _call: &Call) -> Need {
        Need::default()
    }

    fn inline(&self, call: &Call) -> bool {
        call.params.contains("inline")
    }

    fn run(&self, _call: &Call, _context: &mut RunContext) -> Result<Outcome, RunError> {
        panic!("on purpose");
    }
}

fn served(runs_max: usize) -> Served {
    let pipelines: [Arc<dyn Pipeline>; 2] = [Arc::new(Echo), Arc::new(Panics)];
    Served::start(runs_max, Registry::new(pipelines))
}

fn hello(protocol_min: u32, protocol_max: u32) -> wire::HelloRequest {
    wire::HelloRequest { protocol_min, protocol_max, host_version: "test".to_owned() }
}

/// Ends when no run is left.
async fn idle(client: &mut Client) {
    while client.health(wire::HealthRequest {}).await.expect("health").get_ref().running > 0 {
        tokio::task::yield_now().await;
    }
}

const LONG: &str = r#"{"delay_ms":60000}"#;

#[tokio::test]
async fn hello_agrees_on_a_protocol_and_lists_pipelines() {
    let served = served(3);
    let mut client = served.client().await;
    let reply = client.hello(hello(1, 9)).await.expect("1 is spoken").into_inner();
    assert_eq!((reply.protocol, reply.runs_max), (1, 3));
    assert_eq!(reply.device.expect("a device").kind, "cpu");
    assert_eq!(reply.instance_id.len(), 16);
    let echo = reply.pipelines.iter().find(|known| known.name == "echo").expect("echo");
    let schema: serde_json::Value = serde_json::from_str(&echo.params_schema).expect("JSON");
    assert_eq!(schema["properties"]["delay_ms"]["maximum"], 60_000);
    assert!(echo.ready && echo.missing.is_empty());
}

#[tokio::test]
async fn a_host_without_a_protocol_in_common_is_told_so() {
    let served = served(2);
    let mut client = served.client().await;
    for request in [hello(2, 9), hello(0, 0), hello(2, 1)] {
        let status = client.hello(request).await.expect_err("nothing in common");
        assert_eq!(status.code(), Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn an_echo_gives_back_message_and_blobs() {
    let served = served(2);
    let mut client = served.client().await;
    let big = vec![7; 200_000];
    for (run_id, inputs) in [("small", [&b"one"[..], b""]), ("big", [&big[..], b"two"])] {
        let request = served.request(run_id, r#"{"message":{"a":[1,null]}}"#, &inputs);
        let events = events(&mut client, request).await;
        assert!(matches!(events.first(), Some(Event::Started(_))), "{events:?}");
        let Some(Event::Finished(finished)) = events.last() else { panic!("{events:?}") };
        assert_eq!(finished.metadata, r#"{"message":{"a":[1,null]}}"#);
        let out = served.folder.path().join(run_id).join("out");
        for (output, want) in finished.outputs.iter().zip(inputs) {
            assert_eq!(std::fs::read(out.join(&output.file)).expect("an output"), want);
            assert_eq!(output.bytes, want.len() as u64);
        }
        assert_eq!(finished.outputs.len(), inputs.len());
    }
}

#[tokio::test]
async fn progress_rises_until_the_end() {
    let served = served(2);
    let mut client = served.client().await;
    let request = served.request("r", r#"{"delay_ms":400}"#, &[]);
    let events = events(&mut client, request).await;
    let fractions: Vec<f64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Progress(progress) => Some(progress.fraction),
            _ => None,
        })
        .collect();
    assert!(!fractions.is_empty() && fractions.is_sorted(), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Finished(_))), "{events:?}");
}

#[tokio::test]
async fn a_cancelled_run_says_so_and_frees_its_slot() {
    let served = served(1);
    let mut client = served.client().await;
    let stream = client.run(served.request("r", LONG, &[])).await.expect("taken").into_inner();
    let reply = client.cancel(wire::CancelRequest { run_id: "r".to_owned() }).await;
    assert!(reply.expect("an answer").get_ref().found);
    assert_eq!(failure(&rest(stream).await), (Kind::Canceled, "canceled", ""));
    idle(&mut client).await;
    let reply = client.cancel(wire::CancelRequest { run_id: "r".to_owned() }).await;
    assert!(!reply.expect("no error").get_ref().found);
}

#[tokio::test]
async fn a_run_that_nobody_listens_to_ends() {
    let served = served(1);
    let mut client = served.client().await;
    let stream = client.run(served.request("r", LONG, &[])).await.expect("taken");
    drop(stream);
    idle(&mut client).await;
}

#[tokio::test]
async fn a_full_sidecar_refuses_runs_and_still_answers_health() {
    let served = served(1);
    let mut client = served.client().await;
    let stream = client.run(served.request("a", LONG, &[])).await.expect("taken").into_inner();
    let full = client.run(served.request("b", "", &[])).await.expect_err("full");
    assert_eq!(full.code(), Code::ResourceExhausted);
    let twice = client.run(served.request("a", "", &[])).await.expect_err("running");
    assert_eq!(twice.code(), Code::AlreadyExists);
    let health = client.health(wire::HealthRequest {}).await.expect("an answer").into_inner();
    assert_eq!((health.running, health.runs_max), (1, 1));
    assert!(health.memory_resident_bytes > 1 << 20);
    client.cancel(wire::CancelRequest { run_id: "a".to_owned() }).await.expect("an answer");
    rest(stream).await;
    // The slot is free as soon as the end is known, without waiting.
    let after = events(&mut client, served.request("b", "", &[])).await;
    assert!(matches!(after.last(), Some(Event::Finished(_))), "{after:?}");
}

#[tokio::test]
async fn names_that_could_leave_the_runs_folder_are_refused() {
    let served = served(2);
    let mut client = served.client().await;
    for bad in ["", ".", "..", "../x", "a/b", "a b", &"x".repeat(81)] {
        let request =
            wire::RunRequest { run_id: bad.to_owned(), ..served.request("good", "", &[]) };
        let status = client.run(request).await.expect_err("a bad id");
        assert_eq!(status.code(), Code::InvalidArgument, "{bad}");
        let mut request = served.request("good", "", &[b"x"]);
        request.inputs[0].file = bad.to_owned();
        let status = client.run(request).await.expect_err("a bad file");
        assert_eq!(status.code(), Code::InvalidArgument, "{bad}");
    }
}

#[tokio::test]
async fn a_run_past_its_time_limit_is_stopped() {
    let served = served(2);
    let mut client = served.client().await;
    let request = wire::RunRequest { timeout_ms: 20, ..served.request("r", LONG, &[]) };
    let events = events(&mut client, request).await;
    assert_eq!(failure(&events), (Kind::Resource, "timed_out", ""));
}

#[tokio::test]
async fn a_panic_ends_its_run_and_nothing_else() {
    let served = served(1);
    let mut client = served.client().await;
    for (run_id, params) in [("thread", "{}"), ("inline", r#"{"inline":1}"#)] {
        let request = wire::RunRequest {
            pipeline: "panics@1".to_owned(),
            ..served.request(run_id, params, &[])
        };
        let events = events(&mut client, request).await;
        assert_eq!(failure(&events), (Kind::Internal, "pipeline_panicked", ""));
    }
    let after = events(&mut client, served.request("after", "", &[])).await;
    assert!(matches!(after.last(), Some(Event::Finished(_))), "{after:?}");
}

#[tokio::test]
async fn what_the_caller_got_wrong_is_named() {
    let served = served(2);
    let mut client = served.client().await;
    let good = || served.request("r", "", &[b"x"]);
    let pipeline = wire::RunRequest { pipeline: "echo@2".to_owned(), ..good() };
    let params = wire::RunRequest { params: r#"{"delay_ms":"x"}"#.to_owned(), ..good() };
    let range = wire::RunRequest { params: r#"{"delay_ms":60001}"#.to_owned(), ..good() };
    let unknown = wire::RunRequest { params: r#"{"massage":1}"#.to_owned(), ..good() };
    let slot = {
        let mut request = good();
        request.inputs[0].slot = "date".to_owned();
        request
    };
    let many = served.request("r", "", &[&b"x"[..]; 9]);
    let cases = [
        (pipeline, (Kind::Unavailable, "pipeline_unknown", "")),
        (params, (Kind::Input, "params_invalid", "delay_ms")),
        (range, (Kind::Input, "params_out_of_range", "delay_ms")),
        (unknown, (Kind::Input, "params_invalid", "massage")),
        (slot, (Kind::Input, "input_unknown", "date")),
        (many, (Kind::Input, "input_count", "data")),
    ];
    for (request, want) in cases {
        assert_eq!(failure(&events(&mut client, request).await), want);
    }
}

#[tokio::test]
async fn a_polite_stop_lets_runs_end() {
    let mut served = served(2);
    let mut client = served.client().await;
    let request = served.request("r", r#"{"delay_ms":300,"message":"end"}"#, &[]);
    let stream = client.run(request).await.expect("taken").into_inner();
    served.stop.cancel();
    let events = rest(stream).await;
    assert!(matches!(events.last(), Some(Event::Finished(_))), "{events:?}");
    served.join();
    assert!(!served.socket().exists());
}

#[tokio::test]
async fn the_socket_is_private_and_only_a_dead_one_is_replaced() {
    let served = served(2);
    let mode = std::fs::metadata(served.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let stale = folder.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
    let bind = |socket: &std::path::Path| {
        let (socket, runs_dir) = (socket.to_owned(), folder.path().to_owned());
        let settings = Settings { socket, runs_dir, runs_max: 1 };
        Server::bind(settings, Registry::standard(Models::default()), Device::cpu()).map(drop)
    };
    assert!(matches!(bind(&served.socket()), Err(BindError::InUse(_))));
    assert!(matches!(bind(&file), Err(BindError::NotASocket(_))));
    assert!(matches!(bind(&folder.path().join("no/s")), Err(BindError::NoFolder(_))));
    assert!(bind(&stale).is_ok());
}

/// The real binary, ended in the two ways in which a host ends it.
#[tokio::test]
async fn the_process_ends_with_its_parent_or_when_asked() {
    for politely in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s");
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_postern-sidecar"))
            .args(["serve", "--exit-with-stdin", "--runs-max", "1", "--socket"])
            .arg(&socket)
            .arg("--runs")
            .arg(folder.path())
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut client = support::connect(&socket).await;
        client.hello(hello(1, 1)).await.expect("it answers");
        let request = wire::RunRequest {
            run_id: "r".to_owned(),
            pipeline: "echo@1".to_owned(),
            params: if politely { "{}" } else { LONG }.to_owned(),
            ..Default::default()
        };
        let stream = client.run(request).await.expect("taken");
        if politely {
            drop(stream);
            let pid = process.id().to_string();
            let kill = std::process::Command::new("kill").args(["-TERM", &pid]).status();
            assert!(kill.expect("kill").success());
        } else {
            drop(process.stdin.take());
        }
        let ended = tokio::task::spawn_blocking(move || process.wait());
        let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
        let status = ended.expect("it ends").expect("no panic").expect("a child");
        assert!(status.success(), "{status}");
    }
}
