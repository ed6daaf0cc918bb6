//! The goldens pass, and a check of broken ones does not.
//!
//! The tracked subset always runs. The whole set lies outside the repository, in
//! `../shared/reference`; it runs where it exists, and under `CI=true` it must.

use std::fs;
use std::path::{Path, PathBuf};

use postern_sidecar::check_case::{self, CheckError, Report};
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn subset() -> PathBuf {
    repository().join("tests/goldens/vision")
}

#[track_caller]
fn assert_passes(dir: &Path) -> Report {
    let report = check_case::run("vision", dir).expect("every case can be checked");
    let failed: Vec<_> = report.cases.iter().filter(|case| !case.pass).collect();
    assert!(report.all_passed() && failed.is_empty(), "{failed:#?}");
    report
}

#[test]
fn the_tracked_subset_passes_and_has_every_section() {
    let report = assert_passes(&subset());
    for section in [
        "gray/",
        "flow/",
        "canny/",
        "morphology/",
        "structuring_elements/",
        "resize/",
        "flow_stages/",
        "i420/",
        "sharpness/",
    ] {
        assert!(report.cases.iter().any(|case| case.case.starts_with(section)), "{section}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks where it runs; it has no settings")]
fn the_whole_set_passes_where_it_exists() {
    let whole = repository().join("../shared/reference/vision/cases");
    if whole.join("manifest.json").exists() {
        let report = assert_passes(&whole);
        assert!(report.cases.len() >= 133, "{} cases", report.cases.len());
    } else {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!in_ci, "{} is missing", whole.display());
    }
}

#[test]
fn the_report_is_a_list_of_cases_with_their_stages() {
    let report = assert_passes(&subset());
    let printed = serde_json::to_value(&report).expect("a report is JSON");
    let first = &printed[0];
    assert!(first["case"].is_string() && first["pass"] == true);
    let stage = &first["stages"][0];
    assert!(stage["name"].is_string() && stage["pass"] == true);
    assert!(stage["max_abs"].is_number() && stage["max_rel"].is_number());
    let cases = printed.as_array().expect("a list");
    let flow = cases.iter().find(|case| case["case"] == "flow/far_init").expect("is listed");
    assert!(flow["stages"][0]["mean"].is_number() && flow["stages"][0]["p99"].is_number());
}

/// Checks a copy of the subset after `edit` changed its manifest.
fn check_edited(edit: impl Fn(&Path, &mut Value)) -> Result<Report, CheckError> {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&subset(), copy.path());
    let path = copy.path().join("manifest.json");
    let text = fs::read(&path).expect("the subset has a manifest");
    let mut manifest = serde_json::from_slice(&text).expect("the manifest is JSON");
    edit(copy.path(), &mut manifest);
    fs::write(&path, manifest.to_string()).expect("the copy can be written");
    check_case::run("vision", copy.path())
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            // Read and write: a copied file would keep a read-only mode.
            let bytes = fs::read(entry.path()).expect("a file");
            fs::write(target, bytes).expect("the copy can be written");
        }
    }
}

/// Exactly the cases that start with `prefix` fail after `edit`.
#[track_caller]
fn assert_fails(prefix: &str, edit: impl Fn(&Path, &mut Value)) {
    let report = check_edited(edit).expect("every case can still be checked");
    assert!(!report.all_passed(), "{prefix} is broken and passed");
    for case in report.cases {
        assert_eq!(case.pass, !case.case.starts_with(prefix), "{}", case.case);
    }
}

#[test]
fn a_wrong_golden_fails_its_case_and_no_other() {
    assert_fails("gray/00", |_, m| m["gray"][0]["expected"] = json!("frames/wn_0.png"));
    assert_fails("canny/04", |_, m| m["canny"][4]["edge_pixels"] = json!(9218));
    assert_fails("canny/01", |_, m| m["canny"][1]["l2gradient"] = json!(true));
    assert_fails("morphology/03", |_, m| m["morphology"][3]["op"] = json!("erode"));
    assert_fails("morphology/15", |_, m| m["morphology"][15]["anchor"] = json!([-1, -1]));
    assert_fails("structuring_elements/30", |_, m| {
        m["structuring_elements"][30]["rows"][1] = json!("0000000");
    });
    assert_fails("resize/00", |_, m| m["resize"][0]["mode"] = json!("linear"));
    assert_fails("i420/00", |dir, _| change_last(&dir.join("gray/i420.safetensors"), 1));
    assert_fails("sharpness/camera_0", |_, m| {
        let variance = &mut m["sharpness"][2]["laplacian_variance"];
        *variance = json!(variance.as_f64().expect("a number") * (1.0 + 1e-8));
    });
}

