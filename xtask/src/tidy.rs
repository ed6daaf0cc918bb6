//! The house rules that no compiler keeps, as tests over the tree (`cargo xtask tidy`).
//!
//! Owns the list of rules; each is a function from the tree to the places that break it, in the
//! file of its kind under `tidy/`, with a unit test that shows it a bad snippet. Reads files that
//! git tracks or would track; knows names and text, builds nothing. Start at `RULES`.

mod tree;

mod source;

mod rooms;

mod rust;

mod arrows;

mod manifests;

mod wit;

mod contracts;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

pub(crate) use self::tree::{File, Tree};
use crate::suite::Tally;
use crate::workspace::Workspace;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// From 1; 0 speaks of the file as a whole.
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Finding {
    fn new(file: &File, line: usize, text: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// A rule as one can say it, and how it is checked.
struct Rule {
    promise: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
}

const RULES: [Rule; 20] = [
    Rule { promise: "every Rust file opens with a `//!` header", check: rust::header },
    Rule { promise: "no file passes 500 lines without a `Long because`", check: rooms::length },
    Rule { promise: "no line passes 100 columns", check: rooms::columns },
    Rule { promise: "a file bears its noun; `foo.rs` stands beside `foo/`", check: rooms::names },
    Rule { promise: "nothing tracked passes 256 KiB unless listed", check: rooms::weight },
    Rule { promise: "no key lies in the tree", check: rooms::secrets },
    Rule { promise: "no leftover markers", check: rust::markers },
    Rule { promise: "no test is ignored or expects a panic", check: rust::test_attributes },
    Rule { promise: "`// SAFETY:` stands above each `unsafe`", check: rust::safety },
    Rule { promise: "`unsafe` lives in its few homes", check: rust::unsafe_homes },
    Rule { promise: "the host names no pipeline or service", check: arrows::models_in_host },
    Rule { promise: "the sidecar has no `tenant`", check: arrows::tenants_in_sidecar },
    Rule { promise: "no module of the host imports its caller", check: arrows::callers },
    Rule { promise: "the host has no candle", check: arrows::candle },
    Rule { promise: "the sidecar has no wasmtime", check: arrows::wasmtime },
    Rule { promise: "guests import no crate of ours but their own", check: arrows::guests },
    Rule { promise: "every member takes the workspace's lints", check: manifests::lints },
    Rule { promise: "the guests' lints are the root's", check: manifests::guest_lints },
    Rule { promise: "every dependency has a line of why", check: manifests::reasons },
    Rule { promise: "every WIT item says what it is", check: wit::documented },
];

/// Checks every rule, the contracts too when the host is built; or rewrites the contracts.
pub(crate) fn run(workspace: &Workspace, bless: bool) -> Result<ExitCode> {
    if bless {
        contracts::bless(workspace)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut tally = check(workspace)?;
    if contracts::can_compare(workspace) {
        tally.add(check_contracts(workspace));
    } else {
        println!("tidy: contracts left out; they need the built host and guests");
    }
    println!("{tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every rule that needs nothing built; each counts as one.
pub(crate) fn check(workspace: &Workspace) -> Result<Tally> {
    let tree = Tree::read(&workspace.root)?;
    let mut tally = Tally::default();
    for rule in &RULES {
        tally.add(report(rule.promise, (rule.check)(&tree)));
    }
    Ok(tally)
}

/// The checked-in contracts against what the built host prints.
pub(crate) fn check_contracts(workspace: &Workspace) -> Tally {
    report("the contracts are what the code says", contracts::compare(workspace))
}

fn report(promise: &str, mut findings: Vec<Finding>) -> Tally {
    if findings.is_empty() {
        return Tally::of(true);
    }
    findings.sort();
    println!("tidy: broken: {promise} ({} places)", findings.len());
    for finding in findings {
        println!("  {finding}");
    }
    Tally::of(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This very tree, as a colleague left it: rules must read it without fault of their own.
    #[test]
    fn every_rule_can_read_the_real_tree() {
        let workspace = Workspace::find().expect("built from the repository");
        let tree = Tree::read(&workspace.root).expect("git lists the files");
        assert!(tree.files().any(|file| file.path == "xtask/src/tidy.rs"));
        for rule in &RULES {
            for finding in (rule.check)(&tree) {
                assert!(!finding.path.is_empty(), "{}: {finding}", rule.promise);
            }
        }
    }

    #[test]
    fn a_finding_reads_as_editors_like_it() {
        let file = File::new("host/src/a.rs", "");
        assert_eq!(Finding::new(&file, 3, "x").to_string(), "host/src/a.rs:3: x");
        assert_eq!(Finding::new(&file, 0, "x").to_string(), "host/src/a.rs: x");
    }
}
