//! `postern call`: files of a customer in, files of the result out, over a gate that may be slow,
//! break off or refuse.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bytes::Bytes;
use postern_tests::caller::Caller;
use postern_tests::client::Client;
use postern_tests::clip::{self, FRAMES, H264, MOVING, source};
use postern_tests::gate::Gate;
use postern_tests::patience::until;
use postern_tests::picture;
use postern_tests::relay::Relay;
use serde_json::{Value, json};
use tempfile::TempDir;

static GATE: LazyLock<Gate> = LazyLock::new(Gate::start);

/// Such a job ends when it is cancelled.
const FOREVER: &str = "delay_ms=60000";
/// Less work than by default, and three outputs.
const ONE_KEY_FRAME: [&str; 4] = ["--param", "every_n=5", "--param", "key_frames=1"];

/// A folder with the usual clip, and where results may go.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a temporary folder"));
        desk.put("clip.mp4", &MOVING);
        desk
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path.to_str().expect("text").to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("text").to_owned()
    }

    fn json(&self, name: &str) -> Value {
        let bytes = fs::read(self.path(name)).expect("it was written");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path(folder)).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().into_string().expect("text")).collect()
    }
}

/// Arguments with those of a short analysis.
fn short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &ONE_KEY_FRAME].concat()
}

/// Every file of the folder is the one that the job lists.
async fn check_outputs(client: &Client, job: &Value, folder: &Path) {
    for output in job["outputs"].as_array().expect("outputs") {
        let name = output["name"].as_str().expect("a name");
        let direct = client.get(output["url"].as_str().expect("a link")).await;
        assert_eq!(fs::read(folder.join(name)).expect(name), direct.body, "{name}");
    }
}

async fn running_job(client: &Client) -> String {
    until("there is a job that runs", async || {
        let jobs = client.get("/v1/jobs").await.ok();
        let job = jobs["data"].as_array().and_then(|jobs| jobs.first()).cloned()?;
        (job["state"] == "running").then(|| job["id"].as_str().expect("an id").to_owned())
    })
    .await
}

#[tokio::test]
async fn a_clip_becomes_files_of_a_folder() {
    let client = GATE.tenant("files").await;
    let (caller, desk) = (Caller::of(&client), Desk::new());
    let (clip, out) = (desk.path("clip.mp4"), desk.path("out"));
    let said = caller.run(&short(&["vision", &clip, "--out", &out]));
    let lines = said.with(0);
    let job = desk.json("out/result.json");
    assert_eq!(job["state"], "succeeded");
    assert_eq!(job["result"]["frames"].as_array().map(Vec::len), usize::try_from(FRAMES / 5).ok());
    let [line] = lines[..] else { panic!("one line: {lines:?}") };
    let cells: Vec<&str> = line.split('\t').collect();
    assert_eq!(cells[..3], [clip.as_str(), job["id"].as_str().expect("an id"), "succeeded"]);
    assert_eq!(cells[5..], ["3 outputs", out.as_str()]);
    check_outputs(&client, &job, Path::new(&out)).await;
    let listed = job["outputs"].as_array().expect("outputs").iter();
    let mut want: BTreeSet<String> =
        listed.map(|output| output["name"].as_str().expect("a name").to_owned()).collect();
    want.insert("result.json".into());
    assert_eq!(desk.names("out"), want, "and nothing else stays behind");
    assert!(said.err.contains("uploading"), "{}", said.err);
    assert!(!said.err.contains('\x1b'), "no terminal, no control: {}", said.err);
    assert!(!format!("{said:?}").contains(caller.key()), "the key is not shown");
}

#[tokio::test]
async fn the_whole_answer_goes_to_standard_output_when_it_is_asked_for() {
    let client = GATE.tenant("json").await;
    let caller = Caller::of(&client);
    let said = caller.run(&["echo", "--param", "message={\"a\": [1]}", "--json", "--quiet"]);
    let lines = said.with(0);
    let [line] = lines[..] else { panic!("one line: {lines:?}") };
    let answer: Value = serde_json::from_str(line).expect("JSON");
    // A service may be done before it could say that it will be; both are answers.
    let message = answer.get("result").unwrap_or(&answer)["message"].clone();
    assert_eq!(message, json!({"a": [1]}));
    assert_eq!(said.err, "");
}

