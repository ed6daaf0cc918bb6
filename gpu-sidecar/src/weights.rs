//! Weights: from a folder of files to a model in memory, by name, once, and out again when idle.
//!
//! Owns checkpoints (reading and accounting), where a model's files come from and lie, and how long
//! a model stays loaded. Knows tensors' names, not what they mean; never downloads: the host does.
//! Always: a model is loaded by one run at a time however many ask, and never unloaded under a run.
//! Start at [`Models`], then [`Resident::acquire`] and [`Checkpoint::load`].

mod account;
mod checkpoint;
mod folder;
mod mapping;
mod models;
mod pytorch;
mod resident;
mod source;
mod unpack;

pub use account::{Account, Loaded, Placement};
pub use checkpoint::{Checkpoint, CheckpointError, Mismatch, TensorInfo};
pub use folder::{Files, Folder};
pub use models::{Models, ModelsSettings};
pub use resident::{Guard, Loading, ModelState, ModelStatus, Resident};
pub use source::{Archive, Licence, Origin, ShownSource, Source, SourceFile, source, sources};
pub use unpack::unpack;
