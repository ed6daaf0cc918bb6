//! The step `clients` of `cargo xtask test`: the Python package, against the built gate.
//!
//! Owns a virtual environment in `target/clients/`, filled from PyPI once for each list of
//! versions; a second run needs no network. What is tested is the wheel as customers install it.
//! Needs the steps `guests` and `build`. Knows nothing of what the package does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::suite::Tally;
use crate::workspace::Workspace;

/// From the root.
const PACKAGE: &str = "clients/python";
/// What the environment was made of, written last: where it is, the environment is whole.
const STAMP: &str = "made-of.txt";

/// Lints, format, types and tests; `count` runs a command and adds up its result lines.
pub(crate) fn check(
    workspace: &Workspace,
    count: impl FnOnce(&mut Command) -> Result<Tally>,
) -> Result<Tally> {
    let environment = Environment::ready(workspace)?;
    let mut tally = Tally::default();
    let lints: [&[&str]; 3] = [&["ruff", "check"], &["ruff", "format", "--check"], &["mypy"]];
    for words in lints {
        let mut lint = environment.python(&["-m"]);
        if let Err(error) = process::run(lint.args(words)) {
            println!("clients: {error:#}");
            tally.add(Tally::of(false));
        } else {
            tally.add(Tally::of(true));
        }
    }
    environment.install_package()?;
    tally.add(count(&mut environment.python(&["-m", "pytest", "--quiet"]))?);
    Ok(tally)
}

/// A Python of our own.
#[derive(Debug)]
struct Environment {
    folder: PathBuf,
    package: PathBuf,
    target: PathBuf,
}

impl Environment {
    /// The environment with the versions of today's list.
    ///
    /// # Errors
    /// No Python, or no PyPI where it has to be asked.
    fn ready(workspace: &Workspace) -> Result<Self> {
        let base = process::find_program("python3").context("no python3: run cargo xtask setup")?;
        let package = workspace.root.join(PACKAGE);
        let folder = workspace.target.join("clients/venv");
        let version = process::stdout(Command::new(&base).arg("--version"))?;
        let made_of = made_of(&base, &version, &package)?;
        let environment = Self { folder, package, target: workspace.target.clone() };
        let stamp = environment.folder.join(STAMP);
        if fs::read_to_string(&stamp).is_ok_and(|text| text == made_of) {
            println!(
                "clients: {} is as it should be",
                workspace.short(&environment.folder).display()
            );
            return Ok(environment);
        }
        let mut venv = Command::new(&base);
        process::run(venv.args(["-m", "venv", "--clear"]).arg(&environment.folder))
            .context("no virtual environment (Debian: apt-get install python3-venv)")?;
        let list = environment.package.join("requirements-dev.txt");
        let mut install = environment.python(&["-m", "pip", "install", "--quiet", "--requirement"]);
        process::run(install.arg(list)).context("PyPI is needed once for each list of versions")?;
        fs::write(stamp, made_of).context("cannot write into the new environment")?;
        Ok(environment)
    }

    /// Builds the wheel and installs it in place of the last one, without a network.
    fn install_package(&self) -> Result<()> {
        let mut install = self.python(&["-m", "pip", "install", "--quiet"]);
        install.args(["--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall"]);
        process::run(install.arg(&self.package))
    }

    /// A command that leaves nothing in the source tree.
    fn python(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join("bin/python"));
        command.current_dir(&self.package).args(words);
        let caches = self.target.join("clients");
        command.env("POSTERN_TARGET", &self.target);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
        command.env("RUFF_CACHE_DIR", caches.join("ruff"));
        command.env("MYPY_CACHE_DIR", caches.join("mypy"));
        command.env("PYTEST_ADDOPTS", format!("-o cache_dir={}", caches.join("pytest").display()));
        command
    }
}

/// What an environment depends on, as text: the interpreter and the list of versions.
fn made_of(python: &Path, version: &str, package: &Path) -> Result<String> {
    let list = package.join("requirements-dev.txt");
    let list = fs::read_to_string(&list).with_context(|| format!("no {}", list.display()))?;
    Ok(format!("{} {}\n{list}", python.display(), version.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::TestFolder;

    #[test]
    fn another_python_or_another_list_makes_another_environment() {
        let folder = TestFolder::new();
        let with = |version: &str, list: &str| {
            fs::write(folder.path().join("requirements-dev.txt"), list).expect("a file");
            made_of(Path::new("/bin/python3"), version, folder.path()).expect("the list is there")
        };
        let first = with("Python 3.11\n", "a==1\n");
        assert_eq!(first, "/bin/python3 Python 3.11\na==1\n");
        assert_ne!(first, with("Python 3.12\n", "a==1\n"));
        assert_ne!(first, with("Python 3.11\n", "a==2\n"));
    }
}