#[tokio::test]
async fn the_key_may_come_from_a_file_and_never_from_an_option() {
    let client = GATE.tenant("keyfile").await;
    let (caller, desk) = (Caller::of(&client), Desk::new());
    let good = desk.put("key", format!("{}\n", caller.key()).as_bytes());
    let mut command = caller.command(&["echo", "--quiet", "--key-file", &good]);
    let output = command.env_remove("POSTERN_API_KEY").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // The file wins over the environment.
    let bad = desk.put("bad", b"sk_0000000000000000_00");
    assert_eq!(caller.run(&["echo", "--key-file", &bad]).code, Some(3));
    assert_eq!(caller.run(&["echo", "--key", caller.key()]).code, Some(2));
    let empty = desk.put("empty", b"\n");
    assert_eq!(caller.run(&["echo", "--key-file", &empty]).code, Some(2));
    assert_eq!(caller.run(&["echo", "--key-file", &desk.path("gone")]).code, Some(5));
}

#[tokio::test]
async fn a_refusal_is_said_with_its_code_and_field() {
    let client = GATE.tenant("refused").await;
    let desk = Desk::new();
    let clip = desk.path("clip.mp4");
    let nobody = Caller::of(&GATE.client());
    let said = nobody.run(&["vision", &clip, "--json"]);
    let problem: Value = serde_json::from_str(said.with(3)[0]).expect("a problem");
    assert_eq!(problem["code"], "credential_missing");
    assert!(said.err.contains("401 credential_missing"), "{}", said.err);
    let said = Caller::of(&client).run(&["vision", &clip, "--param", "canny.low=-1"]);
    assert_eq!(said.with(3), [""; 0]);
    assert!(said.err.contains("422 field_invalid: canny.low: must be"), "{}", said.err);
}

#[tokio::test]
async fn what_makes_no_sense_is_said_before_anything_is_sent() {
    let client = GATE.tenant("usage").await;
    let (caller, desk) = (Caller::of(&client), Desk::new());
    let (clip, text) = (desk.path("clip.mp4"), desk.put("a.txt", b"text"));
    for (arguments, code, words) in [
        (&["visoin", &clip][..], 2, "no service `visoin`; it has align, echo, sharp, vision"),
        (&["vision", &text], 2, "say by --part what it is; there are frame, video"),
        (&["vision", &clip, "--part", "film"], 2, "no part `film`"),
        (&["vision", &clip, "--route", "/v2"], 2, "/v1/vision/analyze"),
        (&["echo", &clip], 2, "takes no files"),
        (&["vision", "gone.mp4"], 5, "gone.mp4"),
        (&["vision", &clip, "--param", "x"], 2, "NAME=VALUE"),
        (&["vision", &clip, "--url", "https://127.0.0.1"], 2, "https is not spoken yet"),
        (&[], 2, "SERVICE"),
    ] {
        let said = caller.run(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
    }
    assert_eq!(client.get("/v1/jobs").await.ok()["data"], json!([]));
    let help = caller.run(&["--help"]);
    assert!(help.with(0).iter().any(|line| line.starts_with("Exit codes: 0 done;")));
}

#[tokio::test]
async fn a_gate_that_is_not_there_is_a_code_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    drop(listener);
    let said = Caller::of(&Client::new(&address)).run(&["echo"]);
    assert_eq!(said.with(4), [""; 0]);
    assert!(said.err.contains(&address) && said.err.contains("refused"), "{}", said.err);
}

