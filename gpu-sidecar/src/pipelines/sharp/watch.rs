//! A prediction's progress, timings and end before its time.

use std::time::Instant;

use candle_core::{Device, Result};

use crate::clock;
use crate::pipeline::{RunContext, RunError};
use crate::sharp::probe::{Probe, Stage};

/// Shares of a run: the network takes what lies between, files the rest.
const NETWORK_BEGINS: f64 = 0.02;
const NETWORK_ENDS: f64 = 0.95;

/// Tells the run's context what the network does.
pub(super) struct Watch<'a> {
    context: &'a mut RunContext,
    device: &'a Device,
    timings: Vec<(&'static str, f64)>,
    current: Option<(Stage, Instant)>,
}

impl<'a> Watch<'a> {
    /// `device` is the network's: a stage ends when it has done all of it.
    pub(super) fn new(context: &'a mut RunContext, device: &'a Device) -> Self {
        Self { context, device, timings: Vec::new(), current: None }
    }

    /// Milliseconds of each stage, in their order.
    pub(super) fn timings(mut self) -> serde_json::Map<String, serde_json::Value> {
        // Only the processor has worked since the last tensor; this cannot fail any more.
        let _ = self.close();
        let rounded = |ms: f64| serde_json::json!((ms * 10.0).round() / 10.0);
        self.timings.into_iter().map(|(name, ms)| (name.to_owned(), rounded(ms))).collect()
    }

    /// [`Probe::stage`] for a stage of the run itself.
    pub(super) fn enter(&mut self, stage: Stage) -> std::result::Result<(), RunError> {
        self.context.check_cancel()?;
        self.begin(stage, 0.0).map_err(|error| self.failed(&error))
    }

    /// What ended a prediction: the run's cancel flag, or else the network or its device.
    pub(super) fn failed(&self, error: &candle_core::Error) -> RunError {
        let failed = || match self.device {
            Device::Cpu => RunError::internal("prediction_failed", error),
            _ => RunError::device("gpu_failed", error),
        };
        self.context.check_cancel().err().unwrap_or_else(failed)
    }

    fn begin(&mut self, stage: Stage, done: f64) -> Result<()> {
        if self.current.is_none_or(|(current, _)| current != stage) {
            self.close()?;
            self.current = Some((stage, clock::now()));
        }
        let (begin, end) = stage.shares();
        let network = begin + done * (end - begin);
        let fraction = NETWORK_BEGINS + network * (NETWORK_ENDS - NETWORK_BEGINS);
        self.context.progress(fraction, stage.name(), "");
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((stage, begin)) = self.current.take() {
            self.device.synchronize()?;
            self.timings.push((stage.name(), begin.elapsed().as_secs_f64() * 1e3));
        }
        Ok(())
    }
}

impl Probe for Watch<'_> {
    fn stage(&mut self, stage: Stage, done: f64) -> Result<()> {
        self.context.check_cancel().map_err(candle_core::Error::wrap)?;
        self.begin(stage, done)
    }
}
