//! Outputs of a job as files of a folder.
//!
//! Owns the folder. Always: a file appears under its name only when it is whole and its digest is
//! the one that the gate gave; nothing is replaced without `--force`; no name of the gate leads out
//! of the folder. A download that breaks leaves `.<name>.<digest>.part`, and goes on from there
//! also when another call asks for it.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::gate::{self, Fault};
use super::job::Context;

/// A download that brings nothing for so long is broken.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Bytes that are read at once to find a digest.
const PIECE_BYTES: usize = 256 << 10;
/// Longest name of a file that is made; with what surrounds it, below the 255 of Linux.
const NAME_BYTES_MAX: usize = 160;
/// Digits of a digest.
const DIGEST_CHARS: usize = 64;
/// The job itself, written last.
const RESULT: &str = "result.json";

/// Where a job's files go.
#[derive(Debug)]
pub(in crate::cli) struct Folder {
    path: PathBuf,
    force: bool,
}

/// One output as the job lists it.
#[derive(Debug)]
struct Output {
    /// What it is called here.
    name: String,
    url: String,
    bytes: u64,
}

/// What an earlier try left.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    path: PathBuf,
    digest: String,
    bytes: u64,
}

impl Folder {
    pub(in crate::cli) fn new(path: PathBuf, force: bool) -> Self {
        Self { path, force }
    }

    /// Asked before a new job is sent: would its result be in the way of another's?
    ///
    /// # Errors
    /// `Usage`.
    pub(in crate::cli) fn check_free(&self) -> Result<(), Fault> {
        let result = self.path.join(RESULT);
        if !self.force && result.exists() {
            let text = format!("{} exists; --force replaces it", result.display());
            return Err(Fault::Usage(text));
        }
        Ok(())
    }

    /// Are the results of a job here?
    pub(in crate::cli) fn is_done(&self) -> bool {
        self.path.join(RESULT).exists()
    }

    /// Writes every output of a finished job, then the job itself.
    ///
    /// # Errors
    /// `Files`, `Refused`, `Unreachable`.
    pub(in crate::cli) async fn save(
        &self,
        context: Context<'_>,
        job: &Value,
    ) -> Result<(), Fault> {
        std::fs::create_dir_all(&self.path).map_err(|error| failed(&self.path, &error))?;
        let outputs = outputs(job);
        for (index, output) in outputs.iter().enumerate() {
            let (name, count) = (&output.name, outputs.len());
            context.line.set(&format!("downloading {name}, {} of {count}", index + 1));
            self.fetch(context, output).await?;
        }
        self.write_result(job)
    }

    /// Downloads one output, over as many connections as it takes.
    async fn fetch(&self, context: Context<'_>, output: &Output) -> Result<(), Fault> {
        let target = self.path.join(&output.name);
        if target.exists() && !self.force {
            let hash = digest(&target).await.map_err(|error| failed(&target, &error))?;
            if is_of(context, output, hash.finalize().to_hex().as_str()).await? {
                return Ok(());
            }
            let text = format!("{} exists and is another; --force replaces it", target.display());
            return Err(Fault::Files(text));
        }
        let mut patience = context.gate.patience();
        let mut reached = 0;
        loop {
            match self.attempt(context, output).await {
                Ok(part) => return self.keep(&part, &target).await,
                Err(fault) => {
                    let now = self.part(output).map_or(0, |part| part.bytes);
                    if now > reached {
                        reached = now;
                        patience.renew();
                    }
                    patience.wait(fault).await?;
                }
            }
        }
    }

    /// One connection: goes on where the last one broke off.
    async fn attempt(&self, context: Context<'_>, output: &Output) -> Result<PathBuf, Fault> {
        let mut part = self.part(output);
        if let Some(whole) = part.take_if(|part| part.bytes >= output.bytes) {
            if is_of(context, output, &whole.digest).await? {
                return self.checked(&whole).await;
            }
            // Of another job, which had an output of the same name.
            remove(&whole.path)?;
        }
        let mut request = context.gate.request(Method::GET, &output.url);
        if let Some(part) = &part {
            let tag = format!("\"{}\"", part.digest);
            request = request.header(header::RANGE, format!("bytes={}-", part.bytes));
            // Other bytes under that name by now: then all of them come.
            request = request.header(header::IF_RANGE, tag);
        }
        let answer = context.gate.ask(gate::finished(request, gate::empty())?).await?;
        if !answer.status().is_success() {
            return Err(context.gate.json(answer).await.err().unwrap_or_else(odd_answer));
        }
        let tag = etag(answer.headers()).ok_or_else(odd_answer)?;
        let begun = match (&part, answer.status()) {
            (Some(part), StatusCode::PARTIAL_CONTENT) => {
                if part.digest != tag || first_byte(answer.headers()) != Some(part.bytes) {
                    return Err(odd_answer());
                }
                part.path.clone()
            }
            (None, StatusCode::PARTIAL_CONTENT) => return Err(odd_answer()),
            (old, _) => {
                if let Some(old) = old {
                    remove(&old.path)?;
                }
                self.path.join(part_name(&output.name, &tag))
            }
        };
        receive(context, answer, &begun).await?;
        let bytes = std::fs::metadata(&begun).map_err(|error| failed(&begun, &error))?.len();
        if bytes < output.bytes {
            return Err(Fault::Unreachable(format!("{} broke off", output.url)));
        }
        self.checked(&Part { path: begun, digest: tag, bytes }).await
    }