#[tokio::test]
async fn a_job_that_fails_says_why_and_leaves_no_files() {
    let client = GATE.tenant("failed").await;
    let desk = Desk::new();
    let broken = desk.put("broken.mp4", b"\0\0\0\x20ftypisom and then nothing of the kind");
    let said = Caller::of(&client).run(&["vision", &broken, "--out", &desk.path("out")]);
    let lines = said.with(1);
    assert!(lines[0].contains("\tfailed\tvideo_undecodable\t"), "{lines:?}");
    assert!(!Path::new(&desk.path("out")).exists());
}

#[tokio::test]
async fn ctrl_c_cancels_the_job() {
    let client = GATE.tenant("interrupted").await;
    let mut call = Caller::of(&client).start(&["echo", "--param", FOREVER]);
    let id = running_job(&client).await;
    call.process().interrupt();
    call.until_it_says("cancelling");
    let said = call.end();
    assert!(said.with(130)[0].contains(&format!("{id}\tcanceled")), "{}", said.out);
    assert_eq!(client.job(&id).await["state"], "canceled");
}

#[tokio::test]
async fn a_second_ctrl_c_quits_at_once() {
    let client = GATE.tenant("impatient").await;
    let relay = Relay::to(client.address()).stall("GET /v1/jobs/");
    let mut call = Caller::of(&client).at(relay.address()).start(&["echo", "--param", FOREVER]);
    let id = running_job(&client).await;
    until("the job was asked for", async || {
        relay.asked().contains(&format!("GET /v1/jobs/{id}")).then_some(())
    })
    .await;
    call.process().interrupt();
    call.until_it_says("cancelling");
    call.process().interrupt();
    assert_eq!(call.end().code, Some(130));
    client.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
}

