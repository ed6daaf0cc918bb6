//! Weights from the command line to a running gate.
//!
//! The model is the published one; its weights are not, so what is installed here is refused or only
//! looked for.

use std::fs;

use postern_tests::gate::Gate;

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
