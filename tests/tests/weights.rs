//! Weights from the command line to a running gate.
//!
//! The model is the published one; its weights are not, so what is installed here is refused or
//! only looked for.

use std::fs;

use postern_tests::client::Client;
use postern_tests::gate::Gate;
use postern_tests::patience::until;
use serde_json::Value;

const MODEL: &str = "sharp";

#[test]
fn a_licence_is_accepted_by_somebody_or_nothing_is_fetched() {
    let gate = Gate::start();
    let listed = gate.cli(&["pull", "--list"]);
    assert!(listed.contains("sharp\tmissing\t"), "{listed}");
    assert!(listed.contains("(research only)"), "{listed}");
    let refusal = gate.refused(&["pull", MODEL]);
    assert!(refusal.contains("say --accept-licence"), "{refusal}");
    assert!(!gate.data().join("weights").join(MODEL).exists());
    let refusal = gate.refused(&["pull", "nothing"]);
    assert!(refusal.contains("there is no model `nothing`"), "{refusal}");
}

#[test]
fn a_file_that_is_no_checkpoint_is_refused_by_the_sidecar() {
    let gate = Gate::start();
    let file = gate.data().join("not-weights.pt");
    fs::write(&file, b"a page that says: log in first").expect("a file");
    let from = file.to_str().expect("a path of ours");
    let refusal = gate.refused(&["pull", MODEL, "--accept-licence", "--from", from]);
    assert!(refusal.contains("is not a checkpoint"), "{refusal}");
    let folder = gate.data().join("weights").join(MODEL);
    let record = fs::read_to_string(folder.join("licence.json")).expect("it was accepted");
    assert!(record.contains("LicenseRef-Apple-ML-Research-Model"), "{record}");
    assert!(!folder.join("sharp_2572gikvuh.pt").exists());
    let refusal = gate.refused(&["pull", MODEL, "--verify"]);
    assert!(refusal.contains("is not installed"), "{refusal}");
}

/// What `/v1/models` says of the pipeline and of its weights, once `want` is its state.
async fn listed_as(client: &Client, want: &str) -> (Value, Value) {
    until("the model is listed as it is", async || {
        let list = client.get("/v1/models").await.ok();
        let models = list["data"].as_array().expect("a list");
        let model = models.iter().find(|model| model["name"] == MODEL).expect("it is built in");
        (model["state"] == want).then(|| (model.clone(), model["weights"][0].clone()))
    })
    .await
}

#[tokio::test]
async fn a_running_gate_hears_of_weights_that_come_and_go() {
    let gate = Gate::start();
    let client = gate.tenant("weights").await;
    let (model, weights) = listed_as(&client, "missing").await;
    let cure = model["missing"].as_str().expect("a text");
    assert!(cure.contains("postern pull sharp"), "{cure}");
    assert_eq!(weights["command"], "postern pull sharp");
    assert_eq!(weights["licence"]["research_only"], true);
    let folder = gate.data().join("weights").join(MODEL);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("sharp_2572gikvuh.pt.part"), b"half").expect("a file");
    fs::write(folder.join("sharp_2572gikvuh.pt"), b"looked at when it is loaded").expect("a file");
    let (model, weights) = listed_as(&client, "unloaded").await;
    assert_eq!((&model["missing"], &weights["load_ms"]), (&"".into(), &0.into()));
    assert_eq!(gate.client().get("/health").await.ok()["models"][MODEL], "unloaded");
    fs::remove_dir_all(&folder).expect("ours");
    listed_as(&client, "missing").await;
}