    /// A whole file, or a fault and no file: bytes that are wrong are not gone on from.
    async fn checked(&self, part: &Part) -> Result<PathBuf, Fault> {
        let hash = digest(&part.path).await.map_err(|error| failed(&part.path, &error))?;
        if hash.finalize().to_hex().as_str() == part.digest {
            return Ok(part.path.clone());
        }
        remove(&part.path)?;
        let text = format!("{} arrived with another digest", part.path.display());
        Err(Fault::Unreachable(text))
    }

    async fn keep(&self, part: &Path, target: &Path) -> Result<(), Fault> {
        let file = fs::File::open(part).await.map_err(|error| failed(part, &error))?;
        file.sync_all().await.map_err(|error| failed(part, &error))?;
        if !self.force && target.exists() {
            let text = format!("{} has appeared meanwhile", target.display());
            return Err(Fault::Files(text));
        }
        fs::rename(part, target).await.map_err(|error| failed(target, &error))
    }

    fn part(&self, output: &Output) -> Option<Part> {
        let prefix = format!(".{}.", output.name);
        let entries = std::fs::read_dir(&self.path).ok()?.flatten();
        entries.filter_map(|entry| part_of(&entry, &prefix)).next()
    }

    fn write_result(&self, job: &Value) -> Result<(), Fault> {
        let target = self.path.join(RESULT);
        let wrong = |error: &io::Error| failed(&target, error);
        let text = serde_json::to_string_pretty(job).map_err(|error| wrong(&error.into()))? + "\n";
        if !self.force && std::fs::read(&target).is_ok_and(|known| known == text.as_bytes()) {
            return Ok(());
        }
        let mut file = tempfile::Builder::new()
            .prefix(".result.")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(&self.path)
            .map_err(|error| wrong(&error))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all());
        written.map_err(|error| wrong(&error))?;
        let kept = if self.force { file.persist(&target) } else { file.persist_noclobber(&target) };
        kept.map(drop).map_err(|error| wrong(&error.error))
    }
}

/// Is this the digest of the output?
async fn is_of(context: Context<'_>, output: &Output, digest: &str) -> Result<bool, Fault> {
    let request = context.gate.request(Method::HEAD, &output.url);
    let request = request.header(header::IF_NONE_MATCH, format!("\"{digest}\""));
    let answer = context.gate.ask(gate::finished(request, gate::empty())?).await?;
    match answer.status() {
        StatusCode::NOT_MODIFIED => Ok(true),
        status if status.is_success() => Ok(false),
        _ => Err(context.gate.json(answer).await.err().unwrap_or_else(odd_answer)),
    }
}

/// Appends the body to a file; what arrived before a fault stays.
async fn receive(
    context: Context<'_>,
    answer: Response<Incoming>,
    path: &Path,
) -> Result<(), Fault> {
    let wrong = |error: &io::Error| failed(path, error);
    let mut options = fs::OpenOptions::new();
    let opened = options.create(true).append(true).open(path).await;
    let mut file = opened.map_err(|error| wrong(&error))?;
    let mut body = answer.into_body();
    let done = loop {
        let piece = match tokio::time::timeout(IDLE_MAX, body.frame()).await {
            Err(_) => break Err(Fault::Unreachable("the download does not move any more".into())),
            Ok(None) => break Ok(()),
            Ok(Some(Err(error))) => break Err(context.gate.unreachable(&error)),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_else(|_| Bytes::new()),
        };
        file.write_all(&piece).await.map_err(|error| wrong(&error))?;
    };
    file.flush().await.map_err(|error| wrong(&error))?;
    done
}

