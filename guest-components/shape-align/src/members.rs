//! One JSON object made of members of others, which are copied as they are written.
//!
//! Numbers keep their digits, the first of two members with one name counts, and no object is in
//! memory as a whole: sentences of two long texts are many megabytes. What is read is the
//! pipeline's; it is checked to end where an object does, and not to be JSON in every detail.

use postern_guest::source::{READ_BYTES_MAX, Source};

/// Longest name of a member; ours have less than 20 bytes.
const NAME_BYTES_MAX: usize = 256;

/// Why there is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A source is not a JSON object, or not all of it.
    Source,
    /// There is no room for what was made.
    Room,
}

/// An object that is being written.
pub(crate) struct Members<'t> {
    /// Takes the next bytes, or says that it cannot.
    taken: &'t mut dyn FnMut(&[u8]) -> bool,
    out: Vec<u8>,
    names: Vec<Vec<u8>>,
}

impl<'t> Members<'t> {
    pub(crate) fn new(taken: &'t mut dyn FnMut(&[u8]) -> bool) -> Self {
        Self { taken, out: Vec::new(), names: Vec::new() }
    }

    /// Adds a member; `value` is JSON.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if self.begin(name.as_bytes()) {
            self.out.extend_from_slice(value.as_bytes());
        }
    }

    /// Adds those members of the object in `source` that are `wanted` and not there yet.
    ///
    /// # Errors
    /// `Source`, `Room`.
    pub(crate) fn copy<S: Source + ?Sized>(
        &mut self,
        source: &S,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(), Broken> {
        let mut scan = Scan::default();
        let mut position = 0;
        while position < source.size() {
            let window = source.read(position, READ_BYTES_MAX);
            if window.is_empty() {
                break;
            }
            position += window.len() as u64;
            scan.window(&window, self, wanted)?;
            self.flush()?;
        }
        if scan.is_done { Ok(()) } else { Err(Broken::Source) }
    }

    /// Closes the object.
    ///
    /// # Errors
    /// `Room`.
    pub(crate) fn finish(mut self) -> Result<(), Broken> {
        self.out.extend_from_slice(if self.names.is_empty() { b"{}" } else { b"}" });
        self.flush()
    }

    /// Writes a name, unless it is there.
    fn begin(&mut self, name: &[u8]) -> bool {
        if self.names.iter().any(|known| known == name) {
            return false;
        }
        self.out.extend_from_slice(if self.names.is_empty() { b"{\"" } else { b",\"" });
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b"\":");
        self.names.push(name.to_vec());
        true
    }

    fn flush(&mut self) -> Result<(), Broken> {
        let done = self.out.is_empty() || (self.taken)(&self.out);
        self.out.clear();
        if done { Ok(()) } else { Err(Broken::Room) }
    }
}

/// Where the reading of an object is.
#[derive(Debug, Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    /// The next byte of the string belongs to an escape.
    is_escaped: bool,
    /// The object's own members: between the name and the comma.
    in_value: bool,
    copies: bool,
    /// The member's name as it is written.
    name: Vec<u8>,
    is_done: bool,
}

impl Scan {
    fn window(
        &mut self,
        window: &[u8],
        members: &mut Members<'_>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(), Broken> {
        let mut from = 0;
        for (index, &byte) in window.iter().enumerate() {
            if self.in_string {
                self.string(byte)?;
                continue;
            }
            match (byte, self.depth) {
                (b' ' | b'\n' | b'\r' | b'\t', _) => {}
                (b'{', 0) if !self.is_done => self.depth = 1,
                (_, 0) => return Err(Broken::Source),
                (b'"', _) => {
                    self.in_string = true;
                    if !self.in_value {
                        self.name.clear();
                    }
                }
                (b':', 1) if !self.in_value => {
                    self.in_value = true;
                    let is_wanted = std::str::from_utf8(&self.name).is_ok_and(wanted);
                    self.copies = is_wanted && members.begin(&self.name);
                    from = index + 1;
                }
                (b',' | b'}', 1) => {
                    if self.copies {
                        members.out.extend_from_slice(&window[from..index]);
                    }
                    (self.in_value, self.copies) = (false, false);
                    self.is_done = byte == b'}';
                    self.depth -= u32::from(self.is_done);
                }
                (b'{' | b'[', _) => self.depth += 1,
                (b'}' | b']', _) => self.depth -= 1,
                _ => {}
            }
        }
        if self.copies {
            members.out.extend_from_slice(&window[from..]);
        }
        Ok(())
    }

