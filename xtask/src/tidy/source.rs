//! Rust text, line by line, with code, comments and strings told apart.
//!
//! Not a parser: it knows where strings and comments begin and end, so that a rule about code does
//! not fire on a word in a sentence, nor on its own list of words.

/// A file's lines.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) lines: Vec<Line>,
}

/// One line; columns of `code` and `comment` are those of the file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The code; comments and the inside of strings are blanks.
    pub(crate) code: String,
    /// The comments; everything else is blanks.
    pub(crate) comment: String,
    /// The line begins inside a string.
    pub(crate) in_string: bool,
    /// At or after the file's `#[cfg(test)] mod`.
    pub(crate) in_tests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    LineComment,
    /// Nested so deep.
    BlockComment(usize),
    /// A string that ends by a quote and so many `#`; `raw` has no escapes.
    Text {
        hashes: usize,
        raw: bool,
    },
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = Vec::new();
        let mut state = State::Code;
        for text in text.lines() {
            let in_string = matches!(state, State::Text { .. });
            let mut line = Line { in_string, ..Line::default() };
            state = read_line(text, state, &mut line);
            lines.push(line);
        }
        mark_tests(&mut lines);
        Self { lines }
    }

    /// Lines outside tests, with their numbers.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.numbered().filter(|(_, line)| !line.in_tests)
    }

    /// All lines, with their numbers from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Whole words (letters, digits and `_`) of a text, in order.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c: char| !is_part(c)).filter(|word| !word.is_empty())
}

fn read_line(text: &str, mut state: State, line: &mut Line) -> State {
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (next, count, is_code) = step(state, rest, &chars[..at]);
        let is_comment = matches!(state, State::LineComment | State::BlockComment(_))
            || matches!(next, State::LineComment | State::BlockComment(_));
        for &c in &rest[..count] {
            line.code.push(if is_code { c } else { ' ' });
            line.comment.push(if is_comment { c } else { ' ' });
        }
        state = next;
        at += count;
    }
    if state == State::LineComment { State::Code } else { state }
}

/// The state after the next characters, how many they are, and whether they are code.
fn step(state: State, rest: &[char], before: &[char]) -> (State, usize, bool) {
    let starts = |text: &str| text.chars().zip(0..).all(|(c, i)| rest.get(i) == Some(&c));
    match state {
        State::LineComment => (state, rest.len(), false),
        State::BlockComment(depth) if starts("*/") => match depth {
            1 => (State::Code, 2, false),
            _ => (State::BlockComment(depth - 1), 2, false),
        },
        State::BlockComment(depth) if starts("/*") => (State::BlockComment(depth + 1), 2, false),
        State::BlockComment(_) => (state, 1, false),
        State::Text { raw: false, .. } if starts("\\") => (state, rest.len().min(2), false),
        State::Text { hashes, .. } if starts("\"") => {
            let end = 1 + rest[1..].iter().take_while(|c| **c == '#').count().min(hashes);
            if end == hashes + 1 { (State::Code, end, true) } else { (state, 1, false) }
        }
        State::Text { .. } => (state, 1, false),
        State::Code if starts("//") => (State::LineComment, 2, false),
        State::Code if starts("/*") => (State::BlockComment(1), 2, false),
        State::Code if starts("\"") => (State::Text { hashes: 0, raw: false }, 1, true),
        State::Code if starts("'") => (State::Code, char_literal(rest), true),
        State::Code => match raw_string(rest, before) {
            Some(hashes) => (State::Text { hashes, raw: true }, hashes + 2, true),
            None => (State::Code, 1, true),
        },
    }
}

/// How many characters `'x'` or `'\n'` takes; 1 for the quote of a lifetime.
fn char_literal(rest: &[char]) -> usize {
    match rest {
        [_, '\\', _, ..] => {
            rest.iter().skip(3).position(|c| *c == '\'').map_or(1, |index| index + 4)
        }
        [_, _, '\'', ..] => 3,
        _ => 1,
    }
}

/// `r"`, `r#"`, …: the number of hashes, when a raw string begins here and not inside a name.
fn raw_string(rest: &[char], before: &[char]) -> Option<usize> {
    let in_name = match before {
        [.., a, 'b' | 'c'] => a.is_alphanumeric() || *a == '_',
        [.., a] => *a != 'b' && *a != 'c' && (a.is_alphanumeric() || *a == '_'),
        [] => false,
    };
    if rest.first() != Some(&'r') || in_name {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

/// House order puts tests last, so everything from `#[cfg(test)] mod … {` on is tests.
fn mark_tests(lines: &mut [Line]) {
    let is_attribute = |line: &Line| line.code.trim() == "#[cfg(test)]";
    let opens = |line: &Line| {
        let code = line.code.trim();
        code.contains("mod ") && code.ends_with('{')
    };
    let start = lines.windows(2).position(|pair| is_attribute(&pair[0]) && opens(&pair[1]));
    for line in lines.iter_mut().skip(start.unwrap_or(usize::MAX)) {
        line.in_tests = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        Source::parse(text).lines.iter().map(|line| line.code.trim_end().to_owned()).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(code("let a = 1; // unsafe"), ["let a = 1;"]);
        assert_eq!(code("let a = \"un\\\"safe\"; b"), ["let a = \"        \"; b"]);
        assert_eq!(code("a /* x /* y */ z */ b"), ["a                   b"]);
        assert_eq!(code("a(r#\"x\"y\"#, b)"), ["a(r#\"   \"#, b)"]);
        assert_eq!(code("a(br\"x\\\", b)"), ["a(br\"  \", b)"]);
        assert_eq!(code("a = \"x\ny\"; b"), ["a = \"", " \"; b"]);
    }

    #[test]
    fn quotes_of_characters_and_lifetimes_open_no_string() {
        assert_eq!(code("f('\"', x)"), ["f('\"', x)"]);
        assert_eq!(code(r"f('\'', '\u{22}', x)"), [r"f('\'', '\u{22}', x)"]);
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), ["fn f<'a>(x: &'a str) {}"]);
    }

    #[test]
    fn comments_keep_their_columns() {
        let source = Source::parse("a // b");
        assert_eq!(source.lines[0].comment, "  // b");
        assert_eq!(words("a_b, c-d").collect::<Vec<_>>(), ["a_b", "c", "d"]);
    }

    #[test]
    fn tests_begin_at_their_module_and_not_at_one_in_a_file_of_its_own() {
        let inline = Source::parse("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(inline.production().count(), 1);
        let apart = Source::parse("#[cfg(test)]\nmod tests;\nfn a() {}\n");
        assert_eq!(apart.production().count(), 3);
    }

    #[test]
    fn a_line_inside_a_string_knows_it() {
        let source = Source::parse("a = \"x\ny\";\nb");
        let flags: Vec<bool> = source.lines.iter().map(|line| line.in_string).collect();
        assert_eq!(flags, [false, true, false]);
    }
}
