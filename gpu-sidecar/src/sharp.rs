//! SHARP: one picture to two layers of metric 3D Gaussians (SPEC `sharp`; Mescheder et al. 2025).
//!
//! Owns the network, what comes before it (orientation, focal length, resizing) and the meaning of
//! its output. Knows tensors and pictures; neither requests nor files of results. Parameters have
//! the names of the published checkpoint. Start at [`Predictor`].

pub mod config;
pub mod focal;
pub mod preprocess;
pub mod probe;

pub mod activation;
pub mod alignment;
pub mod decoder;
pub mod feature_model;
pub mod pyramid;
pub mod vit;

mod residual;

pub mod compose;
pub mod encoder;
pub mod head;
pub mod initialize;
pub mod predictor;

pub use config::Config;
pub use predictor::{Prediction, Predictor};
