//! The writer: one thread that owns the one writing connection and commits in groups.
//!
//! It takes what is waiting, runs it as one transaction with a savepoint each, and answers when the
//! transaction is committed: the more are waiting, the less each costs. A write that finds the
//! connection free is done at once by its caller, because two changes of thread cost more than the
//! write. Also owns `policy_generation`. Knows no table. Always: a command that failed leaves
//! nothing behind and does not disturb its neighbours. Start at `Writer::run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::schema;
use crate::clock::Clock;
use crate::store::StoreError;

/// Writes that wait; more wait outside, in their own futures. Protects the host's memory.
const WAITING_MAX: usize = 1024;
/// Writes in one transaction. Protects the first of a group from waiting for too many others.
const GROUP_MAX: usize = 128;
/// How often another process's changes are looked for. A revoked key must stop working within a
/// second; `Directory` adds as much again.
pub(super) const POLL: Duration = Duration::from_millis(200);

/// What a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Tenants, plans, keys: raises `policy_generation`.
    Policy,
    /// Everything else.
    Jobs,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the transaction was not committed: {0}")]
struct Lost(String);

#[derive(Debug, thiserror::Error)]
#[error("the store's writer has ended")]
struct Ended;

#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::SyncSender<Box<dyn Command>>,
    room: Arc<Mutex<Room>>,
    /// A commit waits for no disk, so that a caller may do it itself.
    quick: bool,
    places: Arc<Semaphore>,
    generation: Arc<AtomicU64>,
}

impl Writer {
    /// Takes over `db`; the thread ends when the `Writer` is dropped and the queue is empty.
    /// `quick`: a commit waits for no disk.
    pub(super) fn start(db: Connection, quick: bool) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::sync_channel(WAITING_MAX);
        let generation = Arc::new(AtomicU64::new(1));
        let room = Arc::new(Mutex::new(Room {
            seen: data_version(&db)?,
            db,
            clock: Clock::system(),
            polled: Duration::ZERO,
            generation: generation.clone(),
        }));
        let own = room.clone();
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || serve(&own, &waiting))
            .map_err(|error| StoreError::Engine(Box::new(error)))?;
        Ok(Self { queue, room, quick, places: Arc::new(Semaphore::new(WAITING_MAX)), generation })
    }

    /// Runs `work` inside a transaction; the answer comes after the commit.
    pub(super) async fn run<T, F>(&self, subject: Subject, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let place = self.places.clone().acquire_owned().await.expect("never closed");
        let (answer, answered) = oneshot::channel();
        let call = Call { subject, work: Some(work), result: None, answer, _place: place };
        let ended = || StoreError::Engine(Box::new(Ended));
        if let Some(later) = self.now(Box::new(call)) {
            // Never blocks: who has one of `WAITING_MAX` places finds room in a queue of that
            // length.
            self.queue.send(later).map_err(|_| ended())?;
        }
        answered.await.map_err(|_| ended())?
    }

    /// Does a write at once if nobody is before it; gives it back otherwise.
    fn now(&self, call: Box<dyn Command>) -> Option<Box<dyn Command>> {
        let alone = self.places.available_permits() == WAITING_MAX - 1;
        match self.room.try_lock() {
            Some(room) if self.quick && alone => room.commit_now(call),
            _ => Some(call),
        }
    }

    /// How many writes have not been answered.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        WAITING_MAX - self.places.available_permits()
    }

    pub(super) fn policy_generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// A write on its way; hides the type of its answer from the queue.
trait Command: Send {
    fn subject(&self) -> Subject;
    /// True: keep what it did.
    fn run(&mut self, db: &Connection) -> bool;
    /// Tells the caller; `lost`: the transaction around it was not committed.
    fn answer(self: Box<Self>, lost: Option<&Lost>);
}

struct Call<T, F> {
    subject: Subject,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    /// Given back when the command is gone, whether or not someone still waits for it.
    _place: OwnedSemaphorePermit,
}

