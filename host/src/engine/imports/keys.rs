//! `postern:policy/keys`, `tenants` and `plans`: who exists and what they may use.

use crate::engine::Context;
use crate::engine::bindings::imports::postern::policy::{keys, plans, tenants};
use crate::tenancy::KeyRefusal;

impl keys::Host for Context {
    fn verify(
        &mut self,
        presented: String,
    ) -> wasmtime::Result<Result<keys::KeyRecord, keys::Refusal>> {
        let now = self.imports.clock.now();
        let verified = self.imports.directory.verify_key(&presented, now);
        Ok(match verified {
            Ok(verified) => Ok(keys::KeyRecord {
                id: verified.key.id.to_string(),
                tenant: verified.tenant.id.to_string(),
                plan: verified.tenant.plan.to_string(),
                scopes: verified.key.scopes.clone(),
            }),
            Err(refusal) => Err(match refusal {
                KeyRefusal::Malformed => keys::Refusal::Malformed,
                KeyRefusal::Unknown => keys::Refusal::Unknown,
                KeyRefusal::Expired => keys::Refusal::Expired,
                KeyRefusal::Revoked => keys::Refusal::Revoked,
                KeyRefusal::Suspended => keys::Refusal::Suspended,
            }),
        })
    }
}

impl tenants::Host for Context {
    fn find(&mut self, id: String) -> wasmtime::Result<Option<tenants::Tenant>> {
        let found = id.parse().ok().and_then(|id| self.imports.directory.tenant(&id));
        Ok(found.filter(|tenant| !tenant.suspended).map(|tenant| tenants::Tenant {
            id: tenant.id.to_string(),
            plan: tenant.plan.to_string(),
        }))
    }
}

impl plans::Host for Context {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<plans::Plan>> {
        let plan = name.parse().ok().and_then(|name| self.imports.directory.plan(&name));
        Ok(plan.map(|plan| plans::Plan {
            name: plan.name.to_string(),
            requests: plan.requests,
            period_secs: plan.period_secs,
            burst: plan.burst,
            quota_per_day: plan.quota_per_day,
            in_flight: plan.in_flight,
        }))
    }
}
