//! `postern:policy/counters`: rates, quotas and gauges that all instances share.

use std::time::Duration;

use crate::counters;
use crate::engine::Context;
use crate::engine::bindings::imports::postern::policy::counters::{Host, Verdict};

impl Host for Context {
    fn take(
        &mut self,
        name: String,
        count: u32,
        period_ms: u32,
        burst: u32,
        cost: u32,
    ) -> wasmtime::Result<Verdict> {
        let rate = counters::Rate { count, period: Duration::from_millis(period_ms.into()), burst };
        let now = self.imports.clock.monotonic();
        Ok(verdict(self.imports.counters.take(&name, rate, cost, now)))
    }

    fn count(
        &mut self,
        name: String,
        window_secs: u32,
        limit: u64,
        cost: u32,
    ) -> wasmtime::Result<Verdict> {
        let window = counters::Window { secs: window_secs, limit };
        let now = self.imports.clock.now();
        Ok(verdict(self.imports.counters.count(&name, window, cost, now)))
    }

    fn hold(&mut self, name: String, limit: u32) -> wasmtime::Result<bool> {
        let call = self.call()?.clone();
        match self.imports.counters.hold(&name, limit) {
            Some(held) => {
                call.held.lock().push(held);
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

fn verdict(verdict: counters::Verdict) -> Verdict {
    Verdict {
        allowed: verdict.allowed,
        remaining: verdict.remaining,
        retry_after_ms: verdict.retry_after_ms,
        reset_after_ms: verdict.reset_after_ms,
    }
}
