//! Shards: a bounded map from names to counters that many threads change at once.
//!
//! Knows nothing of what is counted; an entry says itself since when it is worthless. Always: an
//! entry is read and changed under its shard's lock, so a call is atomic; a shard holds at most
//! its part of [`NAMES_MAX`], and only idle entries are thrown out.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use parking_lot::Mutex;

use super::NAMES_MAX;

/// Enough that cores seldom meet at a lock.
const SHARDS: usize = 64;
const SHARD_NAMES_MAX: usize = NAMES_MAX / SHARDS;

/// What a shard must know of its entries. `Time` is the clock that this kind of counter uses.
pub(super) trait Entry {
    type Time: Copy + Ord + std::fmt::Debug;
    /// From then on the entry is as if it had never been used.
    fn idle_from(&self) -> Self::Time;
}

#[derive(Debug)]
pub(super) struct Shards<E: Entry> {
    seeds: RandomState,
    shards: Vec<Mutex<Shard<E>>>,
}

#[derive(Debug)]
struct Shard<E: Entry> {
    entries: HashMap<Box<str>, E>,
    /// Found full of live entries: no use to look again before then.
    full_until: Option<E::Time>,
}

impl<E: Entry> Default for Shards<E> {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { entries: HashMap::new(), full_until: None });
        Self { seeds: RandomState::new(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }
}

impl<E: Entry> Shards<E> {
    /// Runs `change` on the entry, which is `new()` the first time.
    ///
    /// # Errors
    /// No room for a new name; the time until which that stays so.
    pub(super) fn with<T>(
        &self,
        name: &str,
        now: E::Time,
        new: impl FnOnce() -> E,
        change: impl FnOnce(&mut E) -> T,
    ) -> Result<T, E::Time> {
        let mut shard = self.shard(name).lock();
        if let Some(entry) = shard.entries.get_mut(name) {
            return Ok(change(entry));
        }
        shard.make_room(now)?;
        Ok(change(shard.entries.entry(name.into()).or_insert_with(new)))
    }

    /// Runs `look` on every entry, one shard at a time.
    pub(super) fn each(&self, mut look: impl FnMut(&str, &mut E)) {
        for shard in &self.shards {
            for (name, entry) in &mut shard.lock().entries {
                look(name, entry);
            }
        }
    }

    fn shard(&self, name: &str) -> &Mutex<Shard<E>> {
        let hash = self.seeds.hash_one(name);
        &self.shards[usize::try_from(hash % SHARDS as u64).expect("less than 64")]
    }
}

impl<E: Entry> Shard<E> {
    fn make_room(&mut self, now: E::Time) -> Result<(), E::Time> {
        if self.entries.len() < SHARD_NAMES_MAX {
            return Ok(());
        }
        if let Some(until) = self.full_until.filter(|until| now < *until) {
            return Err(until);
        }
        self.entries.retain(|_, entry| now < entry.idle_from());
        self.full_until = None;
        if self.entries.len() < SHARD_NAMES_MAX {
            return Ok(());
        }
        let until = self.entries.values().map(Entry::idle_from).min().expect("the shard is full");
        self.full_until = Some(until);
        tracing::warn!(NAMES_MAX, "a counter table is full: new names are refused for now");
        Err(until)
    }
}
