//! The blob plane: immutable bytes by digest, owned by a tenant.
//!
//! Owns the blob, upload and run folders. Knows tenants as folder names and digests; not jobs, HTTP
//! or what the bytes mean. Always: a blob's file has the name of its BLAKE3 digest and is complete
//! (it is renamed into place); bytes are shared within a tenant and never across; a file is removed
//! only while nobody pins it and no job refers to it. `handle.rs` has the in-process handle,
//! `upload.rs` the way in. Start at [`BlobStore::persist`].

mod handle;
mod upload;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::RwLock;

use crate::ids::{Digest, TenantId};
use crate::settings::Durability;
use crate::store::{BlobUse, Store};
pub use handle::Blob;
pub use upload::{Upload, UploadError};

/// Bytes moved at once between disk and hash; bounds the memory of a transfer.
const CHUNK_BYTES: usize = 1 << 20;

/// The folders of one host.
#[derive(Debug)]
pub struct BlobStore {
    blobs: PathBuf,
    temp: PathBuf,
    runs: PathBuf,
    /// Digests that a job about to be accepted needs, with how many need them.
    pins: Arc<Mutex<HashMap<(TenantId, Digest), usize>>>,
    /// Read while a blob is pinned and put in place, written while files are removed.
    removal: RwLock<()>,
    /// Blobs reach the disk before a job that uses them is accepted.
    flush: bool,
}

/// Keeps one blob from being removed until the job that uses it is in the store.
#[derive(Debug)]
#[must_use]
pub struct Pin {
    pins: Arc<Mutex<HashMap<(TenantId, Digest), usize>>>,
    key: (TenantId, Digest),
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.key);
            }
        }
    }
}

impl BlobStore {
    /// Opens the folders under `data`, and empties those that only a running host needs.
    ///
    /// # Errors
    /// The folders cannot be made or emptied.
    pub fn open(data: &Path, durability: Durability) -> io::Result<Self> {
        let store = Self {
            blobs: data.join("blobs"),
            temp: data.join("temp"),
            runs: data.join("runs"),
            pins: Arc::default(),
            removal: RwLock::new(()),
            flush: durability == Durability::Power,
        };
        for dir in [&store.temp, &store.runs] {
            if dir.exists() {
                std::fs::remove_dir_all(dir)?;
            }
        }
        for dir in [&store.blobs, &store.temp, &store.runs] {
            std::fs::create_dir_all(dir)?;
        }
        Ok(store)
    }

    /// Where runs have their folders; the sidecar sees this folder and no other.
    #[must_use]
    pub fn runs_dir(&self) -> &Path {
        &self.runs
    }

    /// A way in for one body of at most `bytes_max`; up to `memory_bytes` of it stay in memory.
    #[must_use]
    pub fn upload(&self, bytes_max: u64, memory_bytes: usize) -> Upload {
        Upload::new(self.temp.clone(), bytes_max, memory_bytes)
    }

    /// Puts the bytes of `blob` in place under their digest, for `tenant`. The pin is to be held
    /// until a job that refers to the digest has been stored.
    ///
    /// # Errors
    /// Of the disk.
    pub async fn persist(
        self: &Arc<Self>,
        tenant: &TenantId,
        name: &str,
        blob: &Blob,
    ) -> io::Result<(BlobUse, Pin)> {
        let temp = self.temp.clone();
        let source = blob.clone();
        let (digest, file) = blocking(move || source.into_file(&temp)).await?;
        let pin = self.place(tenant, &digest, file).await?;
        let (media_type, bytes) = (blob.media_type().to_owned(), blob.size());
        Ok((BlobUse { name: name.to_owned(), digest, media_type, bytes }, pin))
    }

    /// Takes over a file that a run left behind. `path` is gone afterwards.
    ///
    /// # Errors
    /// Of the disk.
    pub async fn adopt(
        self: &Arc<Self>,
        tenant: &TenantId,
        path: PathBuf,
    ) -> io::Result<(Digest, u64, Pin)> {
        let (digest, bytes, file) = blocking(move || {
            let (digest, bytes) = handle::digest_file(&path)?;
            Ok((digest, bytes, tempfile::TempPath::try_from_path(path)?))
        })
        .await?;
        let pin = self.place(tenant, &digest, file).await?;
        Ok((digest, bytes, pin))
    }

