//! The normaliser of SentencePiece models: which characters become which before a text is cut up.
//!
//! Owns the compiled map (a double array over UTF-8 bytes and a pool of replacements) and the rules
//! for spaces. Knows nothing of pieces. Always: a map from a file is checked as it is read, so a
//! broken one is an error on opening or matches less, never a panic. Source:
//! `shared/reference/bertalign/SPEC.md`, section 10.1.

/// What a space becomes; no piece has one inside.
pub const SPACE: char = '\u{2581}';

/// Bytes of a compiled map; known ones have a quarter of a megabyte.
const MAP_BYTES_MAX: usize = 4 << 20;

/// Why a compiled map was refused.
#[derive(Debug, thiserror::Error)]
pub enum CharsMapError {
    /// Larger than any known one.
    #[error("the map of characters has {0} bytes; {MAP_BYTES_MAX} are the limit")]
    TooLarge(usize),
    /// The lengths inside do not fit.
    #[error("the map of characters is cut short")]
    CutShort,
    /// The replacements are not UTF-8.
    #[error("a replacement in the map of characters is not UTF-8")]
    NotText(#[from] std::str::Utf8Error),
}

/// A compiled map of characters.
#[derive(Debug)]
pub struct CharsMap {
    units: Vec<Unit>,
    /// Replacements, each ended by a NUL.
    pool: String,
    /// What each ASCII character that opens no longer key becomes: most text needs no walk.
    ascii: Vec<Option<Box<str>>>,
}

/// One element of the double array: a label, the way to its children, and whether a key ends here;
/// or the value of the key that ends at its parent.
#[derive(Debug, Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn ends_key(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    /// A byte, or above 255 for a unit that holds a value.
    fn label(self) -> u32 {
        self.0 & 0x8000_00ff
    }

    fn children(self) -> usize {
        ((self.0 >> 10) << ((self.0 & 1 << 9) >> 6)) as usize
    }
}

impl CharsMap {
    /// Reads the map as it stands in a model file; an empty one changes nothing.
    /// # Errors
    /// [`CharsMapError`].
    pub fn new(bytes: &[u8]) -> Result<Self, CharsMapError> {
        if bytes.len() > MAP_BYTES_MAX {
            return Err(CharsMapError::TooLarge(bytes.len()));
        }
        let mut map = Self { units: Vec::new(), pool: String::new(), ascii: Vec::new() };
        if !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk().ok_or(CharsMapError::CutShort)?;
            let length = u32::from_le_bytes(*length) as usize;
            let (trie, pool) = rest.split_at_checked(length).ok_or(CharsMapError::CutShort)?;
            map.units =
                trie.as_chunks().0.iter().map(|&unit| Unit(u32::from_le_bytes(unit))).collect();
            map.pool = std::str::from_utf8(pool)?.to_owned();
        }
        map.ascii = (0u8..128).map(|byte| map.alone(byte)).collect();
        Ok(map)
    }

    /// What `byte` becomes, when no longer key opens with it.
    fn alone(&self, byte: u8) -> Option<Box<str>> {
        let place = self.step(self.root()?, byte);
        let opens_more = |place| (1..=255).any(|next| self.step(place, next).is_some());
        match place {
            Some(place) if opens_more(place) => None,
            Some(place) => Some(self.replacement(place).unwrap_or_default().into()),
            None => Some(char::from(byte).to_string().into()),
        }
    }

    /// The replacement of the longest key that `text` opens with, and that key's bytes; without
    /// one, the first character as it is. `text` is not empty.
    fn next<'a>(&'a self, text: &'a str) -> (&'a str, usize) {
        let first = text.as_bytes()[0];
        if let Some(Some(replacement)) = self.ascii.get(usize::from(first)) {
            return (replacement, 1);
        }
        let mut found = None;
        let mut place = self.root();
        for (index, &byte) in text.as_bytes().iter().enumerate() {
            place = place.and_then(|place| self.step(place, byte));
            let Some(place) = place else { break };
            if let Some(replacement) = self.replacement(place)
                && text.is_char_boundary(index + 1)
            {
                found = Some((replacement, index + 1));
            }
        }
        found.unwrap_or_else(|| {
            let length = text.chars().next().map_or(0, char::len_utf8);
            (&text[..length], length)
        })
    }

    /// Where the root's children are.
    fn root(&self) -> Option<Place> {
        self.units.first().map(|root| Place { unit: *root, children: root.children() })
    }

    fn step(&self, from: Place, byte: u8) -> Option<Place> {
        let index = from.children ^ usize::from(byte);
        let unit = *self.units.get(index)?;
        (unit.label() == u32::from(byte)).then(|| Place { unit, children: index ^ unit.children() })
    }

    /// The replacement of the key that ends at `place`.
    fn replacement(&self, place: Place) -> Option<&str> {
        if !place.unit.ends_key() {
            return None;
        }
        let from = self.pool.get(self.units.get(place.children)?.value()..)?;
        from.split('\0').next()
    }

    /// `text` as pieces are looked for in it: replaced, without spaces at its ends, one [`SPACE`]
    /// for every other run of spaces, and one before all when anything is left. `kept` are the
    /// words that are copied as they stand.
    #[must_use]
    pub fn normalise(&self, text: &str, kept: &[Box<str>]) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 8 + 4);
        out.push(SPACE);
        let mut after_space = true;
        let mut rest = text;
        while !rest.is_empty() {
            let whole = kept.iter().filter(|word| rest.starts_with(&***word));
            let (mut part, used) = match whole.max_by_key(|word| word.len()) {
                Some(word) => (&**word, word.len()),
                None => self.next(rest),
            };
            rest = &rest[used..];
            if after_space {
                part = part.trim_start_matches(' ');
            }
            if let Some(last) = part.chars().next_back() {
                out.extend(part.chars().map(|c| if c == ' ' { SPACE } else { c }));
                after_space = last == ' ';
            }
        }
        out.truncate(out.trim_end_matches(SPACE).len());
        out
    }
}

/// A node of the double array.
#[derive(Clone, Copy)]
struct Place {
    unit: Unit,
    /// Its children are at this index, each with its byte mixed in.
    children: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_map_only_spaces_change() {
        let map = CharsMap::new(&[]).unwrap();
        for (text, want) in [
            ("", ""),
            ("   ", ""),
            ("a", "▁a"),
            ("  a  b ", "▁a▁b"),
            ("äß 漢", "▁äß▁漢"),
            ("a\u{2581}", "▁a"),
        ] {
            assert_eq!(map.normalise(text, &[]), want, "{text:?}");
        }
    }

    #[test]
    fn a_broken_map_is_an_error_or_matches_less() {
        assert!(matches!(CharsMap::new(&[1, 2]), Err(CharsMapError::CutShort)));
        assert!(matches!(CharsMap::new(&[9, 0, 0, 0, 1]), Err(CharsMapError::CutShort)));
        assert!(matches!(CharsMap::new(&[0, 0, 0, 0, 0xff]), Err(CharsMapError::NotText(_))));
        let large = vec![0; MAP_BYTES_MAX + 1];
        assert!(matches!(CharsMap::new(&large), Err(CharsMapError::TooLarge(_))));
        // Every unit says that a key ends here and points far away.
        let mut wild = vec![0x40, 0, 0, 0];
        wild.extend_from_slice(&[0xff; 0x40]);
        wild.extend_from_slice(b"x\0");
        assert_eq!(CharsMap::new(&wild).unwrap().normalise("abc ü", &[]), "▁abc▁ü");
    }
}
