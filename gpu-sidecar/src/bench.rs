//! `bench`: how long a model takes here, stage by stage, and how much memory.
//!
//! Owns the verb's reports. The models are those that the pipelines run; weights may be random, as
//! the time does not depend on them.

pub mod sharp;

use std::fs;

/// Resident memory of this process at its highest, in bytes; 0 where the system does not say.
pub(crate) fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
