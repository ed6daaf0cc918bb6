//! One model's place in memory: loaded when a run needs it, shared, and left when idle.
//!
//! Owns the states from missing to ready and back. Knows no format and no device: whoever acquires
//! brings the way to load. Always: one load at a time, the others wait for it; a load that fails or
//! is cancelled leaves nothing behind and the next run tries again; while a [`Guard`] lives, the
//! model stays. Start at [`Resident::acquire`].

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::account::Loaded;
use super::folder::{Files, Folder};
use super::models::{Janitor, Resting};
use crate::clock;
use crate::memory;
use crate::pipeline::{Cancel, RunContext, RunError};

/// How often a run that waits for another's load looks whether it was itself cancelled.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// A place for one model.
pub struct Resident<T>(Arc<Place<T>>);

/// The model, for as long as this lives.
pub struct Guard<T> {
    value: Arc<T>,
    place: Arc<Place<T>>,
}

/// A load in progress, in the hands of whoever loads.
pub struct Loading<'a> {
    cancel: Arc<Cancel>,
    report: &'a mut dyn FnMut(LoadPhase, f64),
    phase: LoadPhase,
    bytes_total: u64,
    bytes_moved: u64,
}

/// The two phases of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadPhase {
    /// Files are mapped, names and shapes compared.
    Mapping,
    /// Tensors go to where they are computed with.
    Moving,
}

/// How a model fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelState {
    /// Its weights are not installed.
    Missing,
    /// They are; nothing is in memory.
    Unloaded,
    Mapping,
    Loading,
    Ready,
    Unloading,
    /// The last load failed; the next run tries again.
    Failed,
}

/// What is told of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStatus {
    pub model: &'static str,
    pub state: ModelState,
    /// What is missing or failed; else empty.
    pub reason: String,
    /// Of the load going on, from 0 to 1.
    pub loaded_fraction: f64,
    /// How long the last load that succeeded took; 0 before the first.
    pub load_ms: u64,
    /// What it takes now; 0 unless ready.
    pub memory_bytes: u64,
    /// Milliseconds since the Unix epoch at which it became ready; 0 unless ready.
    pub loaded_at_ms: u64,
    /// Since its last use; 0 while it is in use or not loaded.
    pub idle_ms: u64,
    /// Runs that use it now.
    pub in_use: u32,
}

struct Place<T> {
    model: &'static str,
    folder: Folder,
    janitor: Arc<Janitor>,
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

struct Inner<T> {
    phase: Phase<T>,
    in_use: u32,
    used: Option<Instant>,
    failure: Option<String>,
    load_ms: u64,
}

enum Phase<T> {
    Unloaded,
    Loading { phase: LoadPhase, fraction: f64 },
    Ready { value: Arc<T>, memory_bytes: u64, loaded_at_ms: u64 },
    Unloading,
}

impl<T: Send + Sync + 'static> Resident<T> {
    pub(super) fn new(model: &'static str, folder: Folder, janitor: Arc<Janitor>) -> Self {
        let inner =
            Inner { phase: Phase::Unloaded, in_use: 0, used: None, failure: None, load_ms: 0 };
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        Self(Arc::new(Place { model, folder, janitor, inner, changed }))
    }

    pub(super) fn watched(&self) -> Weak<dyn Resting> {
        let place: Arc<dyn Resting> = Arc::clone(&self.0) as _;
        Arc::downgrade(&place)
    }

    /// The model, loaded by `load` unless it is there. Of several runs one loads, with its own
    /// cancel flag, and the others wait. The time is added to the run's load time.
    ///
    /// # Errors
    /// `Unavailable` with `weights_missing`; what `load` says; those of the run's cancel flag.
    pub fn acquire(
        &self,
        context: &mut RunContext,
        load: impl FnOnce(&Files, &mut Loading<'_>) -> Result<Loaded<T>, RunError>,
    ) -> Result<Guard<T>, RunError> {
        let place = &self.0;
        let mut inner = place.lock();
        if let Some(guard) = Place::take(place, &mut inner) {
            return Ok(guard);
        }
        let begin = clock::now();
        loop {
            if let Some(guard) = Place::take(place, &mut inner) {
                context.add_load(begin.elapsed());
                return Ok(guard);
            }
            if matches!(inner.phase, Phase::Unloaded) {
                break;
            }
            let waited = place.changed.wait_timeout(inner, WAIT_STEP);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Phase::Loading { fraction, .. } = inner.phase {
                drop(inner);
                context.loading(fraction);
                inner = place.lock();
            }
            context.check_cancel()?;
        }
        let files = place.folder.find(place.model)?;
        inner.phase = Phase::Loading { phase: LoadPhase::Mapping, fraction: 0.0 };
        drop(inner);
        let loaded = place.load(context, |loading| load(&files, loading));
        context.add_load(begin.elapsed());
        let Loaded { value, memory_bytes } = loaded?;
        Ok(place.ready(value, memory_bytes, begin.elapsed()))
    }

    /// How it fares.
    #[must_use]
    pub fn status(&self) -> ModelStatus {
        self.0.status()
    }
}

impl<T: Send + Sync + 'static> Place<T> {
    fn take(place: &Arc<Self>, inner: &mut Inner<T>) -> Option<Guard<T>> {
        let Phase::Ready { value, .. } = &inner.phase else { return None };
        let guard = Guard { value: Arc::clone(value), place: Arc::clone(place) };
        inner.in_use += 1;
        Some(guard)
    }

