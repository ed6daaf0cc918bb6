//! Weights that are small enough to be checked in, as `postern pull` would have left them.
//!
//! Knows where goldens lie and what the sidecar looks for; the numbers are random, so what comes of
//! them is no picture of anything.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The network of `sharp` with small sizes: a run takes a second on a CPU.
///
/// # Panics
/// When the goldens are not there.
pub fn sharp(folder: &Path) {
    let golden =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/sharp/11_e2e_grid2_no_overlap");
    let golden = Path::new(golden);
    let folder = folder.join("sharp");
    fs::create_dir_all(&folder).expect("a folder");
    let case = fs::read(golden.join("case.json")).expect("it is checked in");
    let case: Value = serde_json::from_slice(&case).expect("JSON");
    fs::write(folder.join("config.json"), case["config"].to_string()).expect("sizes");
    let weights = folder.join("sharp_2572gikvuh.pt");
    fs::copy(golden.join("weights.safetensors"), weights).expect("weights");
}
