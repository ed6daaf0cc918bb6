//! What a file is, from its first bytes; names and extensions are the client's word and no proof.

use crate::picture::Format;

/// How many bytes `sniff` wants: MPEG transport streams show themselves only by repetition.
pub const SNIFF_BYTES: u32 = 1_024;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Picture(Format),
    Video(Container),
    /// A compressed archive or stream: never accepted, whatever is in it. Its name.
    Archive(&'static str),
    /// A picture that sidecars decode where a program for it is installed. Its name.
    OtherPicture(&'static str),
    Unknown,
}

/// Video containers that the sidecar's decoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Mp4,
    QuickTime,
    Matroska,
    Avi,
    MpegTs,
    MpegPs,
    Flv,
    Ogg,
    Asf,
    Mxf,
    Y4m,
    Ivf,
}

impl Container {
    /// Names for problem texts.
    pub const NAMES: &'static str =
        "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, FLV, Ogg, ASF/WMV, MXF, Y4M and IVF";

    /// The media type to store it under.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::QuickTime => "video/quicktime",
            Self::Matroska => "video/x-matroska",
            Self::Avi => "video/x-msvideo",
            Self::MpegTs => "video/mp2t",
            Self::MpegPs => "video/mpeg",
            Self::Flv => "video/x-flv",
            Self::Ogg => "video/ogg",
            Self::Asf => "video/x-ms-asf",
            Self::Mxf => "video/mxf",
            Self::Y4m => "video/x-yuv4mpeg",
            Self::Ivf => "video/x-ivf",
        }
    }
}

impl Kind {
    /// The media type, where it is a picture or video that we know.
    #[must_use]
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Picture(format) => Some(format.media_type()),
            Self::Video(container) => Some(container.media_type()),
            Self::OtherPicture("AVIF") => Some("image/avif"),
            Self::OtherPicture(_) => Some("image/heic"),
            Self::Archive(_) | Self::Unknown => None,
        }
    }
}

/// Looks at the first `SNIFF_BYTES` bytes (fewer when the file has fewer).
#[must_use]
pub fn sniff(head: &[u8]) -> Kind {
    if let Some(format) = Format::of(head) {
        return Kind::Picture(format);
    }
    if let Some(name) = archive(head) {
        return Kind::Archive(name);
    }
    if head.get(4..8) == Some(b"ftyp") {
        return iso_media(head);
    }
    match simple_container(head).or_else(|| transport_stream(head)) {
        Some(container) => Kind::Video(container),
        None => Kind::Unknown,
    }
}

fn archive(head: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 10] = [
        (b"\x1f\x8b", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"PK\x05\x06", "zip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh", "bzip2"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x1f\x9d", "compress"),
    ];
    let found = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    match found {
        Some((_, name)) => Some(name),
        None => (head.get(257..262) == Some(b"ustar")).then_some("tar"),
    }
}

/// ISO base media: the brand says whether it is a film, a QuickTime film or a HEIF picture.
fn iso_media(head: &[u8]) -> Kind {
    match head.get(8..12).unwrap_or_default() {
        b"qt  " => Kind::Video(Container::QuickTime),
        b"avif" | b"avis" => Kind::OtherPicture("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"mif1" | b"msf1" => Kind::OtherPicture("HEIC"),
        _ => Kind::Video(Container::Mp4),
    }
}

fn simple_container(head: &[u8]) -> Option<Container> {
    const ASF: &[u8] = &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11];
    const MXF: &[u8] = &[0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01];
    const MAGIC: [(&[u8], Container); 9] = [
        (b"\x1a\x45\xdf\xa3", Container::Matroska),
        (b"\0\0\x01\xba", Container::MpegPs),
        (b"\0\0\x01\xb3", Container::MpegPs),
        (b"FLV\x01", Container::Flv),
        (b"OggS", Container::Ogg),
        (ASF, Container::Asf),
        (MXF, Container::Mxf),
        (b"YUV4MPEG2 ", Container::Y4m),
        (b"DKIF", Container::Ivf),
    ];
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
        return Some(Container::Avi);
    }
    // QuickTime from before brands existed starts with one of its atoms.
    if matches!(head.get(4..8), Some(b"moov" | b"mdat" | b"wide" | b"pnot")) {
        return Some(Container::QuickTime);
    }
    MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, container)| *container)
}

/// Packets of 188 bytes, or 192 with a time stamp before each, that all start with 0x47.
fn transport_stream(head: &[u8]) -> Option<Container> {
    let repeats = |first: usize, step: usize| {
        (0..3).all(|packet| head.get(first + packet * step) == Some(&0x47))
    };
    (repeats(0, 188) || repeats(4, 192)).then_some(Container::MpegTs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(first: usize, step: usize) -> Vec<u8> {
        let mut bytes = vec![0; 700];
        (0..3).for_each(|packet| bytes[first + packet * step] = 0x47);
        bytes
    }

    #[test]
    fn kinds_are_told_from_the_first_bytes() {
        let tar = [&[0; 257][..], b"ustar"].concat();
        let cases: [(&[u8], &str); 19] = [
            (b"\0\0\0\x20ftypisom", "video/mp4"),
            (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
            (b"\0\0\0\x08wide", "video/quicktime"),
            (b"\x1a\x45\xdf\xa3", "video/x-matroska"),
            (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
            (&packets(0, 188), "video/mp2t"),
            (&packets(4, 192), "video/mp2t"),
            (b"FLV\x01\x05", "video/x-flv"),
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x20ftypheic", "image/heic"),
            (b"\0\0\0\x20ftypavif", "image/avif"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"PK\x03\x04", "zip"),
            (&tar, "tar"),
            (b"#EXTM3U\n", "unknown"),
            (b"ffconcat version 1.0", "unknown"),
            (b"G", "unknown"),
            (b"", "unknown"),
        ];
        for (head, want) in cases {
            let kind = sniff(head);
            let got = match kind {
                Kind::Archive(name) => name,
                other => other.media_type().unwrap_or("unknown"),
            };
            assert_eq!(got, want, "{head:?}");
        }
    }
}
