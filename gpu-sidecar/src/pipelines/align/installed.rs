//! The encoders whose weights are installed, loaded when a run first asks and kept while in use.
//!
//! Owns each encoder's place in memory. Knows models by name; files and parameters are theirs.

use std::path::PathBuf;

use candle_core::Device;

use super::{EncoderName, Encoders};
use crate::align::encoder::batcher::Batcher;
use crate::align::encoder::installed::{self, OpenError};
use crate::align::encoder::labse::Labse;
use crate::align::encoder::token_model::TokenModel;
use crate::align::encoder::usem3::Usem3;
use crate::align::encoder::{EncodeError, Encoder, Groups, Watch};
use crate::pipeline::{RunContext, RunError};
use crate::weights::{Files, Guard, Loaded, Models, Resident};

/// Of the weights' sources.
pub(super) const MODELS: &[&str] = &["usem3", "labse"];

/// Encoders from the folder of weights.
pub struct Installed {
    models: Models,
    usem3: Resident<Batcher<Usem3>>,
    labse: Resident<Batcher<Labse>>,
}

impl Installed {
    /// Nothing is loaded.
    #[must_use]
    pub fn new(models: &Models) -> Self {
        let (usem3, labse) = (models.resident("usem3"), models.resident("labse"));
        Self { models: models.clone(), usem3, labse }
    }
}

impl Encoders for Installed {
    fn missing(&self) -> String {
        let name = EncoderName::default().as_str();
        self.models.folder().readiness(name).err().unwrap_or_default()
    }

    fn open(
        &self,
        name: EncoderName,
        context: &mut RunContext,
    ) -> Result<Box<dyn Encoder>, RunError> {
        let bytes = name.memory_bytes();
        Ok(match name {
            EncoderName::Usem3 => {
                Box::new(Held(self.usem3.acquire(context, |files, _| {
                    shared(installed::usem3(&folder(files)), bytes)
                })?))
            }
            EncoderName::Labse => {
                Box::new(Held(self.labse.acquire(context, |files, loading| {
                    shared(installed::labse(&folder(files), &Device::Cpu, loading), bytes)
                })?))
            }
        })
    }

    fn check(&self, model: &str, files: &Files) -> Result<(), RunError> {
        match model {
            "usem3" => installed::usem3(&folder(files)).map(drop).map_err(refused),
            "labse" => installed::check_labse(&folder(files)).map_err(refused),
            _ => Ok(()),
        }
    }
}

fn folder(files: &Files) -> PathBuf {
    files.path("")
}

fn shared<M: TokenModel>(
    opened: Result<M, OpenError>,
    memory_bytes: u64,
) -> Result<Loaded<Batcher<M>>, RunError> {
    let value = Batcher::new(opened.map_err(refused)?)
        .map_err(|error| RunError::file("starting an encoder's thread", &error))?;
    Ok(Loaded { value, memory_bytes })
}

fn refused(error: OpenError) -> RunError {
    match error {
        OpenError::Checkpoint(error) => error.into(),
        other => RunError::unavailable("weights_invalid", other),
    }
}

/// An encoder that stays loaded as long as this does.
struct Held<M: TokenModel>(Guard<Batcher<M>>);

impl<M: TokenModel> Encoder for Held<M> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn width(&self) -> usize {
        self.0.width()
    }

    fn languages(&self) -> &'static [&'static str] {
        self.0.languages()
    }

    fn embed(&self, texts: &[&str], watch: &mut Watch<'_>) -> Result<Vec<f32>, EncodeError> {
        self.0.embed(texts, watch)
    }

    fn embed_groups(
        &self,
        sentences: &[String],
        layers: usize,
        watch: &mut Watch<'_>,
    ) -> Result<Groups, EncodeError> {
        self.0.embed_groups(sentences, layers, watch)
    }
}
