//! A fresh instance for every call: how customers' hooks run.
//!
//! Owns nothing between calls. Always: no byte of one call can be seen by the next, because store
//! and instance are gone when [`Fresh::pre_hook`] returns. `cargo xtask bench gateway` measures it.

use std::sync::Arc;

use wasmtime::component::InstancePre;

use super::bindings::pre_hook::exports::postern::hooks::pre;
use super::bindings::pre_hook::{PreHook, PreHookPre};
use super::context::{Call, Context, Limits};
use super::pool::ComponentError;
use super::{LoadError, Sandbox};
use crate::problem::Problem;

/// A hook that is ready to run.
pub struct Fresh {
    sandbox: Arc<Sandbox>,
    component: Arc<str>,
    pre: PreHookPre<Context>,
    limits: Limits,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("component", &self.component).finish_non_exhaustive()
    }
}

impl Fresh {
    /// # Errors
    /// `Component` when it is no `pre-hook`.
    pub fn new(
        sandbox: Arc<Sandbox>,
        component: Arc<str>,
        pre: InstancePre<Context>,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let pre = PreHookPre::new(pre)
            .map_err(|source| LoadError::Component { path: component.as_ref().into(), source })?;
        Ok(Self { sandbox, component, pre, limits })
    }

    /// Instantiates, calls `run` with `params` (a JSON object) and drops the instance.
    ///
    /// # Errors
    /// The outer one when the hook trapped or ran out of budget, the inner one when it refused.
    pub async fn pre_hook(
        &self,
        call: Option<Arc<Call>>,
        pipeline: &str,
        params: String,
    ) -> Result<Result<String, Problem>, ComponentError> {
        let wrong = |error| ComponentError::from_engine(self.component.clone(), error);
        let mut store = Context::store(&self.sandbox, self.component.clone(), self.limits);
        Context::begin(&mut store, call);
        let hook: PreHook = self.pre.instantiate_async(&mut store).await.map_err(wrong)?;
        let input = pre::Call { pipeline: pipeline.to_owned(), params, inputs: Vec::new() };
        let answer = hook.postern_hooks_pre().call_run(&mut store, &input).await.map_err(wrong)?;
        Ok(answer.map_err(Problem::from))
    }
}
