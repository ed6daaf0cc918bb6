//! `cargo xtask test`: every check and test, in the order in which they are cheap.
//!
//! Owns the steps and the sum. A step that is not made of tests counts as one. Always: the last
//! line is `N passed, N failed`, also when a step could not start; a step that fails does not keep
//! later ones from running, unless they need what it should have made. Start at `run`.

mod tally;

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

pub(crate) use self::tally::Tally;
use crate::workspace::Workspace;
use crate::{clients, cuda, guests, licences, process, setup, tidy};

/// One step: what it is called, whether the later ones are in vain without it, what it does.
struct Step {
    name: &'static str,
    needed: bool,
    run: fn(&Workspace, filter: &str) -> Result<Tally>,
}

const STEPS: [Step; 12] = [
    Step { name: "setup", needed: true, run: |_, _| setup::run().map(|()| Tally::default()) },
    Step { name: "fmt", needed: false, run: fmt },
    Step { name: "tidy", needed: false, run: |workspace, _| tidy::check(workspace) },
    Step { name: "deny", needed: false, run: |workspace, _| licences::check(workspace) },
    Step {
        name: "guests",
        needed: true,
        run: |workspace, _| guests::run(workspace, None).map(|()| Tally::default()),
    },
    Step { name: "clippy", needed: false, run: clippy },
    Step { name: "build", needed: true, run: build },
    Step {
        name: "contracts",
        needed: false,
        run: |workspace, _| Ok(tidy::check_contracts(workspace)),
    },
    Step { name: "cuda", needed: false, run: |workspace, _| cuda::check(workspace, count) },
    Step { name: "guest-tests", needed: false, run: guest_tests },
    Step { name: "tests", needed: false, run: tests },
    Step { name: "clients", needed: false, run: |workspace, _| clients::check(workspace, count) },
];

/// What a filter on test names still runs: the tests, and what they need.
const TEST_STEPS: [&str; 5] = ["setup", "guests", "build", "guest-tests", "tests"];

/// Runs all steps, or those that `only` selects, and prints the sum.
pub(crate) fn run(workspace: &Workspace, only: Option<&str>) -> Result<ExitCode> {
    let (steps, filter) = select(only);
    let start = Instant::now();
    let mut sum = Tally::default();
    for step in steps {
        println!("== {}", step.name);
        let began = Instant::now();
        let tally = (step.run)(workspace, filter).unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", step.name);
            Tally::of(false)
        });
        println!("== {}: {tally} ({})\n", step.name, process::seconds(began.elapsed()));
        sum.add(tally);
        if step.needed && tally.failed > 0 {
            println!("== the steps after {} need it and were left out", step.name);
            break;
        }
    }
    println!("== all: {}", process::seconds(start.elapsed()));
    println!("{sum}");
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A step's name selects that step; anything else is a part of test names.
fn select(only: Option<&str>) -> (Vec<&'static Step>, &str) {
    let Some(only) = only else { return (STEPS.iter().collect(), "") };
    let named: Vec<&Step> = STEPS.iter().filter(|step| step.name == only).collect();
    if !named.is_empty() {
        return (named, "");
    }
    (STEPS.iter().filter(|step| TEST_STEPS.contains(&step.name)).collect(), only)
}

fn fmt(workspace: &Workspace, _: &str) -> Result<Tally> {
    in_both(workspace, |command| command.args(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace, _: &str) -> Result<Tally> {
    in_both(workspace, |command| {
        command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    })
}

/// A cargo command in our workspace and in that of the guests, each of which counts as one.
fn in_both(workspace: &Workspace, with: impl Fn(&mut Command) -> &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    for mut command in [root_cargo(workspace), guest_cargo(workspace)] {
        let status = with(&mut command).status().context("cargo starts")?;
        tally.add(Tally::of(status.success()));
    }
    Ok(tally)
}

/// Binaries and tests at once, with the features that all of them together ask for: what the
/// end-to-end tests start is then also what `cargo test` links, and nothing is built twice.
/// Without xtask, which `cargo xtask` has built already, with its own smaller set of features.
fn build(workspace: &Workspace, _: &str) -> Result<Tally> {
    let mut command = root_cargo(workspace);
    command.args(["build", "--workspace", "--exclude", "xtask", "--bins", "--tests"]);
    process::run(&mut command).map(|()| Tally::default())
}

fn guest_tests(workspace: &Workspace, filter: &str) -> Result<Tally> {
    let mut command = guest_cargo(workspace);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    count(command.arg("--").arg(filter))
}

fn tests(workspace: &Workspace, filter: &str) -> Result<Tally> {
    let mut tally = Tally::default();
    for packages in [&["--package", "xtask"][..], &["--workspace", "--exclude", "xtask"]] {
        let mut command = root_cargo(workspace);
        command.arg("test").args(packages).arg("--no-fail-fast");
        tally.add(count(command.arg("--").arg(filter))?);
    }
    Ok(tally)
}

/// Runs `cargo test`, passes its output on line by line, and adds up what it says.
fn count(command: &mut Command) -> Result<Tally> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(command)))?;
    let output = child.stdout.take().context("its output is piped")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        tally.add(Tally::of_result_line(&line).unwrap_or_default());
    }
    // A test binary that did not compile or was killed prints no result; it must not pass unseen.
    if !child.wait()?.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

fn root_cargo(workspace: &Workspace) -> Command {
    let mut command = process::cargo();
    command.current_dir(&workspace.root);
    command
}

/// The guests' own workspace builds into its own folder, beside its components.
fn guest_cargo(workspace: &Workspace) -> Command {
    let mut command = process::cargo();
    command.current_dir(workspace.root.join("guest-components"));
    command.env_remove("CARGO_TARGET_DIR");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: Option<&str>) -> Vec<&'static str> {
        select(only).0.iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_step_is_selected_by_its_name_and_tests_by_anything_else() {
        assert_eq!(names(None).len(), STEPS.len());
        assert_eq!(names(Some("clippy")), ["clippy"]);
        assert_eq!(names(Some("tests")), ["tests"]);
        assert_eq!(names(Some("key_is")), ["setup", "guests", "build", "guest-tests", "tests"]);
        assert_eq!(select(Some("key_is")).1, "key_is");
        assert_eq!(select(Some("fmt")).1, "");
    }

    #[test]
    fn a_test_run_that_prints_no_result_and_fails_counts_as_failed() {
        let mut broken = Command::new("sh");
        let tally = count(broken.args(["-c", "echo 'error: no such crate'; exit 101"]));
        assert_eq!(tally.expect("sh starts"), Tally { passed: 0, failed: 1 });
    }

    #[test]
    fn results_of_several_test_binaries_are_added_up() {
        let mut two = Command::new("sh");
        let script = "echo 'test result: ok. 3 passed; 0 failed; 0 ignored'; \
                      echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored'; exit 101";
        let tally = count(two.args(["-c", script])).expect("sh starts");
        assert_eq!(tally, Tally { passed: 4, failed: 2 });
    }
}
