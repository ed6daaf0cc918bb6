//! `multipart/form-data` (RFC 7578) over a `Source`: where each part's bytes are, not the bytes.
//!
//! Only headers are read; the bytes between two boundaries are skipped by `Source::find`, which
//! for a blob runs in the host. Parts keep the order of the body.

use crate::media_type::HeaderValue;
use crate::problem::Fault;
use crate::source::Source;

/// More than the 4,096 inputs that a call may have, plus its fields; bounds guest memory.
pub const PARTS_MAX: usize = 4_200;
/// One part's headers. Browsers send about 150 bytes.
const PART_HEADER_BYTES_MAX: u32 = 8 << 10;
/// RFC 2046.
const BOUNDARY_BYTES_MAX: usize = 70;
/// Places that look like a boundary and are none: a body made of them must not cost a search each.
const FALSE_BOUNDARIES_MAX: usize = 1_000;
/// White space after a boundary (RFC 2046 allows some; nobody sends it).
const PADDING_BYTES_MAX: usize = 64;
/// A part's name; ours have less than 40 bytes.
const NAME_BYTES_MAX: usize = 256;

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub file_name: Option<String>,
    /// As the client says; lower case, without parameters.
    pub media_type: Option<String>,
    /// Where its bytes start in the body.
    pub start: u64,
    /// How many there are.
    pub bytes: u64,
}

/// The boundary of a `multipart/form-data` content type.
///
/// # Errors
/// `multipart_invalid`: there is none, or it is not 1 to 70 bytes of ASCII.
pub fn boundary(content_type: &HeaderValue) -> Result<&str, Fault> {
    let boundary = content_type.parameter("boundary");
    let boundary = boundary.ok_or_else(|| invalid("the content type names no boundary"))?;
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len());
    let printable = boundary.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if fits && printable && !boundary.ends_with(' ') {
        Ok(boundary)
    } else {
        Err(invalid("the boundary must be 1 to 70 ASCII characters"))
    }
}

/// Finds every part of `body`.
///
/// # Errors
/// `multipart_invalid` for a form that is broken or cut short, `too_many_parts` past `PARTS_MAX`.
pub fn parse<S: Source + ?Sized>(body: &S, boundary: &str) -> Result<Vec<Part>, Fault> {
    let mut form = Form { body, pattern: format!("\r\n--{boundary}").into_bytes(), wrong: 0 };
    let mut position = form.first(boundary)?;
    let mut parts = Vec::new();
    while let Some(start) = position {
        if parts.len() == PARTS_MAX {
            let detail = format!("a form has at most {PARTS_MAX} parts");
            return Err(Fault::new("too_many_parts", detail));
        }
        let (mut part, data) = form.headers(start)?;
        let (end, next) = form.boundary_from(data)?;
        part.start = data;
        part.bytes = end - data;
        parts.push(part);
        position = next;
    }
    Ok(parts)
}

fn invalid(detail: impl Into<String>) -> Fault {
    Fault::new("multipart_invalid", detail)
}

/// What follows a place where the boundary's bytes were found.
enum After {
    /// The headers of the next part start here.
    Part(u64),
    /// The closing boundary.
    End,
    /// Other text: not a boundary.
    Text,
}

struct Form<'a, S: Source + ?Sized> {
    body: &'a S,
    /// Line end and boundary.
    pattern: Vec<u8>,
    /// False boundaries seen.
    wrong: usize,
}

impl<S: Source + ?Sized> Form<'_, S> {
    /// The first boundary: at the very start, or after a preamble. `None`: an empty form.
    fn first(&mut self, boundary: &str) -> Result<Option<u64>, Fault> {
        let line_end = 2;
        let opening = u32::try_from(boundary.len() + line_end).expect("at most 72");
        if self.body.read(0, opening) == self.pattern[line_end..] {
            match self.after(u64::from(opening)) {
                After::Part(start) => return Ok(Some(start)),
                After::End => return Ok(None),
                After::Text => {}
            }
        }
        self.boundary_from(0).map(|(_, next)| next)
    }

    /// The next boundary: where the bytes before it end, and where the next part starts.
    fn boundary_from(&mut self, start: u64) -> Result<(u64, Option<u64>), Fault> {
        let mut position = start;
        loop {
            let found = self.body.find(&self.pattern, position);
            let found = found.ok_or_else(|| invalid("the form ends before its last boundary"))?;
            match self.after(found + self.pattern.len() as u64) {
                After::Part(next) => return Ok((found, Some(next))),
                After::End => return Ok((found, None)),
                After::Text => {
                    self.wrong += 1;
                    if self.wrong > FALSE_BOUNDARIES_MAX {
                        return Err(invalid("the boundary occurs inside the parts"));
                    }
                    position = found + 1;
                }
            }
        }
    }

    fn after(&self, position: u64) -> After {
        let bytes = self.body.read(position, PADDING_BYTES_MAX as u32);
        if bytes.starts_with(b"--") {
            return After::End;
        }
        let padding = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if bytes[padding..].starts_with(b"\r\n") {
            After::Part(position + padding as u64 + 2)
        } else {
            After::Text
        }
    }

    /// Reads the headers at `start`: the part without its bytes, and where those begin.
    fn headers(&self, start: u64) -> Result<(Part, u64), Fault> {
        let block = self.body.read(start, PART_HEADER_BYTES_MAX);
        let end = block.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.ok_or_else(|| {
            invalid(format!("a part's headers do not end within {PART_HEADER_BYTES_MAX} bytes"))
        })?;
        let text = std::str::from_utf8(&block[..end]);
        let text = text.map_err(|_| invalid("a part's headers are not UTF-8"))?;
        let part = part_of(text)?;
        Ok((part, start + end as u64 + 4))
    }
}

/// A part from its headers; `start` and `bytes` are still 0.
fn part_of(headers: &str) -> Result<Part, Fault> {
    let mut disposition = None;
    let mut media_type = None;
    for line in headers.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid("a line of a part's headers has no colon"))?;
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => disposition = HeaderValue::parse(value),
            "content-type" => media_type = HeaderValue::parse(value).map(|parsed| parsed.value),
            "content-transfer-encoding" => check_encoding(value)?,
            _ => {}
        }
    }
    let disposition = disposition.filter(|parsed| parsed.value == "form-data");
    let disposition = disposition
        .ok_or_else(|| invalid("a part has no header `content-disposition: form-data; name=…`"))?;
    let name = disposition.parameter("name").unwrap_or_default();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(invalid(format!("a part needs a name of 1 to {NAME_BYTES_MAX} bytes")));
    }
    let file_name = disposition.parameter("filename").map(|name| name.replace("%22", "\""));
    Ok(Part { name: name.replace("%22", "\""), file_name, media_type, start: 0, bytes: 0 })
}

fn check_encoding(value: &str) -> Result<(), Fault> {
    match value.trim().to_ascii_lowercase().as_str() {
        "binary" | "8bit" | "7bit" => Ok(()),
        _ => Err(invalid("parts must be sent as they are, without a transfer encoding")),
    }
}

#[cfg(test)]
mod tests;
