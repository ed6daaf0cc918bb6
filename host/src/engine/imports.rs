//! What components may import: one file an interface, all behind [`Imports`].
//!
//! Owns the wiring of `wit/` to the host's parts. Always: a guest's mistake is an answer in WIT, a
//! fault of the host is a trap; nothing here hands out a stored secret.

pub mod blobs;
mod counters;
mod keys;
mod log;
mod rules;
mod runs;
pub(crate) use runs::outcome;
mod settings;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use wasmtime::component::{HasSelf, Linker};

use super::Context;
use crate::blobs::BlobStore;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::jobs::Jobs;
use crate::tenancy::Directory;
use crate::tokens::Tokens;

/// The host's parts, as the imports need them.
#[derive(Debug)]
pub struct Imports {
    pub clock: Clock,
    pub directory: Arc<Directory>,
    pub tokens: Arc<Tokens>,
    pub counters: Arc<Counters>,
    pub jobs: Arc<Jobs>,
    pub blobs: Arc<BlobStore>,
    /// By component, then by name.
    pub settings: BTreeMap<String, BTreeMap<String, String>>,
    /// Bytes that one call may write into blobs of its own.
    pub made_bytes_max: u64,
    /// The rules of every route, once the services have described themselves.
    pub rules: OnceLock<Rules>,
}

/// JSON of a route's rules, by service and route.
pub type Rules = BTreeMap<(String, String), String>;

/// Adds every interface; a component links what it imports and no more.
pub(super) fn add_to_linker(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    use super::bindings::imports::postern::{pipelines, policy, types};
    types::http::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    types::problems::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    types::principals::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    types::blobs::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    types::settings::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    types::log::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    policy::keys::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    policy::tokens::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    policy::tenants::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    policy::plans::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    policy::counters::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    policy::rules::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    pipelines::types::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    pipelines::runs::add_to_linker::<_, HasSelf<_>>(linker, |context| context)?;
    Ok(())
}

// Interfaces without functions: their traits are empty.
impl super::bindings::imports::postern::types::http::Host for Context {}
impl super::bindings::imports::postern::types::problems::Host for Context {}
impl super::bindings::imports::postern::types::principals::Host for Context {}
impl super::bindings::imports::postern::pipelines::types::Host for Context {}
