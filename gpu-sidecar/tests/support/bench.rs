//! What the pipelines' tests share: one run, as the server would call it; of `vision@1` by default.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{ImageReader, RgbImage};
use postern_sidecar::device::Device;
use postern_sidecar::pipeline::{Call, Cancel, Input, Pipeline, Progress, RunContext, RunError};
use postern_sidecar::pipelines::vision::Vision;
use serde_json::Value;

use super::ffmpeg;

/// One second of a moving test picture.
pub const MOVING: &str = "-f lavfi -i testsrc2=size=160x120:rate=10:duration=1";

pub struct Bench {
    pub folder: tempfile::TempDir,
    pipeline: Arc<dyn Pipeline>,
}

impl Bench {
    pub fn new() -> Self {
        Self::of(Arc::new(Vision))
    }

    pub fn of(pipeline: Arc<dyn Pipeline>) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), pipeline }
    }

    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub fn clip(&self, name: &str, arguments: &str) -> PathBuf {
        ffmpeg(self.folder.path(), name, arguments)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }

    pub fn run(&self, params: Value, inputs: &[(&str, &Path)]) -> Result<Value, RunError> {
        self.run_with(&Arc::new(Cancel::default()), Box::new(drop), params, inputs)
    }

    pub fn run_with(
        &self,
        cancel: &Arc<Cancel>,
        sink: Box<dyn FnMut(Progress) + Send>,
        params: Value,
        inputs: &[(&str, &Path)],
    ) -> Result<Value, RunError> {
        let input = |&(slot, path): &(&str, &Path)| Input {
            slot: slot.to_owned(),
            path: path.to_owned(),
            media_type: String::new(),
            bytes: 0,
        };
        let inputs = inputs.iter().map(input).collect();
        let call = Call { params: params.to_string(), inputs };
        let device = Arc::new(Device::cpu());
        let mut context = RunContext::new(device, Arc::clone(cancel), self.out(), sink);
        let outcome = self.pipeline.run(&call, &mut context)?;
        Ok(serde_json::from_str(&outcome.metadata).expect("metadata is JSON"))
    }

    #[track_caller]
    pub fn check_refused(&self, params: Value, inputs: &[(&str, &Path)], want: (&str, &str)) {
        match self.run(params, inputs) {
            Err(RunError::Input { fault, field }) => {
                assert_eq!((fault.code, field.as_str()), want, "{}", fault.detail);
                let folder = self.folder.path().display().to_string();
                assert!(!fault.detail.contains(&folder), "{}", fault.detail);
            }
            other => panic!("{inputs:?} should have been refused: {other:?}"),
        }
    }

    /// An artifact's bytes.
    pub fn bytes(&self, name: &Value) -> Vec<u8> {
        fs::read(self.out().join(name.as_str().expect("a name"))).expect("an artifact")
    }

    /// An artifact that is a picture.
    pub fn picture(&self, name: &Value) -> RgbImage {
        image::load_from_memory(&self.bytes(name)).expect("a picture").into_rgb8()
    }

    pub fn picture_size(&self, name: &Value) -> (u32, u32) {
        let name = name.as_str().expect("a name");
        let reader = ImageReader::open(self.out().join(name)).expect("an artifact");
        reader.into_dimensions().expect("a PNG")
    }
}

/// One field of every frame.
pub fn column<'a>(report: &'a Value, field: &str) -> Vec<&'a Value> {
    let frames = report["frames"].as_array().expect("frames");
    frames.iter().map(|frame| &frame[field]).collect()
}

pub fn numbers(report: &Value, field: &str) -> Vec<f64> {
    column(report, field).iter().map(|value| value.as_f64().expect("a number")).collect()
}
