//! A run's surroundings: where its outputs go, who hears of its progress, what it runs on.
//!
//! Owns the run's `out` folder and the thinning of progress. Always: the fraction never falls and
//! stays within 0 to 1; a stage's first word is never thinned away; an output is listed only when
//! it was written to its end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cancel, RunError, name_is_safe};
use crate::clock;
use crate::device::Device;

/// At most ten reports a second per run: people cannot read more, and the wire has other work.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// From the pipeline's closed list, such as `decode`.
    pub stage: &'static str,
    /// Free text for people; may be empty.
    pub detail: String,
    /// The run waits for a model to be loaded.
    pub loading: bool,
}

/// Who hears of progress. Called on the run's thread; must not block.
pub type ProgressSink = Box<dyn FnMut(Progress) + Send>;

/// An output that was written to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Also the file's name inside the run's `out` folder.
    pub name: String,
    pub media_type: String,
    pub bytes: u64,
}

/// What a pipeline is handed besides its call.
pub struct RunContext {
    device: Arc<Device>,
    cancel: Arc<Cancel>,
    out_dir: PathBuf,
    out_dir_made: bool,
    outputs: Vec<Output>,
    sink: ProgressSink,
    fraction: f64,
    reported: Option<(Instant, &'static str)>,
    load: Duration,
}

impl RunContext {
    /// A context that writes to `out_dir`, which is made when the first output is.
    #[must_use]
    pub fn new(
        device: Arc<Device>,
        cancel: Arc<Cancel>,
        out_dir: PathBuf,
        sink: ProgressSink,
    ) -> Self {
        Self {
            device,
            cancel,
            out_dir,
            out_dir_made: false,
            outputs: Vec::new(),
            sink,
            fraction: 0.0,
            reported: None,
            load: Duration::ZERO,
        }
    }

    /// What to run on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The run's flag, for code that waits.
    #[must_use]
    pub fn cancel(&self) -> &Arc<Cancel> {
        &self.cancel
    }

    /// Fails when the run has to stop.
    ///
    /// # Errors
    /// Those of [`Cancel::check`].
    pub fn check_cancel(&self) -> Result<(), RunError> {
        self.cancel.check()
    }

    /// `span` of the run went into loading a model, or waiting for another run to load it.
    pub fn add_load(&mut self, span: Duration) {
        self.load += span;
    }

    /// What [`RunContext::add_load`] came to.
    #[must_use]
    pub fn load(&self) -> Duration {
        self.load
    }

    /// Says how far the run is. May be called as often as one likes; reports between two of the
    /// same stage within [`PROGRESS_INTERVAL`] are left out.
    pub fn progress(&mut self, fraction: f64, stage: &'static str, detail: impl ToString) {
        self.report(fraction, stage, detail, false);
    }

    /// Says that the run waits for a model, of which `share` is loaded. The run's own fraction
    /// stays.
    pub fn loading(&mut self, share: f64) {
        let detail = format!("{:.0} % of the weights", share * 100.0);
        self.report(0.0, "load", detail, true);
    }

    fn report(&mut self, fraction: f64, stage: &'static str, detail: impl ToString, loading: bool) {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction };
        self.fraction = self.fraction.max(fraction.clamp(0.0, 1.0));
        let now = clock::now();
        let recent = self.reported.is_some_and(|(at, reported)| {
            reported == stage && now.duration_since(at) < PROGRESS_INTERVAL
        });
        if !recent {
            self.reported = Some((now, stage));
            let detail = detail.to_string();
            (self.sink)(Progress { fraction: self.fraction, stage, detail, loading });
        }
    }

    /// Writes one output blob. `name` is ours, never the caller's, and unique within the run.
    ///
    /// # Errors
    /// `Resource` when the disk is full, `Internal` otherwise.
    pub fn output(
        &mut self,
        name: &str,
        media_type: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), RunError> {
        self.check_name(name)?;
        let bytes = self
            .write_file(name, write)
            .map_err(|error| RunError::file(&format!("writing the output `{name}`"), &error))?;
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        self.outputs.push(Output { name, media_type, bytes });
        Ok(())
    }

    /// Where the output `name` lies or will lie, for a program that writes it, or to read it again.
    #[must_use]
    pub fn output_path(&self, name: &str) -> PathBuf {
        self.out_dir.join(name)
    }

    /// Makes the folder of outputs, for a program that writes into it.
    ///
    /// # Errors
    /// As [`RunContext::output`].
    pub fn make_out_dir(&mut self) -> Result<(), RunError> {
        self.ensure_out_dir().map_err(|error| RunError::file("making the outputs' folder", &error))
    }

    /// Lists an output that a program has written to [`RunContext::output_path`].
    ///
    /// # Errors
    /// As [`RunContext::output`].
    pub fn output_written(&mut self, name: &str, media_type: &str) -> Result<(), RunError> {
        self.check_name(name)?;
        let metadata = fs::metadata(self.output_path(name));
        let bytes = metadata.map_err(|error| RunError::file("an output", &error))?.len();
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        self.outputs.push(Output { name, media_type, bytes });
        Ok(())
    }

    /// The outputs so far.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn check_name(&self, name: &str) -> Result<(), RunError> {
        if !name_is_safe(name) || self.outputs.iter().any(|output| output.name == name) {
            let detail = format!("`{name}` is no name for an output here");
            return Err(RunError::internal("output_name", detail));
        }
        Ok(())
    }

    fn ensure_out_dir(&mut self) -> io::Result<()> {
        if !self.out_dir_made {
            fs::create_dir_all(&self.out_dir)?;
            self.out_dir_made = true;
        }
        Ok(())
    }

    fn write_file(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<u64> {
        self.ensure_out_dir()?;
        let mut file = BufWriter::new(File::create(self.out_dir.join(name))?);
        write(&mut file)?;
        file.flush()?;
        Ok(file.get_ref().metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn progress_never_falls_and_is_thinned_within_a_stage() {
        let (sender, receiver) = mpsc::sync_channel(1000);
        let mut context = RunContext::new(
            Arc::new(Device::cpu()),
            Arc::new(Cancel::default()),
            PathBuf::new(),
            Box::new(move |progress| sender.send(progress).expect("the receiver lives")),
        );
        for step in 0..1000 {
            context.progress(f64::from(step) / 500.0, "first", "");
        }
        context.progress(0.1, "second", "");
        context.progress(f64::NAN, "third", "");
        drop(context);
        let seen: Vec<Progress> = receiver.iter().collect();
        assert!(seen.len() < 100, "{} reports", seen.len());
        assert!(seen.windows(2).all(|pair| pair[0].fraction <= pair[1].fraction));
        assert_eq!(seen.last().map(|last| (last.fraction, last.stage)), Some((1.0, "third")));
    }
}
