//! SHARP at full size: every stage's time and rate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use serde::Serialize;

use super::peak_memory_bytes;
use crate::clock;
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

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub parameters: u64,
    pub weight_bytes: u64,
    pub load_ms: f64,
    pub threads: usize,
    /// The best rate of a square product, 10⁹ operations a second: one multiplication and one
    /// addition are two.
    pub peak_gflops: f64,
    pub rounds: Vec<Round>,
    pub peak_memory_bytes: u64,
    /// [`Report::peak_memory_bytes`] without the weights.
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
}

/// Predicts `rounds` times on the CPU. `told` hears of each stage as it begins.
///
/// # Errors
/// The checkpoint does not fit, or memory is full.
pub fn run(
    weights: &Weights,
    rounds: usize,
    told: &mut dyn FnMut(Stage),
) -> std::result::Result<Report, BenchError> {
    let device = Device::Cpu;
    let config = Config::default();
    let begin = clock::now();
    let (predictor, parameters) = match weights {
        Weights::Random { seed } => {
            let mut source = RandomParameters::new(*seed, &device);
            (Predictor::load(&mut source, config.clone(), &device)?, source.values())
        }
        Weights::Files(paths) => {
            let mut untold = |_, _| {};
            let mut loading = Loading::new(Arc::new(Cancel::default()), &mut untold);
            let placement = Placement { dtype: DType::F32, device: &device };
            let build = |parameters: &mut dyn Parameters| {
                Predictor::load(parameters, config.clone(), &device)
            };
            let checkpoint = Checkpoint::open(paths)?;
            let loaded = checkpoint.load(placement, is_unused, &mut loading, build)?;
            (loaded.value, loaded.memory_bytes / size_of::<f32>() as u64)
        }
    };
    let load_ms = begin.elapsed().as_secs_f64() * 1e3;
    let peak_gflops = peak_gflops(&device)?;
    let image = picture(config.internal_size(), &device)?;
    let mut done = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        done.push(round(&predictor, &image, peak_gflops, told)?);
    }
    let (peak_memory_bytes, weight_bytes) = (peak_memory_bytes(), parameters * 4);
    Ok(Report {
        parameters,
        weight_bytes,
        load_ms,
        threads: rayon::current_num_threads(),
        peak_gflops,
        rounds: done,
        peak_memory_bytes,
        activation_bytes: peak_memory_bytes.saturating_sub(weight_bytes),
    })
}

fn round(
    predictor: &Predictor,
    image: &Tensor,
    peak_gflops: f64,
    told: &mut dyn FnMut(Stage),
) -> Result<Round> {
    let begin = clock::now();
    let mut timer = Timer { told, times: Vec::new(), current: None };
    let mut prediction = predictor.predict(image, &[FACTOR], &mut timer)?;
    timer.stage(Stage::Unproject, 0.0)?;
    let mut cloud = prediction.clouds.pop().expect("one picture has one cloud");
    unproject(&mut cloud, &Projection::centred(1536.0 * FACTOR, 1536, 1536));
    timer.close();
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

fn peak_gflops(device: &Device) -> Result<f64> {
    let square = |seed| {
        let mut source = RandomParameters::new(seed, device);
        source.take("peak.weight", &[PEAK_SIDE, PEAK_SIDE])
    };
    let (a, b) = (square(1)?, square(2)?);
    let mut best = f64::MAX;
    for _ in 0..PEAK_ROUNDS {
        let begin = clock::now();
        std::hint::black_box(linear(&a, &b, None, LinearAfter::default())?);
        best = best.min(begin.elapsed().as_secs_f64());
    }
    Ok(2.0 * (PEAK_SIDE as f64).powi(3) / best / 1e9)
}

/// Times the stages.
struct Timer<'a> {
    told: &'a mut dyn FnMut(Stage),
    times: Vec<(Stage, f64)>,
    current: Option<(Stage, Instant)>,
}

impl Timer<'_> {
    fn close(&mut self) {
        if let Some((stage, begin)) = self.current.take() {
            self.times.push((stage, begin.elapsed().as_secs_f64() * 1e3));
        }
    }
}

impl Probe for Timer<'_> {
    fn stage(&mut self, stage: Stage, _done: f64) -> Result<()> {
        if self.current.is_none_or(|(current, _)| current != stage) {
            self.close();
            (self.told)(stage);
            self.current = Some((stage, clock::now()));
        }
        Ok(())
    }
}