    async fn place(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        file: tempfile::TempPath,
    ) -> io::Result<Pin> {
        let _reading = self.removal.read().await;
        let key = (tenant.clone(), digest.clone());
        *self.pins.lock().entry(key.clone()).or_default() += 1;
        let pin = Pin { pins: self.pins.clone(), key };
        let path = self.path(tenant, digest);
        if !path.exists() {
            let flush = self.flush;
            blocking(move || put(file, &path, flush)).await?;
        }
        Ok(pin)
    }

    /// The blob of a job's input or output.
    ///
    /// # Errors
    /// `NotFound` when its job has expired meanwhile.
    pub async fn get(&self, tenant: &TenantId, used: &BlobUse) -> io::Result<Blob> {
        let path = self.path(tenant, &used.digest);
        let (digest, media_type) = (used.digest.clone(), used.media_type.as_str().into());
        blocking(move || Blob::open(&path, digest, media_type)).await
    }

    /// Removes the files of `candidates` that no job refers to and nobody pins.
    pub async fn remove(&self, candidates: &[(TenantId, Digest)], store: &dyn Store) {
        for key in candidates {
            let _writing = self.removal.write().await;
            if self.pins.lock().contains_key(key) {
                continue;
            }
            match store.blob_in_use(&key.0, &key.1).await {
                Ok(false) => {}
                Ok(true) => continue,
                Err(error) => {
                    tracing::error!(%error, "blob not removed: the store did not answer");
                    continue;
                }
            }
            if let Err(error) = std::fs::remove_file(self.path(&key.0, &key.1))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::error!(%error, "blob not removed");
            }
        }
    }

    /// Every blob on disk: what a restarted host compares with its jobs, because a kill between
    /// "file in place" and "job stored" leaves a file that nobody refers to.
    ///
    /// # Errors
    /// Of the disk.
    pub fn on_disk(&self) -> io::Result<Vec<(TenantId, Digest)>> {
        let mut found = Vec::new();
        for tenant in std::fs::read_dir(&self.blobs)? {
            let tenant = tenant?;
            let Ok(id) = tenant.file_name().to_string_lossy().parse::<TenantId>() else { continue };
            for shard in std::fs::read_dir(tenant.path())? {
                for file in std::fs::read_dir(shard?.path())? {
                    if let Ok(digest) = file?.file_name().to_string_lossy().parse::<Digest>() {
                        found.push((id.clone(), digest));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Makes the folder of a run with its inputs under the names `0`, `1`, … (hard links: no copy).
    /// Without inputs nothing is made; the sidecar makes `out` when it needs it.
    ///
    /// # Errors
    /// Of the disk; `NotFound` when an input is gone.
    pub async fn prepare_run(
        &self,
        tenant: &TenantId,
        run_id: &str,
        inputs: &[BlobUse],
    ) -> io::Result<()> {
        if inputs.is_empty() {
            return Ok(());
        }
        let dir = self.runs.join(run_id).join("in");
        let links: Vec<PathBuf> =
            inputs.iter().map(|input| self.path(tenant, &input.digest)).collect();
        blocking(move || {
            std::fs::create_dir_all(&dir)?;
            for (index, from) in links.iter().enumerate() {
                std::fs::hard_link(from, dir.join(index.to_string()))?;
            }
            Ok(())
        })
        .await
    }

    /// Removes what is left of a run.
    pub async fn remove_run(&self, run_id: &str) {
        let dir = self.runs.join(run_id);
        let removed = blocking(move || std::fs::remove_dir_all(dir)).await;
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "run folder not removed");
        }
    }

    fn path(&self, tenant: &TenantId, digest: &Digest) -> PathBuf {
        let shard = &digest.as_str()[..2];
        self.blobs.join(tenant.as_str()).join(shard).join(digest.as_str())
    }
}

/// Renames `file` to `path`, flushed with its folder if asked.
fn put(file: tempfile::TempPath, path: &Path, flush: bool) -> io::Result<()> {
    let dir = path.parent().expect("a blob's path has a folder");
    std::fs::create_dir_all(dir)?;
    if flush {
        std::fs::File::open(&file)?.sync_all()?;
    }
    file.persist(path)?;
    if flush {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Runs disk work off the async threads.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(io::Error::other(panic)),
    }
}
