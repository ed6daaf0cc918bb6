//! Component `rate-limit`: may they ask now?
//!
//! Knows which counters a request moves and how limits are told to clients
//! (draft-ietf-httpapi-ratelimit-headers); not how a counter works or where it is kept: the host
//! does that behind `counters`. A plan that does not exist is refused, not unlimited.

mod admit;
mod headers;

use bindings::exports::postern::policy::admission::Guest;
use bindings::postern::policy::{counters, plans};
use postern_guest::{Header, Principal, Problem};

mod bindings {
    //! Generated from `wit/`.

    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/policy"],
        world: "postern:policy/rate-limit",
        with: {
            "postern:types/http@0.1.0": postern_guest::bindings::postern::types::http,
            "postern:types/principals@0.1.0": postern_guest::bindings::postern::types::principals,
            "postern:types/problems@0.1.0": postern_guest::bindings::postern::types::problems,
            "postern:types/settings@0.1.0": postern_guest::bindings::postern::types::settings,
            "postern:types/log@0.1.0": postern_guest::bindings::postern::types::log,
        },
        generate_all,
    });
}

/// The host, as `admit` asks it.
struct Host;

impl admit::Counters for Host {
    fn take(&self, name: &str, rate: admit::Rate, cost: u32) -> counters::Verdict {
        counters::take(name, rate.count, rate.period_ms, rate.burst, cost)
    }
    fn count(&self, name: &str, limit: u64, cost: u32) -> counters::Verdict {
        counters::count(name, headers::DAY_SECS, limit, cost)
    }
    fn hold(&self, name: &str, limit: u32) -> bool {
        counters::hold(name, limit)
    }
}

struct RateLimit;

impl Guest for RateLimit {
    fn admit(principal: Principal, _service: String) -> Result<Vec<Header>, Problem> {
        let Some(plan) = plans::get(&principal.plan) else {
            let detail = format!("the plan `{}` does not exist; ask the operator", principal.plan);
            return Err(Problem::new(403, "plan_missing", detail));
        };
        admit::admit(&Host, &principal.tenant, &plan)
    }
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{RateLimit, bindings};

    bindings::export!(RateLimit with_types_in bindings);
}
