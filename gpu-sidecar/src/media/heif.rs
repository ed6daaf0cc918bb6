//! HEIC and AVIF pictures, where libheif's programs are installed.
//!
//! Owns how such a picture is told, the search for the programs and how they are run: under the
//! limits of every decoder, on one file, into a pipe. What comes out is a PNG, read as any other.
//! Knows of the container only what stands in `boxes.rs`.

mod boxes;

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

pub(super) use self::boxes::Container;
use super::ffmpeg::{Child, Ended};
use super::limits::{PICTURE_WALL_MAX, limited};
use super::probe::public;
use crate::pipeline::{Cancel, RunError};

/// What to do where the programs are missing.
const INSTALL_HINT: &str = "the operator can install libheif's programs: \
     `apt install libheif-examples` (Debian, Ubuntu), `dnf install libheif-tools` (Fedora), \
     `apk add libheif-tools` (Alpine); no restart is needed";

/// The newer name comes first; both take the same words.
const CONVERTERS: [&str; 2] = ["heif-dec", "heif-convert"];
/// A picture of the largest size as a PNG of 16 bits that could not be made smaller.
const PNG_BYTES_MAX: u64 = 512 << 20;
/// What is said of a file; a line or two for each picture in it.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
/// Pictures in one file, of which one is the main one. Each is decoded.
const PICTURES_MAX: usize = 16;
/// What the program is told to write: its ending says which format, and it leads to a pipe.
const OUT: &str = "out";

/// What a decoded file is.
pub(super) struct Converted {
    /// The main picture, turned and mirrored as the container says; the camera's notes within.
    pub(super) png: Vec<u8>,
    /// The container says how the picture is turned, so the camera's notes do not count.
    pub(super) is_turned: bool,
}

/// `HEIC` or `AVIF`, by the first bytes of the file.
pub(super) fn kind(path: &Path) -> Option<&'static str> {
    let mut head = [0; 12];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).ok()?;
    match &head[4..] {
        b"ftypavif" | b"ftypavis" => Some("AVIF"),
        b"ftypheic" | b"ftypheix" | b"ftypheim" | b"ftypheis" | b"ftypmif1" | b"ftypmsf1" => {
            Some("HEIC")
        }
        _ => None,
    }
}

/// The two programs.
#[derive(Debug)]
struct Programs {
    convert: PathBuf,
    info: PathBuf,
}

impl Programs {
    /// Looks through `folders` anew, so that an installation is noticed without a restart.
    fn find(folders: &OsStr) -> Option<Self> {
        let find = |name: &str| {
            let mut candidates = env::split_paths(folders).map(|folder| folder.join(name));
            candidates.find(|candidate| candidate.is_absolute() && candidate.is_file())
        };
        let convert = CONVERTERS.iter().find_map(|name| find(name))?;
        Some(Self { convert, info: find("heif-info")? })
    }
}

/// Decodes the main picture of the file at `path`, which is of this `kind`.
///
/// # Errors
/// `Input` with `field`: 415 `media_type_unsupported` without the programs; broken, too large.
/// `Resource`, `Canceled`.
#[expect(clippy::disallowed_methods, reason = "PATH is where programs are, not a setting")]
pub(super) fn convert(
    path: &Path,
    kind: &str,
    field: &str,
    cancel: &Arc<Cancel>,
) -> Result<Converted, RunError> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let programs = Programs::find(&folders).ok_or_else(|| missing(kind, field))?;
    let container = Container::read(path).ok_or_else(|| broken(kind, field, "no size in it"))?;
    let run = Run { programs, path, kind, field, cancel };
    Ok(Converted { png: run.png(run.main_picture()?)?, is_turned: container.is_turned })
}

/// Why a picture is not read here.
fn missing(kind: &str, field: &str) -> RunError {
    let detail = format!(
        "is {kind}, which is not read here; send PNG, JPEG, WebP, TIFF, BMP or GIF, or \
         {INSTALL_HINT}"
    );
    RunError::input("media_type_unsupported", field, detail)
}

fn broken(kind: &str, field: &str, why: &str) -> RunError {
    let detail = format!("not {kind} that libheif can read: {why}");
    RunError::input("image_undecodable", field, detail)
}

/// One file under the programs.
struct Run<'a> {
    programs: Programs,
    path: &'a Path,
    kind: &'a str,
    field: &'a str,
    cancel: &'a Arc<Cancel>,
}

/// Where the main picture stands among those of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// From 1.
    number: usize,
    count: usize,
}

