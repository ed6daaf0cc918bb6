//! What a decoder may use. Each bound protects the machine, and with it everyone else's runs.
//!
//! Owns the numbers and how they are laid upon a child process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longest side of a video. 8K is 7680; beyond that no camera, only bombs.
pub(super) const VIDEO_SIDE_MAX: u32 = 8192;
/// Most pixels of a video's frame: 8K is 33 million.
pub const VIDEO_PIXELS_MAX: u64 = 36_000_000;
/// Longest time from a decoder's start to its end, the analysis of its frames included.
pub(super) const WALL_MAX: Duration = Duration::from_secs(3600);
/// Reading a container's packets without decoding: minutes even for files of many gigabytes.
pub(super) const PROBE_WALL_MAX: Duration = Duration::from_secs(120);
/// One picture of the largest size takes half a minute on a slow machine.
pub(super) const PICTURE_WALL_MAX: Duration = Duration::from_secs(120);
/// Processor time of one decoder, all its threads.
const CPU_SECS_MAX: u64 = 3600;
/// Address space of one decoder: reference frames of 8K for each thread, and code.
const MEMORY_KIB_MAX: u64 = 6 << 20;
/// A decoder writes to its pipe and nowhere else.
const FILE_BLOCKS_MAX: u64 = 0;
/// A preview of ten thousand frames, in blocks of 512 bytes: 2 GiB.
pub(super) const PREVIEW_FILE_BLOCKS_MAX: u64 = 4 << 20;
/// Its input, its pipes, its libraries.
const OPEN_FILES_MAX: u64 = 64;
/// Threads of one decoder; more only take memory from the analysis.
pub(super) const THREADS_MAX: usize = 4;

/// `program` with `arguments` under the limits. The shell replaces itself, so the child's process
/// is the program's; limits set here hold before it reads its first byte.
pub(super) fn limited(program: &Path) -> Command {
    limited_to(program, FILE_BLOCKS_MAX)
}

/// The same for a program that may write files of so many blocks of 512 bytes.
pub(super) fn limited_to(program: &Path, file_blocks_max: u64) -> Command {
    let script = format!(
        "ulimit -c 0; ulimit -f {file_blocks_max}; ulimit -n {OPEN_FILES_MAX}; \
         ulimit -t {CPU_SECS_MAX}; ulimit -v {MEMORY_KIB_MAX}; exec \"$0\" \"$@\""
    );
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(program);
    // Nothing of our surroundings is a decoder's business, but for where programs are.
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C");
    command.current_dir("/").stdin(Stdio::null());
    command
}
