//! Readers: a few connections that see every committed write and never wait for the writer.
//!
//! Owns the pool. Always: a connection in the pool is in no transaction. Start at `look_up`, for
//! one row, or `scan`, for anything longer.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{Durability, schema};
use crate::store::StoreError;

/// Reads at the same time; more wait. Protects memory: each connection has a page cache of 2 MB.
const READERS_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    pool: Arc<Pool>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    /// The one used last is used next: its pages are the newest.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        let pool = Arc::new(Pool { path, idle: Mutex::default() });
        Self { pool, places: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// Looks up one row, on the caller's thread: some ten microseconds, a third of what a hand-over
    /// adds. Not for what reads more than a few pages.
    pub(super) async fn look_up<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError>,
    {
        let _place = self.places.acquire().await.expect("never closed");
        self.pool.run(read)
    }

    /// Runs `read` on a thread that may wait for the disk.
    pub(super) async fn scan<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let place = self.places.clone().acquire_owned().await.expect("never closed");
        let pool = self.pool.clone();
        let work = move || {
            let answer = pool.run(read);
            drop(place);
            answer
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(error) => Err(StoreError::Engine(Box::new(error))),
        }
    }
}

impl Pool {
    fn run<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let reused = self.idle.lock().pop();
        let db = match reused {
            Some(db) => db,
            None => schema::connect(&self.path, Durability::Process)?,
        };
        let answer = read(&db);
        self.idle.lock().push(db);
        answer
    }
}