impl<T, F> Command for Call<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn subject(&self) -> Subject {
        self.subject
    }

    fn run(&mut self, db: &Connection) -> bool {
        let work = self.work.take().expect("a command runs once");
        self.result.insert(work(db)).is_ok()
    }

    fn answer(self: Box<Self>, lost: Option<&Lost>) {
        let result = match (self.result, lost) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), None) => Ok(value),
            (_, Some(lost)) => Err(StoreError::Engine(Box::new(lost.clone()))),
            (None, None) => Err(StoreError::Engine(Box::new(Ended))),
        };
        // The caller may have gone; what it asked for is done all the same.
        let _ = self.answer.send(result);
    }
}

/// The writing connection and what belongs to it.
#[derive(Debug)]
struct Room {
    db: Connection,
    /// `PRAGMA data_version` as last seen: it changes when *another* connection commits.
    seen: i64,
    clock: Clock,
    polled: Duration,
    generation: Arc<AtomicU64>,
}

/// The writer's thread.
fn serve(room: &Mutex<Room>, waiting: &mpsc::Receiver<Box<dyn Command>>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    loop {
        match waiting.recv_timeout(POLL) {
            Ok(first) => {
                group.push(first);
                group.extend(waiting.try_iter().take(GROUP_MAX - 1));
                room.lock().commit(&mut group);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        room.lock().poll();
    }
}

impl Room {
    /// Does one write on the caller's thread. Gives it back, undone, when another process holds the
    /// file: waiting for that is the writer's thread's business.
    fn commit_now(&self, command: Box<dyn Command>) -> Option<Box<dyn Command>> {
        let patience = |span| self.db.busy_timeout(span).is_ok();
        let begun = patience(Duration::ZERO) && self.control("BEGIN IMMEDIATE").is_ok();
        if !patience(schema::BUSY_WAIT_MAX) || !begun {
            return Some(command);
        }
        let mut group = vec![command];
        let lost = self.finish(&mut group).err();
        self.answer(&mut group, lost.as_ref());
        None
    }

    fn commit(&self, group: &mut Vec<Box<dyn Command>>) {
        let lost = self.control("BEGIN IMMEDIATE").and_then(|()| self.finish(group)).err();
        self.answer(group, lost.as_ref());
    }

    fn answer(&self, group: &mut Vec<Box<dyn Command>>, lost: Option<&Lost>) {
        let policy = group.iter().any(|command| command.subject() == Subject::Policy);
        if policy && lost.is_none() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        for command in group.drain(..) {
            command.answer(lost);
        }
    }

    /// Runs a group inside the transaction that has begun, and ends it.
    fn finish(&self, group: &mut [Box<dyn Command>]) -> Result<(), Lost> {
        let ran = if let [only] = group {
            only.run(&self.db).then_some(()).ok_or(Lost("its only command failed".into()))
        } else {
            group.iter_mut().try_for_each(|command| self.one_of_many(command.as_mut()))
        };
        let committed = ran.and_then(|()| self.control("COMMIT"));
        if committed.is_err() && !self.db.is_autocommit() {
            self.control("ROLLBACK")?;
        }
        committed
    }

    fn one_of_many(&self, command: &mut dyn Command) -> Result<(), Lost> {
        self.control("SAVEPOINT command")?;
        if !command.run(&self.db) {
            // After a full disk SQLite has rolled back everything by itself.
            if self.db.is_autocommit() {
                return Err(Lost("a command before or after it met a failing disk".into()));
            }
            self.control("ROLLBACK TO command")?;
        }
        self.control("RELEASE command")
    }

    fn control(&self, sql: &str) -> Result<(), Lost> {
        let run = || self.db.prepare_cached(sql)?.execute(());
        run().map(drop).map_err(|error| Lost(error.to_string()))
    }

    /// Raises the generation when another connection has changed the file. Which table it was is
    /// not known; a refresh too many costs less than a table of changes.
    fn poll(&mut self) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.polled) < POLL {
            return;
        }
        self.polled = now;
        match data_version(&self.db) {
            Ok(version) if version != self.seen => {
                self.seen = version;
                self.generation.fetch_add(1, Ordering::AcqRel);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the store cannot be asked for changes"),
        }
    }
}

fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))
}
