//! `postern-guest`: what Postern's WebAssembly components share.
//!
//! Knows HTTP bodies (JSON, multipart forms, base64), the first bytes of media files, problems and
//! the host's imports; no service, parameter or plan. Everything but `bindings` is plain Rust that
//! runs natively: bytes are read through `Source`, which a blob handle, a slice and a base64 text
//! all implement. Nothing here copies a large body. Start at `body.rs` for how one is read.

pub mod bindings;

pub mod answer;
pub mod base64;
pub mod body;
pub mod form;
pub mod json;
pub mod media_type;
pub mod multipart;
pub mod picture;
pub mod problem;
pub mod query;
pub mod schema;
pub mod sniff;
pub mod source;
pub mod template;
pub mod utf8;

pub use bindings::postern::types::blobs::{Blob, BlobWriter};
pub use bindings::postern::types::http::{Head, Header};
pub use bindings::postern::types::principals::Principal;
pub use bindings::postern::types::problems::Problem;
pub use problem::Fault;
pub use source::Source;
