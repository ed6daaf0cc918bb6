//! A checkpoint's file as memory that the system reads when it is touched.
//!
//! Owns the one `unsafe` line of loading. Knows no format.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// Maps the whole of `path` for reading.
#[expect(unsafe_code, reason = "the one mapping of a file")]
pub(super) fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: nothing in this process writes to weights, and `postern pull` puts whole files in
    // place by renaming, so the bytes under the mapping stay. Whoever cuts a file short by hand
    // ends the process (SIGBUS), which the host starts again; it is never read past its end.
    unsafe { Mmap::map(&file) }
}
