//! The order of work: which job starts next, and who may add one.
//!
//! Owns the waiting line and the counts per tenant. Pure: no clock, no store, no I/O. Always: the
//! number of running jobs never passes the slots, a tenant's running and active jobs never pass its
//! plan, and a job that may have killed a sidecar runs alone. Within a priority tenants take turns;
//! a waiting job rises by one priority every `AGEING`, so that none starves.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::ids::{JobId, TenantId};

/// A job that has waited for so long counts as one priority better.
const AGEING: Duration = Duration::from_secs(30);

/// One waiting job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: JobId,
    pub(super) tenant: TenantId,
    /// 0 is served first.
    pub(super) priority: u32,
    /// From the tenant's plan; 0: no limit.
    pub(super) running_max: u32,
    /// It was running when a sidecar died: nothing else may run beside it.
    pub(super) alone: bool,
    /// Monotonic time of acceptance.
    pub(super) since: Duration,
}

/// Why a job may not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The tenant has as many unfinished jobs as its plan allows.
    Tenant,
    /// The whole line is full.
    Full,
}

#[derive(Debug, Default)]
struct Counts {
    running: u32,
    active: u32,
    /// When it was last served, in starts; the smallest is next.
    served: u64,
}

/// The line.
#[derive(Debug)]
pub(super) struct Queue {
    queued_max: u32,
    waiting: VecDeque<Entry>,
    tenants: HashMap<TenantId, Counts>,
    running: u32,
    /// A job that runs alone is running.
    closed: bool,
    starts: u64,
}

impl Queue {
    pub(super) fn new(queued_max: u32) -> Self {
        Self {
            queued_max,
            waiting: VecDeque::new(),
            tenants: HashMap::new(),
            running: 0,
            closed: false,
            starts: 0,
        }
    }

    /// Counts one more unfinished job for `tenant`; [`Self::left`] takes it back.
    pub(super) fn admit(&mut self, tenant: &TenantId, active_max: u32) -> Result<(), Refusal> {
        if self.waiting.len() >= usize::try_from(self.queued_max).unwrap_or(usize::MAX) {
            return Err(Refusal::Full);
        }
        let counts = self.tenants.entry(tenant.clone()).or_default();
        if active_max > 0 && counts.active >= active_max {
            return Err(Refusal::Tenant);
        }
        counts.active += 1;
        Ok(())
    }

    /// The same without a limit: for jobs that were accepted before a restart.
    pub(super) fn readmit(&mut self, tenant: &TenantId) {
        self.tenants.entry(tenant.clone()).or_default().active += 1;
    }

    /// Starts `entry` at once, when nobody waits and there is room. True: it counts as running.
    pub(super) fn start_now(&mut self, entry: &Entry, slots: u32) -> bool {
        if !self.waiting.is_empty() || !self.may_start(entry, slots) {
            return false;
        }
        self.started(entry);
        true
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// The job to start now, if there is room for one; it counts as running then.
    pub(super) fn pop(&mut self, slots: u32, now: Duration) -> Option<Entry> {
        let rank = |entry: &Entry| {
            let steps = now.saturating_sub(entry.since).as_secs() / AGEING.as_secs();
            let priority = u64::from(entry.priority).saturating_sub(steps);
            let served = self.tenants.get(&entry.tenant).map_or(0, |counts| counts.served);
            (priority, served, entry.since)
        };
        let may = |(_, entry): &(usize, &Entry)| self.may_start(entry, slots);
        let next = self.waiting.iter().enumerate().filter(may).min_by_key(|(_, e)| rank(e));
        let index = next?.0;
        let entry = self.waiting.remove(index)?;
        self.started(&entry);
        Some(entry)
    }

    /// One running job of `tenant` has stopped running, for whatever reason.
    pub(super) fn stopped(&mut self, tenant: &TenantId) {
        self.running -= 1;
        self.closed = false;
        if let Some(counts) = self.tenants.get_mut(tenant) {
            counts.running -= 1;
        }
    }

    /// One unfinished job of `tenant` is final.
    pub(super) fn left(&mut self, tenant: &TenantId) {
        let Some(counts) = self.tenants.get_mut(tenant) else { return };
        counts.active = counts.active.saturating_sub(1);
        if counts.active == 0 && counts.running == 0 {
            self.tenants.remove(tenant);
        }
    }

    /// Takes a waiting job out of the line. False when it does not wait.
    pub(super) fn remove(&mut self, id: &JobId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|entry| entry.id != *id);
        self.waiting.len() < before
    }

    /// How many wait before `id`, counting in order of arrival.
    pub(super) fn position(&self, id: &JobId) -> Option<usize> {
        self.waiting.iter().position(|entry| entry.id == *id)
    }

