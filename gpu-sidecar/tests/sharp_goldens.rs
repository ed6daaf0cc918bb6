//! SHARP's goldens pass, and a broken one does not.
//!
//! The tracked subset always runs. The whole set lies outside of the repository, in
//! `../shared/reference`; it runs where it exists, and under `CI=true` it must.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use postern_sidecar::check_case::{self, CheckError, Report, Setting, Stage};
use postern_sidecar::device::Precision;
use postern_sidecar::nn::{Kernels, Parameters};
use postern_sidecar::sharp::predictor::is_unused;
use postern_sidecar::sharp::{Config, Predictor};
use serde_json::{Value, json};

const CASES: usize = 16;
/// The small cases of the network's modules.
const NETWORKS: [&str; 6] = [
    "02_vit",
    "04_spn_encoder_overlap",
    "05_monodepth_decoder",
    "06_gaussian_decoder",
    "11_e2e_grid2_no_overlap",
    "14_depth_alignment_unet",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn subset() -> PathBuf {
    repository().join("tests/goldens/sharp")
}

/// What a GPU runs, on the CPU.
fn plain(precision: Precision) -> Setting {
    Setting { precision, kernels: Kernels::Plain, ..Setting::default() }
}

#[track_caller]
fn assert_passes(dir: &Path) -> Report {
    assert_passes_with(dir, Setting::default())
}

#[track_caller]
fn assert_passes_with(dir: &Path, setting: Setting) -> Report {
    let report = check_case::run_with("sharp", dir, setting).expect("every case can be checked");
    let failed: Vec<_> = report
        .cases
        .iter()
        .flat_map(|case| case.stages.iter().map(move |stage| (&case.case, stage)))
        .filter(|(_, stage)| !stage.pass)
        .collect();
    assert!(report.all_passed() && failed.is_empty(), "{failed:#?}");
    report
}

#[test]
fn the_tracked_subset_passes() {
    let report = assert_passes(&subset());
    let names: Vec<&str> = report.cases.iter().map(|case| case.case.as_str()).collect();
    assert!(names.contains(&"11_e2e_grid2_no_overlap") && names.contains(&"09_ply"), "{names:?}");
}

/// The folder of all cases, where it is.
#[expect(clippy::disallowed_methods, reason = "a test asks where it runs; it has no settings")]
fn whole_set() -> Option<PathBuf> {
    let whole = repository().join("../shared/reference/sharp/cases");
    if whole.join("00_scalar_functions").exists() {
        return Some(whole);
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci, "{} is missing", whole.display());
    None
}

#[test]
fn the_whole_set_passes_where_it_exists() {
    if let Some(whole) = whole_set() {
        assert_eq!(assert_passes(&whole).cases.len(), CASES);
    }
}

#[test]
fn what_a_gpu_runs_passes_the_tracked_subset_in_both_types() {
    for precision in [Precision::F32, Precision::Bf16] {
        assert_passes_with(&subset(), plain(precision));
    }
}

#[test]
fn what_a_gpu_runs_passes_every_module_in_both_types_where_the_set_exists() {
    let Some(whole) = whole_set() else { return };
    for case in NETWORKS {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_passes_with(&whole.join(case), plain(precision));
        }
    }
}

#[test]
fn half_size_is_not_let_off_what_it_can_keep() {
    let folder = subset().join("11_e2e_grid2_no_overlap");
    let stages = |precision| {
        let report = assert_passes_with(&folder, plain(precision));
        report.cases.into_iter().flat_map(|case| case.stages).collect::<Vec<_>>()
    };
    let (single, half) = (stages(Precision::F32), stages(Precision::Bf16));
    let error = |stages: &[Stage], name: &str| {
        stages.iter().find(|stage| stage.name == name).expect("is compared").max_abs
    };
    // What is rounded differs, what is computed in f32 all the same does not.
    assert!(error(&half, "out.colors") > 10.0 * error(&single, "out.colors"));
    assert_eq!(error(&half, "pre.disparity_factor"), error(&single, "pre.disparity_factor"));
    let compared = |stages: &[Stage]| {
        stages.iter().filter(|stage| !stage.name.ends_with("(not compared)")).count()
    };
    assert!(compared(&half) >= 10, "{half:#?}");
    assert!(single.len() == half.len());
}

