//! Gauges: places that are taken and given back, for requests open at the same time.
//!
//! Always: a name's count equals its living [`Held`]s; a name without any takes no memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::NAMES_MAX;

type Taken = Arc<Mutex<HashMap<Arc<str>, u32>>>;

/// One lock for all: it is held for a look-up, and each request takes it twice.
#[derive(Debug, Default)]
pub(super) struct Gauges(Taken);

/// A taken place; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Held {
    taken: Taken,
    name: Arc<str>,
}

impl Gauges {
    pub(super) fn hold(&self, name: &str, limit: u32) -> Option<Held> {
        let mut taken = self.0.lock();
        let present = taken.get_key_value(name).map(|(name, count)| (name.clone(), *count));
        let (name, count) = match present {
            Some(present) => present,
            None if taken.len() < NAMES_MAX => (name.into(), 0),
            None => return None,
        };
        if count >= limit {
            return None;
        }
        taken.insert(name.clone(), count + 1);
        drop(taken);
        Some(Held { taken: self.0.clone(), name })
    }

    pub(super) fn held(&self, name: &str) -> u32 {
        self.0.lock().get(name).copied().unwrap_or(0)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        let count = taken.get_mut(&self.name).expect("a place that is held is counted");
        *count -= 1;
        if *count == 0 {
            taken.remove(&self.name);
        }
    }
}