impl Run<'_> {
    /// Asks which of the file's pictures is the main one.
    fn main_picture(&self) -> Result<Place, RunError> {
        let mut command = limited(&self.programs.info);
        command.arg(self.path);
        let (text, ended) = self.output(command, ANSWER_BYTES_MAX)?;
        let place = place(&String::from_utf8_lossy(&text)).filter(|_| ended.status.success());
        let place = place.ok_or_else(|| self.refusal(&ended))?;
        if place.count > PICTURES_MAX {
            let why = format!("{} pictures in one file; at most {PICTURES_MAX}", place.count);
            return Err(broken(self.kind, self.field, &why));
        }
        Ok(place)
    }

    /// The picture as a PNG.
    fn png(&self, main: Place) -> Result<Vec<u8>, RunError> {
        let failed = |error: io::Error| RunError::file("decoding a picture", &error);
        let folder = links(main).map_err(failed)?;
        // What the program says goes where it complains; the pipe is for the picture alone.
        let mut command = limited(Path::new("/bin/sh"));
        command.args(["-c", "exec \"$0\" \"$@\" 3>&1 1>&2"]).arg(&self.programs.convert);
        command.arg(self.path).arg(folder.path().join(format!("{OUT}.png")));
        let (png, ended) = self.output(command, PNG_BYTES_MAX)?;
        if !ended.status.success() || png.is_empty() {
            return Err(self.refusal(&ended));
        }
        Ok(png)
    }

    /// Runs it to its end, which comes soon when it writes more than `bytes_max`.
    fn output(&self, command: Command, bytes_max: u64) -> Result<(Vec<u8>, Ended), RunError> {
        let failed = |error: io::Error| RunError::file("running libheif's programs", &error);
        let (child, stdout) =
            Child::start(command, self.cancel, PICTURE_WALL_MAX, |_| false).map_err(failed)?;
        let mut bytes = Vec::new();
        stdout.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
        Ok((bytes, child.wait().map_err(failed)?))
    }

    /// Why the programs could not make a picture of the file.
    fn refusal(&self, ended: &Ended) -> RunError {
        if let Some(cause) = ended.cause {
            return cause.into();
        }
        // Nobody else kills our children: this is a limit, of ours or of the machine.
        if let Some(signal) = ended.status.signal() {
            let detail = format!("the decoder ran out of its limits ({signal})");
            return RunError::resource("decoder_limit", detail);
        }
        broken(self.kind, self.field, &public(&ended.complaint, self.path))
    }
}

/// Reads `image: 64x96 (id=1), primary`, a line for each picture.
fn place(text: &str) -> Option<Place> {
    let images: Vec<&str> = text.lines().filter(|line| line.starts_with("image: ")).collect();
    let number = images.iter().position(|line| line.ends_with(", primary"))? + 1;
    Some(Place { number, count: images.len() })
}

/// A folder of names that the program may write: the main picture into the pipe, others nowhere.
/// It writes no file, which its limits forbid. Of several pictures each has its number in the name.
fn links(main: Place) -> io::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let link = |name: String, to: &str| symlink(to, folder.path().join(name));
    let pipe = "/proc/self/fd/3";
    link(format!("{OUT}.png"), pipe)?;
    for number in 1..=main.count {
        let to = if number == main.number { pipe } else { "/dev/null" };
        link(format!("{OUT}-{number}.png"), to)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_picture_is_found_among_several() {
        let text = "MIME type: image/heic\n\nimage: 64x96 (id=1)\n  thumbnail: 8x12\n\
                    image: 96x64 (id=2), primary\n  color profile: no\n";
        assert_eq!(place(text), Some(Place { number: 2, count: 2 }));
        assert_eq!(place("image: 64x96 (id=1)\n"), None);
        let folder = links(Place { number: 2, count: 3 }).expect("a folder");
        let to = |name: &str| std::fs::read_link(folder.path().join(name)).expect("a link");
        assert_eq!(to("out-1.png"), Path::new("/dev/null"));
        assert_eq!(to("out-2.png"), to("out.png"));
    }

    #[test]
    fn without_the_programs_the_refusal_says_what_to_install() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Programs::find(folder.path().as_os_str()).is_none());
        assert!(Programs::find(OsStr::new("")).is_none());
        let RunError::Input { fault, field } = missing("HEIC", "image") else { panic!("input") };
        assert_eq!((fault.code, field.as_str()), ("media_type_unsupported", "image"));
        assert!(fault.detail.contains("apt install libheif-examples"), "{}", fault.detail);
    }

    #[test]
    fn either_name_of_the_program_will_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = || Programs::find(folder.path().as_os_str()).map(|programs| programs.convert);
        for (name, want) in [("heif-info", None), ("heif-convert", Some(1)), ("heif-dec", Some(0))]
        {
            std::fs::write(folder.path().join(name), "").expect("a file");
            assert_eq!(found(), want.map(|index: usize| folder.path().join(CONVERTERS[index])));
        }
    }
}
