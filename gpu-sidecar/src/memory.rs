//! The allocator: what is freed is kept for the next layer, and given back between the stages.
//!
//! Owns jemalloc's settings and the moment when memory returns to the system. A network frees and
//! allocates hundreds of megabytes a layer; an allocator that gives them back has the system clear
//! their pages anew each time, a sixth of the time of a picture. Its own decay does the same, only
//! later. Knows nobody who allocates.
#![allow(unsafe_code, reason = "jemalloc's settings and commands are C")]

use std::ffi::{CStr, c_char};
use std::ptr;

use tikv_jemalloc_sys::mallctl;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A C string as a C program finds it under its name.
#[repr(transparent)]
#[derive(Debug)]
pub struct Settings(*const c_char);

// SAFETY: points to a constant, which nobody writes.
unsafe impl Sync for Settings {}

/// Freed memory stays until [`give_back`], large blocks too.
// SAFETY: jemalloc looks for a `const char *` under this name, before the first allocation.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static SETTINGS: Settings =
    Settings(c"oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:0".as_ptr());

/// Returns what is free to the system: after a stage, whose sizes the next one does not share, when
/// nothing runs any more, and when a model leaves.
pub fn give_back() {
    /// `arena.<i>.purge` of all arenas (`MALLCTL_ARENAS_ALL`).
    const PURGE_ALL: &CStr = c"arena.4096.purge";
    // SAFETY: a command without input or output; jemalloc takes its own locks.
    let failed = unsafe {
        mallctl(PURGE_ALL.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0)
    };
    if failed != 0 {
        tracing::warn!(code = failed, "jemalloc did not give free memory back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_heard_and_memory_comes_back() {
        let mut decay = 0_isize;
        let mut length = size_of_val(&decay);
        let name = c"opt.dirty_decay_ms";
        // SAFETY: the option is an `ssize_t`, for which there is room.
        let failed = unsafe {
            let to = (&raw mut decay).cast();
            mallctl(name.as_ptr(), to, &raw mut length, ptr::null_mut(), 0)
        };
        assert_eq!((failed, decay), (0, -1), "SETTINGS is not linked in");

        const MUCH: usize = 256 << 20;
        drop(std::hint::black_box(vec![1_u8; MUCH]));
        let held = resident_bytes();
        give_back();
        let freed = held.saturating_sub(resident_bytes());
        assert!(freed > MUCH / 2, "{freed} bytes came back of {MUCH}, {held} were held");
    }

    fn resident_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
        let pages = statm.split_whitespace().nth(1).expect("its second word is what is resident");
        pages.parse::<usize>().expect("a number") * 4096
    }
}
