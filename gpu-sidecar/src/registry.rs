//! The registry: the closed list of what this build can run.
//!
//! Owns the names. A new pipeline is a file under `pipelines/` and a line in
//! [`Registry::standard`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pipeline::{Manifest, Pipeline};
use crate::pipelines::align::{Align, NotInstalled};
use crate::pipelines::{echo::Echo, vision::Vision};

/// Pipelines by `name@version`.
#[derive(Clone)]
pub struct Registry {
    entries: BTreeMap<String, Entry>,
}

/// A pipeline with the manifest that it had when the process started: its slots never change.
#[derive(Clone)]
pub struct Entry {
    pub manifest: Arc<Manifest>,
    pub pipeline: Arc<dyn Pipeline>,
}

impl Registry {
    /// Everything in this build.
    #[must_use]
    pub fn standard() -> Self {
        Self::new([
            Arc::new(Echo) as Arc<dyn Pipeline>,
            Arc::new(Align::new(Arc::new(NotInstalled))),
            Arc::new(Vision),
        ])
    }

    /// These pipelines. The last of two with the same name and version wins.
    #[must_use]
    pub fn new(pipelines: impl IntoIterator<Item = Arc<dyn Pipeline>>) -> Self {
        let entries = pipelines.into_iter().map(|pipeline| {
            let manifest = Arc::new(pipeline.manifest());
            (manifest.id(), Entry { manifest, pipeline })
        });
        Self { entries: entries.collect() }
    }

    /// The pipeline `name@version`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// All manifests as they are now, by name.
    #[must_use]
    pub fn manifests(&self) -> Vec<Manifest> {
        self.entries.values().map(|entry| entry.pipeline.manifest()).collect()
    }
}
