//! The folder of weights: what of a model lies there.
//!
//! Owns the layout, `<folder>/<model>/<file>`, which `postern pull` fills. Reads names only.
//! Always: a file that is still being fetched has another name (`….part`), so what is found is
//! whole.

use std::path::{Path, PathBuf};

use super::source::{Source, source};
use crate::pipeline::RunError;

/// Where weights lie; nowhere when the operator named no folder.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    path: Option<PathBuf>,
}

/// A model's files, all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    folder: PathBuf,
    /// In the order of the model's source.
    paths: Vec<PathBuf>,
}

impl Folder {
    /// The folder `path`, which need not exist yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    /// Its path, if the operator named one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The files of `model`. Looks anew each time: a pull needs no restart.
    ///
    /// # Errors
    /// `Unavailable` with `weights_missing` and the command that installs them.
    pub fn find(&self, model: &str) -> Result<Files, RunError> {
        let unknown = || RunError::internal("weights_unknown", format!("no source of `{model}`"));
        let source = source(model).ok_or_else(unknown)?;
        let Some(root) = &self.path else { return Err(missing(source, None)) };
        Files::of(source, root.join(model))
    }

    /// `Ok` when `model` is installed, else what a manifest says under `missing`.
    ///
    /// # Errors
    /// The sentence that names the command.
    pub fn readiness(&self, model: &str) -> Result<(), String> {
        self.find(model).map(drop).map_err(|error| error.fault().detail.clone())
    }
}

impl Files {
    /// The files of `source` in `folder`.
    ///
    /// # Errors
    /// As [`Folder::find`].
    pub fn of(source: &Source, folder: PathBuf) -> Result<Self, RunError> {
        let paths: Vec<PathBuf> = source.required().map(|file| folder.join(&file.name)).collect();
        match paths.iter().find(|path| !path.is_file()) {
            Some(path) => Err(missing(source, Some(path))),
            None => Ok(Self { folder, paths }),
        }
    }

    /// Files by hand, for tools and tests.
    #[must_use]
    pub fn new(folder: PathBuf, paths: Vec<PathBuf>) -> Self {
        Self { folder, paths }
    }

    /// Those that have to be there, in the order of the model's source.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Where the file `name` lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn missing(source: &Source, path: Option<&Path>) -> RunError {
    let what = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let what = what.map(|name| format!(" ({name})")).unwrap_or_default();
    let detail = format!(
        "the weights of {}{what} are not installed; run `{}`",
        source.title,
        source.command()
    );
    RunError::unavailable("weights_missing", detail)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn code(folder: &Folder) -> String {
        folder.find("sharp").map_or_else(|error| error.fault().code.to_owned(), |_| "found".into())
    }

    #[test]
    fn a_model_is_found_as_soon_as_its_file_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path().to_owned());
        assert_eq!(code(&folder), "weights_missing");
        assert!(folder.readiness("sharp").unwrap_err().contains("`postern pull sharp`"));
        let sharp = root.path().join("sharp");
        fs::create_dir(&sharp).unwrap();
        fs::write(sharp.join("sharp_2572gikvuh.pt.part"), "half").unwrap();
        assert_eq!(code(&folder), "weights_missing");
        fs::rename(sharp.join("sharp_2572gikvuh.pt.part"), sharp.join("sharp_2572gikvuh.pt"))
            .unwrap();
        assert_eq!(code(&folder), "found");
        assert_eq!(folder.find("sharp").unwrap().paths(), [sharp.join("sharp_2572gikvuh.pt")]);
    }

    #[test]
    fn without_a_folder_everything_is_missing() {
        assert_eq!(code(&Folder::default()), "weights_missing");
    }
}
