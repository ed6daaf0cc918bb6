//! The registry: the closed list of what this build can run.
//!
//! Owns the names. A new pipeline is a file under `pipelines/` and a line in
//! [`Registry::standard`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::pipeline::{Manifest, Pipeline, RunError};
use crate::pipelines::align::{Align, Installed};
use crate::pipelines::{echo::Echo, sharp::Sharp, vision::Vision};
use crate::weights::{Checkpoint, Files, Models, Source, source};

/// Pipelines by `name@version`.
#[derive(Clone)]
pub struct Registry {
    entries: BTreeMap<String, Entry>,
    models: Models,
}

/// A pipeline with the manifest that it had when the process started: its slots never change.
#[derive(Clone)]
pub struct Entry {
    pub manifest: Arc<Manifest>,
    pub pipeline: Arc<dyn Pipeline>,
}

/// A manifest with the weights that its pipeline may load.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    pub manifest: Manifest,
    pub weights: Vec<&'static Source>,
}

impl Registry {
    /// Everything in this build, with the process's models.
    #[must_use]
    pub fn standard(models: Models) -> Self {
        let pipelines = [
            Arc::new(Echo) as Arc<dyn Pipeline>,
            Arc::new(Align::new(Arc::new(Installed::new(&models)))),
            Arc::new(Sharp::new(&models)),
            Arc::new(Vision),
        ];
        Self { models, ..Self::new(pipelines) }
    }

    /// These pipelines. The last of two with the same name and version wins.
    #[must_use]
    pub fn new(pipelines: impl IntoIterator<Item = Arc<dyn Pipeline>>) -> Self {
        let entries = pipelines.into_iter().map(|pipeline| {
            let manifest = Arc::new(pipeline.manifest());
            (manifest.id(), Entry { manifest, pipeline })
        });
        Self { entries: entries.collect(), models: Models::default() }
    }

    /// The models of these pipelines.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The pipeline `name@version`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// All manifests as they are now, by name.
    #[must_use]
    pub fn manifests(&self) -> Vec<Listed> {
        let listed = |entry: &Entry| {
            let models = entry.pipeline.models().iter();
            let weights = models.filter_map(|model| source(model)).collect();
            Listed { manifest: entry.pipeline.manifest(), weights }
        };
        self.entries.values().map(listed).collect()
    }

    /// Looks whether `files` are what the pipelines that use `model` would load.
    ///
    /// # Errors
    /// `Unavailable`: a file is no checkpoint, or names and shapes differ.
    pub fn check_weights(&self, model: &str, files: &Files) -> Result<(), RunError> {
        for path in files.paths() {
            let extension = path.extension().and_then(|extension| extension.to_str());
            if let Some("safetensors" | "pt" | "pth" | "ckpt") = extension {
                Checkpoint::open(&[path])?;
            }
        }
        let mut users =
            self.entries.values().filter(|entry| entry.pipeline.models().contains(&model));
        users.try_for_each(|entry| entry.pipeline.check_weights(model, files))
    }
}