#[test]
fn a_wrong_flow_fails_its_case_and_no_other() {
    assert_fails("flow/far_it1", |_, m| swap_flow(m, "far_it1", "far_init"));
    for (field, value) in [
        ("winsize", json!(17)),
        ("levels", json!(1)),
        ("poly_n", json!(7)),
        ("poly_sigma", json!(1.3)),
        ("iterations", json!(2)),
        ("flags", json!(256)),
    ] {
        assert_fails("flow/far_it1", |_, m| {
            flow_entry(m, "far_it1")["params"][field] = value.clone();
        });
    }
    assert_fails("flow/zoom_even", |_, m| {
        flow_entry(m, "zoom_even_win_pyr06")["params"]["pyr_scale"] = json!(0.5);
    });
    assert_fails("flow_stages/", |dir, _| {
        // The last number of the last tensor; its highest byte holds sign and exponent.
        change_last(&dir.join("flow/zoom_stages.safetensors"), 0x40);
    });
}

#[test]
fn what_cannot_be_checked_is_an_error() {
    let refused = |edit: &dyn Fn(&mut Value)| {
        let outcome = check_edited(|_, manifest| edit(manifest));
        assert!(outcome.is_err(), "{outcome:?}");
    };
    refused(&|m| m["hough"] = json!([]));
    refused(&|m| m["canny"][0]["blur"] = json!(3));
    refused(&|m| m["gray"][0]["tolerance"] = json!("about"));
    refused(&|m| m["gray"][0]["bgr"] = json!("nobody"));
    refused(&|m| m["morphology"][0]["op"] = json!("hitmiss"));
    refused(&|m| m["morphology"][0]["ksize"] = json!([3, 5]));
    refused(&|m| m["structuring_elements"][0]["shape"] = json!("diamond"));
    refused(&|m| m["resize"][0]["mode"] = json!("cubic"));
    refused(&|m| m["flow_stages"]["of"] = json!("nobody"));
    refused(&|m| flow_entry(m, "far_it1")["params"]["flags"] = json!(1));
    refused(&|m| flow_entry(m, "far_it1")["params"]["flags"] = json!(4));
    refused(&|m| flow_entry(m, "far_init")["init"]["rule"] = json!("zero"));
}

#[test]
fn a_check_without_a_case_is_an_error() {
    let empty = check_edited(|_, m| *m = json!({ "reference": {}, "frames": {}, "flow": [] }));
    assert!(matches!(empty, Err(CheckError::Empty(_))), "{empty:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = check_case::run("vision", folder.path());
    assert!(matches!(missing, Err(CheckError::File { .. })), "{missing:?}");
    let unknown = check_case::run("nobody", &subset());
    assert!(matches!(unknown, Err(CheckError::UnknownModel { .. })), "{unknown:?}");
}

fn flow_entry<'a>(manifest: &'a mut Value, name: &str) -> &'a mut Value {
    let flows = manifest["flow"].as_array_mut().expect("a list");
    flows.iter_mut().find(|flow| flow["name"] == name).expect("is listed")
}

fn swap_flow(manifest: &mut Value, name: &str, other: &str) {
    let file = flow_entry(manifest, other)["file"].clone();
    flow_entry(manifest, name)["file"] = file;
}

/// Flips bits of the last byte of a file.
fn change_last(path: &Path, bits: u8) {
    let mut bytes = fs::read(path).expect("a file");
    *bytes.last_mut().expect("is not empty") ^= bits;
    fs::write(path, bytes).expect("the copy can be written");
}
