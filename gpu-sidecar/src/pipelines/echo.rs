//! `echo@1`: gives back what it is given. For trying a deployment and for measuring the gateway.
//!
//! Small calls without a delay run inline: what is measured is the way, not a thread's start.

use std::fs::File;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::device::DeviceKind;
use crate::pipeline::{
    Call, Manifest, Need, Outcome, Pipeline, RunContext, RunError, Slot, schema_of,
};

/// More than this is copied on a thread of its own, so that the socket never waits for a disk.
const INLINE_BYTES_MAX: u64 = 64 << 10;
/// A minute is enough to try out cancelling and time limits.
const DELAY_MS_MAX: u64 = 60_000;
/// How many reports a delay is cut into.
const DELAY_STEPS: u32 = 20;
const INPUTS_MAX: u32 = 8;

/// The pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Echo;

/// Parameters of `echo@1`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Params {
    /// Any JSON; comes back as it is.
    message: Value,
    /// Waits this long before it answers, in milliseconds.
    #[schemars(range(max = 60_000))]
    delay_ms: u64,
}

impl Pipeline for Echo {
    fn manifest(&self) -> Manifest {
        let blobs = |name, description| Slot {
            name,
            media_types: Vec::new(),
            count_min: 0,
            count_max: INPUTS_MAX,
            description,
        };
        Manifest {
            name: "echo",
            version: 1,
            title: "Gives back what it is given",
            params_schema: schema_of::<Params>(),
            inputs: vec![blobs("data", "Any blobs.")],
            outputs: vec![blobs("echo", "The inputs again, as `echo_0`, `echo_1`, …")],
            memory: Need { memory_cpu_bytes: 1 << 20, memory_gpu_bytes: 0 },
            ready: true,
            missing: String::new(),
            license: "Apache-2.0",
            devices: vec![DeviceKind::Cpu],
            agreement: "",
        }
    }

    fn need(&self, _call: &Call) -> Need {
        Need { memory_cpu_bytes: 1 << 20, memory_gpu_bytes: 0 }
    }

    fn inline(&self, call: &Call) -> bool {
        // A call that does not parse fails at once, which is quick as well.
        let delay_ms = call.params::<Params>().map_or(0, |params| params.delay_ms);
        let bytes: u64 = call.inputs.iter().map(|input| input.bytes).sum();
        delay_ms == 0 && bytes <= INLINE_BYTES_MAX
    }

    fn run(&self, call: &Call, context: &mut RunContext) -> Result<Outcome, RunError> {
        let params: Params = call.params()?;
        if params.delay_ms > DELAY_MS_MAX {
            let detail = format!("must be at most {DELAY_MS_MAX}");
            return Err(RunError::input("params_out_of_range", "delay_ms", detail));
        }
        wait(Duration::from_millis(params.delay_ms), context)?;
        for (index, input) in call.inputs.iter().enumerate() {
            context.check_cancel()?;
            let mut source = File::open(&input.path)
                .map_err(|error| RunError::file("opening an input", &error))?;
            let name = format!("echo_{index}");
            context
                .output(&name, &input.media_type, |file| io::copy(&mut source, file).map(drop))?;
        }
        Ok(Outcome { metadata: json!({ "message": params.message }).to_string() })
    }
}

fn wait(delay: Duration, context: &mut RunContext) -> Result<(), RunError> {
    if delay.is_zero() {
        return Ok(());
    }
    for step in 0..DELAY_STEPS {
        context.progress(f64::from(step) / f64::from(DELAY_STEPS), "delay", "");
        context.cancel().clone().sleep(delay / DELAY_STEPS)?;
    }
    Ok(())
}
