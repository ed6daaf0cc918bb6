//! `postern batch`: a folder in, a folder of results out, over a gate that may be busy, break off
//! or be left in the middle.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use postern_tests::caller::{Caller, Said};
use postern_tests::client::Client;
use postern_tests::clip::MOVING;
use postern_tests::gate::{Gate, Setup};
use postern_tests::patience::until;
use postern_tests::picture;
use postern_tests::relay::Relay;
use postern_tests::weights;
use serde_json::{Value, json};
use tempfile::TempDir;

static GATE: LazyLock<Gate> = LazyLock::new(Gate::start);
/// One that takes two texts a job and really pairs their sentences, badly.
static TEXTS: LazyLock<Gate> =
    LazyLock::new(|| Gate::start_with(Setup { weights: Some(weights::align), ..Setup::default() }));

/// Less work than by default.
const SHORT: [&str; 4] = ["--param", "every_n=5", "--param", "key_frames=1"];
/// A clip by its name and its first bytes alone.
const BROKEN: &[u8] = b"\0\0\0\x20ftypisom and then nothing of the kind";

/// A folder of files to send, and one for results.
struct Desk(TempDir);

impl Desk {
    fn with(files: &[(&str, &[u8])]) -> Self {
        let desk = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir(desk.0.path().join("in")).expect("a folder");
        for (name, bytes) in files {
            desk.put(name, bytes);
        }
        desk
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join("in").join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("text").to_owned()
    }

    /// Arguments of a batch of this folder.
    fn asks(&self, service: &str, more: &[&str]) -> Vec<String> {
        let mut arguments = vec![service.to_owned(), self.path("in")];
        arguments.extend(["--out".to_owned(), self.path("out")]);
        arguments.extend(more.iter().map(|&more| more.to_owned()));
        arguments
    }

    fn batch(&self, caller: &Caller, more: &[&str]) -> Said {
        let arguments = self.asks("vision", &[&SHORT[..], more].concat());
        caller.batch(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn result(&self, name: &str) -> Value {
        self.json(&format!("out/{name}/result.json"))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).expect("it was written")).expect("JSON")
    }