    /// The next byte inside a string.
    fn string(&mut self, byte: u8) -> Result<(), Broken> {
        if !self.is_escaped && byte == b'"' {
            self.in_string = false;
            return Ok(());
        }
        self.is_escaped = !self.is_escaped && byte == b'\\';
        if !self.in_value {
            if self.name.len() == NAME_BYTES_MAX {
                return Err(Broken::Source);
            }
            self.name.push(byte);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use postern_guest::source::ReadAt;

    use super::*;

    /// A source that gives one byte at a time, so that every place is a window's edge.
    struct Slow<'a>(&'a [u8]);

    impl ReadAt for Slow<'_> {
        fn read(&self, offset: u64, length: u32) -> Vec<u8> {
            self.0.read(offset, length.min(1))
        }
    }

    impl Source for Slow<'_> {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn find(&self, pattern: &[u8], start: u64) -> Option<u64> {
            self.0.find(pattern, start)
        }
    }

    fn made(sources: &[&str], wanted: &dyn Fn(&str) -> bool) -> Result<String, Broken> {
        let make = |slow: bool| {
            let mut out = Vec::new();
            let mut taken = |piece: &[u8]| {
                out.extend_from_slice(piece);
                true
            };
            let mut members = Members::new(&mut taken);
            for source in sources {
                match slow {
                    true => members.copy(&Slow(source.as_bytes()), wanted)?,
                    false => members.copy(source.as_bytes(), wanted)?,
                }
            }
            members.add("job", "\"j\"");
            members.finish()?;
            Ok(String::from_utf8(out).expect("it was UTF-8"))
        };
        let (fast, slow) = (make(false), make(true));
        assert_eq!(fast, slow);
        fast
    }

    #[test]
    fn members_are_copied_as_they_are_written_and_the_first_counts() {
        let first = r#" {"a": [1.50, {"b": "}],\"\\"}] , "c":1e-7,"d":null}"#;
        let second = "{\"c\":2,\"é\\u0041\":\"\u{e9}\",\"e\":{\"x\":[]}}\n";
        let want = "{\"a\": [1.50, {\"b\": \"}],\\\"\\\\\"}] ,\"c\":1e-7,\"d\":null,\
                    \"é\\u0041\":\"\u{e9}\",\"e\":{\"x\":[]},\"job\":\"j\"}";
        assert_eq!(made(&[first, second], &|_| true).as_deref(), Ok(want));
        let some = made(&[first, second], &|name| ["d", "e"].contains(&name));
        assert_eq!(some.as_deref(), Ok(r#"{"d":null,"e":{"x":[]},"job":"j"}"#));
        assert_eq!(made(&["{}", "{ }"], &|_| true).as_deref(), Ok(r#"{"job":"j"}"#));
        assert_eq!(made(&[r#"{"job":1}"#], &|_| true).as_deref(), Ok(r#"{"job":1}"#));
    }

    #[test]
    fn what_is_no_whole_object_is_refused() {
        for text in ["", "[]", "7", "{", r#"{"a":[1}"#, r#"{"a":"b"#, "{}{}", "{} x"] {
            assert_eq!(made(&[text], &|_| true), Err(Broken::Source), "{text}");
        }
        let long = format!("{{\"{}\":1}}", "n".repeat(NAME_BYTES_MAX + 1));
        assert_eq!(made(&[&long], &|_| true), Err(Broken::Source));
    }

    #[test]
    fn a_lack_of_room_is_told() {
        let mut taken = |_: &[u8]| false;
        let mut members = Members::new(&mut taken);
        assert_eq!(members.copy(br#"{"a":1}"#.as_slice(), &|_| true), Err(Broken::Room));
    }
}
