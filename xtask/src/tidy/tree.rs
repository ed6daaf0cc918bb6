//! The files that the rules look at: what git tracks, and what it would track.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::tidy::source::{Source, words};

/// Files of a repository, by path.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    files: Vec<File>,
    /// Modules that a parent declares under `#[cfg(test)]`, as paths without extension.
    test_modules: BTreeSet<String>,
}

/// One file; `text` is empty when it is not text.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) text: String,
    /// Comments and code told apart; empty for what is not Rust.
    pub(crate) source: Source,
}

/// Text past this is not read for rules about text; only its size counts.
const TEXT_BYTES_MAX: u64 = 1 << 20;

impl Tree {
    /// Reads every file that git lists; one deleted but still listed is passed over.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(root);
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listing = process::stdout(&mut git)?;
        let paths = listing.split('\0').filter(|path| !path.is_empty());
        Ok(Self::new(root, paths.filter_map(|path| File::read(root, path)).collect()))
    }

    /// A tree that exists only in a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File::new(path, text)).collect();
        Self::new(Path::new(""), files)
    }

    fn new(root: &Path, files: Vec<File>) -> Self {
        let test_modules = files.iter().flat_map(File::test_modules).collect();
        Self { root: root.to_owned(), files, test_modules }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// Rust files below a folder; all of them for an empty one.
    pub(crate) fn rust(&self, folder: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.is("rs") && file.path.starts_with(folder))
    }

    /// Files that hold nothing but tests: below `tests/`, or declared under `#[cfg(test)]`.
    pub(crate) fn is_test(&self, file: &File) -> bool {
        let path = file.path.trim_end_matches(".rs");
        path.split('/').any(|part| part == "tests") || self.test_modules.contains(path)
    }

    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let source = if path.ends_with(".rs") { Source::parse(text) } else { Source::default() };
        Self { path: path.to_owned(), bytes: text.len() as u64, text: text.to_owned(), source }
    }

    fn read(root: &Path, path: &str) -> Option<Self> {
        let full = root.join(path);
        let bytes = full.symlink_metadata().ok().filter(fs::Metadata::is_file)?.len();
        if bytes > TEXT_BYTES_MAX {
            return Some(Self { bytes, ..Self::new(path, "") });
        }
        let text = String::from_utf8(fs::read(full).ok()?).unwrap_or_default();
        Some(Self { bytes, ..Self::new(path, &text) })
    }

    /// Does the name end so?
    pub(crate) fn is(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, end)| end == extension)
    }

    /// The name without folder and extension.
    pub(crate) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.split('.').next().unwrap_or_default()
    }

    /// The children that this file declares as `#[cfg(test)] mod name;`.
    fn test_modules(&self) -> Vec<String> {
        let folder = match self.stem() {
            "lib" | "main" => self.path.rsplit_once('/').map_or("", |(folder, _)| folder),
            _ => self.path.trim_end_matches(".rs"),
        };
        let pairs = self.source.lines.windows(2);
        let declared = pairs.filter(|pair| pair[0].code.trim() == "#[cfg(test)]");
        let names = declared.filter_map(|pair| {
            let words: Vec<&str> = words(&pair[1].code).collect();
            let at = words.iter().position(|word| *word == "mod")?;
            words.get(at + 1).copied()
        });
        names.map(|name| format!("{folder}/{name}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_tests_are_known_by_their_folder_or_their_declaration() {
        let tree = Tree::of(&[
            ("host/src/store.rs", "#[cfg(test)]\nmod conformance;\nmod sqlite;\n"),
            ("host/src/store/conformance.rs", ""),
            ("host/src/store/sqlite.rs", ""),
            ("host/src/lib.rs", "#[cfg(test)]\npub(crate) mod double;\n"),
            ("host/src/double.rs", ""),
            ("host/src/gate/tests.rs", ""),
        ]);
        let tests = tree.files().filter(|file| tree.is_test(file));
        let paths: Vec<&str> = tests.map(|file| file.path.as_str()).collect();
        let want =
            ["host/src/store/conformance.rs", "host/src/double.rs", "host/src/gate/tests.rs"];
        assert_eq!(paths, want);
    }
}
