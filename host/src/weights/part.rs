//! A file on its way: `<name>.part`, with what is needed to go on after an interruption.
//!
//! Owns the part, its note (`<name>.part.json`) and its running digests. Always: the digests are of
//! the part's bytes from the first to the last; the note was written before the first byte that it
//! speaks of; a finished file was flushed to disk before it got its name.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::PullError;

/// Read and written at once.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// What a part is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) url: String,
    /// `ETag` (a strong one) or `Last-Modified`; without one a part cannot go on.
    pub(super) validator: Option<String>,
    pub(super) bytes_total: Option<u64>,
}

/// Both digests of a whole file, lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) blake3: String,
}

#[derive(Clone, Default)]
struct Running {
    bytes: u64,
    sha256: Sha256,
    blake3: blake3::Hasher,
}

impl Running {
    fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sha256.update(bytes);
        self.blake3.update(bytes);
    }

    fn finish(self) -> Digests {
        let sha256 = self.sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Digests { bytes: self.bytes, sha256, blake3: self.blake3.finalize().to_hex().to_string() }
    }
}

/// Both digests of the file at `path`; `seen` hears of every chunk.
pub(super) fn digest(path: &Path, mut seen: impl FnMut(u64)) -> Result<Digests, PullError> {
    let disk = |error| PullError::disk(path, error);
    let mut running = Running::default();
    let mut file = File::open(path).map_err(disk)?;
    read_all(&mut file, |bytes| {
        running.update(bytes);
        seen(bytes.len() as u64);
    })
    .map_err(disk)?;
    Ok(running.finish())
}

fn read_all(file: &mut File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => each(&buffer[..count]),
        }
    }
}

/// A part that is open.
pub(super) struct Part {
    path: PathBuf,
    /// Where the whole file goes.
    target: PathBuf,
    file: File,
    running: Running,
    note: Option<Note>,
}

impl Part {
    /// Opens the part of `target`, or an empty one.
    pub(super) fn open(target: &Path) -> Result<Self, PullError> {
        let path = with_suffix(target, ".part");
        let disk = |error| PullError::disk(&path, error);
        let options = File::options().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(disk)?;
        let note = fs::read(with_suffix(target, ".part.json")).ok();
        let note: Option<Note> = note.and_then(|text| serde_json::from_slice(&text).ok());
        let mut running = Running::default();
        read_all(&mut file, |bytes| running.update(bytes)).map_err(disk)?;
        Ok(Self { path, target: target.to_owned(), file, running, note })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.running.bytes
    }

    /// What it is a part of, if it can go on.
    pub(super) fn resumable(&self, url: &str) -> Option<&Note> {
        let note = self.note.as_ref()?;
        (self.bytes() > 0 && note.url == url && note.validator.is_some()).then_some(note)
    }

    /// Empties it; what comes now is what `note` says.
    pub(super) fn restart(&mut self, note: Note) -> Result<(), PullError> {
        let disk = |error| PullError::disk(&self.path, error);
        self.file.set_len(0).map_err(disk)?;
        self.file.seek(SeekFrom::Start(0)).map_err(disk)?;
        self.running = Running::default();
        let path = with_suffix(&self.target, ".part.json");
        let text = serde_json::to_vec(&note).unwrap_or_default();
        fs::write(&path, text).map_err(|error| PullError::disk(&path, error))?;
        self.note = Some(note);
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.file.write_all(bytes).map_err(|error| PullError::disk(&self.path, error))?;
        self.running.update(bytes);
        Ok(())
    }

    /// Gives the whole file its name, if its digest is `sha256` where that is known. A wrong one is
    /// removed: there is nothing to go on from.
    pub(super) fn finish(self, sha256: Option<&str>) -> Result<Digests, PullError> {
        let disk = |error| PullError::disk(&self.path, error);
        let digests = self.running.finish();
        let note = with_suffix(&self.target, ".part.json");
        if let Some(want) = sha256.filter(|want| **want != digests.sha256) {
            let _ = fs::remove_file(&note);
            fs::remove_file(&self.path).map_err(disk)?;
            return Err(PullError::Wrong {
                file: file_name(&self.target),
                what: "the SHA-256",
                got: digests.sha256,
                want: want.to_owned(),
            });
        }
        self.file.sync_all().map_err(disk)?;
        fs::rename(&self.path, &self.target).map_err(disk)?;
        // Without its part it says nothing.
        let _ = fs::remove_file(note);
        Ok(digests)
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