/// BLAKE3 of a file, in pieces.
async fn digest(path: &Path) -> io::Result<blake3::Hasher> {
    let mut hasher = blake3::Hasher::new();
    let mut file = fs::File::open(path).await?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = file.read(&mut piece).await?;
        if count == 0 {
            return Ok(hasher);
        }
        hasher.update(&piece[..count]);
    }
}

/// The outputs that the job lists, each with a name of its own.
fn outputs(job: &Value) -> Vec<Output> {
    let mut taken = HashSet::from([RESULT.to_owned()]);
    let listed = job["outputs"].as_array().into_iter().flatten();
    let output = |value: &Value| {
        let url = value["url"].as_str().filter(|url| url.starts_with('/'))?.to_owned();
        let name = free_name(value["name"].as_str()?, &mut taken);
        Some(Output { name, url, bytes: value["bytes"].as_u64()? })
    };
    listed.filter_map(output).collect()
}

/// A name that is a file of this folder and of no other, and not taken yet.
pub(in crate::cli) fn free_name(name: &str, taken: &mut HashSet<String>) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "_.- ".contains(c) { c } else { '_' };
    let mut safe: String = name.chars().map(safe).collect();
    while safe.len() > NAME_BYTES_MAX {
        safe.pop();
    }
    // No hidden file, no `..`, and not nothing.
    if safe.is_empty() || safe.starts_with('.') {
        safe.insert(0, '_');
    }
    let (stem, end) = match safe.rsplit_once('.') {
        Some((stem, end)) => (stem.to_owned(), format!(".{end}")),
        None => (safe.clone(), String::new()),
    };
    let mut count = 2;
    while !taken.insert(safe.clone()) {
        safe = format!("{stem}-{count}{end}");
        count += 1;
    }
    safe
}

fn part_name(name: &str, digest: &str) -> String {
    format!(".{name}.{digest}.part")
}

fn part_of(entry: &std::fs::DirEntry, prefix: &str) -> Option<Part> {
    let name = entry.file_name();
    let digest = name.to_str()?.strip_prefix(prefix)?.strip_suffix(".part")?;
    let bytes = entry.metadata().ok()?.len();
    is_digest(digest).then(|| Part { path: entry.path(), digest: digest.to_owned(), bytes })
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_CHARS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The digest in a strong `ETag`.
fn etag(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::ETAG)?.to_str().ok()?;
    let digest = text.strip_prefix('"')?.strip_suffix('"')?;
    is_digest(digest).then(|| digest.to_owned())
}

/// `content-range: bytes 100-199/200`: 100.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn odd_answer() -> Fault {
    Fault::Unreachable("the gate answered a download in an odd way; is it a gate?".into())
}

fn remove(path: &Path) -> Result<(), Fault> {
    std::fs::remove_file(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    Fault::Files(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder_or_to_another_file() {
        let job = json!({"outputs": [
            {"name": "a.png", "url": "/1", "bytes": 1},
            {"name": "../../etc/passwd", "url": "/2", "bytes": 1},
            {"name": "..", "url": "/3", "bytes": 1},
            {"name": "a.png", "url": "/4", "bytes": 1},
            {"name": "result.json", "url": "/5", "bytes": 1},
            {"name": "a\u{0}\n\\b", "url": "/6", "bytes": 1},
            {"name": "", "url": "/7", "bytes": 1},
            {"name": "elsewhere", "url": "http://elsewhere/8", "bytes": 1}
        ]});
        let names: Vec<String> = outputs(&job).into_iter().map(|output| output.name).collect();
        let want = ["a.png", "_.._.._etc_passwd", "_..", "a-2.png", "result-2.json", "a___b", "_"];
        assert_eq!(names, want);
        let long = free_name(&"é".repeat(300), &mut HashSet::new());
        assert!(long.len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn a_part_is_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let digest = "0a".repeat(32);
        for name in [part_name("a.png", &digest), part_name("b.png", "short"), "a.png".into()] {
            std::fs::write(folder.path().join(name), b"123").unwrap();
        }
        let kept = Folder::new(folder.path().to_owned(), false);
        let output = |name: &str| Output { name: name.into(), url: "/".into(), bytes: 9 };
        let path = folder.path().join(part_name("a.png", &digest));
        assert_eq!(kept.part(&output("a.png")), Some(Part { path, digest, bytes: 3 }));
        assert_eq!(kept.part(&output("b.png")), None);
        assert_eq!(kept.part(&output("png")), None);
    }
}
