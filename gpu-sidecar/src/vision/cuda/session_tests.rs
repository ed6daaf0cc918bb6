//! Sessions: a video gives what its frames give one by one, however it is cut.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::flows::assert_agrees;
use super::{BYTES_MAX, colored, devices, scene};
use crate::vision::VisionError;
use crate::vision::canny::{CannyParams, canny};
use crate::vision::cuda::emulation::{Emulation, Pace};
use crate::vision::cuda::{CudaError, FrameFigures, GpuVision, Session, SessionOptions, Want};
use crate::vision::farneback::{self, FarnebackParams};
use crate::vision::flow_stats::motion;
use crate::vision::gray::gray_from_rgb;
use crate::vision::plane::Plane;
use crate::vision::sharpness::laplacian_variance;

const ALL: Want = Want { edges: true, flow: true, gray: true };

fn options(width: usize, height: usize) -> SessionOptions {
    let (flow, canny) = (FarnebackParams::default(), CannyParams::default());
    SessionOptions { width, height, flow, canny }
}

/// More frames than two batches hold, the last of them not full.
fn video() -> Vec<Plane<[u8; 3]>> {
    let at = |t: i32| (f64::from(t) * 0.8, f64::from(t % 5) * 0.6);
    (0..37).map(at).map(|(dx, dy)| colored(&scene(47, 38, dx, dy))).collect()
}

fn references(video: &[Plane<[u8; 3]>]) -> Vec<&Plane<[u8; 3]>> {
    video.iter().collect()
}

#[track_caller]
fn assert_figures(got: &[FrameFigures], video: &[Plane<[u8; 3]>]) {
    assert_eq!(got.len(), video.len());
    let options = options(video[0].width(), video[0].height());
    let mut before: Option<Plane<u8>> = None;
    for (t, (got, frame)) in got.iter().zip(video).enumerate() {
        let gray = gray_from_rgb(frame);
        let edges = canny(&gray, &options.canny).expect("checked");
        let count = edges.data().iter().filter(|&&value| value != 0).count();
        assert_eq!(got.edge_pixels, count as u64, "frame {t}");
        assert_eq!(got.sharpness, laplacian_variance(&gray), "frame {t}");
        assert_eq!(got.edges.as_ref(), Some(&edges), "frame {t}");
        assert_eq!(got.gray.as_ref(), Some(&gray), "frame {t}");
        assert_eq!((got.motion.is_some(), got.flow.is_some()), (t > 0, t > 0), "frame {t}");
        if let (Some(before), Some(flow), Some(moved)) = (&before, &got.flow, got.motion) {
            let want = farneback::flow(before, &gray, &options.flow, None).expect("checked");
            assert_agrees(flow, &want, &format!("frame {t}"));
            let (own, want) = (motion(flow), motion(&want));
            assert!((moved.mean_px - own.mean_px).abs() < 1e-6, "frame {t}: {moved:?} {own:?}");
            assert!((moved.max_px - own.max_px).abs() < 1e-5, "frame {t}: {moved:?} {own:?}");
            assert!((moved.mean_px - want.mean_px).abs() < 1e-3, "frame {t}: {moved:?} {want:?}");
        }
        before = Some(gray);
    }
}

#[test]
fn a_video_gives_what_its_frames_give_one_by_one() {
    let video = video();
    for gpu in devices() {
        let mut session = gpu.session(&options(47, 38)).expect("fits");
        let figures = session.analyse(&references(&video), ALL).expect("one size");
        assert_figures(&figures, &video);
    }
}

#[test]
fn the_figures_do_not_depend_on_calls_batches_or_timing() {
    let video = video();
    let whole = |gpu: &GpuVision| {
        let mut session = gpu.session(&options(47, 38)).expect("fits");
        session.analyse(&references(&video), ALL).expect("one size")
    };
    let lazy = GpuVision::emulated(Pace::Lazy, BYTES_MAX);
    let eager = GpuVision::emulated(Pace::Eager, BYTES_MAX);
    let want = whole(&lazy);
    assert_eq!(whole(&eager), want);
    for gpu in devices() {
        let want = whole(&gpu);
        let mut session = gpu.session(&options(47, 38)).expect("fits");
        let mut pieces = Vec::new();
        let mut rest = &references(&video)[..];
        for length in [1, 2, 0, 17, 16] {
            let (piece, later) = rest.split_at(length);
            pieces.extend(session.analyse(piece, ALL).expect("one size"));
            rest = later;
        }
        pieces.extend(session.analyse(rest, ALL).expect("one size"));
        assert_eq!(pieces, want);
        // Another video on the same memory.
        session.restart();
        assert_eq!(session.analyse(&references(&video), ALL).expect("one size"), want);
    }
}

