//! Pulls against a publisher on this machine that breaks off, changes its mind or lies.

mod shelf;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use shelf::{Act, Shelf};

/// Three chunks and a bit, so that a cut falls into the middle of one.
const BYTES: usize = (3 << 20) + 12_345;

fn model() -> Vec<u8> {
    (0..BYTES).map(|index| u8::try_from(index * 31 % 251).unwrap()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A source of one file at these addresses.
fn source(urls: &[String]) -> Source {
    let text = serde_json::json!({
        "name": "toy",
        "title": "Toy",
        "homepage": "https://example.org",
        "licence": {
            "id": "LicenseRef-Toy",
            "title": "Toy licence",
            "url": "https://example.org/licence",
            "summary": "Play.",
            "research_only": true,
            "acceptance": true,
        },
        "files": [{ "name": "model.bin", "from": { "kind": "url", "urls": urls } }],
    });
    serde_json::from_value(text).unwrap()
}

struct Bench {
    dir: TempDir,
    puller: Puller,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sidecar = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/weights/tests/sidecar.sh");
        let puller = Puller {
            folder: dir.path().join("weights"),
            catalogue: Catalogue::new(sidecar),
            network: Network::default(),
            clock: Clock::system(),
            sleep: |_: Duration| {},
        };
        Self { dir, puller }
    }

    fn installed(&self) -> Option<Vec<u8>> {
        fs::read(self.puller.folder.join("toy/model.bin")).ok()
    }

    fn part(&self) -> PathBuf {
        self.puller.folder.join(".incoming/toy/model.bin.part")
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn a_file_is_fetched_digested_and_recorded() {
    let (bench, shelf) = (Bench::new(), Shelf::with(&model(), []));
    let source = source(&[shelf.url()]);
    assert!(!bench.puller.installed(&source).complete);
    let files = bench.puller.pull(&source, None).unwrap();
    assert_eq!(bench.installed(), Some(model()));
    assert_eq!(
        (files[0].bytes, files[0].sha256.as_str()),
        (BYTES as u64, sha256(&model()).as_str())
    );
    assert_eq!(files[0].blake3, blake3::hash(&model()).to_hex().to_string());
    assert_eq!(files[0].from, shelf.url());
    assert!(bench.puller.installed(&source).complete);
    assert!(!bench.puller.folder.join(".incoming/toy").exists());
    assert_eq!(bench.puller.verify(&source).unwrap(), files);
}

#[test]
fn a_broken_connection_goes_on_where_it_broke() {
    let cuts = [Act::CutAfter(1 << 20), Act::CutAfter(1000), Act::Status(503)];
    let (bench, shelf) = (Bench::new(), Shelf::with(&model(), cuts));
    bench.puller.pull(&source(&[shelf.url()]), None).unwrap();
    assert_eq!(bench.installed(), Some(model()));
    let ranges = shelf.ranges();
    assert_eq!(ranges.len(), 4, "{ranges:?}");
    assert_eq!(ranges[0], None);
    assert!(ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    assert_eq!(ranges[2], ranges[3]);
}

#[test]
fn a_pull_that_was_killed_goes_on_in_another_process() {
    let (bench, shelf) =
        (Bench::new(), Shelf::with(&model(), [Act::CutAfter(1 << 20), Act::Status(404)]));
    let source = source(&[shelf.url()]);
    assert!(bench.puller.pull(&source, None).is_err());
    let kept = fs::metadata(bench.part()).unwrap().len();
    assert!(kept > 0);
    assert_eq!(bench.installed(), None);
    bench.puller.pull(&source, None).unwrap();
    assert_eq!(bench.installed(), Some(model()));
    assert_eq!(shelf.ranges().last().unwrap().as_deref(), Some(&*format!("bytes={kept}-")));
}

#[test]
fn two_versions_of_a_file_are_never_put_together() {
    let other: Vec<u8> = model().into_iter().rev().collect();
    for second in [Act::Change(other.clone()), Act::WrongRange] {
        let changed = matches!(second, Act::Change(_));
        let (bench, shelf) =
            (Bench::new(), Shelf::with(&model(), [Act::CutAfter(1 << 20), second]));
        bench.puller.pull(&source(&[shelf.url()]), None).unwrap();
        assert_eq!(bench.installed(), Some(if changed { other.clone() } else { model() }));
    }
}

#[test]
fn a_wrong_digest_leaves_nothing_to_go_on_from() {
    let (bench, shelf) = (Bench::new(), Shelf::with(&model(), []));
    let mut source = source(&[shelf.url()]);
    source.files[0].sha256 = Some(sha256(b"another"));
    let error = bench.puller.pull(&source, None).unwrap_err();
    assert!(matches!(error, PullError::Wrong { what: "the SHA-256", .. }), "{error}");
    assert_eq!((bench.installed(), bench.part().exists()), (None, false));
    source.files[0].sha256 = Some(sha256(&model()));
    bench.puller.pull(&source, None).unwrap();
    assert_eq!(bench.installed(), Some(model()));
}

#[test]
fn a_wrong_size_is_noticed_before_the_bytes_come() {
    let (bench, shelf) = (Bench::new(), Shelf::with(&model(), []));
    let mut source = source(&[shelf.url()]);
    source.files[0].bytes = Some(7);
    let error = bench.puller.pull(&source, None).unwrap_err();
    assert!(matches!(error, PullError::Wrong { what: "the size", .. }), "{error}");
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 0);
}

#[test]
fn the_next_address_is_asked_when_one_has_no_file() {
    let gone = Shelf::with(b"", [Act::Status(404)]);
    let (bench, shelf) = (Bench::new(), Shelf::with(&model(), []));
    bench.puller.pull(&source(&[gone.url(), shelf.url()]), None).unwrap();
    assert_eq!(bench.installed(), Some(model()));
    gone.then([Act::Status(403)]);
    let error = Bench::new().puller.pull(&source(&[gone.url()]), None).unwrap_err();
    assert!(matches!(error, PullError::NotThere { status: 403, .. }), "{error}");
}

#[test]
fn without_a_network_it_says_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = source(&[format!("http://{free}/model.bin")]);
    let error = Bench::new().puller.pull(&source, None).unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("postern pull toy --from model.bin"), "{error}");
}

#[test]
fn without_an_index_the_model_is_named_and_not_the_package() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut bench = Bench::new();
    bench.puller.network.index_url = Some(format!("http://{free}/simple"));
    let mut source = source(&[]);
    source.files[0].from = super::source::From::Pypi { package: "some-package".to_owned() };
    let error = bench.puller.pull(&source, None).unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("postern pull toy --from model.bin"), "{error}");
}

