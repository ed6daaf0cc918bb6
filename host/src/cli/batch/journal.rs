//! The journal of a batch: a line of JSON for each step of each file, beside the results.
//!
//! Owns the file and its form. Always: a line is written before what it says is relied on, and a
//! line that is torn (the process was killed in the middle of it) counts as not written. The last
//! line about a file is what is known. One batch at a time has the journal.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::folder::State;
use crate::cli::client::gate::Fault;

/// The file's name; hidden, so that no batch takes it for an input.
const NAME: &str = ".postern-batch.jsonl";
/// Longest line that is read: a path, a digest and why it failed.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What is known about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// What was asked for.
    ask: String,
    pub(super) input: State,
    #[serde(flatten)]
    pub(super) stage: Stage,
}

/// How far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub(super) enum Stage {
    /// The gate has this job.
    Accepted { job: String },
    /// The results are here.
    Done,
    /// It is tried again by the next batch.
    Failed { why: String },
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    entry: Entry,
}

/// The journal of one folder of results.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Locked while this process has it.
    file: Mutex<File>,
    /// As it was when the batch began.
    known: HashMap<String, Entry>,
}

/// A digest of what is asked of every file: service, route, part, parameters.
pub(super) fn ask(words: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

impl Entry {
    pub(super) fn new(ask: &str, input: &State, stage: Stage) -> Self {
        Self { ask: ask.to_owned(), input: input.clone(), stage }
    }

    /// Is it about this question and these bytes?
    pub(super) fn is_of(&self, ask: &str, input: &State) -> bool {
        self.ask == ask && self.input.is_same(input)
    }
}

impl Journal {
    /// Opens or makes the journal of `out`, which is made too.
    ///
    /// # Errors
    /// `Files`; `Usage` while another batch has it.
    pub(super) fn open(out: &Path) -> Result<Self, Fault> {
        let path = out.join(NAME);
        let failed = |error: io::Error| failed(&path, &error);
        std::fs::create_dir_all(out).map_err(failed)?;
        let options = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let mut file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another batch works on {}", out.display());
                return Err(Fault::Usage(text));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let known = read(&mut file).map_err(failed)?;
        Ok(Self { path, file: Mutex::new(file), known })
    }

    /// What earlier batches have left about a file.
    pub(super) fn known(&self, file: &str) -> Option<&Entry> {
        self.known.get(file)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// `Files`.
    pub(super) fn add(&self, file: &str, entry: Entry) -> Result<(), Fault> {
        let line = Line { file: file.to_owned(), entry };
        let failed = |error: io::Error| failed(&self.path, &error);
        let text = serde_json::to_string(&line).map_err(|error| failed(error.into()))? + "\n";
        self.file.lock().write_all(text.as_bytes()).map_err(failed)
    }
}

/// The last entry of each file; a torn line at the end is ended, so that the next one stands alone.
fn read(file: &mut File) -> io::Result<HashMap<String, Entry>> {
    let mut known = HashMap::new();
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(&*file);
    let mut line = Vec::new();
    let mut is_torn = false;
    loop {
        line.clear();
        if (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        is_torn = line.last() != Some(&b'\n');
        if let Ok(Line { file, entry }) = serde_json::from_slice(&line) {
            known.insert(file, entry);
        }
    }
    drop(reader);
    if is_torn {
        file.write_all(b"\n")?;
    }
    Ok(known)
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    Fault::Files(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(digest: &str, stage: Stage) -> Entry {
        let state = json!({"bytes": 1, "modified_ns": 2, "digest": digest});
        Entry::new("ask", &serde_json::from_value(state).unwrap(), stage)
    }

    #[test]
    fn the_last_line_about_a_file_counts_and_a_torn_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new");
        let accepted = entry("x", Stage::Accepted { job: "job_1".into() });
        {
            let journal = Journal::open(&out).unwrap();
            assert!(matches!(Journal::open(&out), Err(Fault::Usage(_))), "one at a time");
            journal.add("a", accepted.clone()).unwrap();
            journal.add("b", accepted.clone()).unwrap();
            journal.add("a", entry("x", Stage::Done)).unwrap();
            assert_eq!(journal.known("a"), None, "what was there when it began");
        }
        let path = out.join(NAME);
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(br#"{"file":"b","ask":"ask","stage":"do"#);
        std::fs::write(&path, text).unwrap();
        {
            let journal = Journal::open(&out).unwrap();
            assert_eq!(journal.known("a"), Some(&entry("x", Stage::Done)));
            assert_eq!(journal.known("b"), Some(&accepted));
            journal.add("c", accepted.clone()).unwrap();
        }
        assert_eq!(Journal::open(&out).unwrap().known("c"), Some(&accepted));
    }

    #[test]
    fn other_bytes_or_another_question_are_not_known() {
        let done = entry("x", Stage::Done);
        assert!(done.is_of("ask", &entry("x", Stage::Done).input));
        assert!(!done.is_of("ask", &entry("y", Stage::Done).input));
        assert!(!done.is_of("other", &done.input));
        assert_ne!(ask(&["a", "bc"]), ask(&["ab", "c"]));
    }
}
