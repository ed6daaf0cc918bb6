//! The alignment goldens pass, and a check of broken ones does not.
//!
//! The tracked subset always runs. The whole set lies outside the repository, in
//! `../shared/reference`; it runs where it exists, and under `CI=true` it must.

use std::fs;
use std::path::{Path, PathBuf};

use postern_sidecar::align::score::score_files;
use postern_sidecar::check_case::{self, CheckError, Report};
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn whole() -> PathBuf {
    repository().join("../shared/reference/bertalign/cases")
}

#[track_caller]
fn assert_passes(dir: &Path) -> Report {
    let report = check_case::run("align", dir).expect("every case can be checked");
    let failed: Vec<_> = report.cases.iter().filter(|case| !case.pass).collect();
    assert!(report.all_passed() && failed.is_empty(), "{failed:#?}");
    report
}

/// The folder of whole documents and passes, where it is; under `CI=true` it must be.
#[expect(clippy::disallowed_methods, reason = "a test asks where it runs; it has no settings")]
fn whole_where_it_exists() -> Option<PathBuf> {
    let exists = whole().join("dp/manifest.json").exists();
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(exists || !in_ci, "{} is missing", whole().display());
    exists.then(whole)
}

#[test]
fn the_tracked_subset_passes_and_has_every_kind_of_case() {
    let report = assert_passes(&repository().join("tests/goldens/align"));
    let has = |start: &str| report.cases.iter().any(|case| case.case.starts_with(start));
    for kind in ["text/clean/", "text/languages/", "text/overlaps/", "text/scorer/", "dp/"] {
        assert!(has(kind), "{kind}");
    }
    assert!(has("text/split/") && has("text/split_zh/"));
}

#[test]
fn the_whole_set_passes_where_it_exists() {
    let Some(whole) = whole_where_it_exists() else { return };
    for (section, count_min) in [("text", 99), ("dp", 26), ("e2e", 12)] {
        let report = assert_passes(&whole.join(section));
        assert!(report.cases.len() >= count_min, "{section}: {} cases", report.cases.len());
    }
}

#[test]
fn the_score_of_files_is_that_of_the_goldens() {
    let Some(whole) = whole_where_it_exists() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut pairs, mut beads) = (Vec::new(), 0);
    for document in ["001", "005"] {
        let dir = whole.join("e2e").join(document);
        let text = fs::read(dir.join("expected.json")).expect("a golden");
        let expected: Value = serde_json::from_slice(&text).expect("JSON");
        let variant = &expected["variants"]["default"];
        let result = folder.path().join(format!("{document}.json"));
        let answer = json!({ "result": variant["beads"], "src_sents": [] });
        fs::write(&result, answer.to_string()).expect("can be written");
        let pair = [result, dir.join("gold.txt")];
        let scores = score_files(std::slice::from_ref(&pair)).expect("can be scored").scores;
        let want = variant["scores"]["f1_strict"].as_f64().expect("a number");
        assert!((scores.f1_strict - want).abs() < 1e-6, "{document}: {scores:?}");
        pairs.push(pair);
        beads += variant["beads"].as_array().expect("a list").len() as u64;
    }
    let both = score_files(&pairs).expect("can be scored");
    assert_eq!(both.documents, 2);
    // Precision is of every bead that was found, one-sided ones too.
    let counts = both.counts.precision;
    assert_eq!(counts.strict_hits + counts.strict_misses, beads);
}

/// Checks a copy of the subset's passes after `edit` changed their manifest.
fn check_edited(edit: impl Fn(&Path, &mut Value)) -> Result<Report, CheckError> {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let dir = copy.path().join("dp");
    fs::create_dir(&dir).expect("a folder");
    let subset = repository().join("tests/goldens/align/dp");
    for entry in fs::read_dir(subset).expect("a folder") {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).expect("a file");
        fs::write(dir.join(entry.file_name()), bytes).expect("the copy can be written");
    }
    let path = dir.join("manifest.json");
    let text = fs::read(&path).expect("the subset has a manifest");
    let mut manifest = serde_json::from_slice(&text).expect("the manifest is JSON");
    edit(&dir, &mut manifest);
    fs::write(&path, manifest.to_string()).expect("the copy can be written");
    check_case::run("align", copy.path())
}

/// Exactly one case fails after `edit`, and in a stage of this name.
#[track_caller]
fn assert_fails(case: &str, stage: &str, edit: impl Fn(&Path, &mut Value)) {
    let report = check_edited(edit).expect("every case can still be checked");
    for checked in &report.cases {
        assert_eq!(checked.pass, checked.case != case, "{} after {stage}", checked.case);
    }
    let broken = report.cases.iter().find(|checked| checked.case == case).expect("is listed");
    let failed = broken.stages.iter().any(|checked| !checked.pass && checked.name == stage);
    assert!(failed, "{broken:#?}");
}

/// Flips the lowest bit of a byte of one tensor: its last, or the first of its last row where a row
/// ends in filling that nobody reads.
fn change_tensor(path: &Path, name: &str) {
    let mut bytes = fs::read(path).expect("a file");
    let (head, _) = bytes.split_first_chunk().expect("a length");
    let data = 8 + u64::from_le_bytes(*head) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..data]).expect("a header");
    let end = header[name]["data_offsets"][1].as_u64().expect("an offset") as usize;
    let back = match name {
        "second_pointers" => header[name]["shape"][1].as_u64().expect("a width") as usize,
        _ => 1,
    };
    bytes[data + end - back] ^= 1;
    fs::write(path, bytes).expect("the copy can be written");
}

#[test]
fn a_wrong_golden_fails_its_case_and_no_other() {
    for tensor in
        ["topk_index", "topk_scores", "first_path", "first_pointers", "anchors", "second_path"]
    {
        assert_fails("dp/04", tensor, |dir, _| change_tensor(&dir.join("04.safetensors"), tensor));
    }
    assert_fails("dp/05", "second_width", |_, m| m["cases"][5]["second_width"] = json!(16));
    assert_fails("dp/05", "char_ratio", |_, m| m["cases"][5]["char_ratio"] = json!(0.747));
    assert_fails("dp/05", "beads", |_, m| m["cases"][5]["beads"][0] = json!([[0], []]));
    for (name, value) in [
        ("margin", json!(false)),
        ("len_penalty", json!(false)),
        ("skip", json!(-0.3)),
        ("win", json!(4)),
    ] {
        assert_fails("dp/22", "second_pointers", |_, m| {
            m["cases"][22]["params"][name] = value.clone();
        });
    }
}

#[test]
fn what_cannot_be_checked_is_an_error() {
    let refused = |edit: &dyn Fn(&Path, &mut Value)| {
        let outcome = check_edited(edit);
        assert!(outcome.is_err(), "{outcome:?}");
    };
    refused(&|_, m| m["cases"][0]["gap"] = json!(1));
    refused(&|_, m| m["cases"][0]["m"] = json!(2));
    refused(&|_, m| drop(m["cases"].as_array_mut().map(|cases| cases.remove(0))));
    refused(&|dir, _| fs::write(dir.join("99.safetensors"), b"").expect("can be written"));
    refused(&|dir, _| fs::create_dir(dir.join("../unknown")).expect("can be made"));
    let empty = check_edited(|_, m| m["cases"] = json!([]));
    assert!(empty.is_err(), "{empty:?}");
}
