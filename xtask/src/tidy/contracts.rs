//! What others rely on, checked in under docs/contracts/ and compared with what the code says.
//!
//! The code speaks through `postern contracts --out DIR --components DIR` (routes are the
//! components' to say); which files there are is its business.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::tidy::Finding;
use crate::workspace::Workspace;
use crate::{guests, process};

const FOLDER: &str = "docs/contracts";

/// The WIT packages without comments and blank lines: what a component links against.
const WIT: &str = "wit.txt";

/// Files of a contracts folder by name.
type Contracts = BTreeMap<String, String>;

/// Only a built host can say its contracts, and it asks the components for theirs.
pub(super) fn can_compare(workspace: &Workspace) -> bool {
    workspace.binary("postern", false).is_file() && workspace.guests().is_dir()
}

pub(super) fn compare(workspace: &Workspace) -> Vec<Finding> {
    let read = || Ok((read(&workspace.root.join(FOLDER))?, speak(workspace)?));
    read().map_or_else(
        |error: anyhow::Error| {
            vec![Finding { path: FOLDER.to_owned(), line: 0, text: format!("{error:#}") }]
        },
        |(written, spoken)| differences(&written, &spoken),
    )
}

/// Builds components and host, and writes down what they say.
pub(super) fn bless(workspace: &Workspace) -> Result<()> {
    guests::run(workspace, None)?;
    let mut build = process::cargo();
    build.args(["build", "--workspace", "--exclude", "xtask", "--bins"]);
    process::run(build.current_dir(&workspace.root))?;
    let folder = workspace.root.join(FOLDER);
    let old = read(&folder)?;
    let spoken = speak(workspace)?;
    fs::create_dir_all(&folder)?;
    for (name, text) in &spoken {
        if old.get(name) != Some(text) {
            fs::write(folder.join(name), text)?;
            println!("tidy: wrote {FOLDER}/{name}");
        }
    }
    for name in old.keys().filter(|name| !spoken.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
        println!("tidy: removed {FOLDER}/{name}");
    }
    Ok(())
}

fn speak(workspace: &Workspace) -> Result<Contracts> {
    let folder: PathBuf = workspace.target.join("contracts");
    if folder.is_dir() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut postern = Command::new(workspace.binary("postern", false));
    postern.current_dir(&workspace.root);
    postern.args(["contracts", "--out"]).arg(&folder);
    process::stdout(postern.arg("--components").arg(workspace.guests()))?;
    let mut contracts = read(&folder)?;
    contracts.insert(WIT.to_owned(), wit(&workspace.root.join("wit"))?);
    Ok(contracts)
}

/// Every package of `folder` in the order of their names; a changed comment changes nothing.
fn wit(folder: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for package in fs::read_dir(folder)? {
        for file in fs::read_dir(package?.path())? {
            files.push(file?.path());
        }
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        for line in fs::read_to_string(&file)?.lines() {
            let code = line.split("//").next().unwrap_or("").trim_end();
            if !code.trim().is_empty() {
                text.push_str(code);
                text.push('\n');
            }
        }
    }
    Ok(text)
}

/// The README of the folder is for people, not a contract.
fn read(folder: &Path) -> Result<Contracts> {
    let mut contracts = Contracts::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(contracts) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().context("a listed file has a name")?.to_string_lossy();
        if path.is_file() && name != "README.md" {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            contracts.insert(name.into_owned(), text);
        }
    }
    Ok(contracts)
}

fn differences(written: &Contracts, spoken: &Contracts) -> Vec<Finding> {
    let finding = |name: &str, line: usize, text: String| {
        let text = format!("{text} (meant? `cargo xtask tidy --bless`)");
        Finding { path: format!("{FOLDER}/{name}"), line, text }
    };
    let mut findings = Vec::new();
    for name in written.keys().filter(|name| !spoken.contains_key(*name)) {
        findings.push(finding(name, 0, "the code says nothing of it".into()));
    }
    for (name, now) in spoken {
        let Some(then) = written.get(name) else {
            findings.push(finding(name, 0, "the code says it, but it is not checked in".into()));
            continue;
        };
        if then != now {
            let pairs = then.lines().zip(now.lines());
            let line = 1 + pairs.take_while(|(then, now)| then == now).count();
            let now = now.lines().nth(line - 1).unwrap_or("nothing more").trim();
            findings.push(finding(name, line, format!("the code now says `{now}`")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contracts(files: &[(&str, &str)]) -> Contracts {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_contract_that_changed_appeared_or_vanished_is_found() {
        let written = contracts(&[("a.txt", "1\n2\n"), ("b.txt", ""), ("same.txt", "x")]);
        let spoken = contracts(&[("a.txt", "1\n3\n"), ("c.txt", ""), ("same.txt", "x")]);
        let found = differences(&written, &spoken);
        let places: Vec<(&str, usize)> = found.iter().map(|f| (f.path.as_str(), f.line)).collect();
        assert_eq!(
            places,
            [("docs/contracts/b.txt", 0), ("docs/contracts/a.txt", 2), ("docs/contracts/c.txt", 0)]
        );
        assert!(found[1].text.starts_with("the code now says `3`"), "{}", found[1].text);
    }

    #[test]
    fn contracts_that_agree_pass() {
        let same = contracts(&[("a.txt", "1\n")]);
        assert_eq!(differences(&same, &same), []);
    }
}
