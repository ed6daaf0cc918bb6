//! The counters' promises: never more than allowed, a refusal is free, a waiting time is true.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const DAY: Window = Window { secs: 86_400, limit: 10 };

fn rate(count: u32, period_ms: u64, burst: u32) -> Rate {
    Rate { count, period: Duration::from_millis(period_ms), burst }
}

fn at_ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn verdict(allowed: bool, remaining: u64, retry: u64, reset: u64) -> Verdict {
    Verdict { allowed, remaining, retry_after_ms: retry, reset_after_ms: reset }
}

#[test]
fn a_rate_gives_its_burst_and_then_one_an_interval() {
    let counters = Counters::new();
    let rate = rate(2, 1000, 3);
    let take = |ms| counters.take("a", rate, 1, at_ms(ms));
    assert_eq!(take(0), verdict(true, 2, 0, 500));
    assert_eq!(take(0), verdict(true, 1, 0, 1000));
    assert_eq!(take(0), verdict(true, 0, 0, 1500));
    assert_eq!(take(0), verdict(false, 0, 500, 1500));
    assert_eq!(take(499), verdict(false, 0, 1, 1001));
    assert_eq!(take(500), verdict(true, 0, 0, 1500));
    assert_eq!(counters.take("b", rate, 1, at_ms(500)), verdict(true, 2, 0, 500));
    assert_eq!(take(60_000), verdict(true, 2, 0, 500), "rest gives no more than the burst");
}

#[test]
fn odd_rates_are_bounded_and_never_overflow() {
    let counters = Counters::new();
    let zero = Rate { count: 0, period: Duration::ZERO, burst: 0 };
    assert_eq!(counters.take("zero", zero, 1, at_ms(0)), verdict(true, 0, 0, 1));
    assert_eq!(counters.take("never", rate(1, 1, 2), 3, at_ms(0)), verdict(false, 2, u64::MAX, 0));
    assert_eq!(counters.take("free", rate(1, 1, 2), 0, at_ms(0)), verdict(true, 2, 0, 0));
    let slowest = rate(1, u64::from(u32::MAX), u32::MAX);
    let full = counters.take("slowest", slowest, u32::MAX, at_ms(0));
    assert!(full.allowed && full.remaining == 0);
    let fastest = rate(u32::MAX, 1, u32::MAX);
    assert!(counters.take("fastest", fastest, u32::MAX, at_ms(0)).allowed);
}

#[test]
fn a_window_gives_its_limit_until_it_ends() {
    let counters = Counters::new();
    let noon = Timestamp(43_200_000);
    let count = |cost, at| counters.count("a", DAY, cost, at);
    assert_eq!(count(9, noon), verdict(true, 1, 0, 43_200_000));
    assert_eq!(count(2, noon), verdict(false, 1, 43_200_000, 43_200_000));
    assert_eq!(count(1, noon), verdict(true, 0, 0, 43_200_000));
    assert_eq!(count(11, noon), verdict(false, 0, u64::MAX, 43_200_000));
    assert!(!count(1, Timestamp(86_399_999)).allowed);
    assert_eq!(count(1, Timestamp(86_400_000)), verdict(true, 9, 0, 86_400_000));
    let none = Window { limit: 0, ..DAY };
    assert!(!counters.count("b", none, 1, noon).allowed);
}

#[test]
fn a_clock_set_back_gives_nothing_back_unless_it_was_absurd() {
    let counters = Counters::new();
    let count = |secs: i64| counters.count("a", DAY, 10, Timestamp(secs * 1000)).allowed;
    assert!(count(86_400));
    assert!(!count(86_399), "the day before");
    assert!(!count(86_401));
    assert!(count(1000 * 86_400));
    assert!(count(3 * 86_400), "the year was wrong");
}

#[test]
fn a_changed_window_keeps_what_was_used() {
    let counters = Counters::new();
    let hour = Window { secs: 3600, limit: 10 };
    let noon = Timestamp(43_200_000);
    assert!(counters.count("a", hour, 8, noon).allowed);
    assert_eq!(counters.count("a", DAY, 1, noon).remaining, 1);
}

