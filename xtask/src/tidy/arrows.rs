//! Rules about who may know whom: crates by `cargo tree`, modules and words by their text.

use crate::process;
use crate::tidy::source::words;
use crate::tidy::{File, Finding, Tree};

/// Services, pipelines, and what their models are made of: the host has no word for them.
const MODELS: [&str; 27] = [
    "align",
    "bertalign",
    "canny",
    "dinov2",
    "dinov3",
    "farneback",
    "gaussian",
    "gaussians",
    "glb",
    "labse",
    "mesh",
    "meshes",
    "moge",
    "morphology",
    "opencv",
    "optical",
    "ply",
    "sam3d",
    "sharp",
    "splat",
    "splats",
    "tmx",
    "trellis",
    "trellis2",
    "usem3",
    "video",
    "vision",
];

/// What contains a model's word and means something else.
const NOT_MODELS: [&str; 4] = ["align(", "align_of", "text-align", "vertical-align"];

/// What a module of the host may not import, because it is called from there.
struct Ban {
    module: &'static str,
    callers: &'static [&'static str],
}

const ALL_ABOVE: &[&str] = &["http", "gate", "jobs", "engine", "sidecar", "cli"];

/// What everyone asks, and what itself asks the engine for its types.
const BESIDE_ENGINE: &[&str] = &["http", "gate", "jobs", "sidecar", "cli"];

const BANS: [Ban; 16] = [
    Ban { module: "ids", callers: ALL_ABOVE },
    Ban { module: "clock", callers: ALL_ABOVE },
    Ban { module: "tasks", callers: ALL_ABOVE },
    Ban { module: "store", callers: ALL_ABOVE },
    Ban { module: "blobs", callers: ALL_ABOVE },
    Ban { module: "counters", callers: ALL_ABOVE },
    Ban { module: "tenancy", callers: ALL_ABOVE },
    Ban { module: "tokens", callers: ALL_ABOVE },
    Ban { module: "problem", callers: BESIDE_ENGINE },
    Ban { module: "metrics", callers: ALL_ABOVE },
    Ban { module: "settings", callers: BESIDE_ENGINE },
    Ban { module: "sidecar", callers: &["http", "gate", "jobs", "engine", "cli"] },
    Ban { module: "jobs", callers: &["http", "gate", "engine", "cli"] },
    Ban { module: "engine", callers: &["http", "gate", "cli"] },
    Ban { module: "gate", callers: &["http", "cli"] },
    Ban { module: "http", callers: &["cli"] },
];

pub(super) fn models_in_host(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust("host/src/").filter(|file| !tree.is_test(file)) {
        for ((number, line), text) in file.source.numbered().zip(file.text.lines()) {
            // Rust's and CSS's own words, not the service.
            let text = NOT_MODELS.iter().fold(text.to_owned(), |text, word| text.replace(word, ""));
            let lower = text.to_lowercase();
            let known = words(&lower).flat_map(|word| word.split('_'));
            let found = known.filter(|word| MODELS.contains(word)).min();
            if let Some(word) = found.filter(|_| !line.in_tests) {
                findings.push(Finding::new(file, number, format!("names `{word}`")));
            }
        }
    }
    findings
}

pub(super) fn tenants_in_sidecar(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust("gpu-sidecar/src/") {
        for (number, line) in file.source.numbered() {
            let found = words(&line.code).find(|word| word.to_lowercase().contains("tenant"));
            findings.extend(found.map(|word| Finding::new(file, number, format!("`{word}`"))));
        }
    }
    findings
}

pub(super) fn callers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust("host/src/").filter(|file| !tree.is_test(file)) {
        let below = file.path.trim_start_matches("host/src/");
        let module = below.split(['/', '.']).next().unwrap_or_default();
        let Some(ban) = BANS.iter().find(|ban| ban.module == module) else { continue };
        for (number, name) in imports(file) {
            if ban.callers.contains(&name.as_str()) {
                let text = format!("`{module}` is called by `{name}` and may not import it");
                findings.push(Finding::new(file, number, text));
            }
        }
    }
    findings
}

/// The top modules of our own crate that a file names, with their lines; not those of its tests.
fn imports(file: &File) -> Vec<(usize, String)> {
    let mut imports = Vec::new();
    let mut lines = file.source.production().peekable();
    while let Some((number, line)) = lines.next() {
        for (at, start) in line.code.match_indices("crate::") {
            let rest = &line.code[at + start.len()..];
            if !rest.starts_with('{') {
                imports.extend(words(rest).next().map(|name| (number, name.to_owned())));
                continue;
            }
            let mut group = rest.to_owned();
            while !is_closed(&group) && lines.peek().is_some() {
                group.extend(lines.next().map(|(_, line)| line.code.as_str()));
            }
            imports.extend(group_heads(&group).map(|name| (number, name)));
        }
    }
    imports
}

fn is_closed(group: &str) -> bool {
    group.matches('{').count() <= group.matches('}').count()
}