#[tokio::test]
async fn ctrl_c_in_an_upload_leaves_no_job() {
    let client = GATE.tenant("early").await;
    let relay = Relay::to(client.address()).stall("POST /v1/vision");
    let desk = Desk::new();
    let large = desk.put("large.mp4", b"");
    let file = fs::OpenOptions::new().write(true).open(&large).expect("it was made");
    // More than the buffers between two processes hold.
    file.set_len(256 << 20).expect("a file with a hole");
    let mut call = Caller::of(&client).at(relay.address()).start(&["vision", &large]);
    until("the upload has begun", async || relay.asked().contains("POST /v1/vision").then_some(()))
        .await;
    call.process().interrupt();
    call.until_it_says("cancelling");
    assert_eq!(call.end().with(130), [""; 0]);
    assert_eq!(client.get("/v1/jobs").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_job_that_is_known_is_picked_up() {
    let client = GATE.tenant("later").await;
    let (caller, desk) = (Caller::of(&client), Desk::new());
    let said = caller.run(&short(&["vision", &desk.path("clip.mp4"), "--json"]));
    let first: Value = serde_json::from_str(said.with(0)[0]).expect("a job");
    let id = first["id"].as_str().expect("an id");
    let _ = caller.run(&["--job", id, "--out", &desk.path("out")]).with(0);
    assert_eq!(desk.json("out/result.json"), first);
    check_outputs(&client, &first, Path::new(&desk.path("out"))).await;
    let unknown = caller.run(&["--job", "job_00000000000000000000000000000000"]);
    assert!(unknown.with(3).is_empty() && unknown.err.contains("job_not_found"), "{unknown:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let client = GATE.tenant("broken").await;
    let relay = Relay::to(client.address()).cut("GET /v1/jobs/", 20).cut("GET /v1/jobs/", 0);
    let caller = Caller::of(&client).at(relay.address());
    let _ = caller.run(&["echo", "--param", "delay_ms=500"]).with(0);
    let jobs = client.get("/v1/jobs").await.ok();
    assert_eq!(jobs["data"].as_array().map(Vec::len), Some(1), "it was sent once: {jobs}");
    assert!(relay.asked().matches("GET /v1/jobs/").count() >= 3, "{}", relay.asked());
}

#[tokio::test]
async fn an_answer_that_is_lost_does_not_become_a_second_job() {
    let client = GATE.tenant("lost").await;
    let relay = Relay::to(client.address()).cut("POST /v1/vision", 0);
    let desk = Desk::new();
    let caller = Caller::of(&client).at(relay.address());
    let said = caller.run(&short(&["vision", &desk.path("clip.mp4")]));
    assert!(said.with(4).is_empty() && said.err.contains("look among your jobs"), "{}", said.err);
    assert_eq!(relay.asked().matches("POST /v1/vision").count(), 1);
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let client = GATE.tenant("download").await;
    let relay = Relay::to(client.address()).cut("/outputs/key_frame_0.png", 5_000);
    let desk = Desk::new();
    let caller = Caller::of(&client).at(relay.address());
    let out = desk.path("out");
    let _ = caller.run(&short(&["vision", &desk.path("clip.mp4"), "--out", &out])).with(0);
    check_outputs(&client, &desk.json("out/result.json"), Path::new(&out)).await;
    let asked = relay.asked();
    assert_eq!(asked.matches("/outputs/key_frame_0.png").count(), 2, "{asked}");
    let range = asked.lines().find(|line| line.starts_with("range: bytes="));
    let from = range.and_then(|line| line[13..].trim().trim_end_matches('-').parse::<u64>().ok());
    assert!(from.is_some_and(|from| from > 0 && from < 5_000), "{range:?}");
    assert!(asked.contains("if-range: \""), "{asked}");
}

/// A job's first output, and where an interrupted call would have left its beginning.
struct First {
    id: String,
    name: String,
    bytes: Bytes,
    part: PathBuf,
}

async fn first_output(client: &Client, desk: &Desk, clip: &str) -> First {
    let said = Caller::of(client).run(&short(&["vision", &desk.path(clip), "--json"]));
    let job: Value = serde_json::from_str(said.with(0)[0]).expect("a job");
    let output = &job["outputs"][0];
    let direct = client.get(output["url"].as_str().expect("a link")).await;
    let digest = direct.header("etag").expect("a digest").trim_matches('"').to_owned();
    let name = output["name"].as_str().expect("a name").to_owned();
    fs::create_dir_all(desk.path("out")).expect("a folder");
    let part = PathBuf::from(desk.path("out")).join(format!(".{name}.{digest}.part"));
    First { id: job["id"].as_str().expect("an id").to_owned(), name, bytes: direct.body, part }
}

#[tokio::test]
async fn what_an_earlier_call_left_is_used_if_it_is_right() {
    let client = GATE.tenant("leftover").await;
    let desk = Desk::new();
    let First { id, name, bytes, part } = first_output(&client, &desk, "clip.mp4").await;
    for (left, from) in [
        (bytes[..1_000].to_vec(), Some(1_000)),
        (vec![b'x'; 1_000], Some(1_000)),
        (bytes.to_vec(), None),
        ([&bytes[..], b"more"].concat(), None),
    ] {
        fs::write(&part, &left).expect("a file");
        let relay = Relay::to(client.address());
        let caller = Caller::of(&client).at(relay.address());
        let out = desk.path("out");
        let _ = caller.run(&["--job", &id, "--out", &out, "--force"]).with(0);
        assert_eq!(fs::read(desk.path(&format!("out/{name}"))).expect("it is there"), bytes);
        assert!(!part.exists());
        let asked = relay.asked();
        let range = from.map(|from: u64| format!("range: bytes={from}-"));
        let was_asked = range.as_ref().is_none_or(|range| asked.contains(range.as_str()));
        assert!(was_asked && (range.is_some() || !asked.contains("range:")), "{asked}");
    }
}

#[tokio::test]
async fn what_a_call_for_another_job_left_is_not_taken() {
    let client = GATE.tenant("mixed").await;
    let desk = Desk::new();
    desk.put("large.mp4", &clip::encode("large.mp4", &format!("{} {H264}", source(320, 240, 1))));
    let other = first_output(&client, &desk, "large.mp4").await;
    let First { id, name, bytes, .. } = first_output(&client, &desk, "clip.mp4").await;
    assert!(other.name == name && other.bytes.len() > bytes.len());
    fs::write(&other.part, &other.bytes).expect("a file");
    let _ = Caller::of(&client).run(&["--job", &id, "--out", &desk.path("out")]).with(0);
    assert_eq!(fs::read(desk.path(&format!("out/{name}"))).expect("it is there"), bytes);
    assert!(!other.part.exists());
}

#[tokio::test]
async fn several_files_are_jobs_of_their_own() {
    let client = GATE.tenant("several").await;
    let desk = Desk::new();
    let files = [
        desk.put("a.mp4", &MOVING),
        desk.put("b.mp4", b"\0\0\0\x20ftypisom and then nothing of the kind"),
        desk.put("c.mp4", &MOVING),
    ];
    fs::create_dir(desk.path("below")).expect("a folder");
    let other = desk.put("below/a.mp4", &MOVING);
    let arguments = [
        "vision",
        &files[0],
        &files[1],
        &files[2],
        &other,
        "--out",
        &desk.path("out"),
        "--parallel",
        "3",
    ];
    let said = Caller::of(&client).run(&short(&arguments));
    let lines = said.with(1);
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, [&files[0], &files[1], &files[2], &other], "in the order of the files");
    assert!(lines[1].contains("\tfailed\t"), "{lines:?}");
    let want = ["a", "a-2", "c"].map(str::to_owned);
    assert_eq!(desk.names("out"), BTreeSet::from(want));
    for folder in ["a", "a-2", "c"] {
        let job = desk.json(&format!("out/{folder}/result.json"));
        check_outputs(&client, &job, &PathBuf::from(desk.path("out")).join(folder)).await;
    }
}

#[tokio::test]
async fn pictures_go_into_one_job() {
    let client = GATE.tenant("pictures").await;
    let desk = Desk::new();
    let pictures: Vec<String> = (0..3)
        .map(|index| desk.put(&format!("{index}.png"), &picture::square(128, 96, 2 * index)))
        .collect();
    let mut arguments = vec!["vision", "--frames", "--json", "--param", "key_frames=0"];
    arguments.extend(pictures.iter().map(String::as_str));
    let said = Caller::of(&client).run(&arguments);
    let lines = said.with(0);
    let job: Value = serde_json::from_str(lines[0]).expect("a job");
    assert_eq!((lines.len(), &job["result"]["source"]["kind"]), (1, &json!("frames")));
    assert_eq!(job["result"]["frames"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn nothing_is_replaced_unless_it_is_asked_for() {
    let client = GATE.tenant("careful").await;
    let (caller, desk) = (Caller::of(&client), Desk::new());
    let (clip, out) = (desk.path("clip.mp4"), desk.path("out"));
    let _ = caller.run(&short(&["vision", &clip, "--out", &out])).with(0);
    let job = desk.json("out/result.json");
    let id = job["id"].as_str().expect("an id");
    let again = caller.run(&short(&["vision", &clip, "--out", &out]));
    assert!(again.with(2).is_empty() && again.err.contains("--force"), "{}", again.err);
    let jobs = client.get("/v1/jobs").await.ok();
    assert_eq!(jobs["data"].as_array().map(Vec::len), Some(1), "nothing was sent: {jobs}");
    // The very same files are not in the way.
    let _ = caller.run(&["--job", id, "--out", &out]).with(0);
    let name = job["outputs"][0]["name"].as_str().expect("a name");
    let mine = desk.put(&format!("out/{name}"), b"mine");
    let said = caller.run(&["--job", id, "--out", &out]);
    assert!(said.with(5).is_empty() && said.err.contains(name), "{}", said.err);
    assert_eq!(fs::read(&mine).expect("it is there"), b"mine");
    let _ = caller.run(&["--job", id, "--out", &out, "--force"]).with(0);
    check_outputs(&client, &job, Path::new(&out)).await;
}
