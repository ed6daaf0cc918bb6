//! The rule about WIT: it is the manual, so every item says what it is.

use crate::tidy::{Finding, Tree};

/// Items that a reader looks up by name.
const ITEMS: [&str; 8] =
    ["record", "variant", "enum", "flags", "resource", "world", "interface", "type"];

pub(super) fn documented(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| file.is("wit")) {
        let mut has_doc = false;
        for (index, line) in file.text.lines().enumerate() {
            let line = line.trim();
            if let (Some(item), false) = (item(line), has_doc) {
                findings.push(Finding::new(file, index + 1, format!("{item} without `///`")));
            }
            // An attribute such as `@since(…)` stands between the words and the item.
            has_doc = line.starts_with("///") || (has_doc && line.starts_with('@'));
        }
    }
    findings
}

/// `record input {` is `record input`; `run: func(…)` is `func run`; uses, imports and exports of
/// what is documented elsewhere are nothing.
fn item(line: &str) -> Option<String> {
    let mut words = line.split([' ', ':', '(', '{', ';', '=']).filter(|word| !word.is_empty());
    let (first, second) = (words.next()?, words.next()?);
    if first.starts_with("//") || ["use", "import", "export", "include"].contains(&first) {
        return None;
    }
    if ITEMS.contains(&first) && !line.starts_with(&format!("{first}:")) {
        return Some(format!("{first} {second}"));
    }
    let is_function = line.contains(": func(") || line.contains(": async func(");
    let is_function = is_function || line.contains(": static func(");
    (is_function || line.starts_with("constructor(")).then(|| format!("func {first}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("wit/a/a.wit", text)]);
        documented(&tree).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn items_without_words_are_found() {
        assert_eq!(lines("record input {\n    slot: string,\n}\n"), [1]);
        assert_eq!(lines("    wait: func(ms: u32) -> result<string>;\n"), [1]);
        assert_eq!(lines("constructor(a: u32);\n"), [1]);
        assert_eq!(lines("interface runs {\n"), [1]);
        assert_eq!(
            lines("world w {\n    import postern:types/log@0.1.0;\n    export pre;\n}\n"),
            [1]
        );
    }

    #[test]
    fn items_with_words_pass_and_so_do_fields_and_uses() {
        assert_eq!(lines("/// One.\nrecord input {\n    variant: string,\n}\n"), [0; 0]);
        assert_eq!(lines("/// One.\n@since(version = 0.1.0)\nwait: func();\n"), [0; 0]);
        assert_eq!(lines("use types.{call};\n// record x {\nimport run: func();\n"), [0; 0]);
    }
}
