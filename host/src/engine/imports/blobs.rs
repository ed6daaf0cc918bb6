//! `postern:types/blobs`: bytes by handle, so that large data stays out of the guest.

use bytes::Bytes;
use wasmtime::component::Resource;

use crate::blobs::{Blob, Upload, UploadError};
use crate::engine::Context;
use crate::engine::bindings::imports::postern::types::blobs::{Host, HostBlob, HostBlobWriter};

/// Most bytes that one `read` gives.
const READ_BYTES_MAX: u32 = 1 << 20;
/// Made blobs up to this stay in memory.
const MADE_MEMORY_BYTES: usize = 64 << 10;
/// Longest media type that is kept.
const MEDIA_TYPE_BYTES_MAX: usize = 256;

/// A blob that a component is making.
#[derive(Debug)]
pub struct Writer {
    media_type: std::sync::Arc<str>,
    upload: Option<Upload>,
    finished: Option<Blob>,
}

impl Host for Context {}

impl HostBlob for Context {
    fn size(&mut self, blob: Resource<Blob>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&blob)?.size())
    }

    fn media_type(&mut self, blob: Resource<Blob>) -> wasmtime::Result<String> {
        Ok(self.table.get(&blob)?.media_type().to_owned())
    }

    async fn read(
        &mut self,
        blob: Resource<Blob>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        let length = usize::try_from(length.min(READ_BYTES_MAX))?;
        Ok(self.table.get(&blob)?.read(offset, length).await?)
    }

    async fn find(
        &mut self,
        blob: Resource<Blob>,
        pattern: Vec<u8>,
        start: u64,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&blob)?.find(&pattern, start).await?)
    }

    fn slice(
        &mut self,
        blob: Resource<Blob>,
        offset: u64,
        length: u64,
        media_type: String,
    ) -> wasmtime::Result<Resource<Blob>> {
        let media_type = crate::problem::cut(media_type, MEDIA_TYPE_BYTES_MAX);
        let slice = self.table.get(&blob)?.slice(offset, length, media_type.into());
        Ok(self.table.push(slice)?)
    }

    fn drop(&mut self, blob: Resource<Blob>) -> wasmtime::Result<()> {
        self.table.delete(blob)?;
        Ok(())
    }
}

impl HostBlobWriter for Context {
    fn new(&mut self, media_type: String) -> wasmtime::Result<Resource<Writer>> {
        let upload = self.imports.blobs.upload(self.made_bytes_left, MADE_MEMORY_BYTES);
        let media_type = crate::problem::cut(media_type, MEDIA_TYPE_BYTES_MAX).into();
        let writer = Writer { media_type, upload: Some(upload), finished: None };
        Ok(self.table.push(writer)?)
    }

    async fn write(&mut self, writer: Resource<Writer>, bytes: Vec<u8>) -> wasmtime::Result<bool> {
        let count = bytes.len() as u64;
        if count > self.made_bytes_left {
            return Ok(false);
        }
        let Some(upload) = &mut self.table.get_mut(&writer)?.upload else { return Ok(true) };
        match upload.push(&Bytes::from(bytes)).await {
            Ok(()) => {
                self.made_bytes_left -= count;
                Ok(true)
            }
            Err(UploadError::TooLarge { .. }) => Ok(false),
            Err(UploadError::Disk(error)) => Err(error.into()),
        }
    }

    async fn finish(&mut self, writer: Resource<Writer>) -> wasmtime::Result<Resource<Blob>> {
        let made = self.table.get_mut(&writer)?;
        if let Some(upload) = made.upload.take() {
            made.finished = Some(upload.finish(made.media_type.clone()).await?);
        }
        let blob = made
            .finished
            .clone()
            .ok_or_else(|| wasmtime::Error::msg("a writer whose disk failed was finished again"))?;
        Ok(self.table.push(blob)?)
    }

    fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}