    /// Waiting and running jobs.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.waiting.len(), usize::try_from(self.running).unwrap_or(usize::MAX))
    }

    fn may_start(&self, entry: &Entry, slots: u32) -> bool {
        let tenant = self.tenants.get(&entry.tenant).map_or(0, |counts| counts.running);
        let room = self.running < slots && (entry.running_max == 0 || tenant < entry.running_max);
        room && !self.closed && (!entry.alone || self.running == 0)
    }

    fn started(&mut self, entry: &Entry) {
        self.running += 1;
        self.closed = entry.alone;
        self.starts += 1;
        let counts = self.tenants.entry(entry.tenant.clone()).or_default();
        counts.running += 1;
        counts.served = self.starts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(tenant: &str, since: u64) -> Entry {
        Entry {
            id: JobId::new(),
            tenant: tenant.parse().unwrap(),
            priority: 1,
            running_max: 0,
            alone: false,
            since: Duration::from_secs(since),
        }
    }

    fn line(entries: &[Entry]) -> Queue {
        let mut queue = Queue::new(1000);
        for entry in entries {
            queue.admit(&entry.tenant, 0).unwrap();
            queue.push(entry.clone());
        }
        queue
    }

    fn order(queue: &mut Queue, now: u64) -> String {
        let mut order = String::new();
        while let Some(entry) = queue.pop(u32::MAX, Duration::from_secs(now)) {
            order += entry.tenant.as_str();
        }
        order
    }

    #[test]
    fn tenants_take_turns_whoever_came_with_more() {
        let mut queue = line(&[entry("a", 0), entry("a", 1), entry("a", 2), entry("b", 3)]);
        assert_eq!(order(&mut queue, 4), "abaa");
    }

    #[test]
    fn a_better_priority_goes_first_and_waiting_makes_up_for_it() {
        let slow = Entry { priority: 3, ..entry("s", 0) };
        let fast = |since| Entry { priority: 0, ..entry("f", since) };
        assert_eq!(order(&mut line(&[slow.clone(), fast(1)]), 2), "fs");
        assert_eq!(order(&mut line(&[slow, fast(99)]), 100), "sf");
    }

    #[test]
    fn a_suspect_runs_alone() {
        let suspect = Entry { alone: true, ..entry("a", 0) };
        let mut queue = line(&[entry("b", 0), suspect, entry("c", 1), entry("d", 2)]);
        let now = Duration::from_secs(3);
        let pop = |queue: &mut Queue| queue.pop(2, now).map(|e| e.tenant.to_string());
        assert_eq!(pop(&mut queue).as_deref(), Some("b"));
        assert_eq!(pop(&mut queue).as_deref(), Some("c"));
        queue.stopped(&"b".parse().unwrap());
        queue.stopped(&"c".parse().unwrap());
        assert_eq!(pop(&mut queue).as_deref(), Some("a"));
        assert_eq!(pop(&mut queue), None);
        queue.stopped(&"a".parse().unwrap());
        assert_eq!(pop(&mut queue).as_deref(), Some("d"));
    }

    #[test]
    fn limits_of_plan_and_line_refuse() {
        let mut queue = Queue::new(1);
        let tenant = "a".parse().unwrap();
        queue.admit(&tenant, 1).unwrap();
        assert_eq!(queue.admit(&tenant, 1), Err(Refusal::Tenant));
        queue.left(&tenant);
        queue.admit(&tenant, 1).unwrap();
        queue.push(entry("a", 0));
        assert_eq!(queue.admit(&"b".parse().unwrap(), 0), Err(Refusal::Full));
    }

    proptest! {
        #[test]
        fn bounds_hold_and_every_job_starts(
            jobs in prop::collection::vec((0..4_u8, 0..3_u32, 0..3_u32, any::<bool>()), 1..40),
            slots in 1..5_u32,
        ) {
            let mut queue = Queue::new(1000);
            for (index, (tenant, priority, running_max, alone)) in jobs.iter().enumerate() {
                let name = format!("t{tenant}");
                let entry = Entry {
                    priority: *priority,
                    running_max: *running_max,
                    alone: *alone,
                    ..entry(&name, index as u64)
                };
                queue.admit(&entry.tenant, 0).unwrap();
                queue.push(entry);
            }
            let mut running: Vec<Entry> = Vec::new();
            let mut started = 0;
            for now in 0..10_000_u64 {
                while let Some(entry) = queue.pop(slots, Duration::from_secs(now)) {
                    running.push(entry);
                    started += 1;
                    prop_assert!(running.len() <= slots as usize);
                    prop_assert!(running.len() == 1 || running.iter().all(|e| !e.alone));
                    for one in &running {
                        let same = running.iter().filter(|e| e.tenant == one.tenant).count();
                        prop_assert!(one.running_max == 0 || same <= one.running_max as usize
                            || running.iter().any(|e| e.tenant == one.tenant && e.running_max == 0)
                            || running.iter().any(|e| e.tenant == one.tenant
                                && e.running_max as usize >= same));
                    }
                }
                if running.is_empty() {
                    break;
                }
                let done = running.remove(0);
                queue.stopped(&done.tenant);
                queue.left(&done.tenant);
            }
            prop_assert_eq!(started, jobs.len());
            prop_assert_eq!(queue.counts(), (0, 0));
        }
    }
}
