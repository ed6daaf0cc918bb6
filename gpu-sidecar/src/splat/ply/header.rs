//! The text at the head of a PLY file, and how many bytes each element takes.
//!
//! Owns the grammar: elements, properties, lists. Knows no splats. Always: nothing is allocated by
//! a number that the file claims; sizes are compared with the bytes that are there.

use crate::splat::ReadError;

/// Protects the search for the end of a head that has none.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Protects memory; the splats of a full harmonic have 62 properties.
const ELEMENTS_MAX: usize = 64;
const PROPERTIES_MAX: usize = 512;

/// What the file says it holds, in order.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) elements: Vec<Element>,
    /// Where the first element's bytes begin.
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) count: u64,
    properties: Vec<Property>,
}

#[derive(Debug)]
struct Property {
    name: String,
    /// Of an item of the list, if it is one.
    scalar: Scalar,
    /// Type of the length before the items, if it is a list.
    length: Option<Scalar>,
}

/// How a number is stored, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut lines = Lines { bytes: &bytes[..bytes.len().min(HEAD_BYTES_MAX)], at: 0 };
        if lines.next()? != "ply" {
            return Err(fault("it does not begin with `ply`"));
        }
        let mut elements: Vec<Element> = Vec::new();
        let mut has_format = false;
        loop {
            let line = lines.next()?;
            let words: Vec<&str> = line.split_ascii_whitespace().take(6).collect();
            match words[..] {
                ["comment" | "obj_info", ..] => {}
                ["format", "binary_little_endian", "1.0"] => has_format = true,
                ["format", kind, ..] => {
                    return Err(ReadError::Unsupported(format!(
                        "PLY of format `{kind}` (binary_little_endian 1.0 is)"
                    )));
                }
                ["element", name, count] if elements.len() < ELEMENTS_MAX => {
                    let count = count.parse().map_err(|_| fault(format!("`{line}`")))?;
                    elements.push(Element { name: name.into(), count, properties: Vec::new() });
                }
                ["property", ref rest @ ..] => {
                    let properties = elements.last_mut().map(|element| &mut element.properties);
                    let property = Property::parse(rest);
                    match (properties, property) {
                        (Some(properties), Some(property)) if properties.len() < PROPERTIES_MAX => {
                            properties.push(property);
                        }
                        _ => return Err(fault(format!("`{line}`"))),
                    }
                }
                ["end_header"] if has_format => break,
                _ => return Err(fault(format!("`{line}`"))),
            }
        }
        Ok(Self { elements, bytes: lines.at })
    }
}

impl Element {
    /// Cuts this element's bytes off the front of `bytes`.
    pub(super) fn split<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), ReadError> {
        let size = match self.stride() {
            Some(stride) => (stride as u64).checked_mul(self.count),
            None => self.size_with_lists(bytes),
        };
        let size = size.and_then(|size| usize::try_from(size).ok());
        size.and_then(|size| bytes.split_at_checked(size))
            .ok_or_else(|| ReadError::Truncated(format!("{} of {}", self.count, self.name)))
    }

    /// Bytes of each item, if there are no lists.
    pub(super) fn stride(&self) -> Option<usize> {
        let size = |property: &Property| property.length.is_none().then(|| property.scalar.bytes());
        self.properties.iter().map(size).sum()
    }

    /// Where in an item the property `name` is, and how it is stored.
    pub(super) fn property(&self, name: &str) -> Option<(usize, Scalar)> {
        let index = self.properties.iter().position(|property| property.name == name)?;
        self.stride()?;
        let before = self.properties[..index].iter().map(|property| property.scalar.bytes()).sum();
        Some((before, self.properties[index].scalar))
    }

    /// None past the end. Ends, as each item with a list takes one byte at least.
    fn size_with_lists(&self, bytes: &[u8]) -> Option<u64> {
        let mut at = 0usize;
        for _ in 0..self.count {
            for property in &self.properties {
                let mut items = 1;
                if let Some(length) = property.length {
                    // A negative or broken length is 0.
                    items = length.read(bytes.get(at..)?)? as usize;
                    at += length.bytes();
                }
                at = at.checked_add(items.checked_mul(property.scalar.bytes())?)?;
                bytes.get(at..)?;
            }
        }
        Some(at as u64)
    }
}

impl Property {
    fn parse(words: &[&str]) -> Option<Self> {
        let (kind, name, length) = match *words {
            ["list", length, kind, name] => (kind, name, Some(Scalar::parse(length)?)),
            [kind, name] => (kind, name, None),
            _ => return None,
        };
        Some(Self { name: name.into(), scalar: Scalar::parse(kind)?, length })
    }
}

impl Scalar {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The number at the front of `bytes`; f64 holds each of these types. None past the end.
    #[inline]
    pub(super) fn read(self, bytes: &[u8]) -> Option<f64> {
        Some(match self {
            Self::I8 => f64::from(i8::from_le_bytes(*bytes.first_chunk()?)),
            Self::U8 => f64::from(u8::from_le_bytes(*bytes.first_chunk()?)),
            Self::I16 => f64::from(i16::from_le_bytes(*bytes.first_chunk()?)),
            Self::U16 => f64::from(u16::from_le_bytes(*bytes.first_chunk()?)),
            Self::I32 => f64::from(i32::from_le_bytes(*bytes.first_chunk()?)),
            Self::U32 => f64::from(u32::from_le_bytes(*bytes.first_chunk()?)),
            Self::F32 => f64::from(f32::from_le_bytes(*bytes.first_chunk()?)),
            Self::F64 => f64::from_le_bytes(*bytes.first_chunk()?),
        })
    }
}

/// Lines of the head, without their ends (a line feed, perhaps after a carriage return).
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, ReadError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| fault("its head does not end"))?;
        self.at += end + 1;
        let line = str::from_utf8(&rest[..end]).map_err(|_| fault("its head is no text"))?;
        Ok(line.trim_end_matches('\r'))
    }
}

fn fault(detail: impl Into<String>) -> ReadError {
    // A line of a head that is none may be of any length.
    let detail: String = detail.into().chars().take(80).collect();
    ReadError::Format { format: "PLY", detail }
}