/// `{a::b, c::{d, e}}`: `a` and `c`.
fn group_heads(group: &str) -> impl Iterator<Item = String> {
    let mut depth = 0;
    let mut top = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if depth == 1 => top.push(c),
            _ => {}
        }
    }
    let heads: Vec<&str> = top.split(',').collect();
    let heads = heads.into_iter().filter_map(|item| words(item).next());
    heads.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

pub(super) fn candle(tree: &Tree) -> Vec<Finding> {
    in_tree(tree, "postern", "candle-core")
}

pub(super) fn wasmtime(tree: &Tree) -> Vec<Finding> {
    in_tree(tree, "postern-sidecar", "wasmtime")
}

/// Is a crate below a package of ours? With all its features: a feature is no way round.
fn in_tree(tree: &Tree, package: &str, banned: &str) -> Vec<Finding> {
    let Some(manifest) = tree.get("Cargo.toml") else { return Vec::new() };
    let mut command = process::cargo();
    command.current_dir(&tree.root);
    command.args(["tree", "--package", package, "--edges", "normal", "--prefix", "none"]);
    command.args(["--all-features", "--format", "{p}"]);
    let text = match process::stdout(&mut command) {
        Ok(listing) if has_crate(&listing, banned) => format!("`{package}` has `{banned}`"),
        Ok(_) => return Vec::new(),
        Err(error) => format!("{error:#}"),
    };
    vec![Finding::new(manifest, 0, text)]
}

fn has_crate(listing: &str, name: &str) -> bool {
    listing.lines().any(|line| line.split(' ').next() == Some(name))
}

/// Path dependencies of guests stay below guest-components/: guests know only `wit/`.
pub(super) fn guests(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| file.path.starts_with("guest-components/")) {
        if !file.path.ends_with("/Cargo.toml") {
            continue;
        }
        let depth = file.path.matches('/').count();
        for (index, line) in file.text.lines().enumerate() {
            let Some((_, rest)) = line.split_once("path = \"") else { continue };
            // As many `../` as the manifest is deep lead out of guest-components/.
            if rest.matches("../").count() >= depth {
                findings.push(Finding::new(file, index + 1, "a path out of guest-components/"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_model_named_in_the_host_is_found_in_code_comments_and_strings() {
        let text = "// for Vision\nlet a = \"sharp\";\nlet vision_route = 1;\nlet aligned = 2;\n";
        assert_eq!(lines(models_in_host, "host/src/http.rs", text), [1, 2, 3]);
        assert_eq!(lines(models_in_host, "host/src/http/tests.rs", text), [0; 0]);
        let in_tests = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
        assert_eq!(lines(models_in_host, "host/src/http.rs", &in_tests), [0; 0]);
        assert_eq!(
            lines(models_in_host, "host/src/a.rs", "#[repr(align(64))] // text-align\n"),
            [0; 0]
        );
    }

    #[test]
    fn a_tenant_in_the_sidecar_is_found_in_names_but_not_in_prose() {
        let text = "// knows no tenant\nlet tenant_id = 1;\nstruct TenantId;\n";
        assert_eq!(lines(tenants_in_sidecar, "gpu-sidecar/src/a.rs", text), [2, 3]);
        assert_eq!(lines(tenants_in_sidecar, "host/src/a.rs", text), [0; 0]);
    }

    #[test]
    fn a_module_that_imports_its_caller_is_found() {
        let path = "host/src/store/sqlite.rs";
        assert_eq!(lines(callers, path, "use crate::jobs::Queue;\n"), [1]);
        assert_eq!(lines(callers, path, "use crate::{clock::Clock, http};\n"), [1]);
        let group = "use crate::{\n    ids::{JobId, KeyId},\n    gate::Gate,\n};\n";
        assert_eq!(lines(callers, path, group), [1]);
        assert_eq!(lines(callers, path, "fn a() { crate::http::b() }\n"), [1]);
        assert_eq!(lines(callers, path, "use crate::ids::{JobId, http};\n"), [0; 0]);
        assert_eq!(lines(callers, path, "#[cfg(test)]\nmod tests {\nuse crate::http;\n"), [0; 0]);
        assert_eq!(lines(callers, "host/src/jobs.rs", "use crate::gate;\n"), [1]);
        assert_eq!(lines(callers, "host/src/gate.rs", "use crate::jobs;\n"), [0; 0]);
    }

    #[test]
    fn a_crate_is_found_in_a_tree_by_its_whole_name() {
        let listing = "postern v0.1.0 (/r/host)\ncandle-core v0.9.1\nwasmtime-environ v48.0.8\n";
        assert!(has_crate(listing, "candle-core"));
        assert!(!has_crate(listing, "wasmtime"));
    }

    #[test]
    fn a_guest_that_depends_on_the_host_is_found() {
        let text = "sdk = { path = \"../sdk\" }\npostern = { path = \"../../host\" }\n";
        assert_eq!(lines(guests, "guest-components/auth/Cargo.toml", text), [2]);
    }
}