#[test]
fn weights_come_from_a_file_a_folder_or_another_address() {
    let bench = Bench::new();
    let source = source(&[]);
    let file = bench.file("downloads/renamed.bin", &model());
    let pull = |from: Origin| bench.puller.pull(&source, Some(&from));
    pull(Origin::Path(file.clone())).unwrap();
    assert_eq!(bench.installed(), Some(model()));
    let folder = file.parent().unwrap().to_owned();
    let error = pull(Origin::Path(folder.clone())).unwrap_err();
    assert!(matches!(error, PullError::NotInFolder { .. }), "{error}");
    bench.file("downloads/model.bin", b"from a folder");
    pull(Origin::Path(folder)).unwrap();
    assert_eq!(bench.installed().as_deref(), Some(b"from a folder".as_slice()));
    let shelf = Shelf::with(&model(), []);
    pull(Origin::Url(shelf.url())).unwrap();
    assert_eq!(bench.installed(), Some(model()));
    let folder = shelf.url().trim_end_matches("model.bin").to_owned();
    pull(Origin::Url(folder)).unwrap();
    assert_eq!(bench.puller.verify(&source).unwrap()[0].from, shelf.url());
}

#[test]
fn what_lies_beside_comes_along_and_goes_with_the_next_weights() {
    let bench = Bench::new();
    let mut source = source(&[]);
    let beside = serde_json::json!({ "name": "config.json", "from": { "kind": "beside" } });
    source.files.push(serde_json::from_value(beside).unwrap());
    let file = bench.file("small/model.bin", b"small");
    bench.file("small/config.json", b"{}");
    let folder = Origin::Path(file.parent().unwrap().to_owned());
    assert_eq!(bench.puller.pull(&source, Some(&folder)).unwrap().len(), 2);
    let config = bench.puller.folder.join("toy/config.json");
    assert_eq!(fs::read(&config).unwrap(), b"{}");
    assert_eq!(bench.puller.verify(&source).unwrap().len(), 2);
    let file = bench.file("large.bin", &model());
    assert_eq!(bench.puller.pull(&source, Some(&Origin::Path(file))).unwrap().len(), 1);
    assert!(!config.exists());
}

