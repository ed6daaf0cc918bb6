//! The parts of `guests` that need no compiler.

use serde_json::json;

use super::*;
use crate::workspace::TestFolder;

#[test]
fn members_that_are_cdylibs_become_components_in_their_folder() {
    let package = |name: &str, kind: &str, path: &str| {
        json!({
            "name": name,
            "manifest_path": format!("/r/guest-components/{path}/Cargo.toml"),
            "targets": [{ "name": name.replace('-', "_"), "crate_types": [kind] }],
        })
    };
    let metadata = json!({ "packages": [
        package("sdk", "lib", "sdk"),
        package("rate-limit", "cdylib", "rate-limit"),
        package("trap", "cdylib", "fixtures/trap"),
        package("pre-hook", "cdylib", "examples/pre-hook"),
    ]});
    let guests = guests(&metadata, Path::new("/r/guest-components"));
    let outputs: Vec<PathBuf> = guests.iter().map(|guest| guest.output(Path::new(""))).collect();
    assert_eq!(
        outputs,
        ["rate-limit.wasm", "examples/pre-hook.wasm", "fixtures/trap.wasm"].map(PathBuf::from)
    );
    assert_eq!(guests[0].module, "rate_limit.wasm");
}

#[test]
fn components_without_a_source_are_removed_and_others_stay() {
    let root = TestFolder::new();
    let guest = Guest { name: "auth".into(), module: "auth.wasm".into(), folder: String::new() };
    for name in ["auth.wasm", "gone.wasm"] {
        fs::write(root.path().join(name), "").expect("a file");
    }
    remove_strays(root.path(), &[guest]).expect("a readable folder");
    assert!(root.path().join("auth.wasm").exists());
    assert!(!root.path().join("gone.wasm").exists());
}

#[test]
fn a_target_is_there_only_with_its_standard_library() {
    let sysroot = TestFolder::new();
    let folder = sysroot.path().join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&folder).expect("a folder");
    assert!(!has_std(sysroot.path()));
    fs::write(folder.join("libstd-0123.rlib"), "").expect("a file");
    assert!(has_std(sysroot.path()));
}

#[test]
fn a_component_that_imports_wasi_is_named() {
    // What `(component (import "wasi:x/y" (instance)))` assembles to.
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend([0x07, 0x03, 0x01, 0x42, 0x00]);
    bytes.extend([0x0a, 0x0d, 0x01, 0x00, 0x08]);
    bytes.extend(b"wasi:x/y");
    bytes.extend([0x05, 0x00]);
    let foreign = foreign_imports(&bytes).expect("a component");
    assert_eq!(foreign.into_iter().collect::<Vec<_>>(), ["wasi:x/y"]);
}

#[test]
fn other_bytes_have_another_stamp() {
    assert_eq!(digest(b"a"), digest(b"a"));
    assert_ne!(digest(b"a"), digest(b"b"));
}
