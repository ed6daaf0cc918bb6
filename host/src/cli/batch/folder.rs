//! The files of a batch: which there are, and whether those of a job are still the same.
//!
//! Owns the walk. Always: nothing outside of the folder is entered (links to folders are not
//! followed), hidden names and the results' own folder are passed over, and the order is by name.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::blobs::blocking;
use crate::cli::client::gate::Fault;

/// Most files of one batch: each takes some hundred bytes of memory.
const FILES_MAX: usize = 1_000_000;
/// Folders within folders.
const DEPTH_MAX: usize = 64;

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path below the batch's folder.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// What becomes one job.
#[derive(Debug)]
pub(super) struct Input {
    /// For people; also the path of its results below theirs.
    pub(super) name: String,
    /// Its files, each with the form's part.
    pub(super) files: Vec<(String, PathBuf)>,
    /// Why it cannot be sent.
    pub(super) fault: Option<String>,
}

/// What a file was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified_ns: u64,
    /// BLAKE3: a file that was copied anew, so that its time is another, is still the same.
    digest: String,
    /// Those of the other files of the same job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<State>,
}

impl State {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&Self, &Self)| a.bytes == b.bytes && a.digest == b.digest;
        is_same((self, other))
            && self.more.len() == other.more.len()
            && self.more.iter().zip(&other.more).all(is_same)
    }

    /// That of one of the files alone.
    fn file(&self, index: usize) -> Option<Self> {
        let file = if index == 0 { Some(self) } else { self.more.get(index - 1) };
        file.map(|state| Self { more: Vec::new(), ..state.clone() })
    }

    fn of(path: &Path, known: Option<Self>) -> io::Result<Self> {
        let failed = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        let meta = std::fs::metadata(path).map_err(failed)?;
        let since = meta.modified().map_err(failed)?.duration_since(UNIX_EPOCH);
        let since = since.unwrap_or(Duration::ZERO).as_nanos();
        let modified_ns = u64::try_from(since).unwrap_or(u64::MAX);
        let as_known = |known: &Self| (known.bytes, known.modified_ns);
        if let Some(known) = known.filter(|it| as_known(it) == (meta.len(), modified_ns)) {
            return Ok(known);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path).map_err(failed)?).map_err(failed)?;
        let digest = hasher.finalize().to_hex().to_string();
        Ok(Self { bytes: meta.len(), modified_ns, digest, more: Vec::new() })
    }
}

impl Input {
    /// Reads the files, but those whose size and time are those of `known`.
    ///
    /// # Errors
    /// Of the disk, with the path.
    pub(super) async fn look(&self, known: Option<&State>) -> io::Result<State> {
        let (files, known) = (self.files.clone(), known.cloned());
        let look = move || {
            let known = |index| known.as_ref().and_then(|known| known.file(index));
            let files = files.iter().enumerate();
            let mut states = files.map(|(index, (_, path))| State::of(path, known(index)));
            let none = || Err(io::Error::other("there are no files"));
            let first = states.next().unwrap_or_else(none)?;
            Ok(State { more: states.collect::<io::Result<_>>()?, ..first })
        };
        blocking(look).await
    }
}

/// Every file below `dir` but those below `out`.
///
/// # Errors
/// `Files`: a folder cannot be read. `Usage`: too many.
pub(super) fn files(dir: &Path, out: &Path) -> Result<Vec<Found>, Fault> {
    let out = out.canonicalize().ok();
    let mut found = Vec::new();
    let mut folders = vec![(dir.to_owned(), String::new(), 0)];
    while let Some((folder, below, depth)) = folders.pop() {
        let failed = |error: io::Error| Fault::Files(format!("{}: {error}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            let Ok(name) = entry.file_name().into_string() else {
                return Err(Fault::Files(format!("{}: the name is no text", path.display())));
            };
            if name.starts_with('.') {
                continue;
            }
            let name = format!("{below}{name}");
            if kind.is_dir() {
                let is_out = out.is_some() && path.canonicalize().ok() == out;
                if !is_out && depth < DEPTH_MAX {
                    folders.push((path, format!("{name}/"), depth + 1));
                }
            } else if path.is_file() {
                found.push(Found { name, path });
            }
            if found.len() > FILES_MAX {
                return Err(Fault::Usage(format!("more than {FILES_MAX} files; take fewer")));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_order_and_without_results_or_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b.png", "below/c.png", "below/deeper/a.png", "out/b.png/x.ply", ".git/d"] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), name).unwrap();
        }
        std::fs::write(root.join(".hidden"), "").unwrap();
        std::os::unix::fs::symlink(root, root.join("around")).unwrap();
        std::os::unix::fs::symlink(root.join("b.png"), root.join("a.png")).unwrap();
        let found = files(root, &root.join("out")).unwrap();
        let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a.png", "b.png", "below/c.png", "below/deeper/a.png"]);
        assert!(files(&root.join("none"), root).is_err());
    }

    #[tokio::test]
    async fn a_file_is_the_same_while_its_bytes_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let files = vec![("part".to_owned(), path.clone())];
        let input = Input { name: "a".into(), files, fault: None };
        std::fs::write(&path, "one").unwrap();
        let one = input.look(None).await.unwrap();
        let touched = State { modified_ns: one.modified_ns - 1, ..one.clone() };
        assert!(touched.is_same(&input.look(Some(&touched)).await.unwrap()));
        // Of the same size and time, it is not read again.
        let other = State { digest: "other".into(), ..one.clone() };
        assert_eq!(input.look(Some(&other)).await.unwrap(), other);
        std::fs::write(&path, "three").unwrap();
        assert!(!one.is_same(&input.look(Some(&one)).await.unwrap()));
        std::fs::remove_file(&path).unwrap();
        assert!(input.look(None).await.unwrap_err().to_string().contains("a: "));
    }

    #[tokio::test]
    async fn a_set_is_the_same_while_each_of_its_files_is() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let files = paths.iter().map(|path| ("part".to_owned(), path.clone())).collect();
        let input = Input { name: "set".into(), files, fault: None };
        let write = |texts: [&str; 2]| {
            paths.iter().zip(texts).for_each(|(path, text)| std::fs::write(path, text).unwrap());
        };
        write(["one", "two"]);
        let one = input.look(None).await.unwrap();
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), one);
        assert_eq!(input.look(Some(&one)).await.unwrap(), one);
        write(["one", "three"]);
        let other = input.look(Some(&one)).await.unwrap();
        assert!(!one.is_same(&other) && !one.is_same(&one.file(0).unwrap()));
        write(["two", "one"]);
        assert!(!one.is_same(&input.look(None).await.unwrap()), "each has its place");
        write(["one", "two"]);
        assert!(one.is_same(&input.look(Some(&other)).await.unwrap()));
    }
}
