//! What a HEIF container says of its pictures, before anything is decoded.
//!
//! Owns the walk through ISO base media boxes (`meta`, `iprp`, `ipco`) to the sizes and to whether
//! pictures are turned. Always: a broken or hostile file costs one read of at most a few MiB; what
//! it says is a bound for the decoder's work, not a promise. Source: ISO/IEC 23008-12, 6.5.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Boxes at the top of a file before the one that is looked for; usually one.
const BOXES_MAX: usize = 64;
/// The description of all pictures; a phone's with hundreds of tiles has some 20 KiB.
const META_BYTES_MAX: u64 = 4 << 20;
/// A length and a name.
const HEAD_BYTES: usize = 8;

/// What all pictures of a file have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) struct Container {
    /// Of the largest picture, as it is stored: before it is turned.
    pub(in crate::media) size: (u32, u32),
    /// A picture is to be turned or mirrored by who decodes it.
    pub(in crate::media) is_turned: bool,
}

impl Container {
    /// `None`: not such a container, or no picture in it has a size.
    pub(in crate::media) fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut at = 0;
        for _ in 0..BOXES_MAX {
            file.seek(SeekFrom::Start(at)).ok()?;
            let mut head = [0; 2 * HEAD_BYTES];
            file.read_exact(&mut head).ok()?;
            let short = u64::from(u32::from_be_bytes(*head.first_chunk()?));
            let long = u64::from_be_bytes(*head.last_chunk()?);
            let bytes = if short == 1 { long } else { short };
            if &head[4..8] == b"meta" {
                let mut meta = Vec::new();
                file.seek(SeekFrom::Start(at + HEAD_BYTES as u64)).ok()?;
                file.take(bytes.min(META_BYTES_MAX)).read_to_end(&mut meta).ok()?;
                return Self::of_meta(&meta);
            }
            // One that reaches to the end of the file is 0 long; then nothing follows.
            at = at.checked_add(bytes).filter(|&next| next > at)?;
        }
        None
    }

    /// `meta` without its head.
    fn of_meta(meta: &[u8]) -> Option<Self> {
        // A version and flags come first.
        let inner = |bytes, name| boxes(bytes).find(|(found, _)| *found == name).map(|(_, it)| it);
        let properties = inner(inner(meta.get(4..)?, b"iprp")?, b"ipco")?;
        let side = |bytes: &[u8]| Some(u32::from_be_bytes(*bytes.first_chunk()?));
        let sizes = boxes(properties).filter(|(name, _)| *name == b"ispe");
        let sizes = sizes.filter_map(|(_, it)| Some((side(it.get(4..)?)?, side(it.get(8..)?)?)));
        let size = sizes.max_by_key(|&(width, height)| u64::from(width) * u64::from(height))?;
        let is_turned = boxes(properties).any(|(name, _)| name == b"irot" || name == b"imir");
        Some(Self { size, is_turned })
    }
}

/// The boxes that lie in `bytes` one after another, up to the first that does not fit.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
        let name = bytes.get(4..)?.first_chunk()?;
        let inner = bytes.get(HEAD_BYTES..length)?;
        bytes = &bytes[length..];
        Some((name, inner))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: &[u8; 4], inner: &[u8]) -> Vec<u8> {
        [&(inner.len() as u32 + 8).to_be_bytes()[..], name, inner].concat()
    }

    fn sized(width: u32, height: u32) -> Vec<u8> {
        boxed(b"ispe", &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat())
    }

    fn check(properties: &[Vec<u8>]) -> Option<((u32, u32), bool)> {
        let iprp = boxed(b"iprp", &boxed(b"ipco", &properties.concat()));
        let meta = boxed(b"meta", &[&[0; 4][..], &boxed(b"pitm", &[0; 6]), &iprp].concat());
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bytes = [boxed(b"ftyp", b"heic\0\0\0\0"), meta, boxed(b"mdat", b"x")].concat();
        std::fs::write(file.path(), bytes).expect("a file");
        Container::read(file.path()).map(|found| (found.size, found.is_turned))
    }

    #[test]
    fn the_largest_size_counts_and_a_turn_is_seen() {
        let (tile, whole) = (sized(512, 512), sized(4032, 3024));
        assert_eq!(check(&[tile.clone(), whole.clone()]), Some(((4032, 3024), false)));
        assert_eq!(check(&[whole.clone(), boxed(b"irot", &[3])]), Some(((4032, 3024), true)));
        assert_eq!(check(&[boxed(b"imir", &[0]), tile]), Some(((512, 512), true)));
        assert_eq!(check(&[]), None);
        let lie = [&[0xff; 4][..], b"ispe"].concat();
        assert_eq!(check(&[whole, lie]), Some(((4032, 3024), false)));
    }

    #[test]
    fn what_is_no_container_ends() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for bytes in [&b""[..], &[0; 64], &[0xff; 64], b"\0\0\0\x01ftyp\0\0\0\0\0\0\0\0meta"] {
            std::fs::write(file.path(), bytes).expect("a file");
            assert_eq!(Container::read(file.path()), None, "{bytes:?}");
        }
    }
}
