//! Fixed windows: how much of a name was used since the last multiple of its length, for quotas.
//!
//! Windows are aligned to the epoch (86 400 s: UTC days) and are kept across restarts by whoever
//! saves what `take_dirty` returns. Always: use within a window only grows, also when the clock is
//! set back within it.

use super::Verdict;
use super::shards::{Entry, Shards};
use crate::clock::Timestamp;
use crate::store::QuotaWindow;

/// How long a window read from the store is kept when there is no room, until its first use tells
/// its length: a month, the longest that people sell.
const IMPORTED_SECS: i64 = 31 * 86_400;

/// At most `limit` in `secs` seconds (0 counts as 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub secs: u32,
    pub limit: u64,
}

#[derive(Debug, Default)]
pub(super) struct Windows(Shards<Usage>);

#[derive(Debug)]
struct Usage {
    /// Unix seconds.
    start: i64,
    end: i64,
    used: u64,
    dirty: bool,
}

impl Entry for Usage {
    type Time = i64;

    fn idle_from(&self) -> i64 {
        self.end
    }
}

impl Windows {
    pub(super) fn count(&self, name: &str, window: Window, cost: u32, now: Timestamp) -> Verdict {
        let now_secs = now.0.div_euclid(1000);
        let length = i64::from(window.secs.max(1));
        let start = now_secs - now_secs.rem_euclid(length);
        let end = start + length;
        let new = || Usage { start, end, used: 0, dirty: false };
        let verdict = self.0.with(name, now_secs, new, |usage| {
            // Set back by less than a window: the later window goes on. By more: it was wrong.
            if usage.start < start || usage.start.saturating_sub(now_secs) > length {
                *usage = new();
            }
            usage.end = usage.start.max(start) + length;
            count(usage, window.limit, cost, now)
        });
        verdict.unwrap_or_else(|room_at| Verdict::no_room(until(room_at, now)))
    }

    pub(super) fn take_dirty(&self) -> Vec<QuotaWindow> {
        let mut dirty = Vec::new();
        self.0.each(|name, usage| {
            if std::mem::take(&mut usage.dirty) {
                let name = name.to_owned();
                dirty.push(QuotaWindow { name, start_secs: usage.start, used: usage.used });
            }
        });
        dirty
    }

    pub(super) fn mark_dirty(&self, windows: &[QuotaWindow]) {
        self.merge(windows, true);
    }

    pub(super) fn import(&self, windows: &[QuotaWindow]) {
        self.merge(windows, false);
    }

    fn merge(&self, windows: &[QuotaWindow], dirty: bool) {
        for window in windows {
            let start = window.start_secs;
            let end = start.saturating_add(IMPORTED_SECS);
            let new = || Usage { start, end, used: 0, dirty: false };
            // No room: more names were saved than can be in use; this one begins anew.
            let _ = self.0.with(&window.name, start, new, |usage| {
                if usage.start < start {
                    *usage = new();
                }
                if usage.start == start {
                    usage.used = usage.used.max(window.used);
                }
                usage.dirty |= dirty;
            });
        }
    }
}

fn count(usage: &mut Usage, limit: u64, cost: u32, now: Timestamp) -> Verdict {
    let cost = u64::from(cost);
    let after = usage.used.saturating_add(cost);
    let allowed = after <= limit;
    if allowed {
        usage.dirty |= cost > 0;
        usage.used = after;
    }
    let left_ms = until(usage.end, now);
    Verdict {
        allowed,
        remaining: limit.saturating_sub(usage.used),
        retry_after_ms: if allowed {
            0
        } else if cost > limit {
            u64::MAX
        } else {
            left_ms
        },
        reset_after_ms: if usage.used == 0 { 0 } else { left_ms },
    }
}

fn until(end_secs: i64, now: Timestamp) -> u64 {
    u64::try_from(end_secs.saturating_mul(1000).saturating_sub(now.0)).unwrap_or(0)
}
