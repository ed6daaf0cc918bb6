//! The cache of compiled components: a file per component and engine, checked before it is trusted.
//!
//! Owns the folder. Always: a file is loaded only when its keyed hash fits, so that nobody but this
//! host can have written it; anything stale, broken or foreign is compiled anew and replaced, and
//! never an error. The one place of the host with `unsafe`.

#![expect(unsafe_code, reason = "precompiled code is loaded here and nowhere else")]

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::secret::{Secret, ServerSecret};

/// Where a component came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    Hit,
    /// There was no file for it.
    Compiled,
    /// There was a file, but not one that may be loaded.
    Replaced,
}

/// Bytes of the keyed hash in front of the code.
const MAC_BYTES: usize = 32;

pub(super) struct Cache {
    dir: PathBuf,
    key: Secret<[u8; 32]>,
}

impl Cache {
    pub(super) fn new(dir: &Path, secret: &ServerSecret) -> Self {
        Self { dir: dir.to_owned(), key: secret.derive("postern 2026 compiled component cache") }
    }

    pub(super) fn component(
        &self,
        engine: &Engine,
        wasm: &[u8],
    ) -> wasmtime::Result<(Component, CacheOutcome)> {
        let path = self.path(engine, wasm);
        let mut outcome = CacheOutcome::Compiled;
        if let Ok(file) = std::fs::read(&path) {
            if let Some(component) = self.load(engine, &file) {
                return Ok((component, CacheOutcome::Hit));
            }
            outcome = CacheOutcome::Replaced;
        }
        let code = engine.precompile_component(wasm)?;
        let mac = blake3::keyed_hash(self.key.expose(), &code);
        let file = [mac.as_bytes().as_slice(), &code].concat();
        if let Err(error) = self.write(&path, &file) {
            tracing::warn!(%error, "compiled component not cached");
        }
        let component = self
            .load(engine, &file)
            .ok_or_else(|| wasmtime::Error::msg("the engine does not take its own code"))?;
        Ok((component, outcome))
    }

    /// `None`: not ours, or not for this engine.
    fn load(&self, engine: &Engine, file: &[u8]) -> Option<Component> {
        let (mac, code) = file.split_at_checked(MAC_BYTES)?;
        let mac: [u8; MAC_BYTES] = mac.try_into().ok()?;
        // `Hash` compares in constant time.
        if blake3::keyed_hash(self.key.expose(), code) != mac {
            return None;
        }
        // SAFETY: `deserialize` needs bytes that `precompile_component` made. The keyed hash just
        // checked was made by this host over such bytes, with a key that never leaves it; wasmtime
        // itself refuses code of another version or configuration.
        unsafe { Component::deserialize(engine, code) }.ok()
    }

    fn path(&self, engine: &Engine, wasm: &[u8]) -> PathBuf {
        let mut hasher = Blake3Hasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.update(wasm);
        self.dir.join(format!("{}.cwasm", hasher.0.finalize().to_hex()))
    }

    fn write(&self, path: &Path, file: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let mut temp = tempfile::NamedTempFile::new_in(&self.dir)?;
        std::io::Write::write_all(&mut temp, file)?;
        temp.persist(path)?;
        Ok(())
    }
}

/// Feeds what the engine says of itself into the digest; `std`'s hasher may change between
/// releases.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        let head: [u8; 8] = hash.as_bytes()[..8].try_into().expect("a digest has 32 bytes");
        u64::from_le_bytes(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Engine {
        Engine::new(&super::super::config()).unwrap()
    }

    fn wasm() -> Vec<u8> {
        // The binary form of `(component)`: magic, version 13, layer 1.
        vec![0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]
    }

    #[test]
    fn a_second_load_comes_from_the_cache_and_a_broken_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let secret = ServerSecret::from_bytes([7; 32]);
        let cache = Cache::new(dir.path(), &secret);
        let engine = engine();
        let load = || cache.component(&engine, &wasm()).unwrap().1;
        assert_eq!(load(), CacheOutcome::Compiled);
        assert_eq!(load(), CacheOutcome::Hit);

        let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(load(), CacheOutcome::Replaced);
        assert_eq!(load(), CacheOutcome::Hit);

        std::fs::write(&file, b"").unwrap();
        assert_eq!(load(), CacheOutcome::Replaced);
    }

    #[test]
    fn code_signed_by_another_host_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine();
        let ours = Cache::new(dir.path(), &ServerSecret::from_bytes([1; 32]));
        let theirs = Cache::new(dir.path(), &ServerSecret::from_bytes([2; 32]));
        assert_eq!(theirs.component(&engine, &wasm()).unwrap().1, CacheOutcome::Compiled);
        assert_eq!(ours.component(&engine, &wasm()).unwrap().1, CacheOutcome::Replaced);
    }
}
