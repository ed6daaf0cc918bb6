//! `cargo xtask deny`: licences, bans and sources of every dependency, as deny.toml has them.
//!
//! `cargo deny` does it where it is installed; else this file does, from `cargo metadata`, for the
//! parts of deny.toml that need no download. Advisories need the database that `cargo deny` keeps.

mod expression;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::Value;

use self::expression::is_allowed;
use crate::process;
use crate::suite::Tally;
use crate::workspace::{Scope, Workspace, list, metadata, text};

/// The only place crates may come from, as cargo writes it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks, prints, and says it by the exit code.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let tally = check(workspace)?;
    println!("{tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One check for each of the two workspaces.
pub(crate) fn check(workspace: &Workspace) -> Result<Tally> {
    let mut tally = Tally::default();
    for manifest in [workspace.root.join("Cargo.toml"), workspace.guest_manifest()] {
        println!("deny: {}", workspace.short(&manifest).display());
        let passed = if process::find_program("cargo-deny").is_some() {
            by_cargo_deny(workspace, &manifest)
        } else {
            by_metadata(workspace, &manifest)?
        };
        tally.add(Tally::of(passed));
    }
    Ok(tally)
}

fn by_cargo_deny(workspace: &Workspace, manifest: &Path) -> bool {
    let database = std::env::home_dir().map(|home| home.join(".cargo/advisory-dbs"));
    let mut checks = vec!["licenses", "bans", "sources"];
    if database.is_some_and(|database| database.is_dir()) {
        checks.push("advisories");
    } else {
        println!("deny: no advisory database on this machine; `cargo deny fetch` gets it");
    }
    let mut command = process::cargo();
    command.args(["deny", "--offline", "--manifest-path"]).arg(manifest).arg("check");
    command.arg("--config").arg(workspace.root.join("deny.toml")).args(checks);
    process::run(&mut command).inspect_err(|error| println!("deny: {error}")).is_ok()
}

fn by_metadata(workspace: &Workspace, manifest: &Path) -> Result<bool> {
    let policy = fs::read_to_string(workspace.root.join("deny.toml"))?;
    let policy: toml::Table = policy.parse().context("deny.toml is TOML")?;
    let metadata = metadata(manifest, Scope::Tree)?;
    let packages = packages(&metadata);
    for duplicate in duplicates(&packages) {
        println!("deny: warning: {duplicate}");
    }
    let faults = faults(&packages, &policy)?;
    for fault in &faults {
        println!("deny: {fault}");
    }
    let count = packages.len();
    println!("deny: {count} crates: licences, bans and sources checked here; advisories were not");
    println!("deny: (`cargo install cargo-deny` brings the whole check)");
    Ok(faults.is_empty())
}

/// The packages of the resolved tree; metadata also lists some that no target of ours uses.
fn packages(metadata: &Value) -> Vec<&Value> {
    let nodes = metadata.get("resolve").map_or(&[][..], |resolve| list(resolve, "nodes"));
    let used: BTreeSet<&str> = nodes.iter().map(|node| text(node, "id")).collect();
    let packages = list(metadata, "packages").iter();
    packages.filter(|package| used.contains(text(package, "id"))).collect()
}

/// What deny.toml does not allow.
fn faults(packages: &[&Value], policy: &toml::Table) -> Result<Vec<String>> {
    let section = |name: &str, key: &str| {
        let list = policy.get(name).and_then(|section| section.get(key));
        list.and_then(toml::Value::as_array).with_context(|| format!("deny.toml: {name}.{key}"))
    };
    let allow: Vec<&str> =
        section("licenses", "allow")?.iter().filter_map(toml::Value::as_str).collect();
    let ban = |ban: &'_ toml::Value| {
        let field = |key| Some(ban.get(key)?.as_str()?.to_owned());
        Some((field("crate")?, field("reason")?))
    };
    let bans: BTreeMap<String, String> = section("bans", "deny")?.iter().filter_map(ban).collect();
    let mut faults = Vec::new();
    for package in packages {
        let name = format!("{} {}", text(package, "name"), text(package, "version"));
        let licence = text(package, "license");
        if !is_allowed(licence, &allow) {
            faults.push(format!("{name}: licence `{licence}` is not in deny.toml"));
        }
        if let Some(reason) = bans.get(text(package, "name")) {
            faults.push(format!("{name}: banned ({reason})"));
        }
        let source = text(package, "source");
        if !source.is_empty() && source != CRATES_IO {
            faults.push(format!("{name}: comes from {source}, not from crates.io"));
        }
    }
    Ok(faults)
}

fn duplicates(packages: &[&Value]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(text(package, "name")).or_default().insert(text(package, "version"));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let line = |(name, versions): (&str, BTreeSet<&str>)| {
        format!("{name} in {} versions: {}", versions.len(), Vec::from_iter(versions).join(", "))
    };
    versions.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT"]
        [bans]
        deny = [{ crate = "openssl-sys", reason = "one TLS stack" }]
    "#;

    fn check(package: Value) -> Vec<String> {
        faults(&[&package], &POLICY.parse().expect("TOML")).expect("a complete policy")
    }

    #[test]
    fn a_crate_of_an_allowed_licence_from_crates_io_passes() {
        let package = json!({
            "name": "a", "version": "1.0.0", "license": "MIT OR GPL-3.0", "source": CRATES_IO
        });
        assert_eq!(check(package), [""; 0]);
    }

    #[test]
    fn a_banned_crate_of_another_licence_from_git_has_three_faults() {
        let package = json!({
            "name": "openssl-sys", "version": "1.0.0", "license": "GPL-3.0", "source": "git+x"
        });
        assert_eq!(
            check(package),
            [
                "openssl-sys 1.0.0: licence `GPL-3.0` is not in deny.toml",
                "openssl-sys 1.0.0: banned (one TLS stack)",
                "openssl-sys 1.0.0: comes from git+x, not from crates.io",
            ]
        );
    }

    #[test]
    fn a_crate_in_two_versions_is_listed() {
        let package = |version: &str| json!({ "name": "rand", "version": version });
        let (old, new) = (package("0.8.8"), package("0.9.5"));
        assert_eq!(duplicates(&[&old, &new]), ["rand in 2 versions: 0.8.8, 0.9.5"]);
        assert_eq!(duplicates(&[&old]), [""; 0]);
    }
}
