//! The sandbox: one wasmtime engine, its limits, and the components compiled for it.
//!
//! Owns the engine, its epoch ticker and the linker with every host import. Knows how to run a
//! component, not what any of them is for: the chain is `gate.rs`. Always: a store that trapped,
//! ran out of time or was cancelled is dropped, never used again (`pool.rs` and `fresh.rs` see to
//! it). Start at `Sandbox::new`.

pub mod bindings;
mod cache;
pub mod context;
pub mod fresh;
pub mod imports;
pub mod pool;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::secret::ServerSecret;
pub use cache::CacheOutcome;
pub use context::{Call, Context, Limits};
pub use imports::Imports;

/// Length of an epoch: the grain of CPU budgets. A runaway component stops within its budget and
/// two of these.
pub const EPOCH: Duration = Duration::from_millis(1);

/// Instances that can exist at once, over all components. Bounds address space and file
/// descriptors; past it a request is answered 503 instead of failing inside the engine.
const INSTANCES_MAX: u32 = 1024;

/// Largest linear memory that any limit may allow; the size of a pool slot.
pub const MEMORY_BYTES_MAX: usize = 1 << 30;

/// Bytes of a slot that are zeroed in place instead of given back to the kernel: the usual dirty
/// set of a small component.
const KEEP_RESIDENT_BYTES: usize = 128 << 10;

/// Why a component could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the sandbox cannot start here")]
    Engine(#[source] wasmtime::Error),
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a component that this host can run")]
    Component { path: PathBuf, source: wasmtime::Error },
}

/// One engine and everything that components of one trust class share.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Context>,
    imports: Arc<Imports>,
    cache: cache::Cache,
    // Held for its `Drop`, which ends the ticker's thread.
    _ticker: Ticker,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the engine and its ticker. `cache_dir` is created.
    ///
    /// # Errors
    /// `Engine`: no address space for the pool, or an unsupported processor.
    pub fn new(
        imports: Arc<Imports>,
        cache_dir: &Path,
        secret: &ServerSecret,
    ) -> Result<Self, LoadError> {
        let engine = Engine::new(&config()).map_err(LoadError::Engine)?;
        let mut linker = Linker::new(&engine);
        imports::add_to_linker(&mut linker).map_err(LoadError::Engine)?;
        let ticker = Ticker::start(engine.clone());
        let cache = cache::Cache::new(cache_dir, secret);
        Ok(Self { engine, linker, imports, cache, _ticker: ticker })
    }

    /// Compiles the component in `path`, or takes it from the cache, and checks its imports.
    ///
    /// # Errors
    /// `Read`, or `Component` when it is no component or imports what the host does not offer.
    pub fn load(&self, path: &Path) -> Result<(InstancePre<Context>, CacheOutcome), LoadError> {
        let bytes = std::fs::read(path)
            .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let wrong = |source| LoadError::Component { path: path.to_owned(), source };
        let (component, outcome) = self.cache.component(&self.engine, &bytes).map_err(wrong)?;
        let pre = self.linker.instantiate_pre(&component).map_err(wrong)?;
        Ok((pre, outcome))
    }

    /// The same for bytes at hand, without the cache.
    ///
    /// # Errors
    /// As of the engine.
    pub fn load_bytes(&self, bytes: &[u8]) -> wasmtime::Result<InstancePre<Context>> {
        let component = Component::new(&self.engine, bytes)?;
        self.linker.instantiate_pre(&component)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn imports(&self) -> &Arc<Imports> {
        &self.imports
    }
}

fn config() -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * 4)
        .total_memories(INSTANCES_MAX)
        .total_tables(INSTANCES_MAX * 2)
        .total_stacks(INSTANCES_MAX)
        .max_core_instances_per_component(8)
        .max_memories_per_component(1)
        .max_tables_per_component(4)
        .max_memory_size(MEMORY_BYTES_MAX)
        .max_unused_warm_slots(64)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(16 << 10);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .memory_init_cow(true)
        // No guest has concurrent calls, and a store without their state is made faster.
        .concurrency_support(false)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .wasm_memory64(false);
    config
}

/// Raises the engine's epoch. A thread of the system and not a task: a guest that never yields must
/// not be able to stop the clock that stops it.
struct Ticker {
    stop: Arc<std::sync::atomic::AtomicBool>,
}

impl Ticker {
    fn start(engine: Engine) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = stop.clone();
        std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || {
                while !seen.load(std::sync::atomic::Ordering::Relaxed) {
                    std::thread::sleep(EPOCH);
                    engine.increment_epoch();
                }
            })
            .expect("a process that cannot start a thread at boot cannot serve");
        Self { stop }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