/// Checks a copy of one case after `edit` changed its `case.json`.
fn check_edited(case: &str, edit: impl Fn(&mut Value)) -> Result<Report, CheckError> {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(subset().join(case)).expect("the case is tracked") {
        let path = entry.expect("an entry").path();
        // Read and write: a copied file would keep a read-only mode.
        let bytes = fs::read(&path).expect("a file");
        let name = path.file_name().expect("a file has a name");
        fs::write(copy.path().join(name), bytes).expect("the copy can be written");
    }
    let path = copy.path().join("case.json");
    let mut value = serde_json::from_slice(&fs::read(&path).expect("a case")).expect("JSON");
    edit(&mut value);
    fs::write(&path, value.to_string()).expect("the copy can be written");
    check_case::run("sharp", copy.path())
}

/// The stages that fail after `edit`.
#[track_caller]
fn failing(case: &str, edit: impl Fn(&mut Value)) -> Vec<String> {
    let report = check_edited(case, edit).expect("the case can still be checked");
    let stages = report.cases.iter().flat_map(|case| &case.stages);
    stages.filter(|stage| !stage.pass).map(|stage| stage.name.clone()).collect()
}

#[test]
fn a_wrong_number_fails_the_stages_that_depend_on_it() {
    let case = "11_e2e_grid2_no_overlap";
    let focal = failing(case, |m| m["config"]["f_px"] = json!(60.0));
    assert!(focal.contains(&"pre.disparity_factor".to_owned()), "{focal:?}");
    assert!(focal.contains(&"out.mean_vectors".to_owned()), "{focal:?}");
    assert!(!focal.iter().any(|stage| stage.starts_with("mono.")), "{focal:?}");
    let hooks = failing(case, |m| m["config"]["vit"]["hook_ids"] = json!([0, 2, 3, 4]));
    assert!(hooks.contains(&"init.global_scale".to_owned()), "{hooks:?}");

    let unprojection = failing("08_unproject", |m| m["config"]["image_width"] = json!(4000));
    assert!(unprojection.contains(&"unproject.matrix".to_owned()), "{unprojection:?}");
    let file = failing("09_ply", |m| m["config"]["image_height"] = json!(768));
    assert_eq!(file, ["ply.bytes.metadata"]);
}

#[test]
fn a_tensor_that_nobody_computes_is_a_failure() {
    let failed = failing("07_initializer_composer", |m| {
        let entry = m["tensors"]["depth.metric"].clone();
        m["tensors"]["depth.imperial"] = entry;
    });
    assert_eq!(failed, ["depth.imperial (not computed)"]);
}

#[test]
fn what_cannot_be_checked_is_an_error() {
    let vision = repository().join("tests/goldens/vision");
    let half = check_case::run_with("vision", &vision, plain(Precision::Bf16));
    assert!(matches!(half, Err(CheckError::OneForm { .. })), "{half:?}");
    let unknown = check_edited("09_ply", |m| m["kind"] = json!("obj"));
    assert!(matches!(unknown, Err(CheckError::Unsupported { .. })), "{unknown:?}");
    let compare = check_edited("07_initializer_composer", |m| {
        m["tensors"]["depth.metric"]["compare"] = json!("roughly");
    });
    assert!(compare.is_err(), "{compare:?}");
    let sizes = check_edited("11_e2e_grid2_no_overlap", |m| {
        m["config"]["dims_encoder"] = json!([16, 20, 24, 28, 33]);
    });
    assert!(matches!(sizes, Err(CheckError::Refused { .. })), "{sizes:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let empty = check_case::run("sharp", folder.path());
    assert!(matches!(empty, Err(CheckError::Empty(_))), "{empty:?}");
}

/// Says which tensors a network asks for; hands out zeros that take no memory.
struct Recorder(BTreeMap<String, Vec<usize>>);

impl Parameters for Recorder {
    fn take(&mut self, name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
        let before = self.0.insert(name.to_owned(), shape.to_vec());
        assert!(before.is_none(), "{name} is asked for twice");
        Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks where it runs; it has no settings")]
fn the_published_tensors_are_asked_for_by_name_and_shape_and_no_others() {
    let list = repository().join("../shared/reference/sharp/state_dict_full.tsv");
    let Ok(text) = fs::read_to_string(&list) else {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!in_ci, "{} is missing", list.display());
        return;
    };
    let mut asked = Recorder(BTreeMap::new());
    Predictor::load(&mut asked, Config::default(), &Device::Cpu).expect("zeros fit everywhere");
    let rows = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    let (mut used, mut unused) = (BTreeMap::new(), 0);
    for row in rows {
        let shape: Vec<usize> =
            row[1].split('x').map(|side| side.parse().expect("a number")).collect();
        assert_eq!(is_unused(row[0]), row[3] == "no", "{}", row[0]);
        if row[3] == "no" {
            unused += 1;
        } else {
            used.insert(row[0].to_owned(), shape);
        }
    }
    assert_eq!((used.len(), unused), (870, 168));
    assert_eq!(asked.0, used);
}
