//! Warm instances of the operator's components.
//!
//! Owns the idle instances of one component. Always: an instance serves one call at a time, is
//! given back only after a call that ended well, and is replaced after a bounded, randomised number
//! of calls, so that nobody can rely on what it remembers. A cancelled call drops its instance,
//! because the lease owns it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use wasmtime::component::InstancePre;
use wasmtime::{Store, Trap};

use super::context::{Call, Context, Limits};
use super::{LoadError, Sandbox};
use crate::metrics::Metrics;

/// Why a call of a component has no answer. The instance is gone in every case but `Busy`.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    #[error("component `{component}` trapped")]
    Trapped { component: Arc<str>, source: wasmtime::Error },
    #[error("component `{component}` used up its CPU budget")]
    Cpu { component: Arc<str> },
    #[error("component `{component}` did not answer in time")]
    Wall { component: Arc<str> },
    #[error("all instances of component `{component}` are busy")]
    Busy { component: Arc<str> },
}

impl ComponentError {
    /// The closed set of `kind` in metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trapped { .. } => "trap",
            Self::Cpu { .. } => "cpu",
            Self::Wall { .. } => "wall",
            Self::Busy { .. } => "busy",
        }
    }

    /// Sorts an engine error.
    pub(super) fn from_engine(component: Arc<str>, source: wasmtime::Error) -> Self {
        match source.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Self::Cpu { component },
            _ => Self::Trapped { component, source },
        }
    }
}

/// A world of `bindings`: how to make an instance of it.
pub trait World: Send + Sized + 'static {
    type Pre: Send + Sync + 'static;
    /// Checks that the component exports what the world asks.
    fn pre(pre: InstancePre<Context>) -> wasmtime::Result<Self::Pre>;
    fn instantiate<'a>(
        pre: &'a Self::Pre,
        store: &'a mut Store<Context>,
    ) -> BoxFuture<'a, wasmtime::Result<Self>>;
}

macro_rules! world {
    ($world:ty, $pre:ty) => {
        impl World for $world {
            type Pre = $pre;
            fn pre(pre: InstancePre<Context>) -> wasmtime::Result<Self::Pre> {
                <$pre>::new(pre)
            }
            fn instantiate<'a>(
                pre: &'a Self::Pre,
                store: &'a mut Store<Context>,
            ) -> BoxFuture<'a, wasmtime::Result<Self>> {
                Box::pin(pre.instantiate_async(store))
            }
        }
    };
}

world!(super::bindings::auth::Auth, super::bindings::auth::AuthPre<Context>);
world!(super::bindings::rate_limit::RateLimit, super::bindings::rate_limit::RateLimitPre<Context>);
world!(
    super::bindings::validation::Validation,
    super::bindings::validation::ValidationPre<Context>
);
world!(super::bindings::shaping::Shaping, super::bindings::shaping::ShapingPre<Context>);
world!(super::bindings::pages::Pages, super::bindings::pages::PagesPre<Context>);
world!(super::bindings::pre_hook::PreHook, super::bindings::pre_hook::PreHookPre<Context>);

/// How a pool behaves.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    pub limits: Limits,
    /// Calls at once; one more waits up to `queue_wait`, then gets `Busy`.
    pub instances_max: usize,
    pub queue_wait: Duration,
    /// Calls that an instance serves before it is replaced: between this and twice this.
    pub uses_min: u32,
}

/// The instances of one component.
pub struct Pool<W: World> {
    sandbox: Arc<Sandbox>,
    component: Arc<str>,
    pre: W::Pre,
    options: PoolOptions,
    idle: Mutex<Vec<Warm<W>>>,
    places: Semaphore,
    metrics: Arc<Metrics>,
}

struct Warm<W> {
    store: Store<Context>,
    instance: W,
    uses_left: u32,
}

impl<W: World> std::fmt::Debug for Pool<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("component", &self.component).finish_non_exhaustive()
    }
}

