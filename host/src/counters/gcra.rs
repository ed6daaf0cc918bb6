//! Rates: the generic cell rate algorithm, a leaky bucket kept as one moment in time.
//!
//! An entry is the *theoretical arrival time*: when everything taken so far would have been taken
//! at the exact rate. A call of cost `c` moves it by `c` intervals and is allowed if it then lies
//! at most `burst` intervals ahead of now. The interval is rounded up to whole nanoseconds, so
//! from any moment on at most `burst + elapsed / interval` are allowed, never more.

use std::time::Duration;

use super::Verdict;
use super::shards::{Entry, Shards};

/// `count` every `period`, up to `burst` at once. A zero counts as the smallest there is: 1, 1 ms,
/// 1; a rate without limit is not counted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub period: Duration,
    pub burst: u32,
}

#[derive(Debug, Default)]
pub(super) struct Rates(Shards<Arrival>);

/// Nanoseconds of monotonic time. 128 bits, because `u32::MAX` periods of `u32::MAX` ms do not
/// fit into 64.
#[derive(Debug)]
struct Arrival(u128);

impl Entry for Arrival {
    type Time = u128;

    fn idle_from(&self) -> u128 {
        self.0
    }
}

impl Rates {
    pub(super) fn take(&self, name: &str, rate: Rate, cost: u32, now: Duration) -> Verdict {
        let now = now.as_nanos();
        let change = |arrival: &mut Arrival| take(arrival, rate, cost, now);
        let verdict = self.0.with(name, now, || Arrival(now), change);
        verdict.unwrap_or_else(|room_at| Verdict::no_room(ms(room_at - now)))
    }
}

fn take(arrival: &mut Arrival, rate: Rate, cost: u32, now: u128) -> Verdict {
    let period = rate.period.max(Duration::from_millis(1)).as_nanos();
    let interval = period.div_ceil(u128::from(rate.count.max(1)));
    let ahead_max = interval * u128::from(rate.burst.max(1));
    let ahead_before = arrival.0.saturating_sub(now);
    let ahead_after = ahead_before + interval * u128::from(cost);

    let allowed = ahead_after <= ahead_max;
    let ahead = if allowed { ahead_after } else { ahead_before };
    if allowed {
        arrival.0 = now + ahead;
    }
    let retry_after_ms = match ahead_after.saturating_sub(ahead_max) {
        0 => 0,
        _ if cost > rate.burst.max(1) => u64::MAX,
        wait => ms(wait),
    };
    Verdict {
        allowed,
        remaining: clamp(ahead_max.saturating_sub(ahead) / interval),
        retry_after_ms,
        reset_after_ms: ms(ahead),
    }
}

/// Rounded up, so that waiting so long is enough.
fn ms(nanos: u128) -> u64 {
    clamp(nanos.div_ceil(1_000_000))
}

fn clamp(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
