//! In which order a request moves its tenant's counters, and what the first refusal says.
//!
//! A place among the open requests first: it is given back by itself, so a request that another
//! limit refuses has cost nothing. Then the rate, then the day's quota, the dearest: a request
//! that is refused never takes from it.

use postern_guest::{Header, Problem};

use crate::bindings::postern::policy::counters::Verdict;
use crate::bindings::postern::policy::plans::Plan;
use crate::headers::Verdicts;

/// `count` every `period_ms`, up to `burst` at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) period_ms: u32,
    pub(crate) burst: u32,
}

/// The host's counters; an interface, so that tests run without one. A cost of 0 only looks.
pub(crate) trait Counters {
    fn take(&self, name: &str, rate: Rate, cost: u32) -> Verdict;
    fn count(&self, name: &str, limit: u64, cost: u32) -> Verdict;
    fn hold(&self, name: &str, limit: u32) -> bool;
}

/// Admits one request of `tenant`, or says when another try is worth it.
///
/// # Errors
/// 429 `too_many_in_flight`, `rate_limited` or `quota_exhausted`, with the headers that an
/// admitted request has.
pub(crate) fn admit(
    counters: &impl Counters,
    tenant: &str,
    plan: &Plan,
) -> Result<Vec<Header>, Problem> {
    let limits = Limits { counters, tenant, plan };
    if plan.in_flight > 0 && !counters.hold(&format!("open:{tenant}"), plan.in_flight) {
        let looked = limits.verdicts(0, 0);
        let detail = format!(
            "{} requests are open, as many as the plan `{}` allows; wait for one to be answered",
            plan.in_flight, plan.name
        );
        return Err(refused("too_many_in_flight", detail, 0, looked.headers(plan)));
    }
    let requests = limits.requests(1);
    if let Some(verdict) = requests.filter(|verdict| !verdict.allowed) {
        let seen = Verdicts { requests, daily: limits.daily(0) };
        let detail = format!(
            "the plan `{}` allows {} requests every {} s",
            plan.name, plan.requests, plan.period_secs
        );
        return Err(refused("rate_limited", detail, verdict.retry_after_ms, seen.headers(plan)));
    }
    let seen = Verdicts { requests, daily: limits.daily(1) };
    match seen.daily.filter(|verdict| !verdict.allowed) {
        None => Ok(seen.headers(plan)),
        Some(verdict) => {
            let detail = format!(
                "the plan `{}` allows {} requests a day (UTC)",
                plan.name, plan.quota_per_day
            );
            let headers = seen.headers(plan);
            Err(refused("quota_exhausted", detail, verdict.retry_after_ms, headers))
        }
    }
}

fn refused(code: &str, detail: String, retry_after_ms: u64, headers: Vec<Header>) -> Problem {
    let problem = Problem::new(429, code, detail).with_retry_after_ms(retry_after_ms);
    Problem { headers, ..problem }
}

/// One tenant's counters under its plan.
struct Limits<'a, C: Counters> {
    counters: &'a C,
    tenant: &'a str,
    plan: &'a Plan,
}

