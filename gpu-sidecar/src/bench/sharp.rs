//! SHARP at full size: every stage's time and rate, on the CPU or a GPU.
//!
//! Always: a stage ends when its device has done all of it, not when it was told to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use serde::Serialize;

use super::peak_memory_bytes;
use crate::clock;
use crate::device::{DeviceKind, NoDevice, Precision};
use crate::nn::{LinearAfter, Parameters, RandomParameters, linear};
use crate::pipeline::Cancel;
use crate::sharp::config::LAYERS;
use crate::sharp::predictor::is_unused;
use crate::sharp::probe::{Probe, Stage};
use crate::sharp::{Config, Predictor};
use crate::splat::stats::Stats;
use crate::splat::unproject::{Projection, unproject};
use crate::weights::{Checkpoint, CheckpointError, Loading, Placement};

/// Side of the square product that stands for the machine's peak.
const PEAK_SIDE: usize = 2048;
/// Its best of so many counts.
const PEAK_ROUNDS: usize = 8;
/// Focal length over width of the photo that is not there.
const FACTOR: f32 = 0.8;

/// Where the parameters come from.
#[derive(Debug, Clone)]
pub enum Weights {
    /// Made from a seed.
    Random { seed: u64 },
    /// A checkpoint's files.
    Files(Vec<PathBuf>),
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    pub weights: Weights,
    pub device: DeviceKind,
    pub precision: Precision,
    /// Predictions, one after another. On a GPU the first compiles candle's kernels, unless the
    /// driver has kept them.
    pub rounds: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub device: &'static str,
    pub dtype: &'static str,
    pub parameters: u64,
    pub weight_bytes: u64,
    pub load_ms: f64,
    pub threads: usize,
    /// The best rate of a square product, 10⁹ operations a second: one multiplication and one
    /// addition are two.
    pub peak_gflops: f64,
    pub rounds: Vec<Round>,
    /// Of this process; a GPU's memory is not in it.
    pub peak_memory_bytes: u64,
    /// [`Report::peak_memory_bytes`] without the weights; 0 on a GPU.
    pub activation_bytes: u64,
}

/// One prediction.
#[derive(Debug, Serialize)]
pub struct Round {
    pub stages: Vec<StageTime>,
    pub total_ms: f64,
    pub gflops: f64,
    pub num_gaussians: usize,
    /// Sum of the first layer's depths, to compare with another implementation's.
    pub mean_depth: Option<f64>,
}

/// One stage of it.
#[derive(Debug, Serialize)]
pub struct StageTime {
    pub stage: &'static str,
    pub ms: f64,
    pub gmac: f64,
    pub gflops: f64,
    /// Of [`Report::peak_gflops`].
    pub share_of_peak: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("the network failed")]
    Network(#[from] candle_core::Error),
    #[error("the checkpoint cannot be used")]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Device(#[from] NoDevice),
}

/// Predicts as `options` say. `told` hears of each stage as it begins.
///
/// # Errors
/// There is no such device, the checkpoint does not fit, or memory is full.
pub fn run(
    options: &Options,
    told: &mut dyn FnMut(Stage),
) -> std::result::Result<Report, BenchError> {
    let Options { weights, device: kind, precision, rounds } = options;
    let device = kind.tensors()?;
    let place = Placement { dtype: precision.dtype(), device: &device };
    let begin = clock::now();
    let (predictor, parameters, weight_bytes) = load(weights, place)?;
    device.synchronize()?;
    let load_ms = begin.elapsed().as_secs_f64() * 1e3;
    let peak_gflops = peak_gflops(place)?;
    let image = picture(predictor.config().internal_size(), &device)?;
    let mut done = Vec::with_capacity(*rounds);
    for _ in 0..*rounds {
        done.push(round(&predictor, &image, peak_gflops, told)?);
    }
    let peak_memory_bytes = peak_memory_bytes();
    let activation_bytes = match kind {
        DeviceKind::Cpu => peak_memory_bytes.saturating_sub(weight_bytes),
        DeviceKind::Cuda => 0,
    };
    Ok(Report {
        device: kind.as_str(),
        dtype: precision.as_str(),
        parameters,
        weight_bytes,
        load_ms,
        threads: rayon::current_num_threads(),
        peak_gflops,
        rounds: done,
        peak_memory_bytes,
        activation_bytes,
    })
}