#[test]
fn windows_are_exported_once_and_imported_as_the_larger_use() {
    let counters = Counters::new();
    let noon = Timestamp(43_200_000);
    assert!(counters.count("a", DAY, 3, noon).allowed);
    assert!(!counters.count("b", DAY, 30, noon).allowed);
    let saved = vec![QuotaWindow { name: "a".into(), start_secs: 0, used: 3 }];
    assert_eq!(counters.take_dirty(), saved, "a refused call is not worth saving");
    assert_eq!(counters.take_dirty(), []);

    let restarted = Counters::new();
    restarted.import(&saved);
    assert_eq!(restarted.take_dirty(), []);
    assert_eq!(restarted.count("a", DAY, 1, noon).remaining, 6);
    restarted.import(&saved);
    assert_eq!(restarted.count("a", DAY, 1, noon).remaining, 5);
    let next_day = Timestamp(noon.0 + 86_400_000);
    assert_eq!(restarted.count("a", DAY, 1, next_day).remaining, 9);
}

#[tokio::test]
async fn a_failed_flush_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postern.db");
    let store = crate::store::sqlite::SqliteStore::open(&path).unwrap();
    let counters = Counters::new();
    assert!(counters.count("a", DAY, 3, Timestamp(5)).allowed);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("ALTER TABLE quotas RENAME TO hidden").unwrap();
    assert!(counters.flush(store.as_ref()).await.is_err());
    other.execute_batch("ALTER TABLE hidden RENAME TO quotas").unwrap();
    assert_eq!(counters.flush(store.as_ref()).await.unwrap(), 1);
    assert_eq!(counters.flush(store.as_ref()).await.unwrap(), 0);
    assert_eq!(store.quotas().await.unwrap()[0].used, 3);
}

#[test]
fn places_are_given_back_when_dropped() {
    let counters = Counters::new();
    let first = counters.hold("a", 2).unwrap();
    let second = counters.hold("a", 2).unwrap();
    assert!(counters.hold("a", 2).is_none());
    assert!(counters.hold("b", 0).is_none());
    assert_eq!(counters.held("a"), 2);
    drop(first);
    assert!(counters.hold("a", 2).is_some());
    drop(second);
    assert_eq!(counters.held("a"), 0);
}

#[test]
fn a_full_table_refuses_new_names_until_old_ones_are_idle() {
    let counters = Counters::new();
    let slow = rate(1, 1000, 1);
    let mut refused = None;
    for number in 0..=NAMES_MAX + NAMES_MAX / 8 {
        let verdict = counters.take(&number.to_string(), slow, 1, at_ms(0));
        if !verdict.allowed {
            refused = Some((number, verdict));
        }
    }
    let (number, verdict) = refused.expect("more names than there is room for");
    assert_eq!((verdict.retry_after_ms, verdict.remaining), (1000, 0));
    assert!(!counters.take("0", slow, 1, at_ms(0)).allowed, "known names stay known");
    assert!(counters.take(&number.to_string(), slow, 1, at_ms(1000)).allowed);
}

