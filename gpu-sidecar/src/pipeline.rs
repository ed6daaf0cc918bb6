//! Pipelines: what one is, what it is handed, what it gives back.
//!
//! Owns the trait and its words (manifest, call, need, outcome, error, context). Knows files in a
//! run's folder and a device; not the wire, not who asks. Start at [`Pipeline`].

mod cancel;
mod context;
mod error;
mod manifest;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::weights::Files;

pub use cancel::{Cancel, Cause};
pub use context::{Output, Progress, ProgressSink, RunContext};
pub use error::{Fault, RunError};
pub use manifest::{Manifest, Slot, schema_of};

/// One thing that the sidecar can run. Sees blobs, parameters and a device; never who pays.
pub trait Pipeline: Send + Sync {
    /// What it is and what it takes. Computed anew on every call, because a program or weights
    /// may have been installed since.
    fn manifest(&self) -> Manifest;

    /// The models that it may load, by the names of their sources; none by default.
    fn models(&self) -> &'static [&'static str] {
        &[]
    }

    /// Compares the files of one of its models with what it would load, by name and shape, without
    /// loading it: what `postern pull` asks before it installs them.
    ///
    /// # Errors
    /// `Unavailable` that says how they differ.
    fn check_weights(&self, _model: &str, _files: &Files) -> Result<(), RunError> {
        Ok(())
    }

    /// Upper bound of memory for `call`, from headers alone.
    fn need(&self, call: &Call) -> Need;

    /// True when `call` takes so little (microseconds, no waiting) that a thread of its own would
    /// cost more than the work: it then runs on the thread that serves the socket.
    fn inline(&self, _call: &Call) -> bool {
        false
    }

    /// Runs one call. Progress rises from 0 to 1; a cancel is noticed between stages.
    ///
    /// # Errors
    /// [`RunError`] says for each kind who can do what about it.
    fn run(&self, call: &Call, context: &mut RunContext) -> Result<Outcome, RunError>;
}

/// One run's input. The slots and their counts have been checked against the manifest.
#[derive(Debug, Clone)]
pub struct Call {
    /// A JSON object.
    pub params: String,
    /// In the caller's order.
    pub inputs: Vec<Input>,
}

/// One input blob, as a file that may be read but not changed.
#[derive(Debug, Clone)]
pub struct Input {
    pub slot: String,
    pub path: PathBuf,
    /// As declared by whoever sent it; not proof of what the bytes are. May be empty.
    pub media_type: String,
    pub bytes: u64,
}

/// Bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Need {
    pub memory_cpu_bytes: u64,
    pub memory_gpu_bytes: u64,
}

/// What a run has to say besides the blobs that it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A JSON object; text, so that the fields keep the order in which they are documented.
    pub metadata: String,
}

impl Call {
    /// The inputs of one slot, in order.
    pub fn slot<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Input> {
        self.inputs.iter().filter(move |input| input.slot == name)
    }

    /// The parameters as `T`.
    ///
    /// # Errors
    /// `Input` with the path of the field that does not fit.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        let text = if self.params.is_empty() { "{}" } else { &self.params };
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            // `.` is the library's word for the whole document.
            let field = if path == "." { String::new() } else { path };
            RunError::input("params_invalid", &field, error.inner())
        })?;
        reader.end().map_err(|error| RunError::input("params_invalid", "", error))?;
        Ok(value)
    }

    /// Checks the number of inputs in each slot.
    ///
    /// # Errors
    /// `Input` naming the slot.
    pub fn check_slots(&self, manifest: &Manifest) -> Result<(), RunError> {
        for input in &self.inputs {
            if !manifest.inputs.iter().any(|slot| slot.name == input.slot) {
                let detail = format!("{} has no input slot of this name", manifest.id());
                return Err(RunError::input("input_unknown", &input.slot, detail));
            }
        }
        for slot in &manifest.inputs {
            let count = self.slot(slot.name).count();
            if count < slot.count_min as usize || count > slot.count_max as usize {
                let (min, max) = (slot.count_min, slot.count_max);
                let detail = format!("takes {min} to {max} inputs, {count} were given");
                return Err(RunError::input("input_count", slot.name, detail));
            }
        }
        Ok(())
    }
}

/// True for 1 to 80 letters, digits, `_`, `.` and `-` that name a file and not a folder: the only
/// names of runs and files that ever become part of a path.
#[must_use]
pub fn name_is_safe(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 80;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && name != "."
        && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        #[expect(dead_code, reason = "only parsed")]
        canny: Inner,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        low: f64,
    }

    #[track_caller]
    fn check_params(params: &str, field_want: Option<&str>) {
        let call = Call { params: params.to_owned(), inputs: Vec::new() };
        match (call.params::<Outer>(), field_want) {
            (Ok(_), None) => {}
            (Err(RunError::Input { field, .. }), Some(want)) => assert_eq!(field, want),
            (got, want) => panic!("{params}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn a_parameter_that_does_not_fit_is_named() {
        check_params("", None);
        check_params("{}", None);
        check_params(r#"{"canny":{"low":2}}"#, None);
        check_params(r#"{"canny":{"low":"two"}}"#, Some("canny.low"));
        check_params(r#"{"canny":{"lo":2}}"#, Some("canny.lo"));
        check_params(r#"{"cany":{}}"#, Some("cany"));
        check_params("[", Some(""));
        check_params("{} {}", Some(""));
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        for good in ["a", "att_01-b.json", "...", &"x".repeat(80)] {
            assert!(name_is_safe(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/", "a\0", "ä", "a b", &"x".repeat(81)] {
            assert!(!name_is_safe(bad), "{bad}");
        }
    }
}
