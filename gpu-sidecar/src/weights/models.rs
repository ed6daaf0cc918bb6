//! The models of one process: where their weights lie, how long an idle one stays, how each fares.
//!
//! Owns the thread that unloads. Knows models by name only. Always: one `Models` a process, handed
//! to the pipelines by the registry; the thread ends with it.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::resident::{ModelStatus, Resident};
use crate::clock;

/// How models are kept.
#[derive(Debug, Clone, Default)]
pub struct ModelsSettings {
    pub folder: Folder,
    /// A model that no run has used for so long is unloaded; `None`: never.
    pub idle_unload: Option<Duration>,
}

/// Everything that may be loaded in this process.
#[derive(Clone)]
pub struct Models {
    folder: Folder,
    janitor: Arc<Janitor>,
    _end: Arc<EndOnDrop>,
}

/// What the thread that unloads needs to know of a model.
pub(super) trait Resting: Send + Sync {
    fn status(&self) -> ModelStatus;
    /// When it will have been idle for `idle`; `None` while it is in use or not loaded.
    fn rests_at(&self, idle: Duration) -> Option<Instant>;
    /// Unloads it if at `now` nobody uses it and nobody has for `idle`.
    fn unload_if_idle(&self, idle: Duration, now: Instant);
}

/// Unloads idle models.
pub(super) struct Janitor {
    idle_unload: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    models: Vec<Weak<dyn Resting>>,
    /// Counts the changes, so that none is missed between looking and waiting.
    changes: u64,
    running: bool,
    ended: bool,
}

impl Default for Models {
    /// Without a folder: everything is missing.
    fn default() -> Self {
        Self::new(ModelsSettings::default())
    }
}

struct EndOnDrop(Arc<Janitor>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

impl Models {
    /// No model is loaded yet.
    #[must_use]
    pub fn new(settings: ModelsSettings) -> Self {
        let ModelsSettings { folder, idle_unload } = settings;
        let (state, changed) = (Mutex::default(), Condvar::new());
        let janitor = Arc::new(Janitor { idle_unload, state, changed });
        let end = Arc::new(EndOnDrop(Arc::clone(&janitor)));
        Self { folder, janitor, _end: end }
    }

    /// Where weights lie.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// A place for `model`, empty at first. `model` is the name of its source.
    #[must_use]
    pub fn resident<T: Send + Sync + 'static>(&self, model: &'static str) -> Resident<T> {
        let resident = Resident::new(model, self.folder.clone(), Arc::clone(&self.janitor));
        let watched = resident.watched();
        self.janitor.change(|state| state.models.push(watched));
        resident
    }

    /// How each model fares, by name.
    #[must_use]
    pub fn statuses(&self) -> Vec<ModelStatus> {
        let mut all: Vec<_> = self.janitor.living().iter().map(|model| model.status()).collect();
        all.sort_by_key(|status| status.model);
        all
    }
}

impl Janitor {
    /// A model was loaded or let go: the thread looks anew when it has to unload.
    pub(super) fn wake(self: &Arc<Self>) {
        let Some(idle) = self.idle_unload else { return };
        let mut start = false;
        self.change(|state| start = !std::mem::replace(&mut state.running, true));
        if start {
            let janitor = Arc::clone(self);
            let thread = std::thread::Builder::new().name("idle-unload".to_owned());
            if let Err(error) = thread.spawn(move || janitor.watch(idle)) {
                tracing::warn!(%error, "no thread: idle models stay loaded");
                self.change(|state| state.running = false);
            }
        }
    }

    fn watch(&self, idle: Duration) {
        loop {
            let changes = self.lock().changes;
            let models = self.living();
            let now = clock::now();
            for model in &models {
                model.unload_if_idle(idle, now);
            }
            let next = models.iter().filter_map(|model| model.rests_at(idle)).min();
            drop(models);
            let mut state = self.lock();
            while state.changes == changes && !state.ended {
                let left = next.map(|next| next.saturating_duration_since(clock::now()));
                state = match left {
                    Some(left) if left.is_zero() => break,
                    Some(left) => {
                        let waited = self.changed.wait_timeout(state, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                };
            }
            if state.ended {
                return;
            }
        }
    }

    fn living(&self) -> Vec<Arc<dyn Resting>> {
        self.lock().models.iter().filter_map(Weak::upgrade).collect()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.changes += 1;
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