    /// Runs `load`; afterwards the place is still loading if it succeeded, else unloaded.
    fn load(
        &self,
        context: &mut RunContext,
        load: impl FnOnce(&mut Loading<'_>) -> Result<Loaded<T>, RunError>,
    ) -> Result<Loaded<T>, RunError> {
        let undo = UnloadOnDrop(self);
        context.loading(0.0);
        let cancel = Arc::clone(context.cancel());
        let mut tell = |phase, fraction| {
            self.lock().phase = Phase::Loading { phase, fraction };
            context.loading(fraction);
        };
        let result = load(&mut Loading::new(cancel, &mut tell));
        match &result {
            Ok(_) => std::mem::forget(undo),
            // The run was stopped; of the weights that says nothing.
            Err(_) if context.check_cancel().is_err() => {}
            Err(error) => self.lock().failure = Some(error.to_string()),
        }
        result
    }

    fn ready(self: &Arc<Self>, value: T, memory_bytes: u64, took: Duration) -> Guard<T> {
        let value = Arc::new(value);
        let load_ms = millis(took);
        let mut inner = self.lock();
        let loaded_at_ms = millis(clock::since_epoch());
        inner.phase = Phase::Ready { value: Arc::clone(&value), memory_bytes, loaded_at_ms };
        inner.in_use = 1;
        inner.load_ms = load_ms;
        inner.failure = None;
        drop(inner);
        self.changed.notify_all();
        tracing::info!(model = self.model, load_ms, memory_bytes, "model loaded");
        Guard { value, place: Arc::clone(self) }
    }
}

impl<T> Inner<T> {
    fn rests_at(&self, idle: Duration) -> Option<Instant> {
        let is_idle = self.in_use == 0 && matches!(self.phase, Phase::Ready { .. });
        is_idle.then(|| self.used?.checked_add(idle)).flatten()
    }
}

impl<T> Place<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Whoever panicked here held no half-made state: each change is one assignment.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load that fails, is cancelled or panics leaves an empty place.
struct UnloadOnDrop<'a, T>(&'a Place<T>);

impl<T> Drop for UnloadOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.lock().phase = Phase::Unloaded;
        self.0.changed.notify_all();
    }
}

impl<T: Send + Sync> Resting for Place<T> {
    fn status(&self) -> ModelStatus {
        let inner = self.lock();
        let mut status = ModelStatus {
            model: self.model,
            state: ModelState::Unloaded,
            reason: inner.failure.clone().unwrap_or_default(),
            loaded_fraction: 0.0,
            load_ms: inner.load_ms,
            memory_bytes: 0,
            loaded_at_ms: 0,
            idle_ms: 0,
            in_use: inner.in_use,
        };
        status.state = match &inner.phase {
            Phase::Unloaded if inner.failure.is_some() => ModelState::Failed,
            Phase::Unloaded => ModelState::Unloaded,
            Phase::Loading { phase, fraction } => {
                status.loaded_fraction = *fraction;
                match phase {
                    LoadPhase::Mapping => ModelState::Mapping,
                    LoadPhase::Moving => ModelState::Loading,
                }
            }
            Phase::Ready { memory_bytes, loaded_at_ms, .. } => {
                status.loaded_fraction = 1.0;
                status.memory_bytes = *memory_bytes;
                status.loaded_at_ms = *loaded_at_ms;
                let idle = inner.used.filter(|_| inner.in_use == 0);
                status.idle_ms = idle.map_or(0, |used| millis(used.elapsed()));
                ModelState::Ready
            }
            Phase::Unloading => ModelState::Unloading,
        };
        drop(inner);
        if matches!(status.state, ModelState::Unloaded | ModelState::Failed)
            && let Err(reason) = self.folder.readiness(self.model)
        {
            (status.state, status.reason) = (ModelState::Missing, reason);
        }
        status
    }

    fn rests_at(&self, idle: Duration) -> Option<Instant> {
        self.lock().rests_at(idle)
    }

    fn unload_if_idle(&self, idle: Duration, now: Instant) {
        let mut inner = self.lock();
        if inner.rests_at(idle).is_none_or(|at| at > now) {
            return;
        }
        let phase = std::mem::replace(&mut inner.phase, Phase::Unloading);
        drop(inner);
        let undo = UnloadOnDrop(self);
        // Giving gigabytes back takes a while; nobody waits for the lock meanwhile.
        drop(phase);
        drop(undo);
        memory::give_back();
        tracing::info!(model = self.model, "idle model unloaded");
    }
}

impl ModelState {
    /// As it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unloaded => "unloaded",
            Self::Mapping => "mapping",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Unloading => "unloading",
            Self::Failed => "failed",
        }
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        let mut inner = self.place.lock();
        inner.in_use -= 1;
        inner.used = Some(clock::now());
        drop(inner);
        self.place.janitor.wake();
    }
}

impl<'a> Loading<'a> {
    /// A load that `cancel` stops; `report` hears of the phase and how far it is, 0 to 1.
    pub fn new(cancel: Arc<Cancel>, report: &'a mut dyn FnMut(LoadPhase, f64)) -> Self {
        Self { cancel, report, phase: LoadPhase::Mapping, bytes_total: 0, bytes_moved: 0 }
    }

    /// The second phase begins: `bytes_total` will be moved, as far as is known.
    pub fn moving(&mut self, bytes_total: u64) {
        (self.phase, self.bytes_total, self.bytes_moved) = (LoadPhase::Moving, bytes_total, 0);
        (self.report)(self.phase, 0.0);
    }

    /// `bytes` more have been moved.
    pub fn moved(&mut self, bytes: u64) {
        self.bytes_moved += bytes;
        #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
        let fraction = match self.bytes_total {
            0 => 0.0,
            total => (self.bytes_moved as f64 / total as f64).min(1.0),
        };
        (self.report)(self.phase, fraction);
    }

    /// Fails when the load has to stop; asked between any two tensors.
    ///
    /// # Errors
    /// Those of the cancel flag.
    pub fn check(&self) -> Result<(), RunError> {
        self.cancel.check()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
