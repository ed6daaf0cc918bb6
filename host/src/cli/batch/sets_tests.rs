//! Names of files in, sets out.

use serde_json::json;

use super::*;
use crate::cli::client::route;

/// A route of which every job needs `first` and `last`, and may have `note`.
fn route() -> Route {
    let file = json!({"type": "string", "format": "binary"});
    let mut first = file.clone();
    first["x-file-names"] = json!(["fst"]);
    let form = json!({"schema": {
        "required": ["first", "last"],
        "properties": {"first": first, "last": file, "note": file}
    }});
    let post = json!({"tags": ["pair"], "requestBody": {"content": {"multipart/form-data": form}}});
    route::find(&json!({"paths": {"/v1/pair": {"post": post}}}), "pair", None).unwrap()
}

/// Each set with its files in the order of the parts, or its fault; then what is in none.
fn check(patterns: &[&str], names: &[&str]) -> String {
    let route = route();
    let patterns: Vec<Pattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
    let path = |name: &str| Path::new("in").join(name);
    let found = names.iter().map(|&name| Found { name: name.into(), path: path(name) }).collect();
    let said = Sorter::new(&route, &patterns).and_then(|sorter| {
        let (sets, others) = sorter.unwrap().sets(Path::new("in"), found)?;
        let shown = |path: &Path| path.strip_prefix("in").unwrap().display().to_string();
        let sets = sets.iter().map(|set| {
            let files = set.files.iter().map(|(part, path)| format!("{part} {}", shown(path)));
            let files = files.collect::<Vec<_>>().join(", ");
            format!("{}: {}", set.name, set.fault.as_ref().unwrap_or(&files))
        });
        let others = others.iter().map(|file| format!("- {}", file.name));
        Ok(sets.chain(others).collect::<Vec<_>>().join("\n"))
    });
    said.unwrap_or_else(|fault| match fault {
        Fault::Usage(text) => text,
        fault => format!("{fault:?}"),
    })
}

#[test]
fn a_word_for_the_part_in_each_name_makes_a_set() {
    for names in [
        ["a.first.txt", "a.last.md"],
        ["a_FST.txt", "a-last.txt"],
        ["a.fst", "a.last"],
        ["a/fst.txt", "a/last.txt"],
        ["first/a.txt", "last/a.txt"],
        ["first/a.first.txt", "last/a.last.txt"],
    ] {
        assert_eq!(check(&[], &names), format!("a: first {}, last {}", names[0], names[1]));
    }
    let deep = ["b/first/x/a.txt", "b/last/x/a.txt"];
    assert_eq!(check(&[], &deep), "b/x/a: first b/first/x/a.txt, last b/last/x/a.txt");
    assert_eq!(check(&[], &["first.txt", "last.txt"]), ".: first first.txt, last last.txt");
    let many = ["a.b.first.txt", "a.b.last.txt", "c.first.txt", "c.last.txt", "notes.txt"];
    let want = "a.b: first a.b.first.txt, last a.b.last.txt\n\
                c: first c.first.txt, last c.last.txt\n- notes.txt";
    assert_eq!(check(&[], &many), want);
}

#[test]
fn patterns_say_it_for_other_names() {
    let want = "a: first a.en.txt, last a.de.txt";
    let endings = ["first=.en.txt", "last=.de.txt"];
    assert_eq!(check(&endings, &["a.en.txt", "a.de.txt"]), want);
    assert_eq!(check(&["last=.de.txt", "first=.en.txt"], &["a.en.txt", "a.de.txt"]), want);
    // The one that says more counts.
    assert_eq!(
        check(&["first=.txt", "last=.de.txt"], &["a.txt", "a.de.txt"]),
        "a: first a.txt, last a.de.txt"
    );
    let want = "x/a: first en/x/a.txt, last de/x/a.md";
    for patterns in [["first=en/", "last=./de/"], ["first=en*", "last=de/*"]] {
        assert_eq!(check(&patterns, &["en/x/a.txt", "de/x/a.md"]), want);
    }
    assert_eq!(
        check(&["first=en/*.e.txt", "last=de/d_*.txt"], &["en/a.e.txt", "de/d_a.txt", "b.txt"]),
        "a: first en/a.e.txt, last de/d_a.txt\n- b.txt"
    );
    // Also for a part that a job may do without.
    let three = ["first=.a", "last=.b", "note=.c"];
    assert_eq!(check(&three, &["x.a", "x.b", "x.c"]), "x: first x.a, last x.b, note x.c");
}

#[test]
fn what_is_missing_or_there_twice_is_said() {
    assert_eq!(
        check(&[], &["a.first.txt", "b.first.txt", "b.last.txt"]),
        "a: not sent: no file for `last`; there is a.first.txt\n\
         b: first b.first.txt, last b.last.txt"
    );
    assert_eq!(
        check(&[], &["a.first.md", "a.first.txt"]),
        "a: not sent: `first` could be a.first.md or a.first.txt, no file for `last`; \
         there is a.first.md, a.first.txt"
    );
}

#[test]
fn names_that_say_nothing_are_refused_with_what_to_write() {
    let said = check(&[], &["a.de.txt", "a.en.txt", "b.de.txt", "b.en.txt"]);
    let hint = "--pair first=.de.txt --pair last=.en.txt, or the other way round";
    assert!(said.contains(hint) && said.contains("NAME.first.EXT and NAME.last.EXT"), "{said}");
    let said = check(&[], &["a.txt", "b.txt", "c.md"]);
    assert!(said.contains("--pair first=.md --pair last=.txt"), "{said}");
    let said = check(&[], &["first/a.last.txt"]);
    assert!(said.contains("--pair first=ENDING --pair last=ENDING"), "{said}");
    assert_eq!(check(&[], &[]), "in: holds no files");
    let none = check(&["first=.x", "last=.y"], &["a.txt"]);
    assert_eq!(none, "in: no --pair takes any of its files");
    let left = check(&["first=.x"], &["a.x"]);
    assert_eq!(left, "every job needs `last`: give --pair last=…");
    let twice = check(&["first=.x", "last=.y", "first=.z"], &["a.x"]);
    assert_eq!(twice, "--pair first is given twice");
    let other = check(&["first=.x", "lats=.y"], &["a.x"]);
    assert!(other.contains("no part `lats` for files; it has first, last, note"), "{other}");
    for bad in ["first", "=.x", "first=", "first=a*b*c"] {
        assert!(bad.parse::<Pattern>().is_err(), "{bad}");
    }
}

#[test]
fn no_name_of_a_set_leads_out_of_the_results() {
    let patterns = ["first=x*.txt", "last=y*"];
    for name in ["x...txt", "x.txt", "y/../z", "x.a.txt", "y/.a/b", "x/a//b.txt"] {
        assert!(check(&patterns, &[name]).contains("no --pair takes"), "{name}");
    }
    let slash = check(&patterns, &["x/a.txt", "y/a.txt"]);
    assert_eq!(slash, "a: first x/a.txt, last y/a.txt");
}
