//! Rules about `Cargo.toml` files: lints stand once, and every dependency has a line of why.

use crate::tidy::{File, Finding, Tree};

/// The two places where lints and dependencies are declared.
const ROOTS: [&str; 2] = ["Cargo.toml", "guest-components/Cargo.toml"];

/// `unsafe_code` is denied in guests by the tidy rule on homes instead: what their bindings' macro
/// makes is unsafe. `unreachable_pub` means little in components.
const HOST_ONLY: [&str; 2] = ["unsafe_code", "unreachable_pub"];

pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests(tree).filter(|file| parse(file).contains_key("package")) {
        let lints = parse(file).get("lints").cloned();
        let inherits = lints.and_then(|lints| lints.get("workspace")?.as_bool());
        if inherits != Some(true) {
            findings.push(Finding::new(file, 0, "write `[lints]` and `workspace = true`"));
        }
    }
    findings
}

pub(super) fn guest_lints(tree: &Tree) -> Vec<Finding> {
    let [Some(root), Some(guests)] = ROOTS.map(|path| tree.get(path)) else { return Vec::new() };
    let (wanted, found) = (workspace_lints(root), workspace_lints(guests));
    let missing = wanted
        .into_iter()
        .filter(|lint| !found.contains(lint) && !HOST_ONLY.iter().any(|name| lint.ends_with(name)));
    missing.map(|lint| Finding::new(guests, 0, format!("no lint `{lint}`"))).collect()
}

/// A comment above a dependency covers those that follow, up to the next empty line.
pub(super) fn reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in ROOTS.iter().filter_map(|path| tree.get(path)) {
        let (mut is_listing, mut has_reason) = (false, false);
        for (index, line) in file.text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') {
                (is_listing, has_reason) = (line == "[workspace.dependencies]", false);
            } else if line.starts_with('#') {
                has_reason = true;
            } else if line.is_empty() {
                has_reason = false;
            } else if is_listing && !has_reason && is_bare_dependency(line) {
                findings.push(Finding::new(file, index + 1, "no line of why"));
            }
        }
    }
    findings
}

/// Our own crates explain themselves.
fn is_bare_dependency(line: &str) -> bool {
    let has_remark = line.rsplit(['"', '}']).next().is_some_and(|end| end.contains('#'));
    line.contains(" = ") && !line.contains("path = \"") && !has_remark
}

fn manifests(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml"))
}

/// A manifest that is not TOML is cargo's to complain of.
fn parse(file: &File) -> toml::Table {
    file.text.parse().unwrap_or_default()
}

/// `clippy::todo`, `rust::unsafe_code`, …
fn workspace_lints(file: &File) -> Vec<String> {
    let table = parse(file);
    let tools = table.get("workspace").and_then(|workspace| workspace.get("lints")?.as_table());
    let mut lints = Vec::new();
    for (tool, names) in tools.into_iter().flatten() {
        let names = names.as_table().into_iter().flat_map(toml::Table::keys);
        lints.extend(names.map(|name| format!("{tool}::{name}")));
    }
    lints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_without_the_lints_is_found() {
        let bad = "[package]\nname = \"a\"\n";
        let good = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n";
        let tree = Tree::of(&[("a/Cargo.toml", bad), ("b/Cargo.toml", good), ("Cargo.toml", "")]);
        let found: Vec<String> = lints(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["a/Cargo.toml"]);
    }

    #[test]
    fn a_lint_that_the_guests_lack_is_found() {
        let root = "[workspace.lints.rust]\nunsafe_code = \"deny\"\n\
                    [workspace.lints.clippy]\ntodo = \"deny\"\ndbg_macro = \"deny\"\n";
        let guests = "[workspace.lints.clippy]\ntodo = \"deny\"\n";
        let tree = Tree::of(&[("Cargo.toml", root), ("guest-components/Cargo.toml", guests)]);
        let found = guest_lints(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "no lint `clippy::dbg_macro`");
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[workspace.dependencies]\n\
                    ours = { path = \"ours\" }\n\n\
                    # Why both.\na = \"1\"\nb = { version = \"1\" }\n\n\
                    c = \"1\" # Why this.\nd = \"1\"\n\n\
                    [workspace.lints.rust]\nunsafe_code = \"deny\"\n";
        let found = reasons(&Tree::of(&[("Cargo.toml", text)]));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [9]);
    }
}