#[test]
fn only_what_is_wanted_is_fetched() {
    let video = video();
    let gpu = GpuVision::emulated(Pace::Lazy, BYTES_MAX);
    let mut session = gpu.session(&options(47, 38)).expect("fits");
    for figures in session.analyse(&references(&video), Want::default()).expect("one size") {
        assert_eq!((figures.edges, figures.flow, figures.gray), (None, None, None));
        assert!(figures.edge_pixels > 0 && figures.sharpness > 0.0);
    }
}

#[test]
fn device_memory_is_taken_when_a_session_begins_and_never_after() {
    let emulation = Arc::new(Emulation::new(Pace::Lazy, BYTES_MAX));
    let gpu = GpuVision { backend: emulation.clone() };
    let mut session = gpu.session(&options(47, 38)).expect("fits");
    let before = emulation.allocations.load(Ordering::Relaxed);
    let video = video();
    session.analyse(&references(&video), ALL).expect("one size");
    assert_eq!(emulation.allocations.load(Ordering::Relaxed), before);
    drop(session);
    assert_eq!(emulation.bytes_in_use(), 0);
}

#[test]
fn what_a_session_takes_is_known_before() {
    let gpu = GpuVision::emulated(Pace::Lazy, BYTES_MAX);
    let deep = FarnebackParams { pyr_scale: 0.9, levels: 16, ..FarnebackParams::default() };
    for (width, height, flow) in [
        (10, 10, FarnebackParams::default()),
        (640, 360, FarnebackParams::default()),
        (400, 300, deep),
    ] {
        let options = SessionOptions { flow, ..options(width, height) };
        let taken = gpu.session(&options).expect("fits").device_bytes();
        let bound = Session::device_bytes_max(&options);
        assert!(taken <= bound, "{taken} of {bound}");
        assert!(bound - taken <= taken / 5 + (1 << 20), "{bound} is no use as a bound of {taken}");
    }
}

#[test]
fn a_full_device_is_an_error_and_leaves_nothing_behind() {
    let emulation = Arc::new(Emulation::new(Pace::Lazy, 4 << 20));
    let gpu = GpuVision { backend: emulation.clone() };
    let error = gpu.session(&options(640, 360)).expect_err("does not fit");
    assert!(matches!(error, CudaError::OutOfMemory { .. }), "{error}");
    assert_eq!(emulation.bytes_in_use(), 0);
    assert!(gpu.session(&options(20, 20)).is_ok());
}

#[test]
fn frames_of_another_size_are_refused_and_the_session_goes_on() {
    let video = video();
    let odd = colored(&scene(48, 38, 0.0, 0.0));
    for gpu in devices() {
        let mut session = gpu.session(&options(47, 38)).expect("fits");
        let refused = session.analyse(&[&video[0], &odd], ALL).expect_err("another size");
        let sizes = VisionError::SizesDiffer { first: (47, 38), second: (48, 38) };
        assert_eq!(refused, CudaError::Refused(sizes));
        let figures = session.analyse(&references(&video[..3]), ALL).expect("one size");
        assert_figures(&figures, &video[..3]);
    }
}

#[test]
fn sessions_that_make_no_sense_are_refused() {
    let gpu = GpuVision::emulated(Pace::Lazy, BYTES_MAX);
    assert!(matches!(gpu.session(&options(9, 100)), Err(CudaError::Refused(_))));
    let wide = gpu.session(&options(1 << 20, 1 << 20));
    assert!(matches!(wide, Err(CudaError::TooLarge { .. })), "{wide:?}");
}