impl<C: Counters> Limits<'_, C> {
    fn requests(&self, cost: u32) -> Option<Verdict> {
        let plan = self.plan;
        (plan.requests > 0).then(|| {
            let rate = Rate {
                count: plan.requests,
                period_ms: plan.period_secs.max(1).saturating_mul(1_000),
                burst: plan.burst.max(1),
            };
            self.counters.take(&format!("req:{}", self.tenant), rate, cost)
        })
    }

    fn daily(&self, cost: u32) -> Option<Verdict> {
        let limit = self.plan.quota_per_day;
        let name = || format!("quota:{}", self.tenant);
        (limit > 0).then(|| self.counters.count(&name(), limit, cost))
    }

    fn verdicts(&self, requests_cost: u32, daily_cost: u32) -> Verdicts {
        Verdicts { requests: self.requests(requests_cost), daily: self.daily(daily_cost) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Counters that say what they are told, and remember what they were asked.
    struct Fake {
        rate_left: u64,
        quota_left: u64,
        free: bool,
        asked: RefCell<Vec<String>>,
    }

    fn verdict(left: u64, cost: u32) -> Verdict {
        let allowed = left >= u64::from(cost);
        Verdict {
            allowed,
            remaining: if allowed { left - u64::from(cost) } else { left },
            retry_after_ms: if allowed { 0 } else { 1_001 },
            reset_after_ms: 2_500,
        }
    }

    impl Counters for Fake {
        fn take(&self, name: &str, rate: Rate, cost: u32) -> Verdict {
            let Rate { count, period_ms, burst } = rate;
            let asked = format!("{name} {count}/{period_ms} burst {burst} cost {cost}");
            self.asked.borrow_mut().push(asked);
            verdict(self.rate_left, cost)
        }
        fn count(&self, name: &str, limit: u64, cost: u32) -> Verdict {
            self.asked.borrow_mut().push(format!("{name} {limit} cost {cost}"));
            verdict(self.quota_left, cost)
        }
        fn hold(&self, name: &str, limit: u32) -> bool {
            self.asked.borrow_mut().push(format!("{name} {limit}"));
            self.free
        }
    }

    fn plan() -> Plan {
        Plan {
            name: "free".into(),
            requests: 60,
            period_secs: 60,
            burst: 10,
            quota_per_day: 1_000,
            in_flight: 4,
        }
    }

    /// The answer and what was asked, one line each.
    fn check(fake: &Fake, plan: &Plan) -> String {
        let (first, headers) = match admit(fake, "acme", plan) {
            Ok(headers) => ("admitted".to_owned(), headers),
            Err(problem) => {
                let after = problem.retry_after_secs.expect("every 429 has one");
                (format!("{} {} after {after}", problem.status, problem.code), problem.headers)
            }
        };
        let headers =
            headers.into_iter().map(|header| format!("{}: {}", header.name, header.value));
        let asked = fake.asked.borrow();
        let lines: Vec<String> = [first].into_iter().chain(headers).collect();
        [&lines[..], &asked[..]].concat().join("\n")
    }

    fn fake() -> Fake {
        Fake { rate_left: 10, quota_left: 500, free: true, asked: RefCell::default() }
    }

    const POLICY: &str = "ratelimit-policy: \"requests\";q=60;w=60, \"daily\";q=1000;w=86400";

    #[test]
    fn an_admitted_request_moves_every_counter_once() {
        let want = format!(
            "admitted\n{POLICY}\nratelimit: \"requests\";r=9;t=3, \"daily\";r=499;t=3\n\
             open:acme 4\nreq:acme 60/60000 burst 10 cost 1\nquota:acme 1000 cost 1"
        );
        assert_eq!(check(&fake(), &plan()), want);
    }

    #[test]
    fn a_refused_request_takes_nothing_from_the_quota() {
        let want = format!(
            "429 rate_limited after 2\n{POLICY}\n\
             ratelimit: \"requests\";r=0;t=3, \"daily\";r=500;t=3\n\
             open:acme 4\nreq:acme 60/60000 burst 10 cost 1\nquota:acme 1000 cost 0"
        );
        assert_eq!(check(&Fake { rate_left: 0, ..fake() }, &plan()), want);
        let want = format!(
            "429 too_many_in_flight after 1\n{POLICY}\n\
             ratelimit: \"requests\";r=10;t=3, \"daily\";r=500;t=3\n\
             open:acme 4\nreq:acme 60/60000 burst 10 cost 0\nquota:acme 1000 cost 0"
        );
        assert_eq!(check(&Fake { free: false, ..fake() }, &plan()), want);
        let exhausted = check(&Fake { quota_left: 0, ..fake() }, &plan());
        assert!(exhausted.starts_with("429 quota_exhausted after 2\n"), "{exhausted}");
        assert!(exhausted.contains("\"daily\";r=0;t=3"));
    }

    #[test]
    fn zero_is_no_limit() {
        let free = Plan { requests: 0, quota_per_day: 0, in_flight: 0, ..plan() };
        assert_eq!(check(&fake(), &free), "admitted");
        let odd = Plan { period_secs: 0, burst: 0, quota_per_day: 0, ..plan() };
        assert!(check(&fake(), &odd).ends_with("req:acme 60/1000 burst 1 cost 1"));
        let long = Plan { period_secs: u32::MAX, ..odd };
        assert!(check(&fake(), &long).contains(&format!("60/{}", u32::MAX)));
    }
}
