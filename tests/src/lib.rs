//! What the end-to-end tests share: a gate of real processes, a client, clips and pictures.
//!
//! Knows `postern` and `postern-sidecar` as programs, by their command lines, files and HTTP alone:
//! no type of theirs is used here, so that a test sees what a customer or an operator sees. Start
//! at [`gate::Gate::start`].

pub mod archive;
pub mod caller;
pub mod client;
pub mod clip;
pub mod gate;
pub mod patience;
pub mod picture;
pub mod process;
pub mod relay;
pub mod weights;
