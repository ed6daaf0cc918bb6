//! What is SQLite's alone: the file, other processes, and being killed.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::{Durability, SqliteStore};
use crate::clock::Timestamp;
use crate::store::conformance::{conformance, ending, job, key, tenant};
use crate::store::{JobState, Store, StoreError};

type Folder = tempfile::TempDir;

fn open() -> (Arc<SqliteStore>, Folder) {
    let folder = tempfile::tempdir().unwrap();
    (reopen(&folder), folder)
}

fn reopen(folder: &Folder) -> Arc<SqliteStore> {
    SqliteStore::open(&folder.path().join("postern.db")).unwrap()
}

fn other_process(folder: &Folder) -> Connection {
    Connection::open(folder.path().join("postern.db")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    let (store, _folder) = open();
    conformance(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms_when_it_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postern.db");
    conformance(SqliteStore::open_with(&path, Durability::Power).unwrap()).await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill() {
    let (store, folder) = open();
    let owner = tenant(store.as_ref(), "acme").await;
    let queued = job(&owner);
    let done = job(&owner);
    store.create_job(queued.clone()).await.unwrap();
    store.create_job(done.clone()).await.unwrap();
    store.finish_job(&done.id, 0, Timestamp(9), ending(JobState::Failed)).await.unwrap();

    // Copied while open: what a killed process leaves, its log not yet moved into the file.
    let left = tempfile::tempdir().unwrap();
    for name in ["postern.db", "postern.db-wal"] {
        std::fs::copy(folder.path().join(name), left.path().join(name)).unwrap();
    }
    let after = reopen(&left);
    assert_eq!(after.unfinished_jobs().await.unwrap(), [queued]);
    let done = after.job(&owner, &done.id).await.unwrap().unwrap();
    assert_eq!(done.state, JobState::Failed);
}

#[tokio::test]
async fn a_store_dropped_without_a_word_keeps_everything() {
    let (store, folder) = open();
    let owner = tenant(store.as_ref(), "acme").await;
    let queued = job(&owner);
    store.create_job(queued.clone()).await.unwrap();
    drop(store);
    assert_eq!(reopen(&folder).unfinished_jobs().await.unwrap(), [queued]);
}

#[tokio::test]
async fn a_key_revoked_by_another_process_is_noticed_within_a_second() {
    let (store, folder) = open();
    let owner = tenant(store.as_ref(), "acme").await;
    let key = key("0123456789abcdef", Some(&owner));
    store.create_key(key).await.unwrap();
    let before = store.policy_generation();
    other_process(&folder).execute("UPDATE keys SET revoked_at = 5", ()).unwrap();

    let noticed = async {
        while store.policy_generation() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), noticed).await.expect("within a second");
    assert_eq!(store.keys(None).await.unwrap()[0].revoked_at, Some(Timestamp(5)));
}

#[tokio::test]
async fn own_jobs_reads_and_checkpoints_are_no_policy_change() {
    let (store, folder) = open();
    let owner = tenant(store.as_ref(), "acme").await;
    let before = store.policy_generation();
    let checkpoint = || {
        let other = other_process(&folder);
        other.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())).unwrap();
    };
    // Several polls of the writer pass, with writes between them.
    for _ in 0..5 {
        let queued = job(&owner);
        store.create_job(queued.clone()).await.unwrap();
        store.job(&owner, &queued.id).await.unwrap();
        checkpoint();
        tokio::time::sleep(super::writer::POLL).await;
    }
    assert_eq!(store.policy_generation(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let (store, folder) = open();
    drop(store);
    other_process(&folder).pragma_update(None, "user_version", 99).unwrap();
    let path = folder.path().join("postern.db");
    let Err(StoreError::Engine(error)) = SqliteStore::open(&path) else {
        panic!("a newer file was opened");
    };
    let text = error.to_string();
    assert!(text.contains("schema 99") && text.contains("newer version"), "{text}");
    let version: i64 =
        other_process(&folder).query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postern.db");
    std::fs::write(&path, "not a database, but long enough to look at").unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Engine(_))));
    assert!(matches!(SqliteStore::open(folder.path()), Err(StoreError::Engine(_))));
}

#[test]
fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (_store, folder) = open();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_keeps_its_good_commands_and_loses_its_bad_ones() {
    let (store, folder) = open();
    let owner = tenant(store.as_ref(), "acme").await;
    let twice = job(&owner);
    store.create_job(twice.clone()).await.unwrap();
    // The lock makes the commands wait, so that they are run as one group.
    let other = other_process(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let (store, owner, twice) = (store.clone(), owner.clone(), twice.clone());
        tasks.spawn(async move {
            let wanted = if number % 2 == 0 { job(&owner) } else { twice };
            store.create_job(wanted).await.is_ok()
        });
    }
    while store.writer.waiting() < 40 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("COMMIT").unwrap();
    let good = tasks.join_all().await.into_iter().filter(|good| *good).count();
    assert_eq!(good, 20);
    assert_eq!(store.unfinished_jobs().await.unwrap().len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_may_create_the_file_at_once() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let folder = folder.clone();
        tasks.spawn_blocking(move || drop(reopen(&folder)));
    }
    tasks.join_all().await;
}
