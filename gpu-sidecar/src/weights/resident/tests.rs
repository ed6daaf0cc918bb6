//! Residents under several runs at once. Waits for states, never for a time.

use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::*;
use crate::device::Device;
use crate::pipeline::Cause;
use crate::weights::{Models, ModelsSettings};

const MODEL: &str = "sharp";
const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    dir: TempDir,
    models: Models,
    resident: Resident<String>,
}

impl Bench {
    fn new(idle_unload: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path().to_owned());
        let models = Models::new(ModelsSettings { folder, idle_unload });
        let resident = models.resident(MODEL);
        Self { dir, models, resident }
    }

    fn installed(idle_unload: Option<Duration>) -> Self {
        let bench = Self::new(idle_unload);
        bench.install();
        bench
    }

    fn install(&self) {
        let folder = self.dir.path().join(MODEL);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("sharp_2572gikvuh.pt"), "weights").unwrap();
    }

    fn state(&self) -> ModelState {
        self.models.statuses()[0].state
    }
}

fn context() -> RunContext {
    context_with(Arc::default())
}

fn context_with(cancel: Arc<Cancel>) -> RunContext {
    RunContext::new(Arc::new(Device::cpu()), cancel, PathBuf::new(), Box::new(drop))
}

fn model() -> Loaded<String> {
    Loaded { value: "model".to_owned(), memory_bytes: 5 }
}

#[test]
fn a_model_is_missing_then_unloaded_then_ready() {
    let bench = Bench::new(None);
    assert_eq!(bench.state(), ModelState::Missing);
    let error = bench.resident.acquire(&mut context(), |_, _| Ok(model())).map(drop).unwrap_err();
    assert_eq!(error.fault().code, "weights_missing");
    assert!(error.fault().detail.contains("postern pull sharp"), "{error}");
    bench.install();
    assert_eq!(bench.state(), ModelState::Unloaded);
    let guard = bench
        .resident
        .acquire(&mut context(), |files, loading| {
            assert!(files.paths()[0].ends_with("sharp/sharp_2572gikvuh.pt"));
            assert_eq!(bench.state(), ModelState::Mapping);
            loading.moving(8);
            loading.moved(4);
            let status = bench.resident.status();
            assert_eq!((status.state, status.loaded_fraction), (ModelState::Loading, 0.5));
            Ok(model())
        })
        .unwrap();
    assert_eq!(*guard, "model");
    let status = bench.resident.status();
    assert_eq!((status.state, status.memory_bytes, status.in_use), (ModelState::Ready, 5, 1));
    assert!(status.loaded_at_ms > 0);
}

#[test]
fn of_many_runs_one_loads_and_the_others_wait() {
    let bench = Bench::installed(None);
    let (loads, start) = (AtomicU32::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let mut context = context();
                let load = |_: &Files, loading: &mut Loading<'_>| {
                    loads.fetch_add(1, Ordering::SeqCst);
                    loading.moving(2);
                    loading.moved(1);
                    Ok(model())
                };
                assert_eq!(*bench.resident.acquire(&mut context, load).unwrap(), "model");
            });
        }
    });
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(bench.resident.status().in_use, 0);
}

#[test]
fn a_failed_load_says_why_and_the_next_run_tries_again() {
    let bench = Bench::installed(None);
    let fail =
        |_: &Files, _: &mut Loading<'_>| Err(RunError::unavailable("weights_malformed", "bad"));
    let error = bench.resident.acquire(&mut context(), fail).map(drop).unwrap_err();
    assert_eq!(error.fault().code, "weights_malformed");
    let status = bench.resident.status();
    assert_eq!(status.state, ModelState::Failed);
    assert!(status.reason.contains("bad"), "{}", status.reason);
    drop(bench.resident.acquire(&mut context(), |_, _| Ok(model())).unwrap());
    let status = bench.resident.status();
    assert_eq!((status.state, status.reason.as_str()), (ModelState::Ready, ""));
}

#[test]
fn a_load_that_panics_leaves_an_empty_place() {
    let bench = Bench::installed(None);
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bench.resident.acquire(&mut context(), |_, _| panic!("a fault in a model")).map(drop)
    }));
    assert!(broken.is_err());
    assert_eq!(bench.state(), ModelState::Unloaded);
    drop(bench.resident.acquire(&mut context(), |_, _| Ok(model())).unwrap());
}

#[test]
fn when_the_loading_run_is_cancelled_a_waiting_one_takes_over() {
    let bench = Bench::installed(None);
    let (leader, loading_now) = (Arc::new(Cancel::default()), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut context = context_with(Arc::clone(&leader));
            let load = |_: &Files, loading: &mut Loading<'_>| {
                loading_now.wait();
                while loading.check().is_ok() {
                    std::thread::yield_now();
                }
                loading.check().map(|()| model())
            };
            let error = bench.resident.acquire(&mut context, load).map(drop).unwrap_err();
            assert_eq!(error.fault().code, "canceled");
        });
        loading_now.wait();
        let follower = scope.spawn(|| {
            let mut context = context();
            drop(bench.resident.acquire(&mut context, |_, _| Ok(model())).unwrap());
        });
        leader.set(Cause::Caller);
        follower.join().unwrap();
    });
    let status = bench.resident.status();
    assert_eq!((status.state, status.reason.as_str()), (ModelState::Ready, ""));
}

#[test]
fn a_waiting_run_can_be_cancelled() {
    let bench = Bench::installed(None);
    let (started, release) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let load = |_: &Files, _: &mut Loading<'_>| {
                started.wait();
                release.wait();
                Ok(model())
            };
            drop(bench.resident.acquire(&mut context(), load).unwrap());
        });
        started.wait();
        let cancel = Arc::new(Cancel::default());
        cancel.set(Cause::Caller);
        let waiting = bench.resident.acquire(&mut context_with(cancel), |_, _| Ok(model()));
        assert_eq!(waiting.map(drop).unwrap_err().fault().code, "canceled");
        release.wait();
    });
}

#[test]
fn an_idle_model_is_unloaded_but_never_under_a_run() {
    let bench = Bench::installed(None);
    let guard = bench.resident.acquire(&mut context(), |_, _| Ok(model())).unwrap();
    let late = clock::now() + 3 * HOUR;
    bench.resident.0.unload_if_idle(HOUR, late);
    assert_eq!(bench.state(), ModelState::Ready);
    drop(guard);
    bench.resident.0.unload_if_idle(HOUR, clock::now());
    assert_eq!(bench.state(), ModelState::Ready);
    bench.resident.0.unload_if_idle(HOUR, late);
    assert_eq!(bench.state(), ModelState::Unloaded);
    assert_eq!(bench.resident.status().memory_bytes, 0);
}

#[test]
fn the_thread_unloads_by_itself() {
    let bench = Bench::installed(Some(Duration::from_millis(1)));
    drop(bench.resident.acquire(&mut context(), |_, _| Ok(model())).unwrap());
    while bench.state() != ModelState::Unloaded {
        std::thread::yield_now();
    }
    // And again: the thread is still there.
    drop(bench.resident.acquire(&mut context(), |_, _| Ok(model())).unwrap());
    while bench.state() != ModelState::Unloaded {
        std::thread::yield_now();
    }
}