#[test]
fn a_file_that_is_not_the_models_is_refused_and_the_old_one_stays() {
    let bench = Bench::new();
    let source = source(&[]);
    let good = bench.file("good", &model());
    bench.puller.pull(&source, Some(&Origin::Path(good))).unwrap();
    let bad = bench.file("bad", b"wrong");
    let error = bench.puller.pull(&source, Some(&Origin::Path(bad))).unwrap_err();
    assert!(matches!(error, PullError::NotTheModel { .. }), "{error}");
    assert!(error.to_string().contains("1 missing: a.weight"), "{error}");
    assert_eq!(bench.installed(), Some(model()));
}

#[test]
fn verify_finds_a_changed_byte_and_a_missing_file() {
    let bench = Bench::new();
    let source = source(&[]);
    let error = bench.puller.verify(&source).unwrap_err();
    assert!(matches!(error, PullError::NotInstalled(_)), "{error}");
    let good = bench.file("good", &model());
    bench.puller.pull(&source, Some(&Origin::Path(good))).unwrap();
    let mut bytes = model();
    bytes[BYTES / 2] ^= 1;
    fs::write(bench.puller.folder.join("toy/model.bin"), bytes).unwrap();
    let error = bench.puller.verify(&source).unwrap_err();
    assert!(matches!(error, PullError::Wrong { what: "the SHA-256", .. }), "{error}");
}

#[test]
fn two_pulls_of_one_model_do_not_mix() {
    let bench = Bench::new();
    let source = source(&[]);
    let incoming = bench.puller.folder.join(".incoming");
    fs::create_dir_all(&incoming).unwrap();
    let held = fs::File::create(incoming.join("toy.lock")).unwrap();
    held.try_lock().unwrap();
    let file = bench.file("good", &model());
    let error = bench.puller.pull(&source, Some(&Origin::Path(file))).unwrap_err();
    assert!(matches!(error, PullError::Busy(_)), "{error}");
}

#[test]
fn other_terms_need_another_yes() {
    let bench = Bench::new();
    let mut source = source(&[]);
    assert!(!bench.puller.is_accepted(&source));
    bench.puller.accept(&source, "someone").unwrap();
    assert!(bench.puller.is_accepted(&source));
    let text = fs::read_to_string(bench.puller.folder.join("toy/licence.json")).unwrap();
    assert!(text.contains("someone") && text.contains("LicenseRef-Toy"), "{text}");
    source.licence.summary.push_str(" But not on Sundays.");
    assert!(!bench.puller.is_accepted(&source));
}

#[test]
fn files_of_an_archive_are_taken_out_and_the_archive_goes() {
    let bench = Bench::new();
    let mut source = source(&[]);
    let archive = serde_json::json!({
        "name": "model.whl",
        "from": { "kind": "pypi", "package": "toy" },
    });
    let member = serde_json::json!({
        "name": "vocabulary.txt",
        "from": { "kind": "member", "archive": "model.whl" },
    });
    source.archives = vec![serde_json::from_value(archive).unwrap()];
    source.files = vec![serde_json::from_value(member).unwrap()];
    let wheel = bench.file("some.whl", b"words");
    let files = bench.puller.pull(&source, Some(&Origin::Path(wheel.clone()))).unwrap();
    assert_eq!((files.len(), files[0].name.as_str()), (1, "vocabulary.txt"));
    assert_eq!(files[0].from, wheel.display().to_string());
    let folder = bench.puller.folder.join("toy");
    assert_eq!(fs::read(folder.join("vocabulary.txt")).unwrap(), b"words");
    assert!(!folder.join("model.whl").exists());
}
