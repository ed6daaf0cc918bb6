//! Checkpoints made by the test, in both formats, whole and broken.

use std::collections::HashMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::Arc;

use safetensors::tensor::TensorView;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::pipeline::{Cancel, Cause};

/// A tensor of PyTorch's: name, storage's type, its bytes, offset, shape, strides.
struct Pickled<'a> {
    name: &'a str,
    storage: &'a str,
    data: Vec<u8>,
    offset: i32,
    shape: &'a [i32],
    stride: &'a [i32],
}

impl Default for Pickled<'_> {
    fn default() -> Self {
        let data = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let (shape, stride) = (&[2, 3], &[3, 1]);
        Self { name: "a.weight", storage: "FloatStorage", data, offset: 0, shape, stride }
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn text(value: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_le_bytes();
    [b"X", length.as_slice(), value.as_bytes()].concat()
}

fn numbers(values: &[i32]) -> Vec<u8> {
    let numbers = values.iter().flat_map(|value| [b"J".as_slice(), &value.to_le_bytes()].concat());
    [b"(".to_vec(), numbers.collect(), b"t".to_vec()].concat()
}

/// What `torch.save` writes for a dictionary of these tensors.
fn pickle(tensors: &[Pickled<'_>]) -> Vec<u8> {
    let mut bytes = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (index, tensor) in tensors.iter().enumerate() {
        bytes.extend(text(tensor.name));
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        bytes.extend(text("storage"));
        bytes.extend(format!("ctorch\n{}\n", tensor.storage).bytes());
        bytes.extend(text(&index.to_string()));
        bytes.extend(text("cpu"));
        bytes.extend(b"J\x06\x00\x00\x00tQ");
        bytes.extend([b"J".as_slice(), &tensor.offset.to_le_bytes()].concat());
        bytes.extend(numbers(tensor.shape));
        bytes.extend(numbers(tensor.stride));
        bytes.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    bytes.extend(b"u.");
    bytes
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in members {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn pytorch(tensors: &[Pickled<'_>]) -> Vec<u8> {
    let pickle = pickle(tensors);
    let names: Vec<String> = (0..tensors.len()).map(|key| format!("m/data/{key}")).collect();
    let data = names.iter().zip(tensors).map(|(name, tensor)| (name.as_str(), &*tensor.data));
    let mut members: Vec<(&str, &[u8])> = vec![("m/data.pkl", &pickle), ("m/byteorder", b"little")];
    members.extend(data);
    archive(&members)
}

fn safe(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        ((*name).to_owned(), TensorView::new(*dtype, shape.to_vec(), data).unwrap())
    });
    safetensors::serialize(views.collect::<HashMap<_, _>>(), None).unwrap()
}

fn write(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn open(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let (_dir, path) = write(bytes);
    Checkpoint::open(&[path])
}

#[track_caller]
fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = checkpoint.tensor(name, DType::F32, &Device::Cpu).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn both_formats_give_the_same_tensor() {
    let data = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for bytes in [pytorch(&[Pickled::default()]), safe(&[("a.weight", Dtype::F32, &[2, 3], &data)])]
    {
        let checkpoint = open(&bytes).unwrap();
        let info = checkpoint.info("a.weight").unwrap();
        assert_eq!((info.shape, info.dtype), (&[2, 3][..], Some(DType::F32)));
        assert_eq!(values(&checkpoint, "a.weight"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(checkpoint.tensor("b", DType::F32, &Device::Cpu).is_err());
    }
}

#[test]
fn a_tensor_is_a_window_of_its_storage_in_any_order() {
    let transposed =
        Pickled { name: "t", offset: 1, shape: &[2, 2], stride: &[1, 3], ..Pickled::default() };
    let scalar = Pickled { name: "s", offset: 5, shape: &[], stride: &[], ..Pickled::default() };
    let empty = Pickled { name: "e", shape: &[0, 3], stride: &[3, 1], ..Pickled::default() };
    let checkpoint = open(&pytorch(&[transposed, scalar, empty])).unwrap();
    assert_eq!(values(&checkpoint, "t"), [2.0, 5.0, 3.0, 6.0]);
    assert_eq!(values(&checkpoint, "s"), [6.0]);
    assert!(values(&checkpoint, "e").is_empty());
}

#[test]
fn halves_and_doubles_are_converted() {
    let half = half::bf16::from_f32(1.5).to_le_bytes();
    let checkpoint = open(&safe(&[
        ("double", Dtype::F64, &[1], &2.5_f64.to_le_bytes()),
        ("half", Dtype::BF16, &[1], &half),
    ]));
    let checkpoint = checkpoint.unwrap();
    assert_eq!(values(&checkpoint, "half"), [1.5]);
    assert_eq!(values(&checkpoint, "double"), [2.5]);
    let narrow = checkpoint.tensor("double", DType::F16, &Device::Cpu).unwrap();
    assert_eq!(narrow.dtype(), DType::F16);
}

#[test]
fn several_files_are_one_checkpoint_unless_a_name_comes_twice() {
    let one = [0_u8; 4];
    let (_a, first) = write(&safe(&[("x", Dtype::F32, &[1], &one)]));
    let (_b, second) = write(&safe(&[("y", Dtype::F32, &[1], &one)]));
    let checkpoint = Checkpoint::open(&[&first, &second]).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["x", "y"]);
    let error = Checkpoint::open(&[&first, &first]).unwrap_err();
    assert!(error.to_string().contains("`x` is there twice"), "{error}");
}

#[track_caller]
fn check_malformed(bytes: &[u8], want: &str) {
    let error = open(bytes).unwrap_err();
    assert!(matches!(error, CheckpointError::Malformed { .. }), "{error:?}");
    assert!(error.to_string().contains(want), "{error}");
}

#[test]
fn a_file_that_lies_is_refused_and_never_read_outside_itself() {
    check_malformed(b"", "neither safetensors");
    check_malformed(&[0xff; 64], "neither safetensors");
    check_malformed(b"PK\x03\x04 and no more", "");
    check_malformed(&archive(&[("m/other", b"x")]), "exactly one `data.pkl`");
    check_malformed(&archive(&[("m/data.pkl", b"\x80\x02}")]), "its pickle");
    check_malformed(&archive(&[("m/data.pkl", b"\x80\x02}.")]), "no state dict");
    let order = [("m/data.pkl", b"\x80\x02}.".as_slice()), ("m/byteorder", b"big")];
    check_malformed(&archive(&order), "little-endian");
    let damaged = |change: fn(&mut Pickled<'_>), want: &str| {
        let mut tensor = Pickled::default();
        change(&mut tensor);
        check_malformed(&pytorch(&[tensor]), want);
    };
    damaged(|tensor| tensor.offset = 1, "past its data");
    damaged(|tensor| tensor.offset = -1, "negative size");
    damaged(|tensor| tensor.shape = &[2, 4], "past its data");
    damaged(|tensor| tensor.stride = &[i32::MAX, i32::MAX], "past its data");
    damaged(|tensor| tensor.stride = &[1], "with strides");
    damaged(|tensor| tensor.storage = "SecretStorage", "unknown type SecretStorage");
    // A billion elements out of one.
    damaged(
        |tensor| (tensor.shape, tensor.stride) = (&[i32::MAX, i32::MAX], &[0, 0]),
        "past its data",
    );
    let whole = pytorch(&[Pickled::default()]);
    check_malformed(&whole[..whole.len() / 2], "");
}

#[test]
fn a_missing_file_is_unreadable_by_name() {
    let error = Checkpoint::open(&["/nowhere/weights.pt"]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/weights.pt"), "{error}");
    assert_eq!(RunError::from(error).fault().code, "weights_unreadable");
}

fn two_by_three(name: &str) -> Pickled<'_> {
    Pickled { name, ..Pickled::default() }
}

/// Takes these names and shapes.
fn build<'a>(
    wanted: &'a [(&'a str, &'a [usize])],
) -> impl FnOnce(&mut dyn Parameters) -> candle_core::Result<Vec<Tensor>> + 'a {
    move |source| wanted.iter().map(|(name, shape)| source.take(name, shape)).collect()
}

fn cpu() -> Placement<'static> {
    Placement { dtype: DType::F32, device: &Device::Cpu }
}

#[test]
fn a_load_takes_what_is_wanted_and_leaves_the_dead() {
    let checkpoint = open(&pytorch(&[two_by_three("a"), two_by_three("head.dead")])).unwrap();
    let mut seen = Vec::new();
    let mut report = |_, fraction| seen.push(fraction);
    let mut loading = Loading::new(Arc::default(), &mut report);
    let dead = |name: &str| name.starts_with("head.");
    let loaded = checkpoint.load(cpu(), dead, &mut loading, build(&[("a", &[2, 3])])).unwrap();
    assert_eq!((loaded.value.len(), loaded.memory_bytes), (1, 24));
    assert_eq!(seen, [0.0, 1.0]);
    checkpoint.check(dead, build(&[("a", &[2, 3])])).unwrap();
}

#[test]
fn every_difference_is_named_at_once() {
    let checkpoint =
        open(&pytorch(&[two_by_three("a"), two_by_three("b"), two_by_three("extra")])).unwrap();
    let wanted: [(&str, &[usize]); 4] =
        [("a", &[2, 3]), ("b", &[3, 2]), ("lost", &[1]), ("gone", &[1])];
    let mut report = |_, _| {};
    let mut loading = Loading::new(Arc::default(), &mut report);
    let loaded = checkpoint.load(cpu(), |_| false, &mut loading, build(&wanted));
    let checked = checkpoint.check(|_| false, build(&wanted));
    for error in [loaded.map(drop).unwrap_err(), checked.unwrap_err()] {
        let CheckpointError::Mismatch(mismatch) = &error else { panic!("{error:?}") };
        assert_eq!(mismatch.missing, ["gone", "lost"]);
        assert_eq!(mismatch.unexpected, ["extra"]);
        assert_eq!(mismatch.wrong, ["b ([2, 3], not [3, 2])"]);
        assert_eq!(RunError::from(error).fault().code, "weights_mismatch");
    }
}

#[test]
fn a_long_list_of_names_is_cut_and_counted() {
    let missing = (0..25).map(|index| format!("n{index:02}")).collect();
    let text = Mismatch { missing, ..Mismatch::default() }.to_string();
    assert!(text.starts_with("25 missing: n00, n01"), "{text}");
    assert!(text.ends_with("n19, and 5 more"), "{text}");
}

#[test]
fn a_cancelled_load_stops_between_tensors() {
    let checkpoint = open(&pytorch(&[two_by_three("a"), two_by_three("b")])).unwrap();
    let cancel = Arc::new(Cancel::default());
    let stopping = Arc::clone(&cancel);
    let mut report = |_, fraction: f64| {
        if fraction > 0.0 {
            stopping.set(Cause::Caller);
        }
    };
    let mut loading = Loading::new(cancel, &mut report);
    let wanted: [(&str, &[usize]); 2] = [("a", &[2, 3]), ("b", &[2, 3])];
    let error = checkpoint.load(cpu(), |_| false, &mut loading, build(&wanted)).unwrap_err();
    assert_eq!(RunError::from(error).fault().code, "canceled");
}

/// Written by PyTorch itself, with the same tensors as safetensors beside it. Lies outside the
/// repository; under `CI=true` it must be there.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks where it runs; it has no settings")]
fn pytorchs_own_archive_reads_as_its_safetensors_twin() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/sharp/cases");
    let case = shared.join("12_e2e_grid8_overlap");
    if !case.join("weights.pt").exists() {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!in_ci, "{} is missing", case.display());
        return;
    }
    let archive = Checkpoint::open(&[case.join("weights.pt")]).unwrap();
    let twin = Checkpoint::open(&[case.join("weights.safetensors")]).unwrap();
    assert!(twin.names().count() > 300);
    assert!(archive.names().eq(twin.names()));
    for name in twin.names() {
        assert_eq!(archive.info(name), twin.info(name), "{name}");
        assert_eq!(values(&archive, name), values(&twin, name), "{name}");
    }
}
