//! Bad input gets a clear answer: a stable code, the field at fault, a request id; nothing is lost.
//!
//! Owns the gate that the modules share; each test has tenants of its own.

mod credentials;
mod input;
mod load;
mod media;
mod outage;
mod tokens;
mod transport;

use std::sync::LazyLock;

use postern_tests::gate::{Gate, Setup};

/// Largest body that the shared gate takes.
const BODY_BYTES_MAX: usize = 1 << 20;

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let settings = format!("[limits]\nbody_bytes_max = {BODY_BYTES_MAX}\n");
    Gate::start_with(Setup { settings, ..Setup::default() })
});
