//! Rules about files as such: length, width, names, weight, and keys left lying about.

use crate::tidy::{File, Finding, Tree};

/// A file that a stranger can still hold in their head.
const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;
const BYTES_MAX: u64 = 256 * 1024;

/// Tracked files that may pass [`BYTES_MAX`], each with its reason.
const HEAVY: [(&str, &str); 2] = [
    ("Cargo.lock", "grows with the dependencies; written by cargo"),
    (
        "tests/goldens/sharp/11_e2e_grid2_no_overlap/weights.safetensors",
        "a whole network, the smallest that upstream made: the service's tests run on it",
    ),
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] =
    ["util", "utils", "common", "misc", "manager", "helper", "helpers", "shared"];

/// What people write here, as opposed to data and generated files.
const WRITTEN: [&str; 5] = ["rs", "wit", "proto", "cu", "sh"];

pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let check = |file: &File| {
        let count = file.text.lines().count();
        let reason = file.text.lines().take_while(|line| line.starts_with("//!"));
        let has_reason = reason.into_iter().any(|line| line.starts_with("//! Long because "));
        let text = format!("{count} lines; cut it, or write `//! Long because …` in the header");
        (count > LINES_MAX && !has_reason).then(|| Finding::new(file, 0, text))
    };
    tree.rust("").filter_map(check).collect()
}

/// rustfmt breaks code, not comments and strings. A line inside a string is data.
pub(super) fn columns(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| WRITTEN.iter().any(|end| file.is(end))) {
        for (index, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            let is_data = file.source.lines.get(index).is_some_and(|line| line.in_string);
            if columns > COLUMNS_MAX && !is_data {
                findings.push(Finding::new(file, index + 1, format!("{columns} columns")));
            }
        }
    }
    findings
}

pub(super) fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust("") {
        let stem = file.stem();
        // Cargo takes every `tests/x.rs` for a test of its own; what tests share is `x/mod.rs`.
        if stem == "mod" && !file.path.contains("/tests/") {
            findings.push(Finding::new(file, 0, "write `foo.rs` beside `foo/`, not `foo/mod.rs`"));
        }
        let mut parts = file.path.trim_end_matches(".rs").split('/');
        if parts.any(|part| EMPTY_NAMES.contains(&part)) {
            findings.push(Finding::new(file, 0, "name the noun that is inside"));
        }
        let below = file.path.split_once("/src/").map_or(0, |(_, rest)| rest.matches('/').count());
        if below > 2 {
            findings.push(Finding::new(file, 0, "two levels at most under `src/`"));
        }
    }
    findings
}

pub(super) fn weight(tree: &Tree) -> Vec<Finding> {
    let is_listed = |file: &&File| HEAVY.iter().any(|(path, _)| file.path == *path);
    let heavy = tree.files().filter(|file| file.bytes > BYTES_MAX && !is_listed(file));
    let text = |file: &File| format!("{} KiB; make it smaller, or list it", file.bytes / 1024);
    heavy.map(|file| Finding::new(file, 0, text(file))).collect()
}

pub(super) fn secrets(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            if line.match_indices("sk_").any(|(at, _)| is_key(&line[at..])) {
                findings.push(Finding::new(file, index + 1, "a whole API key"));
            }
        }
    }
    findings
}

/// `sk_`, 16 hexadecimal digits, `_`, 64 of them.
fn is_key(text: &str) -> bool {
    let is_hex = |part: Option<&str>, count: usize| {
        part.and_then(|part| part.get(..count))
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut parts = text.splitn(3, '_').skip(1);
    let id = parts.next().filter(|id| id.len() == 16);
    is_hex(id, 16) && is_hex(parts.next(), 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_needs_a_reason_in_its_header() {
        let long = "//! A.\n".to_owned() + &"\n".repeat(500);
        assert_eq!(length(&Tree::of(&[("a.rs", &long)])).len(), 1);
        let reasoned = long.replace("//! A.", "//! A.\n//! Long because it is a table.");
        assert_eq!(length(&Tree::of(&[("a.rs", &reasoned)])), []);
        assert_eq!(length(&Tree::of(&[("a.rs", "//! A.\n")])), []);
    }

    #[test]
    fn a_wide_line_is_found_except_inside_a_string() {
        let wide = format!("// {}", "ä".repeat(98));
        let found = columns(&Tree::of(&[("a.rs", &wide), ("b.wit", &wide), ("c.md", &wide)]));
        assert_eq!(found.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a.rs", "b.wit"]);
        let data = format!("const A: &str = \"\n{}\n\";\n", "a".repeat(101));
        assert_eq!(columns(&Tree::of(&[("a.rs", &data)])), []);
    }

    #[test]
    fn names_that_say_nothing_and_deep_folders_are_found() {
        for bad in ["a/src/util.rs", "a/src/common/x.rs", "a/src/b/mod.rs", "a/src/b/c/d/e.rs"] {
            assert_eq!(names(&Tree::of(&[(bad, "")])).len(), 1, "{bad}");
        }
        assert_eq!(names(&Tree::of(&[("a/src/b/c/d.rs", ""), ("a/tests/b/mod.rs", "")])), []);
    }

    #[test]
    fn a_heavy_file_is_found_unless_listed() {
        let heavy = "a".repeat(256 * 1024 + 1);
        assert_eq!(weight(&Tree::of(&[("a.bin", &heavy)])).len(), 1);
        assert_eq!(weight(&Tree::of(&[("Cargo.lock", &heavy), ("a", "small")])), []);
    }

    #[test]
    fn a_whole_key_is_found_and_a_placeholder_is_not() {
        let key = format!("x sk_{}_{} y", "0a".repeat(8), "1b".repeat(32));
        assert_eq!(secrets(&Tree::of(&[("a.md", &key)])).len(), 1);
        let tree = Tree::of(&[("a.md", "sk_<id>_<secret> sk_ab_cd sk_0a0a0a0a0a0a0a0a_1b")]);
        assert_eq!(secrets(&tree), []);
    }
}
