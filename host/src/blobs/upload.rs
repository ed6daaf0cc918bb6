//! The way in: a body becomes a blob while it is being received.
//!
//! Owns the bytes between socket and blob. Always: at most `memory_bytes` plus two chunks are in
//! memory, whatever the body's length; past `bytes_max` nothing is taken any more.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tempfile::NamedTempFile;

use super::{Blob, CHUNK_BYTES, blocking};

/// Why a body was not stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the body is longer than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("the body could not be stored")]
    Disk(#[from] std::io::Error),
}

/// A body on its way in. Dropping it deletes what came so far.
#[derive(Debug)]
pub struct Upload {
    dir: PathBuf,
    bytes_max: u64,
    memory_bytes: usize,
    received: u64,
    buffer: BytesMut,
    spilled: Option<Spilled>,
}

#[derive(Debug)]
struct Spilled {
    file: NamedTempFile,
    hasher: blake3::Hasher,
}

impl Upload {
    pub(super) fn new(dir: PathBuf, bytes_max: u64, memory_bytes: usize) -> Self {
        let buffer = BytesMut::new();
        Self { dir, bytes_max, memory_bytes, received: 0, buffer, spilled: None }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// `TooLarge` past the limit, `Disk`.
    pub async fn push(&mut self, bytes: &Bytes) -> Result<(), UploadError> {
        self.received += bytes.len() as u64;
        if self.received > self.bytes_max {
            return Err(UploadError::TooLarge { bytes_max: self.bytes_max });
        }
        self.buffer.extend_from_slice(bytes);
        let full = match &self.spilled {
            None => self.buffer.len() > self.memory_bytes,
            Some(_) => self.buffer.len() >= CHUNK_BYTES,
        };
        if full { self.spill().await } else { Ok(()) }
    }

    async fn spill(&mut self) -> Result<(), UploadError> {
        let chunk = std::mem::take(&mut self.buffer);
        let spilled = self.spilled.take();
        let dir = self.dir.clone();
        let (spilled, mut chunk) = blocking(move || {
            let mut spilled = match spilled {
                Some(spilled) => spilled,
                None => {
                    let file = NamedTempFile::new_in(dir)?;
                    Spilled { file, hasher: blake3::Hasher::new() }
                }
            };
            spilled.hasher.update(&chunk);
            spilled.file.write_all(&chunk)?;
            Ok((spilled, chunk))
        })
        .await?;
        chunk.clear();
        self.buffer = chunk;
        self.spilled = Some(spilled);
        Ok(())
    }

    /// How many bytes came.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The finished blob.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn finish(mut self, media_type: Arc<str>) -> Result<Blob, UploadError> {
        if self.spilled.is_some() && !self.buffer.is_empty() {
            self.spill().await?;
        }
        match self.spilled {
            None => Ok(Blob::memory(self.buffer.freeze(), media_type)),
            Some(Spilled { file, hasher }) => {
                let (file, path) = file.into_parts();
                Ok(Blob::temporary(file, path, hasher.finalize().into(), media_type)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn upload(length: usize, memory: usize) -> (tempfile::TempDir, Blob, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let body: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
        let mut upload = Upload::new(dir.path().to_owned(), 1 << 30, memory);
        for chunk in body.chunks(40_000) {
            upload.push(&Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        let blob = upload.finish("a/b".into()).await.unwrap();
        (dir, blob, body)
    }

    #[tokio::test]
    async fn what_went_in_comes_out_from_memory_and_from_disk() {
        for (length, memory) in [(0, 10), (10, 10), (11, 10), (3_000_000, 65_536)] {
            let (_dir, blob, body) = upload(length, memory).await;
            assert_eq!(blob.size(), length as u64);
            assert_eq!(blob.as_memory().is_some(), length <= memory);
            assert_eq!(blob.read(0, length + 5).await.unwrap(), body);
            assert_eq!(blob.read(length as u64 + 1, 5).await.unwrap(), b"");
        }
    }

    #[tokio::test]
    async fn a_pattern_is_found_across_the_seam_of_two_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let mut body = vec![b'-'; 3 * CHUNK_BYTES];
        let at = CHUNK_BYTES - 3;
        body[at..at + 8].copy_from_slice(b"boundary");
        for memory in [0, body.len()] {
            let mut upload = Upload::new(dir.path().to_owned(), 1 << 30, memory);
            upload.push(&Bytes::copy_from_slice(&body)).await.unwrap();
            let blob = upload.finish("".into()).await.unwrap();
            assert_eq!(blob.find(b"boundary", 0).await.unwrap(), Some(at as u64));
            assert_eq!(blob.find(b"boundary", at as u64 + 1).await.unwrap(), None);
            let slice = blob.slice(at as u64 - 2, 20, "".into());
            assert_eq!(slice.find(b"boundary", 0).await.unwrap(), Some(2));
            assert_eq!(slice.find(b"", 0).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_body_past_the_limit_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut upload = Upload::new(dir.path().to_owned(), 100, 10);
        upload.push(&Bytes::from_static(&[0; 100])).await.unwrap();
        let error = upload.push(&Bytes::from_static(&[0])).await.unwrap_err();
        assert!(matches!(error, UploadError::TooLarge { bytes_max: 100 }));
        drop(upload);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
