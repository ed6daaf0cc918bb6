//! Compression bombs: small files that become large ones.

use std::process::Command;

use bytes::Bytes;

/// Mebibytes of zeros behind a bomb.
const MIB_INFLATED: u32 = 64;
/// A gzip header without a name, as `gzip` writes it for a pipe.
const GZIP_HEAD_BYTES: usize = 10;
/// Checksum and length at a gzip's end.
const GZIP_TAIL_BYTES: usize = 8;

/// Zeros, compressed by `gzip` a thousand to one.
///
/// # Panics
/// When `gzip` is missing.
#[must_use]
pub fn gzip_bomb() -> Bytes {
    let script = format!("head -c {MIB_INFLATED}M /dev/zero | gzip -n");
    let output = Command::new("/bin/sh").args(["-c", &script]).output().expect("a shell");
    assert!(output.status.success() && output.stdout.len() > 1000, "gzip is not installed");
    output.stdout.into()
}

/// The same as the one member of a zip.
#[must_use]
pub fn zip_bomb() -> Bytes {
    let gzip = gzip_bomb();
    let tail = gzip.len() - GZIP_TAIL_BYTES;
    let (deflated, checksum) = (&gzip[GZIP_HEAD_BYTES..tail], &gzip[tail..tail + 4]);
    let size = u32::try_from(deflated.len()).expect("small");
    let inflated = MIB_INFLATED << 20;
    let name = b"clip.mp4";
    // Version 2.0, no flags, deflate, no time; then the same for both headers.
    let facts = |out: &mut Vec<u8>| {
        out.extend([20, 0, 0, 0, 8, 0, 0, 0, 0, 0]);
        out.extend(checksum);
        out.extend(size.to_le_bytes());
        out.extend(inflated.to_le_bytes());
        out.extend([8, 0, 0, 0]);
    };
    let mut zip = b"PK\x03\x04".to_vec();
    facts(&mut zip);
    zip.extend(name);
    zip.extend(deflated);
    let directory = u32::try_from(zip.len()).expect("small");
    zip.extend(b"PK\x01\x02\x14\0");
    facts(&mut zip);
    zip.extend([0; 14]);
    zip.extend(name);
    let directory_bytes = u32::try_from(zip.len()).expect("small") - directory;
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend(directory_bytes.to_le_bytes());
    zip.extend(directory.to_le_bytes());
    zip.extend([0; 2]);
    zip.into()
}