/// One instance for one call. Dropping it without [`Lease::finish`] drops the instance: that is
/// what happens to a call that was cancelled.
#[must_use]
pub struct Lease<'a, W: World> {
    pool: &'a Pool<W>,
    warm: Warm<W>,
    began: Duration,
    _place: SemaphorePermit<'a>,
}

impl<W: World> Lease<'_, W> {
    /// What a call of an export needs.
    pub fn parts(&mut self) -> (&mut Store<Context>, &W) {
        (&mut self.warm.store, &self.warm.instance)
    }

    /// Ends the call with what came of it. Only an instance that answered goes back into the pool.
    ///
    /// # Errors
    /// What kept it from answering.
    pub fn finish<R>(
        self,
        outcome: Result<wasmtime::Result<R>, Elapsed>,
    ) -> Result<R, ComponentError> {
        let Self { pool, mut warm, began, .. } = self;
        let component = || pool.component.clone();
        let result = match outcome {
            Ok(Ok(answer)) => {
                Context::end(&mut warm.store);
                pool.give_back(warm);
                Ok(answer)
            }
            Ok(Err(error)) => Err(ComponentError::from_engine(component(), error)),
            Err(Elapsed { .. }) => Err(ComponentError::Wall { component: component() }),
        };
        let kind = result.as_ref().err().map(ComponentError::kind);
        pool.metrics.wasm_call(&pool.component, pool.now().saturating_sub(began), kind);
        result
    }
}

impl<W: World> Pool<W> {
    /// A pool without instances; they are made when they are needed.
    ///
    /// # Errors
    /// `Component` when it does not export what the world asks.
    pub fn new(
        sandbox: Arc<Sandbox>,
        component: Arc<str>,
        pre: InstancePre<Context>,
        options: PoolOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LoadError> {
        let pre = W::pre(pre)
            .map_err(|source| LoadError::Component { path: component.as_ref().into(), source })?;
        let places = Semaphore::new(options.instances_max);
        Ok(Self { sandbox, component, pre, options, idle: Mutex::default(), places, metrics })
    }

    /// An instance for one call: an idle one or a new one.
    ///
    /// # Errors
    /// `Busy`, or `Trapped` when it cannot be instantiated.
    pub async fn lease(&self, call: Option<Arc<Call>>) -> Result<Lease<'_, W>, ComponentError> {
        let began = self.now();
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(_) => tokio::time::timeout(self.options.queue_wait, self.places.acquire())
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or_else(|| ComponentError::Busy { component: self.component.clone() })?,
        };
        let idle = self.idle.lock().pop();
        let mut warm = match idle {
            Some(warm) => warm,
            None => self
                .make()
                .await
                .map_err(|error| ComponentError::from_engine(self.component.clone(), error))?,
        };
        Context::begin(&mut warm.store, call);
        Ok(Lease { pool: self, warm, began, _place: place })
    }

    fn now(&self) -> Duration {
        self.sandbox.imports().clock.monotonic()
    }

    async fn make(&self) -> wasmtime::Result<Warm<W>> {
        let mut store = Context::store(&self.sandbox, self.component.clone(), self.options.limits);
        let instance = W::instantiate(&self.pre, &mut store).await?;
        self.metrics.wasm_instantiated(&self.component);
        Ok(Warm { store, instance, uses_left: self.options.uses_min + self.jitter() })
    }

    /// 0 to `uses_min`, not to be guessed from outside.
    fn jitter(&self) -> u32 {
        getrandom::u32().unwrap_or(0) % (self.options.uses_min + 1)
    }

    fn give_back(&self, mut warm: Warm<W>) {
        warm.uses_left = warm.uses_left.saturating_sub(1);
        if warm.uses_left > 0 {
            self.idle.lock().push(warm);
        }
    }

    /// How many instances wait for work.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle.lock().len()
    }

    /// Drops half of the idle instances; called now and then, so that a spike does not keep its
    /// memory for ever.
    pub fn shrink(&self) {
        let mut idle = self.idle.lock();
        let keep = idle.len() / 2;
        let dropped = idle.split_off(keep);
        drop(idle);
        drop(dropped);
    }
}
