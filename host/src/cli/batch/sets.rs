//! Files of a batch that belong together: one for each of several parts of a form.
//!
//! Owns which file is which part's and what a set is called, by the files' names alone. Knows no
//! service: parts and the words for them are the route's. Always: the name of a set leads nowhere
//! outside of the results' folder, and a set that lacks a file is said, never sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use super::folder::{Found, Input};
use crate::cli::client::gate::Fault;
use crate::cli::client::route::{FilePart, Route};

/// What parts a word for a part from the rest of a file's name.
const SEPARATORS: [char; 3] = ['.', '_', '-'];
/// Of a set whose files' names are nothing but words for parts.
const HERE: &str = ".";

/// `--pair PART=FILES`: which files are a part's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    part: String,
    /// What surrounds the name of the set, which is the same for all of its files.
    before: String,
    after: String,
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (part, files) = text.split_once('=').unwrap_or_default();
        let files = files.strip_prefix("./").unwrap_or(files);
        if part.is_empty() || files.is_empty() {
            return Err("write PART=ENDING, PART=FOLDER/ or PART=BEFORE*AFTER".into());
        }
        let (before, after) = match files.split_once('*') {
            Some((_, after)) if after.contains('*') => return Err("one `*` is enough".into()),
            Some(halves) => halves,
            None if files.ends_with('/') => (files, ""),
            None => ("", files),
        };
        Ok(Self { part: part.into(), before: before.into(), after: after.into() })
    }
}

impl Pattern {
    /// The name of the set that the file belongs to, if it is this part's.
    fn stem(&self, name: &str) -> Option<String> {
        let middle = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let middle = middle.trim_start_matches('/');
        // Files of two folders may differ in what they end with.
        let stem = if self.after.is_empty() { split_ending(middle).0 } else { middle };
        let is_plain = |word: &str| !word.is_empty() && !word.starts_with('.');
        stem.split('/').all(is_plain).then(|| stem.to_owned())
    }

    /// Of two patterns that fit, the one that says more counts.
    fn precision(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

/// How files find their part.
#[derive(Debug)]
pub(super) struct Sorter<'a> {
    parts: Vec<&'a FilePart>,
    /// One for each part, or none: then their names have words for the parts.
    patterns: Vec<&'a Pattern>,
}

impl<'a> Sorter<'a> {
    /// For the parts that `patterns` name, or else those that the route needs several of. `None`:
    /// each file is a job of its own.
    ///
    /// # Errors
    /// `Usage`: a part that is not there, that is named twice, or that is left out.
    pub(super) fn new(route: &'a Route, patterns: &'a [Pattern]) -> Result<Option<Self>, Fault> {
        let needed = route.set();
        if patterns.is_empty() {
            let sorter = Self { parts: needed, patterns: Vec::new() };
            return Ok(Some(sorter).filter(|sorter| !sorter.parts.is_empty()));
        }
        let mut patterns: Vec<&Pattern> = patterns.iter().collect();
        patterns.sort_by(|a, b| a.part.cmp(&b.part));
        if let Some([pattern, _]) = patterns.array_windows().find(|[a, b]| a.part == b.part) {
            return Err(Fault::Usage(format!("--pair {} is given twice", pattern.part)));
        }
        let named = patterns.iter().map(|pattern| route.named(&pattern.part));
        let parts = named.collect::<Result<Vec<_>, _>>()?;
        let is_left_out = |part: &&&FilePart| !patterns.iter().any(|one| one.part == part.name);
        if let Some(part) = needed.iter().find(is_left_out) {
            return Err(Fault::Usage(format!(
                "every job needs `{0}`: give --pair {0}=…",
                part.name
            )));
        }
        Ok(Some(Self { parts, patterns }))
    }

