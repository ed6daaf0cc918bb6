//! The handle of a blob: immutable bytes in memory or in a file, or a part of either.
//!
//! Owns the reading of bytes at offsets. Cheap to clone; a slice shares its parent's bytes. A
//! temporary file lives as long as the last handle on it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem::Finder;
use tempfile::TempPath;

use super::{CHUNK_BYTES, blocking};
use crate::ids::Digest;

/// Longest pattern that [`Blob::find`] looks for; more is never found.
const PATTERN_BYTES_MAX: usize = 256;

/// Immutable bytes.
#[derive(Debug, Clone)]
pub struct Blob {
    source: Arc<Source>,
    offset: u64,
    size: u64,
    media_type: Arc<str>,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    File {
        file: File,
        /// The digest of the whole file, where it is known.
        digest: Option<Digest>,
        /// Deleted with the last handle; `None` for a file that has its place.
        temp: Option<TempPath>,
    },
}

impl Blob {
    /// A blob in memory.
    #[must_use]
    pub fn memory(bytes: Bytes, media_type: Arc<str>) -> Self {
        let size = bytes.len() as u64;
        Self { source: Arc::new(Source::Memory(bytes)), offset: 0, size, media_type }
    }

    /// A temporary file whose bytes are known to have `digest`.
    pub(super) fn temporary(
        file: File,
        temp: TempPath,
        digest: Digest,
        media_type: Arc<str>,
    ) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let source = Arc::new(Source::File { file, digest: Some(digest), temp: Some(temp) });
        Ok(Self { source, offset: 0, size, media_type })
    }

    /// The file of these bytes in its place.
    pub(super) fn open(path: &Path, digest: Digest, media_type: Arc<str>) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let source = Arc::new(Source::File { file, digest: Some(digest), temp: None });
        Ok(Self { source, offset: 0, size, media_type })
    }

    /// Length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// As declared by whoever made it.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The digest of these bytes where it is known without reading them: a file as a whole.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        let Source::File { file, digest: Some(digest), .. } = &*self.source else { return None };
        let is_whole = self.offset == 0 && file.metadata().is_ok_and(|it| it.len() == self.size);
        is_whole.then_some(digest)
    }

    /// A part of this blob; cut at its end.
    #[must_use]
    pub fn slice(&self, offset: u64, length: u64, media_type: Arc<str>) -> Self {
        let offset = offset.min(self.size);
        let size = length.min(self.size - offset);
        Self { source: self.source.clone(), offset: self.offset + offset, size, media_type }
    }

    /// The bytes, when they are in memory: no copy.
    #[must_use]
    pub fn as_memory(&self) -> Option<Bytes> {
        match &*self.source {
            Source::Memory(bytes) => {
                let start = usize::try_from(self.offset).expect("in memory");
                let end = start + usize::try_from(self.size).expect("in memory");
                Some(bytes.slice(start..end))
            }
            Source::File { .. } => None,
        }
    }

    /// Up to `length` bytes from `offset`; fewer at the end.
    ///
    /// # Errors
    /// Of the disk.
    pub fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let offset = offset.min(self.size);
        let length = length.min(usize::try_from(self.size - offset).unwrap_or(usize::MAX));
        match &*self.source {
            Source::Memory(bytes) => {
                let start = usize::try_from(self.offset + offset).expect("in memory");
                Ok(bytes[start..start + length].to_vec())
            }
            Source::File { file, .. } => {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, self.offset + offset)?;
                Ok(buffer)
            }
        }
    }

    /// As [`Self::read_at`], off the async threads when the bytes are on disk.
    ///
    /// # Errors
    /// Of the disk.
    pub async fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        if matches!(&*self.source, Source::Memory(_)) {
            return self.read_at(offset, length);
        }
        let blob = self.clone();
        blocking(move || blob.read_at(offset, length)).await
    }

    /// Where `pattern` first occurs at or after `start`.
    ///
    /// # Errors
    /// Of the disk.
    pub async fn find(&self, pattern: &[u8], start: u64) -> io::Result<Option<u64>> {
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX || start >= self.size {
            return Ok(None);
        }
        if let Some(bytes) = self.as_memory() {
            let from = usize::try_from(start).expect("in memory");
            let found = memchr::memmem::find(&bytes[from..], pattern);
            return Ok(found.map(|at| start + at as u64));
        }
        let (blob, pattern) = (self.clone(), pattern.to_vec());
        blocking(move || blob.find_on_disk(&pattern, start)).await
    }

    fn find_on_disk(&self, pattern: &[u8], start: u64) -> io::Result<Option<u64>> {
        let finder = Finder::new(pattern);
        let mut at = start;
        while at + pattern.len() as u64 <= self.size {
            let chunk = self.read_at(at, CHUNK_BYTES)?;
            if let Some(found) = finder.find(&chunk) {
                return Ok(Some(at + found as u64));
            }
            // The next chunk begins where an occurrence that this one cuts would begin.
            at += (chunk.len() - (pattern.len() - 1)) as u64;
        }
        Ok(None)
    }

    /// A file of exactly these bytes and their digest. A whole temporary file is linked, anything
    /// else copied and hashed on the way.
    pub(super) fn into_file(self, temp_dir: &Path) -> io::Result<(Digest, TempPath)> {
        if let Source::File { file, digest: Some(digest), temp: Some(path) } = &*self.source
            && self.offset == 0
            && self.size == file.metadata()?.len()
        {
            let link =
                tempfile::Builder::new().make_in(temp_dir, |new| std::fs::hard_link(path, new))?;
            return Ok((digest.clone(), link.into_temp_path()));
        }
        let mut out = tempfile::NamedTempFile::new_in(temp_dir)?;
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < self.size {
            let chunk = self.read_at(at, CHUNK_BYTES)?;
            hasher.update(&chunk);
            out.write_all(&chunk)?;
            at += chunk.len() as u64;
        }
        Ok((hasher.finalize().into(), out.into_temp_path()))
    }
}

/// Digest and length of a file.
pub(super) fn digest_file(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hasher.finalize().into(), bytes));
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}