/// The network, the number of its parameters and what they take.
fn load(
    weights: &Weights,
    place: Placement<'_>,
) -> std::result::Result<(Predictor, u64, u64), BenchError> {
    let (config, mut count) = (Config::default(), 0);
    let (predictor, bytes) = match weights {
        Weights::Random { seed } => {
            let mut source = RandomParameters::new(*seed, place.device).of(place.dtype);
            let predictor = Predictor::load(&mut source, config, place.device)?;
            count = source.values();
            (predictor, source.bytes())
        }
        Weights::Files(paths) => {
            let mut untold = |_, _| {};
            let mut loading = Loading::new(Arc::new(Cancel::default()), &mut untold);
            let build = |parameters: &mut dyn Parameters| {
                let mut counted = Counted(parameters, &mut count);
                Predictor::load(&mut counted, config, place.device)
            };
            let loaded = Checkpoint::open(paths)?.load(place, is_unused, &mut loading, build)?;
            (loaded.value, loaded.memory_bytes)
        }
    };
    Ok((predictor, count, bytes))
}

/// Counts the values that are handed out.
struct Counted<'a>(&'a mut dyn Parameters, &'a mut u64);

impl Parameters for Counted<'_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        *self.1 += shape.iter().product::<usize>() as u64;
        self.0.take(name, shape)
    }

    fn take_exact(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        *self.1 += shape.iter().product::<usize>() as u64;
        self.0.take_exact(name, shape)
    }
}

fn round(
    predictor: &Predictor,
    image: &Tensor,
    peak_gflops: f64,
    told: &mut dyn FnMut(Stage),
) -> Result<Round> {
    let begin = clock::now();
    let device = predictor.device();
    let mut timer = Timer { told, device, times: Vec::new(), current: None };
    let mut prediction = predictor.predict(image, &[FACTOR], &mut timer)?;
    timer.stage(Stage::Unproject, 0.0)?;
    let mut cloud = prediction.clouds.pop().expect("one picture has one cloud");
    unproject(&mut cloud, &Projection::centred(1536.0 * FACTOR, 1536, 1536));
    timer.close()?;
    let total_ms = begin.elapsed().as_secs_f64() * 1e3;
    let stats = Stats::of(&cloud, LAYERS);
    let stage = |(stage, ms): (Stage, f64)| {
        let gflops = 2.0 * stage.gmac() / (ms / 1e3);
        let share_of_peak = gflops / peak_gflops;
        StageTime { stage: stage.name(), ms, gmac: stage.gmac(), gflops, share_of_peak }
    };
    let stages: Vec<StageTime> = timer.times.into_iter().map(stage).collect();
    let gmac: f64 = stages.iter().map(|stage| stage.gmac).sum();
    Ok(Round {
        stages,
        total_ms,
        gflops: 2.0 * gmac / (total_ms / 1e3),
        num_gaussians: cloud.len(),
        mean_depth: stats.depth_per_layer.first().copied().flatten().map(|depth| depth.mean),
    })
}

/// A picture with something in it: smooth waves, different in each channel.
fn picture(side: usize, device: &Device) -> Result<Tensor> {
    let value = |index: usize| {
        let (channel, y, x) = (index / (side * side), index / side % side, index % side);
        let (x, y) = (x as f32 / side as f32, y as f32 / side as f32);
        let wave = (9.0 * x + 2.0 * channel as f32).sin() * (7.0 * y - channel as f32).cos();
        0.5 + 0.5 * wave
    };
    Tensor::from_vec(
        (0..3 * side * side).map(value).collect::<Vec<_>>(),
        (1, 3, side, side),
        device,
    )
}

fn peak_gflops(place: Placement<'_>) -> Result<f64> {
    let square = |seed| {
        let mut source = RandomParameters::new(seed, place.device).of(place.dtype);
        source.take("peak.weight", &[PEAK_SIDE, PEAK_SIDE])
    };
    let (a, b) = (square(1)?, square(2)?);
    let mut best = f64::MAX;
    place.device.synchronize()?;
    for _ in 0..PEAK_ROUNDS {
        let begin = clock::now();
        std::hint::black_box(linear(&a, &b, None, LinearAfter::default())?);
        place.device.synchronize()?;
        best = best.min(begin.elapsed().as_secs_f64());
    }
    Ok(2.0 * (PEAK_SIDE as f64).powi(3) / best / 1e9)
}

/// Times the stages.
struct Timer<'a> {
    told: &'a mut dyn FnMut(Stage),
    device: &'a Device,
    times: Vec<(Stage, f64)>,
    current: Option<(Stage, Instant)>,
}

impl Timer<'_> {
    fn close(&mut self) -> Result<()> {
        if let Some((stage, begin)) = self.current.take() {
            self.device.synchronize()?;
            self.times.push((stage, begin.elapsed().as_secs_f64() * 1e3));
        }
        Ok(())
    }
}

impl Probe for Timer<'_> {
    fn stage(&mut self, stage: Stage, _done: f64) -> Result<()> {
        if self.current.is_none_or(|(current, _)| current != stage) {
            self.close()?;
            (self.told)(stage);
            self.current = Some((stage, clock::now()));
        }
        Ok(())
    }
}
