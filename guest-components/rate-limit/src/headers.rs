//! `ratelimit-policy` and `ratelimit`, as draft-ietf-httpapi-ratelimit-headers-10 writes them.

use std::fmt::Write as _;

use postern_guest::Header;
use postern_guest::problem::seconds_up;

use crate::bindings::postern::policy::counters::Verdict;
use crate::bindings::postern::policy::plans::Plan;

/// The window of the quota.
pub(crate) const DAY_SECS: u32 = 86_400;

/// What the counters of a plan said; `None` for a limit that the plan does not have.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) requests: Option<Verdict>,
    pub(crate) daily: Option<Verdict>,
}

impl Verdicts {
    /// Both headers; none for a plan without limits.
    pub(crate) fn headers(&self, plan: &Plan) -> Vec<Header> {
        let mut policy = String::new();
        let mut state = String::new();
        if let Some(verdict) = &self.requests {
            let (quota, window) = (plan.requests, plan.period_secs);
            item(&mut policy, format_args!("\"requests\";q={quota};w={window}"));
            item(&mut state, format_args!("\"requests\";{}", remaining(verdict)));
        }
        if let Some(verdict) = &self.daily {
            let quota = plan.quota_per_day;
            item(&mut policy, format_args!("\"daily\";q={quota};w={DAY_SECS}"));
            item(&mut state, format_args!("\"daily\";{}", remaining(verdict)));
        }
        let named = [("ratelimit-policy", policy), ("ratelimit", state)];
        let given = named.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| Header { name: name.to_owned(), value }).collect()
    }
}

fn remaining(verdict: &Verdict) -> String {
    format!("r={};t={}", verdict.remaining, seconds_up(verdict.reset_after_ms))
}

/// Adds one item of a structured-field list.
fn item(list: &mut String, item: std::fmt::Arguments<'_>) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.write_fmt(item).expect("writing to a String cannot fail");
}