    /// The parts' names.
    pub(super) fn names(&self) -> String {
        self.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The sets of all files, by name, and the files that belong to none.
    ///
    /// # Errors
    /// `Usage`: there is no set at all.
    pub(super) fn sets(
        &self,
        dir: &Path,
        found: Vec<Found>,
    ) -> Result<(Vec<Input>, Vec<Found>), Fault> {
        let (mut sets, mut others) = (BTreeMap::<String, Vec<Vec<Found>>>::new(), Vec::new());
        for file in found {
            match self.place(&file.name) {
                Some((part, stem)) => {
                    let set =
                        sets.entry(stem).or_insert_with(|| vec![Vec::new(); self.parts.len()]);
                    set[part].push(file);
                }
                None => others.push(file),
            }
        }
        if sets.is_empty() {
            let (dir, hint) = (dir.display(), self.hint(&others));
            return Err(Fault::Usage(format!("{dir}: {hint}")));
        }
        Ok((sets.into_iter().map(|(name, files)| self.input(name, files)).collect(), others))
    }

    /// The number of the part that a file is for, and its set's name.
    fn place(&self, name: &str) -> Option<(usize, String)> {
        if self.patterns.is_empty() {
            let fits = self.parts.iter().enumerate();
            let mut fits = fits.filter_map(|(index, part)| Some((index, stem(name, part)?)));
            // With words for two parts in it, a name says nothing.
            return fits.next().filter(|_| fits.next().is_none());
        }
        let fits = self.patterns.iter().enumerate();
        let fits = fits.filter_map(|(index, one)| Some((index, one.stem(name)?)));
        fits.max_by_key(|&(index, _)| self.patterns[index].precision())
    }

    /// The set; with a fault unless each part has one file.
    fn input(&self, name: String, files: Vec<Vec<Found>>) -> Input {
        let names = |files: &[Found], and: &str| {
            files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(and)
        };
        let mut faults = Vec::new();
        for (part, own) in self.parts.iter().zip(&files) {
            match own.as_slice() {
                [] => faults.push(format!("no file for `{}`", part.name)),
                [_] => {}
                several => {
                    faults.push(format!("`{}` could be {}", part.name, names(several, " or ")));
                }
            }
        }
        let there = names(&files.concat(), ", ");
        let fault = (!faults.is_empty())
            .then(|| format!("not sent: {}; there is {there}", faults.join(", ")));
        let parts = self.parts.iter().map(|part| part.name.clone());
        let paths = files.into_iter().filter_map(|own| own.into_iter().next());
        let files = parts.zip(paths.map(|file| file.path)).collect();
        Input { name, files, fault }
    }

    /// Why a file is in no set.
    pub(super) fn why_not(&self) -> String {
        if self.patterns.is_empty() {
            format!("the name does not say which of {} it is", self.names())
        } else {
            "no --pair takes it".to_owned()
        }
    }

    /// What to do when no file is in a set.
    fn hint(&self, others: &[Found]) -> String {
        if others.is_empty() {
            return "holds no files".to_owned();
        }
        if !self.patterns.is_empty() {
            return "no --pair takes any of its files".to_owned();
        }
        let mut endings: Vec<String> =
            others.iter().filter_map(|file| ending(&file.name)).collect();
        endings.sort();
        endings.dedup();
        // As many as parts: then the files of a set are most likely parted by them.
        let is_clear = endings.len() == self.parts.len();
        let pair = |(index, part): (usize, &&FilePart)| {
            let ending = if is_clear { endings[index].as_str() } else { "ENDING" };
            format!("--pair {}={ending}", part.name)
        };
        let pairs: Vec<String> = self.parts.iter().enumerate().map(pair).collect();
        let named = self.parts.iter().map(|part| format!("NAME.{}.EXT", part.name));
        let named = named.collect::<Vec<_>>().join(" and ");
        let otherwise = if is_clear { ", or the other way round" } else { "" };
        let (names, pairs) = (self.names(), pairs.join(" "));
        format!(
            "each job takes {names}, and the files' names do not say which is which; \
             say {pairs}{otherwise}, or call them {named}"
        )
    }
}

/// The name of the set that a file of this part belongs to: `a` for `a.src.txt`, `a_src.txt`,
/// `a.src`, `a/src.txt` and `src/a.txt`, where `src` is a word for the part.
fn stem(name: &str, part: &FilePart) -> Option<String> {
    let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
    let all = folders.split('/').filter(|folder| !folder.is_empty());
    let own: Vec<&str> = all.clone().filter(|folder| !part.is_called(folder)).collect();
    let is_in_folder = own.len() < all.count();
    let (base, ending) = split_ending(file);
    let last = match base.rsplit_once(SEPARATORS) {
        _ if part.is_called(ending) => Some(base),
        _ if part.is_called(base) => None,
        Some((stem, word)) if part.is_called(word) && !stem.is_empty() => Some(stem),
        _ if is_in_folder => Some(base),
        _ => return None,
    };
    let words: Vec<&str> = own.into_iter().chain(last).collect();
    Some(if words.is_empty() { HERE.to_owned() } else { words.join("/") })
}

/// A name and what follows its last dot.
fn split_ending(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((base, ending)) if !base.is_empty() && !ending.contains('/') => (base, ending),
        _ => (name, ""),
    }
}

/// `.de.txt` of `a.de.txt`, `.de` of `a.de`.
fn ending(name: &str) -> Option<String> {
    let file = name.rsplit('/').next()?;
    let (base, last) = split_ending(file);
    let ending = match base.rsplit_once(SEPARATORS) {
        Some((stem, _)) => &file[stem.len()..],
        None if last.is_empty() => return None,
        None => &file[base.len()..],
    };
    Some(ending.to_owned())
}

#[cfg(test)]
#[path = "sets_tests.rs"]
mod tests;
