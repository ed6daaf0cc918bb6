//! Opening the file: connection settings, and the way from any older schema to the present one.
//!
//! Owns `user_version`. Always: a file of a newer schema is left untouched; a migration happens
//! whole or not at all, also when two processes open the file at the same moment.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::Durability;
use crate::store::StoreError;

/// In order; the schema version is how many have been applied. Only append.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// How long a statement waits for another process's transaction. The command line's take
/// milliseconds; past this the caller gets an error instead of a hang.
pub(super) const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);

/// More than the number of distinct statements, so that each is parsed once per connection.
const STATEMENTS_CACHED_MAX: usize = 64;

/// 64 MB: from this length on each commit tries to move the log into the file, which costs it
/// milliseconds. `checkpoints` keeps the log far shorter unless writes never pause; this protects
/// the disk when they do not.
const LOG_PAGES_MAX: i64 = 1 << 14;

#[derive(Debug, thiserror::Error)]
#[error("the file has schema {found}, this Postern knows {known}: start the newer version again")]
struct NewerSchema {
    found: usize,
    known: usize,
}

/// Opens or creates the file and brings it to the present schema.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    create_private(path).map_err(|error| StoreError::Engine(Box::new(error)))?;
    let mut db = connect(path, durability)?;
    // Before any write: a newer file is not even switched to WAL.
    if version(&db)? <= MIGRATIONS.len() {
        db.pragma_update(None, "journal_mode", "wal")?;
    }
    migrate(&mut db)?;
    db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX)?;
    Ok(db)
}

/// One more connection to a file that [`open`] has prepared.
pub(super) fn connect(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_WAIT_MAX)?;
    db.pragma_update(None, "foreign_keys", true)?;
    let synchronous = match durability {
        Durability::Process => "normal",
        Durability::Power => "full",
    };
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    Ok(db)
}

/// SQLite would create the file by the umask; the log and its index take this file's mode.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn version(db: &Connection) -> Result<usize, StoreError> {
    let version: i64 = db.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (found, known) = (version(&tx)?, MIGRATIONS.len());
    if found > known {
        return Err(StoreError::Engine(Box::new(NewerSchema { found, known })));
    }
    if found < known {
        for migration in &MIGRATIONS[found..] {
            tx.execute_batch(migration)?;
        }
        tx.pragma_update(None, "user_version", i64::try_from(known).expect("a short list"))?;
    }
    tx.commit()?;
    Ok(())
}
