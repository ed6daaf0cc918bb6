//! What a store carries: the handles, limits and the request of the instance that lives in it.
//!
//! Owns the accounting of memory and CPU for one store. Always: the sum of all memories of a store
//! stays within `Limits::memory_bytes_max` (wasmtime's own limits are per memory), and CPU time is
//! counted only while the guest runs, so that waiting in a host call is free.

use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, StoreContextMut, UpdateDeadline};

use super::{Imports, Sandbox};
use crate::counters::Held;
use crate::ids::{KeyId, RequestId, TenantId};

/// What one call of a component may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All linear memories of the store together.
    pub memory_bytes_max: usize,
    /// Epochs (milliseconds) of running guest code.
    pub cpu_epochs_max: u32,
}

/// Table elements of one store; small components use a few hundred.
const TABLE_ELEMENTS_MAX: usize = 20_000;

/// Handles that a guest may have open at once.
const HANDLES_MAX: usize = 8192;

/// The request that a component works for.
#[derive(Debug)]
pub struct Call {
    pub request_id: RequestId,
    /// Known once `auth` has answered.
    pub tenant: Option<TenantId>,
    pub key: Option<KeyId>,
    /// The service whose route is asked; empty for the host's own routes.
    pub service: Arc<str>,
    pub traceparent: Option<String>,
    /// Longest wait for a job that this request may ask for, milliseconds.
    pub wait_ms_max: u32,
    /// Places in gauges, given back when the request has been answered.
    pub held: Mutex<Vec<Held>>,
}

/// The data of a store.
pub struct Context {
    pub(crate) table: ResourceTable,
    pub(crate) imports: Arc<Imports>,
    /// The component's name, for settings, logs and metrics.
    pub(crate) component: Arc<str>,
    /// `None` outside of a request (`describe`).
    pub(crate) call: Option<Arc<Call>>,
    /// Bytes that the guest may still write into blobs of its own in this call.
    pub(crate) made_bytes_left: u64,
    limits: Limits,
    memory_bytes: usize,
    epochs_used: u32,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("component", &self.component).finish_non_exhaustive()
    }
}

impl Context {
    /// A new store for one instance of `component`.
    pub(crate) fn store(sandbox: &Sandbox, component: Arc<str>, limits: Limits) -> Store<Self> {
        let context = Self {
            table: table(),
            imports: sandbox.imports().clone(),
            component,
            call: None,
            made_bytes_left: 0,
            limits,
            memory_bytes: 0,
            epochs_used: 0,
        };
        let mut store = Store::new(sandbox.engine(), context);
        store.limiter(|context| context);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(on_epoch);
        store
    }

    /// Prepares the store for one more call.
    pub(crate) fn begin(store: &mut Store<Self>, call: Option<Arc<Call>>) {
        store.set_epoch_deadline(1);
        let context = store.data_mut();
        context.epochs_used = 0;
        context.made_bytes_left = context.imports.made_bytes_max;
        context.call = call;
    }

    /// Forgets the call: no handle and no request outlives it.
    pub(crate) fn end(store: &mut Store<Self>) {
        let context = store.data_mut();
        context.call = None;
        if !context.table.is_empty() {
            context.table = table();
        }
    }

    /// The request at work.
    ///
    /// # Errors
    /// Outside of a request: the component called a request's import while it described itself.
    pub(crate) fn call(&self) -> wasmtime::Result<&Arc<Call>> {
        self.call.as_ref().ok_or_else(|| wasmtime::Error::msg("no request is being served"))
    }
}

fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    table
}

/// Counts a millisecond of guest time. It touches only the store's own data.
fn on_epoch(mut store: StoreContextMut<'_, Context>) -> wasmtime::Result<UpdateDeadline> {
    let context = store.data_mut();
    context.epochs_used += 1;
    if context.epochs_used > context.limits.cpu_epochs_max {
        Ok(UpdateDeadline::Interrupt)
    } else {
        Ok(UpdateDeadline::Yield(1))
    }
}

impl ResourceLimiter for Context {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes + desired.saturating_sub(current);
        if total > self.limits.memory_bytes_max {
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}