#[test]
fn windows_never_count_past_their_limit_under_concurrency() {
    let counters = Counters::new();
    let window = Window { secs: 60, limit: 1000 };
    let allowed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for cost in [1, 2, 3, 1, 7, 1, 1, 2] {
            let (counters, allowed) = (&counters, &allowed);
            scope.spawn(move || {
                for _ in 0..1000 {
                    if counters.count("a", window, cost, Timestamp(1)).allowed {
                        allowed.fetch_add(u64::from(cost), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(allowed.into_inner(), 1000, "the rest of 1 is always taken by someone");
}

#[test]
fn places_are_never_more_than_their_limit_under_concurrency() {
    let counters = Counters::new();
    let (inside, most) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    if let Some(held) = counters.hold("a", 3) {
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(held);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(counters.held("a"), 0);
}

/// Eight threads share one name and one clock that one of them pushes on; returns the total cost
/// that was allowed and the time that passed.
fn race(rate: Rate, costs: &[u32], steps_ms: &[u64]) -> (u128, Duration) {
    let counters = Arc::new(Counters::new());
    let clock = AtomicU64::new(0);
    let allowed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in steps_ms {
                clock.fetch_add(*step, Ordering::SeqCst);
                std::thread::yield_now();
            }
        });
        for _ in 0..8 {
            scope.spawn(|| {
                for cost in costs.iter().cycle().take(300) {
                    let now = at_ms(clock.load(Ordering::SeqCst));
                    if counters.take("a", rate, *cost, now).allowed {
                        allowed.fetch_add(u64::from(*cost), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    (u128::from(allowed.into_inner()), at_ms(clock.into_inner()))
}

prop_compose! {
    fn any_rate()(count in 1..2000_u32, period_ms in 1..5000_u64, burst in 1..50_u32) -> Rate {
        rate(count, period_ms, burst)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn never_more_than_burst_plus_elapsed_times_rate(
        rate in any_rate(),
        costs in prop::collection::vec(0..4_u32, 1..5),
        steps_ms in prop::collection::vec(0..20_u64, 0..200),
    ) {
        let (allowed, elapsed) = race(rate, &costs, &steps_ms);
        // allowed <= burst + elapsed * count / period, without a division.
        let beyond_burst = allowed.saturating_sub(u128::from(rate.burst));
        let earned = elapsed.as_nanos() * u128::from(rate.count);
        prop_assert!(beyond_burst * rate.period.as_nanos() <= earned, "{allowed} in {elapsed:?}");
    }

    #[test]
    fn a_refused_call_costs_nothing(
        rate in any_rate(),
        calls in prop::collection::vec((0..60_u32, 0..400_u64), 1..200),
    ) {
        let (all, accepted_only) = (Counters::new(), Counters::new());
        let mut now = at_ms(0);
        for (cost, wait_ms) in calls {
            now += at_ms(wait_ms);
            let verdict = all.take("a", rate, cost, now);
            if verdict.allowed {
                prop_assert_eq!(accepted_only.take("a", rate, cost, now), verdict);
            } else {
                let untouched = accepted_only.take("a", rate, 0, now);
                prop_assert_eq!(untouched.remaining, verdict.remaining);
                prop_assert_eq!(untouched.reset_after_ms, verdict.reset_after_ms);
            }
        }
    }

    #[test]
    fn waiting_as_told_is_enough_and_a_millisecond_less_is_not(
        rate in any_rate(),
        calls in prop::collection::vec((1..8_u32, 0..40_u64), 1..200),
    ) {
        let counters = Counters::new();
        let mut now = at_ms(0);
        for (cost, wait_ms) in calls {
            now += at_ms(wait_ms);
            let verdict = counters.take("a", rate, cost, now);
            prop_assert_eq!(verdict.allowed, verdict.retry_after_ms == 0);
            if verdict.allowed || verdict.retry_after_ms == u64::MAX {
                prop_assert!(verdict.allowed || cost > rate.burst);
                continue;
            }
            let early = now + at_ms(verdict.retry_after_ms - 1);
            prop_assert!(!counters.take("a", rate, cost, early).allowed);
            now += at_ms(verdict.retry_after_ms);
            prop_assert!(counters.take("a", rate, cost, now).allowed);
        }
    }

    #[test]
    fn after_the_reset_time_a_rate_is_as_new(rate in any_rate(), cost in 1..50_u32) {
        let counters = Counters::new();
        let taken = counters.take("a", rate, cost.min(rate.burst), at_ms(7));
        let later = at_ms(7 + taken.reset_after_ms);
        let again = counters.take("a", rate, 0, later);
        prop_assert_eq!(again, verdict(true, u64::from(rate.burst), 0, 0));
    }
}