    /// A batch of pairs of texts.
    fn pairs(&self, caller: &Caller, more: &[&str]) -> Said {
        let arguments = self.asks("align", &[&["--param", "encoder=labse"], more].concat());
        caller.batch(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Checks the exit code and the sum.
#[track_caller]
fn check(said: &Said, code: i32, sum: [u64; 4]) {
    let [done, skipped, failed, left] = sum;
    let want = format!("done {done}\tskipped {skipped}\tfailed {failed}\tleft {left}");
    assert_eq!(said.with(code), [want], "{}", said.err);
}

async fn jobs(client: &Client) -> Vec<Value> {
    client.get("/v1/jobs").await.ok()["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn every_file_becomes_a_folder_of_results_once() {
    let client = GATE.tenant("folder").await;
    let (caller, desk) = (Caller::of(&client), Desk::with(&[("a.mp4", &MOVING)]));
    desk.put("below/a.mp4", &MOVING);
    desk.put("below/notes.txt", b"text");
    desk.put(".hidden/c.mp4", &MOVING);
    let said = desk.batch(&caller, &[]);
    check(&said, 0, [2, 0, 0, 0]);
    assert!(said.err.contains("passed over") && said.err.contains("notes.txt"), "{}", said.err);
    assert!(!said.err.contains('\x1b'), "no terminal, no control: {}", said.err);
    for name in ["a.mp4", "below/a.mp4"] {
        let job = desk.result(name);
        assert_eq!(job["state"], "succeeded");
        for output in job["outputs"].as_array().expect("outputs") {
            let output_name = output["name"].as_str().expect("a name");
            let direct = client.get(output["url"].as_str().expect("a link")).await;
            let path = desk.path(&format!("out/{name}/{output_name}"));
            assert_eq!(fs::read(path).expect("it is there"), direct.body, "{name} {output_name}");
        }
    }
    check(&desk.batch(&caller, &[]), 0, [0, 2, 0, 0]);
    assert_eq!(jobs(&client).await.len(), 2, "nothing is sent twice");
    // The same bytes at another time are the same; other bytes, or another question, are not.
    desk.put("a.mp4", &MOVING);
    check(&desk.batch(&caller, &[]), 0, [0, 2, 0, 0]);
    fs::remove_dir_all(desk.path("out/a.mp4")).expect("results");
    check(&desk.batch(&caller, &[]), 0, [1, 1, 0, 0]);
    desk.put("a.mp4", &[&MOVING[..], b"more"].concat());
    check(&desk.batch(&caller, &[]), 0, [1, 1, 0, 0]);
    check(&desk.batch(&caller, &["--param", "outputs=[]"]), 0, [2, 0, 0, 0]);
    assert_eq!(desk.result("below/a.mp4")["outputs"], json!([]));
}

#[tokio::test]
async fn a_broken_file_is_a_line_and_the_others_go_on() {
    let client = GATE.tenant("broken").await;
    let caller = Caller::of(&client);
    let desk = Desk::with(&[("a.mp4", &MOVING), ("b.mp4", BROKEN), ("c.png", b"no picture")]);
    desk.put("d.mp4", &MOVING);
    let said = desk.batch(&caller, &["--jobs", "2"]);
    check(&said, 1, [2, 0, 2, 0]);
    let lines: BTreeSet<&str> =
        said.err.lines().map(|line| line.split(" (").next().unwrap_or(line)).collect();
    let failed = lines.iter().find(|line| line.starts_with("b.mp4: failed: video_undecodable "));
    let refused = lines.iter().find(|line| line.starts_with("c.png: refused: 422 picture_invalid"));
    assert!(failed.is_some() && refused.is_some() && lines.len() == 2, "{}", said.err);
    // What failed is tried again, and may have been mended.
    desk.put("b.mp4", &MOVING);
    check(&desk.batch(&caller, &[]), 1, [1, 2, 1, 0]);
}

/// Starts a batch that stands still as soon as it follows its first job; gives the job's id.
async fn begun(client: &Client, desk: &Desk) -> (postern_tests::caller::Running, String) {
    let relay = Relay::to(client.address()).stall("GET /v1/jobs/");
    let caller = Caller::of(client).at(relay.address());
    let arguments = desk.asks("vision", &[&SHORT[..], &["--jobs", "1"]].concat());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let running = caller.start_batch(&arguments);
    until("the first job is followed", async || {
        relay.asked().contains("GET /v1/jobs/").then_some(())
    })
    .await;
    let id = jobs(client).await[0]["id"].as_str().expect("an id").to_owned();
    (running, id)
}

#[tokio::test]
async fn a_batch_that_was_killed_goes_on_and_sends_nothing_twice() {
    let client = GATE.tenant("killed").await;
    let desk = Desk::with(&[("a.mp4", &MOVING), ("b.mp4", &MOVING), ("c.mp4", &MOVING)]);
    let (running, id) = begun(&client, &desk).await;
    running.process().kill();
    assert_eq!(running.end().code, None);
    check(&desk.batch(&Caller::of(&client), &[]), 0, [3, 0, 0, 0]);
    assert_eq!(desk.result("a.mp4")["id"], id);
    assert_eq!(jobs(&client).await.len(), 3);
}

#[tokio::test]
async fn ctrl_c_leaves_the_job_to_be_picked_up() {
    let client = GATE.tenant("stopped").await;
    let desk = Desk::with(&[("a.mp4", &MOVING), ("b.mp4", &MOVING)]);
    let (mut running, id) = begun(&client, &desk).await;
    running.process().interrupt();
    running.until_it_says("stopping");
    check(&running.end(), 130, [0, 0, 0, 2]);
    client.job_in(&id, &["succeeded"]).await;
    check(&desk.batch(&Caller::of(&client), &[]), 0, [2, 0, 0, 0]);
    assert_eq!(desk.result("a.mp4")["id"], id);
    assert_eq!(jobs(&client).await.len(), 2);
}

#[tokio::test]
async fn a_job_that_is_gone_is_sent_again() {
    let client = GATE.tenant("gone").await;
    let desk = Desk::with(&[("a.mp4", &MOVING)]);
    let (running, id) = begun(&client, &desk).await;
    running.process().kill();
    assert_eq!(running.end().code, None);
    client.job_in(&id, &["succeeded"]).await;
    assert_eq!(client.delete(&format!("/v1/jobs/{id}")).await.status, 204);
    check(&desk.batch(&Caller::of(&client), &[]), 0, [1, 0, 0, 0]);
    assert_ne!(desk.result("a.mp4")["id"], id);
}

#[tokio::test]
async fn a_plan_that_is_small_is_waited_for() {
    let plan = json!({ "requests": 1, "period_secs": 1, "burst": 1 });
    GATE.plan("small", &plan).await;
    let client = GATE.tenant_on("patient", "small").await;
    let relay = Relay::to(client.address());
    let caller = Caller::of(&client).at(relay.address());
    let desk = Desk::with(&[("a.mp4", &MOVING), ("b.mp4", &MOVING), ("c.mp4", &MOVING)]);
    check(&desk.batch(&caller, &["--param", "outputs=[]", "--jobs", "3"]), 0, [3, 0, 0, 0]);
    let sent = relay.asked().matches("POST /v1/vision").count();
    assert!(sent > 3, "the plan refused none of {sent}");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let client = GATE.tenant("lost").await;
    let relay = Relay::to(client.address()).cut("POST /v1/vision", 0);
    let desk = Desk::with(&[("a.mp4", &MOVING)]);
    check(&desk.batch(&Caller::of(&client).at(relay.address()), &[]), 0, [1, 0, 0, 0]);
    assert_eq!(relay.asked().matches("POST /v1/vision").count(), 2);
}

#[tokio::test]
async fn what_concerns_every_file_ends_the_batch_at_once() {
    let client = GATE.tenant("refused").await;
    let desk = Desk::with(&[("a.mp4", &MOVING), ("b.mp4", &MOVING)]);
    let nobody = Caller::of(&GATE.client());
    let said = desk.batch(&nobody, &["--jobs", "1"]);
    check(&said, 3, [0, 0, 0, 2]);
    assert_eq!(said.err.matches("401 credential_missing").count(), 1, "{}", said.err);
    let pictures = Desk::with(&[("a.png", &picture::square(64, 48, 0))]);
    let arguments = pictures.asks("sharp", &[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = Caller::of(&client).batch(&arguments);
    check(&said, 3, [0, 0, 0, 1]);
    assert!(said.err.contains("503 pipeline_unavailable"), "{}", said.err);
    let away = Caller::of(&Client::new("127.0.0.1:1"));
    assert_eq!(desk.batch(&away, &["--patience", "0s"]).code, Some(4));
    assert!(jobs(&client).await.is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_said_before_anything_is_sent() {
    let client = GATE.tenant("usage").await;
    let caller = Caller::of(&client);
    let desk = Desk::with(&[("a.mp4", &MOVING)]);
    for (service, more, code, words) in [
        ("visoin", &[][..], 2, "no service `visoin`"),
        ("echo", &[], 2, "takes no files"),
        ("vision", &["--param", "x"], 2, "NAME=VALUE"),
        ("vision", &["--jobs", "0"], 2, "--jobs"),
        ("vision", &["--part", "film"], 2, "no part `film`"),
    ] {
        let arguments = desk.asks(service, more);
        let said = caller.batch(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
    }
    let empty = Desk::with(&[]);
    let said = empty.batch(&caller, &[]);
    assert!(said.with(2).is_empty() && said.err.contains("holds no files"), "{}", said.err);
    assert!(!Path::new(&empty.path("out")).exists());
    let none = caller.batch(&["vision", &desk.path("none"), "--out", &desk.path("out")]);
    assert!(none.with(5).is_empty() && none.err.contains("none"), "{}", none.err);
}

/// Checks the texts that a pair was made of: one sentence each, and no alignment without both.
#[track_caller]
fn check_pair(desk: &Desk, name: &str, source: &str, target: &str) {
    let answer = desk.json(&format!("out/{name}/result-2.json"));
    assert_eq!((&answer["src_sents"], &answer["tgt_sents"]), (&json!([source]), &json!([target])));
    assert_eq!(answer["result"], json!([[[0], [0]]]), "{answer}");
    assert_eq!(desk.result(name)["state"], "succeeded");
}

#[tokio::test]
async fn files_that_belong_together_become_one_job() {
    let client = TEXTS.tenant("pairs").await;
    let caller = Caller::of(&client);
    let desk = Desk::with(&[("a.source.txt", b"One a."), ("a.target.txt", b"Eins a.")]);
    for (name, text) in [
        ("b.src.txt", "One b."),
        ("b.tgt.md", "Eins b."),
        ("source/below/c.txt", "One c."),
        ("target/below/c.txt", "Eins c."),
        ("d.source.txt", "One d."),
        ("notes.txt", "text"),
    ] {
        desk.put(name, text.as_bytes());
    }
    let said = desk.pairs(&caller, &[]);
    check(&said, 1, [3, 0, 1, 0]);
    let missing = "d: not sent: no file for `target`; there is d.source.txt";
    assert!(said.err.lines().any(|line| line == missing), "{}", said.err);
    assert!(said.err.contains("notes.txt: the name does not say which of"), "{}", said.err);
    for (name, letter) in [("a", "a"), ("b", "b"), ("below/c", "c")] {
        check_pair(&desk, name, &format!("One {letter}."), &format!("Eins {letter}."));
    }
    assert_eq!(jobs(&client).await.len(), 3);
    // The other half comes, one text changes, and the rest is not sent again.
    desk.put("d.target.txt", b"Eins d.");
    desk.put("b.tgt.md", b"Zwei b.");
    check(&desk.pairs(&caller, &[]), 0, [2, 2, 0, 0]);
    check_pair(&desk, "b", "One b.", "Zwei b.");
    check_pair(&desk, "d", "One d.", "Eins d.");
    check(&desk.pairs(&caller, &[]), 0, [0, 4, 0, 0]);
    assert_eq!(jobs(&client).await.len(), 5);
}

#[tokio::test]
async fn pairs_of_other_names_are_said_and_results_come_in_the_form_that_is_asked_for() {
    let client = TEXTS.tenant("named").await;
    let caller = Caller::of(&client);
    let desk = Desk::with(&[("a.en.txt", b"One a."), ("a.de.txt", b"Eins a.")]);
    let said = desk.pairs(&caller, &[]);
    assert!(said.with(2).is_empty(), "{}", said.out);
    let hint = "say --pair source=.de.txt --pair target=.en.txt, or the other way round";
    assert!(said.err.contains(hint), "{}", said.err);
    let pairs = ["--pair", "source=.en.txt", "--pair", "target=.de.txt"];
    for (format, words) in [("tsv", "\tOne a.\tEins a."), ("tmx", "<seg>Eins a.</seg>")] {
        let asked = format!("format={format}");
        check(&desk.pairs(&caller, &[&pairs[..], &["--param", &asked]].concat()), 0, [1, 0, 0, 0]);
        let text = fs::read_to_string(desk.path(&format!("out/a/result.{format}")));
        let text = text.expect("it was written");
        assert!(text.contains(words), "{text}");
    }
    let swapped = ["--pair", "target=.en.txt", "--pair", "source=.de.txt"];
    check(&desk.pairs(&caller, &swapped), 0, [1, 0, 0, 0]);
    check_pair(&desk, "a", "Eins a.", "One a.");
    let wrong = desk.pairs(&caller, &["--pair", "src=.en.txt", "--pair", "target=.de.txt"]);
    assert!(wrong.with(2).is_empty() && wrong.err.contains("no part `src`"), "{}", wrong.err);
}

#[tokio::test]
async fn a_call_takes_as_many_files_as_a_job_needs() {
    let client = TEXTS.tenant("called").await;
    let caller = Caller::of(&client);
    let desk = Desk::with(&[("one.txt", b"One a."), ("eins.txt", b"Eins a.")]);
    let (one, other, out) = (desk.path("in/one.txt"), desk.path("in/eins.txt"), desk.path("out"));
    let asks = ["align", "--param", "encoder=labse", "--out", &out];
    let said = caller.run(&[&asks[..], &[&one, &other]].concat());
    assert_eq!(said.with(0).len(), 1, "{}", said.err);
    check_pair(&desk, "", "One a.", "Eins a.");
    let said = caller.run(&[&asks[..], &[&one, &other, &one, "--force"]].concat());
    let words = "takes 2 files a job (source, target), not 3";
    assert!(said.with(2).is_empty() && said.err.contains(words), "{}", said.err);
}
